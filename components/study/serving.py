"""The process that serves a study until it is stopped."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

from components.errors import UserError
from components.study.record import Record
from components.study.server import Files, application


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that is bound, before any work is done for nothing.

    Args:
        host: Where to listen.
        port: 0 for any that is free.

    Raises:
        UserError: the port is taken, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's waiting off only for sockets that say TCP: 40 ms a clip.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, port))
            found.listen(128)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"cannot listen at {host}:{port} ({why}): give another --host or --port"
            ) from error
        yield found


def base_address(at: socket.socket, host: str) -> str:
    """The server's own address."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{at.getsockname()[1]}"


def serve(record: Record, files: Files, at: socket.socket, ready: Callable[[], None]) -> None:
    """Serve a study until the process is told to stop (SIGINT, SIGTERM).

    Args:
        record: The study.
        files: Its clips.
        at: From ``listening``.
        ready: Called before the first request is taken.
    """
    import uvicorn

    config = uvicorn.Config(
        application(record, files),
        # No request is logged: the address of an invitation holds a token.
        access_log=False,
        log_level="warning",
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    with _ends_here():
        ready()
        uvicorn.Server(config).run(sockets=[at])


@contextlib.contextmanager
def _ends_here() -> Iterator[None]:
    """Let a signal end the server and not what comes after it: files are to be removed then.

    uvicorn raises each signal that it took once more when it has stopped.
    """
    former = {one: signal.signal(one, _ignore) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """What uvicorn has acted on already."""
