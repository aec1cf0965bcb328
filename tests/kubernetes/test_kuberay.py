"""Steps as RayJobs, against an API server: created, adopted, followed, retried, deleted."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config import RunConfig, parse
from components.errors import UserError
from components.launch import StepFailed, Where, job, launch_step, step
from components.launch.kuberay import KubeRay
from tests.kubernetes.api_server import Cluster
from tests.kubernetes.conftest import NAMESPACE, write_kubeconfig
from tests.kubernetes.operator import RUNS_ON, SUCCEEDS, Operator, Script
from tests.kubernetes.schema import problems

pytestmark = pytest.mark.timeout(120)
Start = Callable[..., Operator]
WHERE = Where(mode="kuberay")


def ends(jobs: str, reason: str, message: str) -> Script:
    status = {"jobDeploymentStatus": "Failed", "jobStatus": jobs, "reason": reason}
    return Script(status | {"message": message})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.launch.kuberay._FIRST_POLL_S", 0.05)
    monkeypatch.setattr("components.launch.kuberay._LONGEST_POLL_S", 0.2)
    monkeypatch.setattr(step, "_FIRST_PAUSE_S", 0.05)


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    return {
        "run": "s3://bucket/runs/$(touch pwned) é",
        "manifest": "s3://bucket/manifest.yaml",
        "model": {"base": "tinyworld"},
    }


@pytest.fixture
def config(document: dict[str, Any]) -> RunConfig:
    return parse(RunConfig, document, "test")


def jobs(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """The RayJobs beside the template, by name."""
    found = {key[2]: one for key, one in cluster.objects.items() if key[1] == "rayjobs"}
    return {name: one for name, one in found.items() if name != "tav-step"}


def wait_until(met: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not met():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_step_becomes_a_ray_job_that_is_followed_to_its_end(
    cluster: Cluster,
    operator: Start,
    config: RunConfig,
    capfd: pytest.CaptureFixture[str],
) -> None:
    operator(SUCCEEDS)
    outcome = launch_step("tune", config, Where(mode="kuberay", deadline_s=7200, ttl_s=600))
    assert (outcome.attempt, outcome.adopted) == (0, False)
    (created,) = jobs(cluster).values()
    spec = created["spec"]
    assert created["metadata"]["name"] == outcome.job
    assert spec["shutdownAfterJobFinishes"] is True
    assert (spec["ttlSecondsAfterFinished"], spec["activeDeadlineSeconds"]) == (600, 7200)
    assert (spec["backoffLimit"], spec["submitterConfig"]["backoffLimit"]) == (0, 0)
    assert spec["suspend"] is False
    assert spec["rayClusterSpec"]["rayVersion"]
    words = spec["entrypoint"].split(" ")
    assert words[:4] == ["python", "-m", "components.launch", "tune"]
    sent = parse(RunConfig, job.decode(words[4])["config"], "sent")
    assert (sent.run, sent.ray.address) == (config.run, "auto")
    # The submitter's log arrived, and once.
    assert capfd.readouterr().err.count("working\ndone\n") == 1
    assert cluster.objects[NAMESPACE, "rayjobs", "tav-step"]["spec"]["suspend"] is True


def test_a_job_under_way_is_adopted_and_a_finished_one_is_not(
    cluster: Cluster,
    operator: Start,
    config: RunConfig,
) -> None:
    launched = job.make_job("score", config)
    KubeRay(WHERE).submit(launched, 0)
    KubeRay(WHERE).submit(launched, 0)  # a second launcher at the same moment: 409
    operator()
    outcome = launch_step("score", config, WHERE)
    assert (outcome.job, outcome.adopted) == (launched.name(0), True)
    outcome = launch_step("score", config, WHERE)
    assert (outcome.job, outcome.adopted) == (launched.name(1), False)
    # Another step or configuration is another job.
    assert launch_step("tune", config, WHERE).attempt == 0
    assert launch_step("score", config, WHERE, retry_failed=True).attempt == 0


def test_a_lost_job_is_tried_again_and_failed_items_are_not(
    cluster: Cluster,
    operator: Start,
    config: RunConfig,
) -> None:
    lost = ends("", "SubmissionFailed", "the submitter's pod was evicted")
    started = operator(lost, lost, SUCCEEDS, lost)
    outcome = launch_step("tune", config, Where(mode="kuberay", attempts=3))
    assert outcome.attempt == 2
    assert len(started.clusters) == 3
    with pytest.raises(StepFailed, match="SubmissionFailed: the submitter's pod was evicted"):
        launch_step("tune", config, WHERE)
    message = "Job entrypoint command failed with exit code 3, last available logs: 2 failed"
    started.scripts.append(ends("FAILED", "AppFailed", message))
    with pytest.raises(StepFailed, match=r"step score failed \(tav-score-.*exit code 3"):
        launch_step("score", config, Where(mode="kuberay", attempts=3))
    assert len(started.clusters) == 5


def test_a_deadline_ends_a_step_for_good(
    cluster: Cluster,
    operator: Start,
    config: RunConfig,
) -> None:
    started = operator(RUNS_ON)
    with pytest.raises(StepFailed, match="DeadlineExceeded"):
        launch_step("tune", config, Where(mode="kuberay", deadline_s=1, attempts=3))
    assert len(started.clusters) == 1


def test_an_expired_job_leaves_its_name_free(
    cluster: Cluster,
    operator: Start,
    config: RunConfig,
) -> None:
    operator(speed=60)  # a TTL of 60 s takes 1 s
    first = launch_step("tune", config, Where(mode="kuberay", ttl_s=60))
    wait_until(lambda: not jobs(cluster))
    assert launch_step("tune", config, Where(mode="kuberay", ttl_s=60)).job == first.job


def test_a_queue_gets_a_cluster_of_fixed_size_and_suspended_jobs_wait(
    cluster: Cluster,
    operator: Start,
    config: RunConfig,
) -> None:
    group = cluster.objects[NAMESPACE, "rayjobs", "tav-step"]["spec"]["rayClusterSpec"]
    group["enableInTreeAutoscaling"] = True
    group["workerGroupSpecs"][0] |= {"minReplicas": 0, "replicas": 0, "maxReplicas": 4}
    started = operator()
    where = Where(mode="kuberay", queue="tav", suspend=True)
    done: list[Any] = []
    waiting = threading.Thread(target=lambda: done.append(launch_step("tune", config, where)))
    waiting.start()
    wait_until(lambda: any("status" in one for one in jobs(cluster).values()))
    time.sleep(0.5)
    ((name, created),) = jobs(cluster).items()
    assert created["status"]["jobDeploymentStatus"] == "Suspended"
    assert started.clusters == []
    assert created["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "tav"
    spec = created["spec"]["rayClusterSpec"]
    assert spec["enableInTreeAutoscaling"] is False
    workers = spec["workerGroupSpecs"][0]
    assert {workers[key] for key in ("replicas", "minReplicas", "maxReplicas")} == {4}
    # Kueue admits it.
    KubeRay(where)._objects.patch_namespaced_custom_object(
        "ray.io", "v1", NAMESPACE, "rayjobs", name, {"spec": {"suspend": False}}
    )
    waiting.join(20)
    assert [one.job for one in done] == [name]


def test_sigterm_deletes_the_ray_job_and_sigkill_leaves_it_to_be_adopted(
    cluster: Cluster,
    operator: Start,
    document: dict[str, Any],
    tmp_path: Path,
) -> None:
    started = operator(RUNS_ON)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    command = [sys.executable, "-m", "components.cli", "submit", "--kuberay", "--step", "tune"]
    command += ["--config", str(tmp_path / "run.yaml")]
    first = followed(command, "is Running")
    first.kill()
    first.communicate()
    assert len(jobs(cluster)) == 1
    second = followed(command, "is Running")
    second.terminate()
    _, rest = second.communicate(timeout=30)
    assert second.returncode != 0
    assert "stopping tav-tune-" in rest
    assert "not been seen to end" not in rest
    assert jobs(cluster) == {}
    assert len(started.clusters) == 1


def followed(command: list[str], line: str) -> subprocess.Popen[str]:
    """Start a launcher and read its log up to a line."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    seen = []
    for one in process.stderr:
        seen.append(one)
        if line in one:
            return process
    raise AssertionError("".join(seen))


def test_a_deleted_job_was_stopped_by_someone_else(
    cluster: Cluster,
    operator: Start,
    config: RunConfig,
) -> None:
    operator(RUNS_ON)

    def delete() -> None:
        wait_until(lambda: bool(jobs(cluster)))
        KubeRay(WHERE).stop(next(iter(jobs(cluster))))

    threading.Thread(target=delete).start()
    with pytest.raises(StepFailed, match=r"stopped by someone else .* was deleted"):
        launch_step("tune", config, Where(mode="kuberay", attempts=3))


def test_an_outage_is_sat_out_and_a_lasting_one_is_an_error(
    cluster: Cluster,
    operator: Start,
    config: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster.faults = [503, 500, 429]
    operator()
    assert launch_step("tune", config, WHERE).attempt == 0
    monkeypatch.setattr("components.launch.kuberay.OUTAGE_S", 0.5)
    cluster.faults = [503] * 1000
    with pytest.raises(UserError, match=r"has not answered for .* the same command again"):
        launch_step("score", config, WHERE)


def test_refusals_say_what_to_do(
    cluster: Cluster,
    config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UserError, match="no RayJob 'other' to copy: apply an overlay"):
        launch_step("tune", config, Where(mode="kuberay", template="other"))
    cluster.faults = [404]
    with pytest.raises(UserError, match=r"knows no rayjobs.ray.io: install the KubeRay operator"):
        launch_step("tune", config, WHERE)
    cluster.faults = [403]
    with pytest.raises(UserError, match=r"403 Forbidden.*use the account tav-launcher"):
        launch_step("tune", config, WHERE)
    write_kubeconfig(tmp_path / "expired", cluster.url, "expired")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "expired"))
    with pytest.raises(UserError, match=r"refuses to list .* \(401 Unauthorized\)"):
        launch_step("tune", config, WHERE)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"no Kubernetes cluster is configured .*KUBECONFIG"):
        launch_step("tune", config, WHERE)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("spec.backofLimit", 0, "backofLimit"),
        ("spec.shutdownAfterJobFinishes", False, "shutdownAfterJobFinishes"),
        ("spec.ttlSecondsAfterFinished", "600", "is not of type 'integer'"),
        ("spec.submissionMode", "Http", "Http"),
        ("spec.rayClusterSpec.headGroupSpec.template.spec.containers", [], "head has no container"),
        ("spec.submitterPodTemplate.spec.restartpolicy", "Never", "restartpolicy"),
        ("metadata.name", "Tav_Tune", "DNS label"),
        ("metadata.name", "a" * 48, "DNS label"),
    ],
)
def test_the_server_refuses_what_kuberay_would(
    cluster: Cluster,
    config: RunConfig,
    path: str,
    value: Any,
    complaint: str,
) -> None:
    good = cluster.objects[NAMESPACE, "rayjobs", "tav-step"]
    body = {name: good[name] for name in ("apiVersion", "kind", "spec")}
    body = yaml.safe_load(yaml.safe_dump(body | {"metadata": {"name": "good"}}))
    assert problems(body) == []
    *parents, last = path.split(".")
    place = body
    for parent in parents:
        place = place[parent]
    place[last] = value
    assert complaint in "\n".join(problems(body))
    kube = KubeRay(WHERE)
    with pytest.raises(UserError, match=r"refuses to create .*422"):
        kube._call("create", body=body)
