"""Submitting and scheduling, against a server that refuses what Kubeflow's would."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from components.errors import UserError
from pipelines import tasks
from pipelines.carried import original_text
from pipelines.cli import pipeline
from pipelines.client import TOKEN_VARIABLE, Kubeflow
from pipelines.work import Work
from tests.kubeflow_server import State, serving
from tests.unit.pipelines.test_carried import MARKS, TEMPLATES

WORK = Work(pipeline="edit_dataset", arguments={"config": "{}"})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, State]]:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with serving() as found:
        yield found


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(
        "{run: s3://bucket/runs/a, manifest: s3://bucket/m.yaml, model: {base: tinyworld}}"
    )
    return path


def tav(server: tuple[str, State], *words: str) -> Result:
    return CliRunner().invoke(pipeline, [words[0], "--host", server[0], *words[1:]])


def test_a_submitted_pipeline_is_listed_and_cancelled(
    server: tuple[str, State], config: Path
) -> None:
    submitted = tav(
        server,
        "submit",
        "--config",
        str(config),
        "--title",
        "mine",
        "--param",
        "gpus=1",
        "tune.steps=7",
    )
    assert submitted.exit_code == 0, submitted.output
    run_id = submitted.output.split()[0]
    body = server[1].tables["runs"][run_id]
    given = body["runtime_config"]["parameters"]
    assert json.loads(given["config"])["tune"]["steps"] == 7
    assert given["gpus"] == "1"
    assert json.loads(given["config"])["model"]["base"] == "tinyworld"  # no path of this machine
    assert body["display_name"] == "mine"
    listed = tav(server, "list").output
    assert run_id in listed
    assert "PENDING" in listed
    assert tav(server, "cancel", run_id).exit_code == 0
    (run,) = json.loads(tav(server, "list", "--json").output)["executions"]
    assert run["state"] == "CANCELING"


def test_lists_are_read_to_their_last_page(server: tuple[str, State]) -> None:
    client = Kubeflow(server[0])
    names = [client.submit(WORK, f"run {n}").name for n in range(5)]
    assert [run.name for run in client.executions()] == names[::-1]


def test_a_schedule_of_a_name_is_updated_and_never_doubled(
    server: tuple[str, State], config: Path
) -> None:
    words = ("schedule", "--config", str(config), "--name", "nightly", "--cron")
    bench = ("--pipeline", "reevaluate", "--baseline", "s3://bucket/base")
    bound = ("--bound", "tav_paper_v1.textual_alignment=0.5")
    first = tav(server, *words, "0 3 * * *", *bench, *bound)
    assert first.output.split()[-1] == "created", first.output
    (made,) = server[1].tables["recurringruns"].values()
    assert made["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert made["no_catchup"] is True
    bounds = json.loads(made["runtime_config"]["parameters"]["bounds"])
    assert bounds == {"tav_paper_v1.textual_alignment": 0.5}
    assert "unchanged" in tav(server, *words, "0 3 * * *", *bench, *bound).output
    assert "updated" in tav(server, *words, "30 4 * * *", *bench, *bound).output
    assert "updated" in tav(server, *words, "30 4 * * *", *bench, *bound, "tune.steps=9").output
    (one,) = json.loads(tav(server, "list", "--json").output)["schedules"]
    assert (one["name"], one["cron"]) == ("nightly", "0 30 4 * * *")
    assert "deleted" in tav(server, "unschedule", "nightly").output
    assert server[1].tables["recurringruns"] == {}
    assert "no schedule 'nightly'" in tav(server, "unschedule", "nightly").output


def test_pods_get_the_account_and_the_volume_that_were_asked_for(
    server: tuple[str, State], config: Path
) -> None:
    """What is on the volume is a path of the pods, and no longer one of this machine."""
    words = ("--config", str(config), "run=/data/runs/a", "manifest=/data/m.yaml")
    launcher = ("--service-account", "tav-launcher", "--where", '{"mode": "kuberay"}')
    mount = ("--volume", "videos:/data")
    submitted = tav(server, "submit", *words, *launcher, *mount)
    assert submitted.exit_code == 0, submitted.output
    (run,) = server[1].tables["runs"].values()
    assert run["service_account"] == "tav-launcher"
    assert {pod["pvcMount"][0]["mountPath"] for pod in pods(run)} == {"/data"}

    nightly = ("schedule", *words, "--name", "n", "--cron", "0 3 * * *", *mount)
    assert "created" in tav(server, *nightly).output
    (made,) = server[1].tables["recurringruns"].values()
    assert made.get("service_account") is None
    assert "unchanged" in tav(server, *nightly).output
    assert "updated" in tav(server, *nightly, *launcher).output
    (made,) = server[1].tables["recurringruns"].values()
    assert made["service_account"] == "tav-launcher"
    assert {pod["pvcMount"][0]["mountPath"] for pod in pods(made)} == {"/data"}
    assert "updated" in tav(server, *nightly, *launcher, "--volume", "others:/data").output


@pytest.mark.parametrize("command", ["submit", "schedule"])
def test_templates_reach_no_server(server: tuple[str, State], config: Path, command: str) -> None:
    """Kubeflow, Argo, schedules and Kubernetes would each fill in theirs."""
    text = " ".join(TEMPLATES)
    words = ["--config", str(config), "--pipeline", "reevaluate", "--bound", "a.b=1"]
    words += ["--baseline", f"s3://bucket/{text}", "--where", json.dumps({"mode": "local"})]
    words += [f"run=s3://bucket/{text}", f"caption.prompt={json.dumps(text)}"]
    words += ["--name", "n", "--cron", "0 3 * * *"] if command == "schedule" else []
    done = tav(server, command, *words)
    assert done.exit_code == 0, done.output
    (made,) = server[1].tables["runs" if command == "submit" else "recurringruns"].values()
    given = made["runtime_config"]["parameters"]
    assert not MARKS.search(json.dumps(given["baseline"]))
    assert not MARKS.search(given["config"])
    found = tasks.run_config(given["config"])
    assert (found.run, found.caption.prompt) == (f"s3://bucket/{text}", text)
    assert original_text(given["baseline"]) == f"s3://bucket/{text}"


def test_what_needs_no_care_is_readable_on_the_servers_page(
    server: tuple[str, State], config: Path
) -> None:
    words = ("--pipeline", "reevaluate", "--baseline", "s3://bucket/base", "--bound", "a.b=1")
    assert tav(server, "submit", "--config", str(config), *words).exit_code == 0
    (run,) = server[1].tables["runs"].values()
    assert run["display_name"] == "reevaluate s3://bucket/runs/a"
    given = run["runtime_config"]["parameters"]
    assert (given["baseline"], given["where"]) == ("s3://bucket/base", '{"mode": "local"}')
    assert '"run": "s3://bucket/runs/a"' in given["config"]


def pods(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The Kubernetes settings of every task of what was sent."""
    platform = body["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]
    return list(platform["deploymentSpec"]["executors"].values())


def test_what_a_crash_left_doubled_is_mended_by_the_next_call(server: tuple[str, State]) -> None:
    client = Kubeflow(server[0])
    first, _ = client.schedule("a", "0 3 * * *", WORK)
    client._create("a", "0 4 * * *", WORK, "another")
    client._create("b", "0 4 * * *", WORK, "another's")
    _, how = client.schedule("a", "0 3 * * *", WORK)
    assert how == "unchanged"
    assert [one.schedule_id for one in client.schedules("a")] == [first.schedule_id]
    assert len(client.schedules("b")) == 1


def test_a_wrong_host_is_told_soon() -> None:
    began = time.monotonic()
    with pytest.raises(UserError, match=r"no Kubeflow Pipelines answers at http://127.0.0.1:9"):
        Kubeflow("http://127.0.0.1:9")
    assert time.monotonic() - began < 15
    with pytest.raises(UserError, match="must be an address"):
        Kubeflow("kubeflow.example")
    with pytest.raises(UserError) as error:
        Kubeflow("https://me:hunter2@kubeflow.example")
    assert "hunter2" not in str(error.value)


def test_an_expired_token_is_named_and_a_fresh_one_works(
    server: tuple[str, State], monkeypatch: pytest.MonkeyPatch
) -> None:
    server[1].token = "fresh"
    monkeypatch.setenv(TOKEN_VARIABLE, "stale-secret")
    with pytest.raises(UserError, match=r"refuses .*HTTP 401.*fresh token into KFP_TOKEN") as error:
        Kubeflow(server[0])
    assert "stale-secret" not in str(error.value)
    monkeypatch.setenv(TOKEN_VARIABLE, "fresh")
    client = Kubeflow(server[0])
    assert client.executions() == []
    server[1].token = "fresher"  # it expires while the client is at work
    with pytest.raises(UserError, match="fresh token into KFP_TOKEN"):
        client.submit(WORK, "late")


def test_a_baseline_of_this_machine_is_refused(server: tuple[str, State], config: Path) -> None:
    words = ("--config", str(config), "--pipeline", "reevaluate", "--bound", "a.b=1")
    found = tav(server, "submit", *words, "--baseline", "runs/b")
    assert "baseline is 'runs/b', a folder of this machine" in str(found.exception)


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_out_of_order_is_told_at_any_moment(
    server: tuple[str, State], status: int
) -> None:
    client = Kubeflow(server[0])
    server[1].status = status
    with pytest.raises(UserError, match=rf"out of order \(HTTP {status}: the database is away\)"):
        client.submit(WORK, "x")
    with pytest.raises(UserError, match=f"out of order .HTTP {status}"):
        Kubeflow(server[0])


def test_what_the_server_lacks_is_named(server: tuple[str, State]) -> None:
    found = tav(server, "cancel", "no-such-run")
    assert "has no execution 'no-such-run'" in found.output or "no-such-run" in str(found.exception)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cron", "0 3 * *"], "4 field(s), but 5 are needed"),
        (["--cron", "0 3 * * *", "run=/tmp/x"], "which Kubeflow's pods do not see"),
        (["--cron", "0 3 * * *", "run=/x", "--volume", "a:/data"], "run is '/x', a folder of this"),
        (["--cron", "0 3 * * *", "run=/data/../x", "--volume", "a:/data"], "a folder of this"),
        (["--cron", "0 3 * * *", "--volume", "a"], "mounted at '', but needs an absolute path"),
        (["--cron", "0 3 * * *", "--volume", "A_B:/data"], "volume claim is 'A_B'"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(
    server: tuple[str, State], config: Path, words: list[str], message: str
) -> None:
    found = tav(server, "schedule", "--config", str(config), "--name", "n", *words)
    assert found.exit_code != 0
    assert message in found.output + str(found.exception)
    assert server[1].tables["recurringruns"] == {}
