"""Every overlay: it renders, an API server takes it, and no pod has more rights than it needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.conftest import MANIFESTS, render
from tests.kubernetes.schema import pod_templates, problems

OVERLAYS = ("dev", "gpu", "kueue")
Document = dict[str, Any]


@pytest.fixture(params=OVERLAYS, scope="module")
def documents(request: pytest.FixtureRequest) -> list[Document]:
    return render(request.param)


def pods(documents: list[Document]) -> list[tuple[str, Document]]:
    """Every pod's spec, with its name."""
    return [
        (f"{document['kind']} {name}", template)
        for document in documents
        if document["apiVersion"] == "ray.io/v1"
        for name, template in pod_templates(document)
    ]


def one(documents: list[Document], kind: str, name: str) -> Document:
    (found,) = [
        document
        for document in documents
        if (document["kind"], document["metadata"]["name"]) == (kind, name)
    ]
    return found


def test_every_overlay_is_tested() -> None:
    assert sorted(path.name for path in (MANIFESTS / "overlays").iterdir()) == sorted(OVERLAYS)


def test_every_document_is_one_that_the_api_server_takes(documents: list[Document]) -> None:
    found = {
        f"{document['kind']} {document['metadata']['name']}": problems(document)
        for document in documents
    }
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    kinds = {document["kind"] for document in documents}
    assert {"RayCluster", "RayJob", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor"} <= kinds
    names = [name for name, _ in pods(documents)]
    assert len(names) >= 3


def test_every_pod_meets_the_restricted_standard(documents: list[Document]) -> None:
    for name, template in pods(documents):
        spec = template["spec"]
        shared = spec["securityContext"]
        assert shared["runAsNonRoot"] is True, name
        assert shared["runAsUser"] > 0, name
        assert shared["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume.keys() - {"name"}}
        assert kinds <= {"emptyDir", "secret", "configMap", "projected", "persistentVolumeClaim"}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert own.get("runAsUser", 1) > 0, name
            assert own.get("privileged", False) is False, name
            assert not any("hostPort" in port for port in container.get("ports", [])), name
    for document in documents:
        options = document.get("spec", {}).get("autoscalerOptions")
        if options:
            own = options["securityContext"]
            assert own["runAsNonRoot"] is True
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert own["seccompProfile"] == {"type": "RuntimeDefault"}


def test_every_container_has_limits_and_a_pinned_image(documents: list[Document]) -> None:
    for name, template in pods(documents):
        for container in template["spec"]["containers"]:
            resources = container["resources"]
            for kind in ("requests", "limits"):
                assert {"cpu", "memory"} <= resources[kind].keys(), name
            image, _, tag = container["image"].rpartition(":")
            assert image, f"{name} has no tag"
            assert tag != "latest", name
        memory = {
            volume["name"]: volume["emptyDir"]
            for volume in template["spec"].get("volumes", [])
            if volume.get("emptyDir", {}).get("medium") == "Memory"
        }
        if "worker" in name or "head" in name:
            assert "sizeLimit" in memory["shared-memory"], name


def test_no_secret_is_written_down(documents: list[Document]) -> None:
    assert all(document["kind"] != "Secret" for document in documents)
    for name, template in pods(documents):
        for container in template["spec"]["containers"]:
            for variable in container.get("env", []):
                assert not re.search(r"KEY|TOKEN|PASSWORD|SECRET", variable["name"]), name
    text = yaml.safe_dump_all(documents)
    assert not re.search(r"AKIA[0-9A-Z]{16}|hf_[A-Za-z0-9]{20}|BEGIN [A-Z ]*PRIVATE", text)


def test_a_launcher_may_do_what_the_code_does_and_no_more(documents: list[Document]) -> None:
    role = one(documents, "Role", "tav-launcher")
    rights = {
        (resource, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert rights == {
        *(("rayjobs", verb) for verb in ("get", "list", "create", "delete")),
        ("pods", "list"),
        ("pods/log", "get"),
    }
    binding = one(documents, "RoleBinding", "tav-launcher")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    accounts = {d["metadata"]["name"] for d in documents if d["kind"] == "ServiceAccount"}
    used = {template["spec"]["serviceAccountName"] for _, template in pods(documents)}
    assert used | {binding["subjects"][0]["name"]} == accounts
    assert {d["kind"] for d in documents}.isdisjoint({"ClusterRole", "ClusterRoleBinding"})


def test_policies_select_pods_that_exist(documents: list[Document]) -> None:
    labels = {
        (key, value)
        for _, template in pods(documents)
        for key, value in template["metadata"]["labels"].items()
    }
    labels |= {("tune-a-video.dev/pod", "launcher"), ("tune-a-video.dev/role", "step-head")}
    for document in documents:
        spec = document.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector") or {}
        assert labels.issuperset(selector.get("matchLabels", {}).items()), document["kind"]
    ports = {
        port["name"]
        for name, template in pods(documents)
        if "submitter" not in name
        for port in template["spec"]["containers"][0]["ports"]
    }
    monitor = one(documents, "PodMonitor", "tav-ray")
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in ports
    # Of pods without a scale subresource, a budget understands nothing but a number.
    budget = one(documents, "PodDisruptionBudget", "tav-step-heads")
    assert isinstance(budget["spec"]["minAvailable"], int)
    # The operator must hear a head, or it calls a healthy job lost.
    ray = yaml.safe_dump(one(documents, "NetworkPolicy", "tav-ray"))
    assert "app.kubernetes.io/name: kuberay-operator" in ray
    namespace = {document["metadata"].get("namespace") for document in documents}
    assert namespace == {None, "tune-a-video"}  # none: the namespace itself


def test_the_job_template_sleeps_and_has_the_clusters_spec(documents: list[Document]) -> None:
    spec = one(documents, "RayJob", "tav-step")["spec"]
    assert spec["suspend"] is True
    assert (spec["backoffLimit"], spec["submitterConfig"]["backoffLimit"]) == (0, 0)
    cluster = one(documents, "RayCluster", "tav")
    if "kueue.x-k8s.io/queue-name" not in cluster["metadata"]["labels"]:
        assert spec["rayClusterSpec"] == cluster["spec"]
    else:
        assert cluster["spec"]["enableInTreeAutoscaling"] is False
    labels = one(documents, "RayJob", "tav-step")["metadata"]["labels"]
    assert "kueue.x-k8s.io/queue-name" not in labels


def test_gpu_workers_scale_tolerate_and_ask_for_one_gpu() -> None:
    spec = one(render("gpu"), "RayCluster", "tav")["spec"]
    assert spec["enableInTreeAutoscaling"] is True
    (group,) = spec["workerGroupSpecs"]
    assert (group["minReplicas"], group["maxReplicas"]) == (0, 8)
    worker = group["template"]["spec"]
    assert worker["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {one["key"] for one in worker["tolerations"]} >= {"nvidia.com/gpu"}
    (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    assert "nvidia.com/gpu" not in head["resources"]["limits"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_the_dev_overlay_is_one_pod_of_cpus() -> None:
    spec = one(render("dev"), "RayCluster", "tav")["spec"]
    assert "workerGroupSpecs" not in spec
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "2"


def test_ray_is_of_the_version_that_is_locked(documents: list[Document]) -> None:
    lock = (Path(__file__).parents[2] / "requirements.lock").read_text(encoding="utf-8")
    locked = re.search(r"^ray==([\d.]+)", lock, re.MULTILINE)
    assert locked
    assert one(documents, "RayCluster", "tav")["spec"]["rayVersion"] == locked[1]
