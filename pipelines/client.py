"""A Kubeflow Pipelines server: submit, schedule, list, cancel."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from components.errors import UserError
from pipelines.work import Work

TOKEN_VARIABLE = "KFP_TOKEN"  # noqa: S105 - a variable's name
EXPERIMENT = "tune-a-video"
_TIMEOUT_S = 10
_PAGE = 100
_UNAUTHORIZED = (401, 403)
_NOT_FOUND = 404
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a pipeline on the server."""

    run_id: str
    name: str
    state: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """A recurring run."""

    schedule_id: str
    name: str
    cron: str
    enabled: bool
    digest: str
    """Of the work and its times."""


class Kubeflow:
    """One server, through the kfp client and its own ways to authenticate."""

    def __init__(self, host: str, namespace: str | None = None) -> None:
        """Connect, with the token in ``KFP_TOKEN`` where that is set.

        Raises:
            UserError: no server answers there, it refuses the token, or it is out of order.
        """
        parts = urlsplit(host)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.password:
            raise UserError(
                f"host is {parts.hostname or host!r}, but must be an address such as "
                f"https://kubeflow.example/pipeline; a token goes into {TOKEN_VARIABLE}"
            )
        self.host = host.rstrip("/")
        self.namespace = namespace
        token = os.environ.get(TOKEN_VARIABLE)
        self._knock(token)
        import kfp

        with warnings.catch_warnings(), self._clear_errors():
            warnings.simplefilter("ignore", FutureWarning)  # which servers the client is for
            self._client = kfp.Client(host=self.host, namespace=namespace, existing_token=token)

    def submit(self, work: Work, title: str) -> Execution:
        """Start an execution of a pipeline.

        Raises:
            UserError: the server refuses it or is not to be had.
        """
        with self._clear_errors(), work.package() as package:
            run = self._client.create_run_from_pipeline_package(
                package,
                arguments=dict(work.arguments),
                run_name=title,
                experiment_name=EXPERIMENT,
                namespace=self.namespace,
                enable_caching=False,
                service_account=work.service_account or None,
            ).run_info
        return _execution(run)

    def executions(self) -> list[Execution]:
        """The executions of this project's experiment, newest first."""
        listed = self._listed("list_runs", "runs", sort_by="created_at desc")
        return [_execution(run) for run in listed]

    def cancel(self, run_id: str) -> None:
        """Stop an execution.

        Raises:
            UserError: there is no such execution, or the server is not to be had.
        """
        with self._clear_errors(f"execution {run_id!r}"):
            self._client.terminate_run(run_id)

    def schedules(self, name: str | None = None) -> list[Schedule]:
        """The recurring runs of this project's experiment; of one name, or all."""
        every = [_schedule(one) for one in self._listed("list_recurring_runs", "recurring_runs")]
        return [one for one in every if name in (None, one.name)]

    def schedule(self, name: str, cron: str, work: Work) -> tuple[Schedule, str]:
        """Have one recurring run of a name, with these times and this work.

        The API cannot change a recurring run, so another is made before the old one goes: a crash
        between leaves two, of which the next call removes one, and never none.

        Args:
            name: Of the recurring run.
            cron: Five fields, from minutes on, in UTC; Kubeflow's six begin with seconds.
            work: What each execution consists of.

        Returns:
            The recurring run, and whether it was ``created``, ``updated`` or ``unchanged``.

        Raises:
            UserError: the cron expression has another number of fields, or the server refuses.
        """
        digest = _digest(_six_fields(cron), work.text, dict(work.arguments), work.service_account)
        before = self.schedules(name)
        same = next((one for one in before if one.digest == digest and one.enabled), None)
        current = same or self._create(name, cron, work, digest)
        for old in before:
            if old.schedule_id != current.schedule_id:
                self.unschedule(old)
        return current, "unchanged" if same else "updated" if before else "created"

    def unschedule(self, schedule: Schedule) -> None:
        """Delete a recurring run; executions that it started go on."""
        with self._clear_errors(f"schedule {schedule.name!r}"):
            self._client.delete_recurring_run(schedule.schedule_id)

    def _create(self, name: str, cron: str, work: Work, digest: str) -> Schedule:
        with self._clear_errors(), work.package() as package:
            experiment = self._client.create_experiment(EXPERIMENT, namespace=self.namespace)
            made = self._client.create_recurring_run(
                experiment.experiment_id,
                name,
                description=f"tav pipeline schedule; digest {digest}",
                cron_expression=_six_fields(cron),
                max_concurrency=1,
                no_catchup=True,
                params=dict(work.arguments),
                pipeline_package_path=package,
                enable_caching=False,
                service_account=work.service_account or None,
            )
        return _schedule(made)

    def _listed(self, method: str, field: str, **options: Any) -> Iterator[Any]:
        with self._clear_errors():
            experiment = self._client.create_experiment(EXPERIMENT, namespace=self.namespace)
            options |= {"experiment_id": experiment.experiment_id, "page_size": _PAGE}
            token = ""
            while True:
                page = getattr(self._client, method)(page_token=token, **options)
                yield from getattr(page, field) or []
                token = page.next_page_token
                if not token:
                    return

    def _knock(self, token: str | None) -> None:
        """Ask whether the server is there: kfp's own question hides the answer for 25 seconds."""
        import requests

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            answer = requests.get(
                f"{self.host}/apis/v2beta1/healthz", headers=headers, timeout=_TIMEOUT_S
            )
        except requests.RequestException as error:
            raise UserError(
                f"no Kubeflow Pipelines answers at {self.host} ({type(error).__name__}): check the "
                "host, and that this machine reaches it"
            ) from error
        if not answer.ok:
            raise self._refusal(answer.status_code, "")

    @contextlib.contextmanager
    def _clear_errors(self, what: str = "") -> Iterator[None]:
        import kfp_server_api
        import urllib3

        try:
            # The client prints links at every call; standard output is for what this program says.
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except kfp_server_api.ApiException as error:
            raise self._refusal(error.status, _message(error.body), what) from error
        except urllib3.exceptions.HTTPError as error:
            raise UserError(
                f"{self.host} went away ({type(error).__name__}): try again; nothing is doubled"
            ) from error

    def _refusal(self, status: int, message: str, what: str = "") -> UserError:
        said = f"HTTP {status}" + (f": {message}" if message else "")
        if status in _UNAUTHORIZED:
            remedy = f"put a fresh token into {TOKEN_VARIABLE}"
            return UserError(f"{self.host} refuses the request ({said}): {remedy}")
        if status == _NOT_FOUND and what:
            return UserError(f"{self.host} has no {what} ({said}): see `tav pipeline list`")
        if status >= _SERVER_ERROR:
            return UserError(f"{self.host} is out of order ({said}): try again later")
        return UserError(f"{self.host} refuses the request ({said})")


def _execution(run: Any) -> Execution:
    created = run.created_at.isoformat() if run.created_at else ""
    return Execution(run.run_id, run.display_name, run.state or "PENDING", created)


def _schedule(one: Any) -> Schedule:
    cron = one.trigger.cron_schedule.cron if one.trigger and one.trigger.cron_schedule else ""
    enabled = one.mode in (None, "ENABLE")
    digest = (one.description or "").rpartition(" ")[2]
    return Schedule(one.recurring_run_id, one.display_name, cron, enabled, digest)


def _six_fields(cron: str) -> str:
    fields = cron.split()
    if len(fields) not in (5, 6):
        raise UserError(
            f"cron is {cron!r}, {len(fields)} field(s), but 5 are needed: minute, hour, day of the "
            "month, month, day of the week (in UTC); for example '0 3 * * *'"
        )
    return " ".join(["0"] * (6 - len(fields)) + fields)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _message(body: Any) -> str:
    """The server's own words out of its JSON answer, cut to a line."""
    try:
        document = json.loads(body)
    except (TypeError, ValueError):
        return ""
    text = document.get("message") or document.get("error") if isinstance(document, dict) else ""
    return str(text or "").splitlines()[0][:300] if text else ""


def as_document(item: Execution | Schedule) -> dict[str, Any]:
    """For `--json`."""
    return dataclasses.asdict(item)
