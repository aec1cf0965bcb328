"""The RayJob of an attempt, from the template that manifests/kubernetes puts into the cluster."""

from __future__ import annotations

import copy
from typing import Any

from components.errors import UserError
from components.launch.job import Job
from components.launch.where import Where

GROUP, VERSION, PLURAL, KIND = "ray.io", "v1", "rayjobs", "RayJob"

_PREFIX = "tune-a-video.dev"
JOB_LABEL = f"{_PREFIX}/job"
"""Equal on all attempts of a job."""
_ATTEMPT_LABEL = f"{_PREFIX}/attempt"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def rayjob(template: dict[str, Any], job: Job, attempt: int, where: Where) -> dict[str, Any]:
    """Copy the template's spec, and set what makes it this attempt.

    Neither KubeRay nor its submitter may retry: each would repeat steps that failed for good, the
    first with a new cluster every time, and the attempts would multiply with ``where.attempts``.
    """
    spec = copy.deepcopy(template["spec"])
    if "rayClusterSpec" not in spec:
        raise UserError(
            f"RayJob {where.template!r} has no rayClusterSpec, so each step would have no cluster: "
            "take the template from manifests/kubernetes"
        )
    spec |= {
        "entrypoint": job.entrypoint,
        "suspend": where.suspend,
        "backoffLimit": 0,
        "submitterConfig": {"backoffLimit": 0},
        "activeDeadlineSeconds": where.deadline_s,
        "ttlSecondsAfterFinished": where.ttl_s,
        "shutdownAfterJobFinishes": True,  # Kueue admits no other
    }
    spec.pop("jobId", None)
    head = spec["rayClusterSpec"]["headGroupSpec"]["template"].setdefault("metadata", {})
    # The disruption budget's: a drain waits for the head of a step, not for a standing cluster's.
    head["labels"] = {**head.get("labels", {}), f"{_PREFIX}/role": "step-head"}
    labels = dict(template["metadata"].get("labels", {}))
    labels |= {
        JOB_LABEL: job.base_name,
        _ATTEMPT_LABEL: str(attempt),
        f"{_PREFIX}/step": job.step,
    }
    if where.queue:
        labels[QUEUE_LABEL] = where.queue
        _fix_size(spec["rayClusterSpec"])
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": job.name(attempt),
            "labels": labels,
            "annotations": {f"{_PREFIX}/run": job.run},
        },
        "spec": spec,
    }


def _fix_size(cluster: dict[str, Any]) -> None:
    """Ask for all workers at once: Kueue admits a cluster as a whole, and none that grows."""
    cluster["enableInTreeAutoscaling"] = False
    cluster.pop("autoscalerOptions", None)
    for group in cluster.get("workerGroupSpecs", []):
        group["replicas"] = group["minReplicas"] = group["maxReplicas"]


def attempt_of(found: dict[str, Any]) -> int:
    """Number of the attempt that a RayJob is."""
    return int(found["metadata"]["labels"][_ATTEMPT_LABEL])
