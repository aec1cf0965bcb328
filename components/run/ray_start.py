"""What a local Ray needs of its machine, looked at before it is started.

Ray itself says of each want only that its raylet did not come up, after minutes.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from components.errors import TransientError, UserError

_SOCKET_BYTES = 107
"""Linux's limit on the path of a socket."""
_BELOW = len("/session_2026-01-01_00-00-00_000000_/sockets/plasma_store")
"""Bytes of what Ray's sockets add to its folder's path, beside the driver's pid."""
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's name, where Ray keeps objects


def ray_folder() -> str | None:
    """The folder for a local Ray's files; none where Ray's own choice is good.

    Another user's ``/tmp/ray`` is left alone for a folder beside it that bears this user's number.

    Raises:
        UserError: the folder's path is too long for sockets, or nothing can be written there.
    """
    name, base = _base()
    usual = Path(base, "ray")
    remedy = f"set RAY_TMPDIR to a folder of your own with a short path (now {base!r})"
    limit = _SOCKET_BYTES - _BELOW - len(str(os.getpid()))
    if (length := len(os.fsencode(usual))) > limit:
        raise UserError(
            f"{name or 'the temporary folder'} is {base!r}: Ray's folder in it has {length} bytes, "
            f"but the limit is {limit}, since its sockets lie below: set "
            "RAY_TMPDIR to a folder with a shorter path"
        )
    if os.access(usual if usual.exists() else base, os.W_OK | os.X_OK):
        return None
    own = Path(base, f"ray-{os.getuid()}")
    try:
        own.mkdir(mode=0o700, exist_ok=True)
        if own.stat().st_uid == os.getuid() and len(os.fsencode(own)) <= limit:
            return str(own)
        problem = f"{usual} is another user's, and {own} cannot take its place"
    except OSError as error:
        problem = f"neither {usual} nor {own} can be written ({error.strerror})"
    raise UserError(f"Ray has no folder for its files: {problem}: {remedy}")


def _base() -> tuple[str, str]:
    """The folder that Ray makes its own in, and the variable that names it; as Ray finds it."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), "")
    return name, os.environ[name] if name else "/tmp"  # noqa: S108 - Ray's


def guard() -> None:
    """Draw a token for a local Ray where Ray cannot keep its own in ``~/.ray``."""
    if {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    try:
        home = Path.home()
        kept = home / ".ray"
        good = os.access(kept / "auth_token", os.R_OK) or os.access(
            kept if kept.is_dir() else home, os.W_OK | os.X_OK
        )
    except (OSError, RuntimeError):  # no HOME, and a user without a name
        good = False
    if not good:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def check_shared_memory() -> None:
    """Raise UserError where there is none; where there is little, Ray takes a file instead."""
    if not os.access(_SHARED_MEMORY, os.R_OK | os.W_OK | os.X_OK):
        raise UserError(
            f"Ray needs {_SHARED_MEMORY}, which is absent or cannot be written: mount it (in a "
            "container --shm-size gives its size)"
        )


def why_not(error: Exception, folder: str | None) -> UserError | TransientError:
    """What to tell of a local Ray that did not start."""
    if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
        return UserError(
            f"Ray cannot start on this machine: {error}: check that path, its space and rights; "
            "RAY_TMPDIR moves Ray's files"
        )
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores:
        remedy = (
            f"the machine is busy (load {load:.0f} on {cores} cores): run again when it is less"
        )
    else:
        base = folder or os.path.join(_base()[1], "ray")  # noqa: PTH118 - text of a message
        remedy = (
            f"look at the logs in {base}/session_latest/logs, first raylet.err and gcs_server.err"
        )
    return TransientError(f"Ray did not start on this machine: {str(error).strip()} {remedy}")
