"""The compiled pipelines: as committed, complete, and without what must not be in them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from kfp import components, kubernetes
from kfp.dsl.pipeline_context import Pipeline

from pipelines import steps
from pipelines.cli import pipeline
from pipelines.order import LAUNCHER, LIMITS
from pipelines.packages import PIPELINES, compile_all, package, parameter_types

BASE = Path(__file__).parents[3] / "manifests/kubernetes/base"


def spec(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    document, platform = yaml.safe_load_all(package(name).read_text("utf-8"))
    return document, platform


def pods(path: Path) -> dict[str, dict[str, Any]]:
    """Kubernetes' settings of a compiled pipeline's tasks, by name."""
    _, platform = yaml.safe_load_all(path.read_text("utf-8"))
    found = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): pod for name, pod in found.items()}


def tasks(document: dict[str, Any]) -> dict[str, Any]:
    inner = next(n for n in document["components"] if n.startswith("comp-exit-handler"))
    return {
        **document["root"]["dag"]["tasks"],
        **document["components"][inner]["dag"]["tasks"],
    }


def test_what_is_committed_is_what_the_sources_compile_to(tmp_path: Path) -> None:
    for path in compile_all(tmp_path):
        assert path.read_text("utf-8") == package(path.stem).read_text("utf-8"), (
            "run `tav pipeline compile --to pipelines`"
        )


@pytest.mark.parametrize("name", PIPELINES)
def test_every_task_has_its_limits_and_no_cache(name: str) -> None:
    document, platform = spec(name)
    executors = document["deploymentSpec"]["executors"]
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(pods) == set(executors)
    for executor in executors.values():
        assert executor["container"]["image"] == "{{$.inputs.parameters['pipelinechannel--image']}}"
        assert "pip install" not in " ".join(executor["container"]["command"])
        assert {"resourceCpuLimit", "resourceMemoryLimit"} <= set(
            executor["container"]["resources"]
        )
    on_gpu = {
        name for name, one in executors.items() if "accelerator" in one["container"]["resources"]
    }
    assert on_gpu == {"exec-caption", "exec-control", "exec-tune", "exec-sample", "exec-score"}
    for pod in pods.values():
        assert int(pod["activeDeadlineSeconds"]) > 0
        assert all(one["optional"] for one in pod["secretAsEnv"])
    for task, one in tasks(document).items():
        if task.startswith("exit-handler"):
            continue
        assert "enableCache" not in one.get("cachingOptions", {})
        retries = LIMITS[task].retries
        assert one.get("retryPolicy", {}).get("maxRetryCount", 0) == retries


@pytest.mark.parametrize("name", PIPELINES)
def test_every_parameter_that_a_task_takes_reaches_it(name: str) -> None:
    """KFP 2.17 forgets parameters that an exit handler's tasks use for their limits alone."""
    document, _ = spec(name)
    inner = next(n for n in document["components"] if n.startswith("comp-exit-handler"))
    declared = document["components"][inner]["inputDefinitions"]["parameters"]
    for task in document["components"][inner]["dag"]["tasks"].values():
        for one in task["inputs"]["parameters"].values():
            assert one.get("componentInputParameter", next(iter(declared))) in declared


def test_steps_follow_one_another_and_the_outcome_is_recorded_last() -> None:
    document, _ = spec("reevaluate")
    every = tasks(document)
    order = (
        "check-pins",
        "check",
        "ingest",
        "caption",
        "control",
        "tune",
        "sample",
        "score",
        "publish",
        "compare",
    )
    for before, after in pairwise(order):
        assert every[after]["dependentTasks"] == [before]
    assert every["record-outcome"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}


def test_parameters_are_documented_and_no_secret_is_one() -> None:
    types = parameter_types("edit_dataset")
    assert types["config"] == "STRING"  # KFP would make a STRUCT's whole numbers floats
    assert types["tolerations"] == "LIST"
    for name in PIPELINES:
        document, _ = spec(name)
        declared = document["root"]["inputDefinitions"]["parameters"]
        assert all(one.get("description") for one in declared.values())
        assert declared["image"]["defaultValue"] == steps.IMAGE
        assert not re.search(r"(?i)(secret|token|password)\w*: [A-Za-z0-9/+]{16,}", str(document))


def test_a_volume_is_mounted_where_one_is_asked_for_as_kfp_would(tmp_path: Path) -> None:
    with Pipeline("outside of which KFP would run the task"):
        task = steps.check_pins(config="", pipeline_version="")
    kubernetes.mount_pvc(task, "videos", "/data")
    expected = task.platform_config["kubernetes"]["pvcMount"]
    for mount in expected:
        mount.pop("constant", None)  # the deprecated twin of pvcNameParameter
    words = ["compile", "--to", str(tmp_path), "--volume", "videos:/data"]
    done = CliRunner().invoke(pipeline, words)
    assert done.exit_code == 0, done.output
    for name in PIPELINES:
        mounted = pods(tmp_path / f"{name}.yaml")
        assert {task: pod.pop("pvcMount") for task, pod in mounted.items()} == dict.fromkeys(
            mounted, expected
        )
        assert mounted == pods(package(name))  # which mounts nothing
        components.load_component_from_file(str(tmp_path / f"{name}.yaml"))


@pytest.mark.parametrize("name", PIPELINES)
def test_pods_that_launch_steps_are_those_that_the_network_policies_expect(name: str) -> None:
    label, value = LAUNCHER
    labelled = {
        task
        for task, pod in pods(package(name)).items()
        if pod.get("podMetadata", {}).get("labels") == {label: value}
    }
    assert labelled == {"ingest", "caption", "control", "tune", "sample", "score", "report"}
    policies = {
        one["metadata"]["name"]: one["spec"]
        for one in yaml.safe_load_all((BASE / "network.yaml").read_text("utf-8"))
    }
    assert policies["tav-launcher"]["podSelector"]["matchLabels"] == {label: value}
    peers = [peer for rule in policies["tav-ray"]["ingress"] for peer in rule["from"]]
    assert {label: value} in [peer["podSelector"]["matchLabels"] for peer in peers]
