"""KubeRay's part, played over the API: it takes each RayJob through its states."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from kubernetes import client

from components.launch.rayjob import GROUP, PLURAL, VERSION

PACE_S = 0.1


@dataclass(frozen=True)
class Script:
    """How a job goes: its final status, and the lines that its submitter prints."""

    status: dict[str, str]
    log: tuple[str, ...] = ()


SUCCEEDS = Script(
    {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, ("working", "done")
)
RUNS_ON = Script({})
"""Ends by its deadline alone."""


@dataclass
class Operator:
    """Reconciles in a thread. ``speed`` shortens TTLs, which are a minute at least."""

    api: client.ApiClient
    namespace: str
    cluster: Any
    scripts: list[Script] = field(default_factory=list)
    """For one RayJob after the other, by their creation."""
    speed: float = 1.0
    clusters: list[str] = field(default_factory=list)
    """Names of the RayJobs that a Ray cluster was made for."""

    def __post_init__(self) -> None:
        self._jobs = client.CustomObjectsApi(self.api)
        self._pods = client.CoreV1Api(self.api)
        self._since: dict[str, float] = {}
        self._script: dict[str, Script] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PACE_S):
            place = (GROUP, VERSION, self.namespace, PLURAL)
            for found in self._jobs.list_namespaced_custom_object(*place)["items"]:
                if "deletionTimestamp" not in found["metadata"]:
                    self._reconcile(found["metadata"]["name"], found)

    def _reconcile(self, name: str, found: dict[str, Any]) -> None:
        spec = found["spec"]
        state = found.get("status", {}).get("jobDeploymentStatus", "")
        age = time.monotonic() - self._since.get(name, time.monotonic())
        if spec.get("suspend"):
            if state != "Suspended":
                self._set(name, jobDeploymentStatus="Suspended")
        elif state in {"", "Suspended"}:
            self.clusters.append(name)
            self._script[name] = self.scripts.pop(0) if self.scripts else SUCCEEDS
            self._set(name, jobDeploymentStatus="Initializing")
        elif state == "Initializing":
            self._start_submitter(name)
            self._set(name, jobDeploymentStatus="Running", jobStatus="RUNNING")
        elif state == "Running":
            script = self._script[name]
            if script.status:
                self._end(name, **script.status)
            elif age > spec["activeDeadlineSeconds"]:
                late = {"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded"}
                self._end(name, **late, message="the RayJob took longer than its deadline")
        elif (
            spec["shutdownAfterJobFinishes"] and age > spec["ttlSecondsAfterFinished"] / self.speed
        ):
            # As with DELETE_RAYJOB_CR_AFTER_JOB_FINISHES; without it, the Ray cluster alone.
            self._jobs.delete_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, name)

    def _set(self, name: str, **status: str) -> None:
        self._jobs.patch_namespaced_custom_object_status(
            GROUP, VERSION, self.namespace, PLURAL, name, {"status": status}
        )
        self._since[name] = time.monotonic()

    def _end(self, name: str, **status: str) -> None:
        self._set(name, **status)
        self.cluster.logs[f"{name}-pod"].append("")

    def _start_submitter(self, name: str) -> None:
        pod = f"{name}-pod"
        self.cluster.logs[pod] = list(self._script[name].log)
        labels = {"batch.kubernetes.io/job-name": name}
        container = {"name": "ray-job-submitter", "image": "registry.example/tav:1"}
        self._pods.create_namespaced_pod(
            self.namespace,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": pod, "labels": labels},
                "spec": {"containers": [container]},
                "status": {"phase": "Running"},
            },
        )
