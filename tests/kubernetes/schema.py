"""What an API server with KubeRay, Prometheus' operator and Kueue would say of a document."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

KUBERNETES = "1.35"
CRDS = yaml.safe_load((Path(__file__).parent / "crds.yaml").read_text(encoding="utf-8"))

MAX_NAME = {"RayJob": 47, "RayCluster": 53}
"""KubeRay's limits: it appends to these names, and Kubernetes allows 63 characters."""


def problems(document: dict[str, Any]) -> list[str]:
    """Everything wrong with a document; empty for a good one."""
    kind = document.get("kind", "")
    if kind not in CRDS or "." not in document.get("apiVersion", ""):
        return _kubernetes(document)
    schema = {**CRDS, "$ref": f"#/{kind}"}
    found = [
        f"{'.'.join(str(part) for part in error.absolute_path)}: {error.message}"
        for error in jsonschema.Draft202012Validator(schema).iter_errors(document)
    ]
    found += _metadata(document)
    for path, template in pod_templates(document):
        pod = {"apiVersion": "v1", "kind": "Pod", **template}
        found += [f"{path}: {problem}" for problem in _kubernetes(pod)]
    if document["apiVersion"] == "ray.io/v1":
        found += _autoscaler(_cluster(document))
    if not found:
        found += [
            f"{path} has no container"
            for path, template in pod_templates(document)
            if not template["spec"]["containers"]
        ]
    if kind == "RayJob" and not found:
        found += _operator(document["spec"])
    return found


def pod_templates(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The pod templates of a RayJob or RayCluster, each with where it stands."""
    cluster = _cluster(document)
    found = [("head", cluster["headGroupSpec"]["template"])] if cluster else []
    found += [(one["groupName"], one["template"]) for one in cluster.get("workerGroupSpecs", [])]
    submitter = document.get("spec", {}).get("submitterPodTemplate")
    return [*found, ("submitter", submitter)] if submitter else found


def _cluster(document: dict[str, Any]) -> dict[str, Any]:
    if document.get("kind") == "RayCluster":
        cluster: dict[str, Any] = document["spec"]
        return cluster
    return document.get("spec", {}).get("rayClusterSpec") or {}


def _kubernetes(document: dict[str, Any]) -> list[str]:
    return list(_kubernetes_problems(json.dumps(document, sort_keys=True)))


@functools.cache  # a job's pods are looked at anew with each of its states
def _kubernetes_problems(text: str) -> tuple[str, ...]:
    try:
        kubernetes_validate.validate(json.loads(text), KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return (f"{'.'.join(str(part) for part in error.path)}: {error.message}",)
    except kubernetes_validate.SchemaNotFoundError as error:
        return (str(error),)
    return ()


def _autoscaler(cluster: dict[str, Any]) -> list[str]:
    """Check the settings of the autoscaler's container as those of a container."""
    options = cluster.get("autoscalerOptions", {})
    names = {"resources", "securityContext", "env", "envFrom", "volumeMounts"}
    container = {name: value for name, value in options.items() if name in names}
    spec = {"containers": [{"name": "autoscaler", **container}]}
    return _kubernetes({"apiVersion": "v1", "kind": "Pod", "spec": spec})


def _metadata(document: dict[str, Any]) -> list[str]:
    name = document["metadata"].get("name", "")
    limit = MAX_NAME.get(document["kind"], 63)
    wrong = []
    if len(name) > limit or not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        wrong.append(f"name {name!r} is no DNS label of at most {limit} characters")
    for key, value in document["metadata"].get("labels", {}).items():
        if not re.fullmatch(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?", value):
            wrong.append(f"label {key} has no valid value: {value!r}")
    return wrong


def _operator(spec: dict[str, Any]) -> list[str]:
    """What the operator refuses though the CRD allows it (status ValidationFailed)."""
    wrong = []
    shutdown = spec.get("shutdownAfterJobFinishes", False)
    if not shutdown and (spec.get("suspend") or spec.get("ttlSecondsAfterFinished")):
        wrong.append("suspend and ttlSecondsAfterFinished need shutdownAfterJobFinishes")
    if not spec.get("rayClusterSpec") and not spec.get("clusterSelector"):
        wrong.append("one of rayClusterSpec and clusterSelector must be set")
    if spec.get("activeDeadlineSeconds", 1) <= 0:
        wrong.append("activeDeadlineSeconds must be positive")
    if spec.get("backoffLimit", 0) < 0 or spec.get("ttlSecondsAfterFinished", 0) < 0:
        wrong.append("backoffLimit and ttlSecondsAfterFinished must not be negative")
    return wrong
