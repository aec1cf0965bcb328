"""RayJob objects of the KubeRay operator: a Ray cluster for one attempt of one step."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

from components.errors import UserError
from components.launch.ends import End, exit_code, failed
from components.launch.job import Job
from components.launch.rayjob import GROUP, JOB_LABEL, PLURAL, VERSION, attempt_of, rayjob
from components.launch.submitter_log import SubmitterLog
from components.launch.where import Where

logger = logging.getLogger(__name__)

OUTAGE_S = 300.0
"""How long the API server may be silent: an upgrade of a control plane takes minutes."""

_TIMEOUT_S = (5.0, 30.0)
"""To connect, and to answer."""
_STOP_S = 20.0
"""A pod that is told to stop has 30 s in all."""
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_FIRST_POLL_S = 1.0
_LONGEST_POLL_S = 15.0
_POLL_GROWTH = 1.5

_ENDED = frozenset({"Complete", "Failed", "ValidationFailed"})
_HOPELESS = frozenset({"DeadlineExceeded", "ValidationFailed"})
"""Reasons of a failure that another attempt would only repeat."""

_HTTP_FORBIDDEN = 403
_HTTP_NOT_FOUND = 404
_NO_SUCH_THING = {"create": 409, "get": _HTTP_NOT_FOUND, "delete": _HTTP_NOT_FOUND}
_HTTP_THROTTLED = 429
_HTTP_SERVER_ERROR = 500


class KubeRay:
    """The RayJobs of one namespace."""

    def __init__(self, where: Where) -> None:
        """Read the pod's service account or the kubeconfig.

        Raises:
            UserError: there is neither.
        """
        from kubernetes import client

        self._where = where
        self._namespace = _load_access(where.namespace)
        self._objects = client.CustomObjectsApi()
        self._pods = client.CoreV1Api()

    def attempts(self, job: Job) -> dict[int, bool]:
        """See ``Place``."""
        selector = f"{JOB_LABEL}={job.base_name}"
        found = self._call("list", label_selector=selector)["items"]
        return {
            attempt_of(one): _state(one) in _ENDED or "deletionTimestamp" in one["metadata"]
            for one in found
        }

    def submit(self, job: Job, attempt: int) -> None:
        """See ``Place``."""
        template = self._call("get", self._where.template)
        if template is None:
            raise UserError(
                f"namespace {self._namespace} has no RayJob {self._where.template!r} to copy: "
                "apply an overlay of manifests/kubernetes, or name another template"
            )
        body = rayjob(template, job, attempt, self._where)
        if self._call("create", body=body) is None:
            logger.info("%s was created by someone else just now", job.name(attempt))

    def follow(self, name: str) -> End:
        """See ``Place``."""
        log = SubmitterLog(self._pods, self._namespace, name)
        shown = None
        pause = _FIRST_POLL_S
        while True:
            found = self._call("get", name)
            if found is None:
                return End("stopped", f"RayJob {name} was deleted")
            state = _state(found)
            if state != shown:
                logger.info("%s is %s", name, state or "new")
                shown, pause = state, _FIRST_POLL_S
            log.follow()
            if state in _ENDED:
                log.finish()
                return _end(found)
            time.sleep(pause)
            pause = min(pause * _POLL_GROWTH, _LONGEST_POLL_S)

    def stop(self, name: str) -> bool:
        """See ``Place``."""
        until = time.monotonic() + _STOP_S
        self._call("delete", name)
        while time.monotonic() < until:
            if self._call("get", name) is None:
                return True
            time.sleep(_FIRST_POLL_S)
        return False

    def _call(self, verb: str, name: str = "", **arguments: Any) -> Any:
        """Ask the API server, patiently.

        Returns:
            Its answer; None where there is no such object, or for ``create`` where there is one.

        Raises:
            UserError: it refuses, or stays silent.
        """
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        method = getattr(self._objects, f"{verb}_namespaced_custom_object")
        arguments |= {"name": name} if name else {}
        arguments |= {"propagation_policy": "Foreground"} if verb == "delete" else {}
        asked = time.monotonic()
        pause = _FIRST_POLL_S
        while True:
            try:
                return method(
                    *(GROUP, VERSION, self._namespace, PLURAL),
                    **arguments,
                    _request_timeout=_TIMEOUT_S,
                )
            except ApiException as error:
                if error.status == _NO_SUCH_THING.get(verb):
                    return None
                if error.status not in {0, _HTTP_THROTTLED} and error.status < _HTTP_SERVER_ERROR:
                    raise UserError(self._refusal(verb, name, error)) from error
                cause: Exception = error
                problem = f"{error.status} {error.reason}"
            except HTTPError as error:
                cause, problem = error, str(error)
            silent = time.monotonic() - asked
            if silent > OUTAGE_S:
                raise UserError(
                    f"the Kubernetes API has not answered for {silent:.0f} s ({problem}); a RayJob "
                    "that was created runs on: the same command again follows it"
                ) from cause
            logger.warning("the Kubernetes API does not answer, trying again: %s", problem)
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_POLL_S)

    def _refusal(self, verb: str, name: str, error: Any) -> str:
        if verb == "list" and error.status == _HTTP_NOT_FOUND:
            return f"the cluster knows no {PLURAL}.{GROUP}: install the KubeRay operator"
        remedy = (
            "; use the account tav-launcher of manifests/kubernetes (for a pipeline: "
            "`tav pipeline submit --service-account tav-launcher`), or bind its role to yours"
        )
        return (
            f"the Kubernetes API refuses to {verb} {PLURAL}.{GROUP} {name!r} in "
            f"{self._namespace} ({error.status} {error.reason}): {error.body}"
            f"{remedy if error.status == _HTTP_FORBIDDEN else ''}"
        )


def _load_access(namespace: str) -> str:
    """Use this pod's service account, or the kubeconfig; return the namespace to work in."""
    from kubernetes import config

    try:
        config.load_incluster_config()
    except config.ConfigException:
        pass  # no pod
    else:
        return namespace or _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    try:
        # Read here: the library reads the variable when it is imported.
        path = os.environ.get("KUBECONFIG")
        config.load_kube_config(config_file=path)
        _, context = config.list_kube_config_contexts(config_file=path)
    except config.ConfigException as error:
        raise UserError(
            f"no Kubernetes cluster is configured ({error}): run in a pod with a service "
            "account, or set KUBECONFIG"
        ) from error
    return namespace or context["context"].get("namespace") or "default"


def _state(found: dict[str, Any]) -> str:
    state: str = found.get("status", {}).get("jobDeploymentStatus", "")
    return state


def _end(found: dict[str, Any]) -> End:
    status = found["status"]
    message = status.get("message", "")
    reason = status.get("reason", "")
    job = status.get("jobStatus", "")
    if status["jobDeploymentStatus"] == "Complete" and job == "SUCCEEDED":
        return End("succeeded", message)
    if job == "STOPPED":
        return End("stopped", message)
    if reason in _HOPELESS or status["jobDeploymentStatus"] == "ValidationFailed":
        return End("failed", f"{reason}: {message}")
    return failed(f"{reason or job}: {message}", exit_code(message))
