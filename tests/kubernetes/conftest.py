"""The overlays as kubectl renders them, and a small cluster to put them into."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from tests.kubernetes.api_server import OPERATOR_TOKEN, TOKEN, Cluster, api_server
from tests.kubernetes.operator import Operator, Script

MANIFESTS = Path(__file__).parents[2] / "manifests/kubernetes"
NAMESPACE = "tune-a-video"


def render(overlay: str) -> list[dict[str, Any]]:
    """The documents of an overlay."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed, and no other renderer of kustomizations is")
    folder = MANIFESTS / "overlays" / overlay
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def template() -> dict[str, Any]:
    """The base's RayJob with its cluster in it, as the overlays' replacements do it."""
    job, cluster = (
        yaml.safe_load((MANIFESTS / "base" / name).read_text(encoding="utf-8"))
        for name in ("rayjob.yaml", "raycluster.yaml")
    )
    job["spec"]["rayClusterSpec"] = cluster["spec"]
    return dict(job)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """An API server that KUBECONFIG leads to, with the template in it."""
    with api_server() as server:
        kubeconfig = tmp_path / "kubeconfig"
        write_kubeconfig(kubeconfig, server.url, TOKEN)
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        with client.ApiClient(config.load_kube_config(config_file=str(kubeconfig))) as api:
            client.CustomObjectsApi(api).create_namespaced_custom_object(
                "ray.io", "v1", NAMESPACE, "rayjobs", template()
            )
        yield server


def write_kubeconfig(path: Path, url: str, token: str) -> None:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tests",
        "clusters": [{"name": "tests", "cluster": {"server": url}}],
        "users": [{"name": "tests", "user": {"token": token}}],
        "contexts": [
            {
                "name": "tests",
                "context": {"cluster": "tests", "user": "tests", "namespace": NAMESPACE},
            }
        ],
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


@pytest.fixture
def operator(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Operator]]:
    """Start the operator with scripts for the jobs to come."""
    started = []

    def start(*scripts: Script, speed: float = 1.0) -> Operator:
        write_kubeconfig(tmp_path / "operator", cluster.url, OPERATOR_TOKEN)
        api = config.new_client_from_config(config_file=str(tmp_path / "operator"))
        started.append(Operator(api, NAMESPACE, cluster, list(scripts), speed))
        return started[-1]

    yield start
    for one in started:
        one.close()
