"""Jobs of an existing Ray cluster, through the Jobs API of its dashboard."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from components.errors import UserError
from components.launch.ends import FINAL_EXITS, End, failed
from components.launch.job import Job
from components.launch.versions import PACKAGE

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

logger = logging.getLogger(__name__)

T = TypeVar("T")

OUTAGE_S = 60.0
"""How long the dashboard may be silent before contact counts as lost."""

_TIMEOUT_S = (5.0, 30.0)
"""To connect, and to answer."""
_QUIET_S = 120.0
"""After so long without a line, see whether the job is still there."""
_STOP_S = 20.0
"""A pod that is told to stop has 30 s in all."""
_PAUSE_S = 1.0
_WRONG_PYTHON = "Error: the python of this Ray's jobs,"


class _RefusedError(UserError):
    """Ray's answer is no."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class RayJobs:
    """The jobs of one cluster."""

    def __init__(self, address: str) -> None:
        """Connect.

        Raises:
            UserError: nothing answers there, it wants a token, or a variable names another place.
        """
        for variable in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
            other = os.environ.get(variable)
            if other and other.rstrip("/") != address.rstrip("/"):
                raise UserError(
                    f"{variable} is {other!r}, which Ray puts above the address asked for, "
                    f"{address!r}: unset it"
                )
        self._address = address
        self._client = _connect(address)

    def attempts(self, job: Job) -> dict[int, bool]:
        """See ``Place``."""
        known = {}
        for details in self._patiently(self._client.list_jobs):
            found = re.fullmatch(rf"{job.base_name}-(\d+)", details.submission_id or "")
            if found:
                known[int(found[1])] = details.status.is_terminal()
        return known

    def submit(self, job: Job, attempt: int) -> None:
        """See ``Place``."""
        name = job.name(attempt)

        def ask() -> None:
            try:
                self._client.submit_job(
                    entrypoint=_entrypoint(job),
                    submission_id=name,
                    metadata={"tav_step": job.step, "tav_run": job.run},
                )
            except RuntimeError as error:
                if "already exists" not in str(error):
                    raise

        self._patiently(ask)

    def follow(self, name: str) -> End:
        """See ``Place``."""
        log = _Log(self._client, name)
        while True:
            try:
                asyncio.run(log.follow())
            except _passing() as error:
                logger.debug("the log of %s broke off: %s", name, error)
            try:
                details = self._patiently(lambda: self._client.get_job_info(name))
            except _RefusedError as error:
                if error.code != "404":
                    raise
                # Another head, which knows nothing of the job.
                return End("failed", f"{self._address} lost the job: {error}", retryable=True)
            if details.status.is_terminal():
                return _end(details)
            time.sleep(_PAUSE_S)

    def stop(self, name: str) -> bool:
        """See ``Place``."""
        until = time.monotonic() + _STOP_S
        told = False
        while time.monotonic() < until:
            try:
                # Unknown: the interrupt came before the submission.
                if all(job.submission_id != name for job in self._client.list_jobs()):
                    return True
                if not told:
                    self._client.stop_job(name)
                    told = True
                if self._client.get_job_status(name).is_terminal():
                    return True
            except _passing() as error:
                logger.warning("%s does not answer (%s), trying again", self._address, error)
            time.sleep(_PAUSE_S)
        return False

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask until there is an answer.

        Raises:
            UserError: there was none for ``OUTAGE_S``.
            _RefusedError: the answer is no.
        """
        from ray.exceptions import AuthenticationError

        asked = time.monotonic()
        while True:
            try:
                return ask()
            except AuthenticationError as error:
                raise _wants_token(self._address, error) from error
            except _passing() as error:
                # A head that has just started has no agent yet, and says so with 500.
                if found := re.search(r"status code (4\d\d)", str(error)):
                    raise _RefusedError(
                        f"Ray at {self._address} refuses: {error}", found[1]
                    ) from error
                silent = time.monotonic() - asked
                if silent > OUTAGE_S:
                    raise UserError(
                        f"{self._address} has not answered for {silent:.0f} s ({error}); a job "
                        "that was submitted may run on: the same command again follows it"
                    ) from error
                logger.warning("%s does not answer (%s), trying again", self._address, error)
            time.sleep(_PAUSE_S)


class _Log:
    """A job's log, printed once however often the connection breaks."""

    def __init__(self, client: JobSubmissionClient, name: str) -> None:
        self._client = client
        self._name = name
        self._printed = 0

    async def follow(self) -> None:
        """Print until the log or the connection ends; each connection begins at the log's top."""
        seen = 0
        chunks = aiter(self._client.tail_job_logs(self._name))
        while True:
            try:
                # A head whose node is gone closes no connection.
                chunk = await asyncio.wait_for(anext(chunks), _QUIET_S)
            except StopAsyncIteration:
                return
            new = chunk[max(self._printed - seen, 0) :]
            seen += len(chunk)
            self._printed = max(self._printed, seen)
            sys.stderr.write(new)
            sys.stderr.flush()


def _connect(address: str) -> JobSubmissionClient:
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):  # type: ignore[misc]
        """Ray's own, which would wait for ever where nothing answers."""

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            options.setdefault("timeout", _TIMEOUT_S)
            return super()._do_request(method, endpoint, **options)

    logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)
    passing = _passing()
    try:
        return Client(address)
    except AuthenticationError as error:
        raise _wants_token(address, error) from error
    except passing as error:
        raise UserError(
            f"no Ray dashboard answers at {address} ({error}): check host, port (8265 unless set "
            "otherwise) and network policies"
        ) from error


def _entrypoint(job: Job) -> str:
    """A job's command line, behind a look at what `python` is there: it need not be Ray's own."""
    # One shell reads it, whatever that shell is.
    look = f'import importlib.metadata as m; m.version("{PACKAGE}")'
    message = (
        f"{_WRONG_PYTHON} $(command -v python || echo none), has no "
        f"{PACKAGE}: activate its environment (. .venv/bin/activate) before ray start, on every "
        "node"
    )
    refuse = f'{{ echo "{message}" >&2; exit {min(FINAL_EXITS)}; }}'
    return f"python -c '{look}' 2>/dev/null || {refuse}; exec {job.entrypoint}"


def _wants_token(address: str, error: Exception) -> UserError:
    return UserError(
        f"Ray at {address} wants a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or "
        "RAY_AUTH_TOKEN_PATH to the cluster's, which its head has in ~/.ray/auth_token "
        f"({str(error).splitlines()[0]})"
    )


def _passing() -> tuple[type[Exception], ...]:
    """What a silent, starting or restarting dashboard raises."""
    import aiohttp
    import requests

    # The client makes a RuntimeError of every refusal and of a log's connection that breaks.
    silent = (ConnectionError, TimeoutError, requests.RequestException, aiohttp.ClientError)
    return (RuntimeError, *silent)


def _end(details: Any) -> End:
    message = details.message or ""
    if details.status == "SUCCEEDED":
        return End("succeeded", message)
    if details.status == "STOPPED":
        return End("stopped", message)
    # Ray quotes the whole log.
    wrong = [line for line in message.splitlines() if line.startswith(_WRONG_PYTHON)]
    return failed(wrong[0] if wrong else message, details.driver_exit_code)
