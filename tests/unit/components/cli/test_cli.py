"""The command's surface: quick to start, clear when refused, and honest in its exit code."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.cli.look import print_status
from components.cli.main import main
from components.run.pace import run_pace
from components.run.record import RUN_FILE
from components.run.status import Status, StepStatus
from components.storage.local import LocalStore
from components.storage.tables import append_rows
from tests.unit.components.storage.test_tables import make_row

HEAVY = ("torch", "ray", "pyarrow", "transformers", "diffusers", "open_clip", "boto3", "pydantic")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom components.cli.main import main\n"
        "main(['--help'], standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for command in (
        "run",
        "ingest",
        "caption",
        "control",
        "tune",
        "sample",
        "score",
        "report",
        "export",
    ):
        assert f"  {command}" in done.stdout


def test_a_missing_configuration_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["run", "--config", str(tmp_path / "none.yaml")])
    assert result.exit_code == 1
    assert "none.yaml" in result.output
    assert "Traceback" not in result.output


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    for command in (["status"], ["failures"], ["export", "--to", "x.csv"]):
        result = CliRunner().invoke(main, [command[0], str(tmp_path), *command[1:]])
        assert result.exit_code == 1
        assert RUN_FILE in result.output


def test_a_run_of_missing_videos_fails_with_rows_and_without_ray(
    tmp_path: Path, tiny_models: Path
) -> None:
    (tmp_path / "m.yaml").write_text(
        "videos:\n- {id: gone, uri: gone.mp4, prompt: a fish, edits: [{prompt: a cat}]}\n",
        encoding="utf-8",
    )
    (tmp_path / "run.yaml").write_text(
        f"run: {tmp_path}/run\nmanifest: {tmp_path}/m.yaml\nmodel: {{base: {tiny_models}/base}}\n"
        f"score: {{model: {tiny_models}/clip}}\n",
        encoding="utf-8",
    )
    command = ["run", "--config", str(tmp_path / "run.yaml"), "--json"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 3
    document = json.loads(result.stdout)
    assert document["used_ray"] is False
    assert document["failed_fraction"] == 1
    assert document["steps"]["ingest"] == {"total": 1, "done": 0, "failed": 1, "left": 0}
    assert "max_failed_fraction" in result.stderr
    # A bound that allows it makes the exit code 0, and the failure is not recorded twice.
    assert CliRunner().invoke(main, [*command, "max_failed_fraction=1.0"]).exit_code == 0
    listed = CliRunner().invoke(main, ["failures", str(tmp_path / "run")])
    assert listed.output.count("gone.mp4") == 1
    assert listed.output.startswith("ingest: SourceError, 1 item(s)\n  gone  ")
    assert "(attempt 1; needs --retry-failed)" in listed.output
    status = CliRunner().invoke(main, ["status", str(tmp_path / "run"), "--json"])
    assert json.loads(status.output)["steps"]["score"]["failed"] == 1
    assert json.loads(status.output)["steps"]["tune"]["gpu_seconds"] == 0
    # Nothing is left, so there is nothing to wait for.
    watched = CliRunner().invoke(main, ["status", str(tmp_path / "run"), "--watch"])
    assert watched.exit_code == 0
    assert "per hour" in watched.output


def test_nothing_to_compute_is_said_only_where_it_is_so(tmp_path: Path, tiny_models: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "videos:\n- {id: gone, uri: gone.mp4, prompt: a fish, edits: [{prompt: a cat}]}\n",
        encoding="utf-8",
    )
    config = tmp_path / "run.yaml"
    config.write_text(
        f"run: {tmp_path}/run\nmanifest: {tmp_path}/m.yaml\nmodel: {{base: {tiny_models}/base}}\n"
        f"score: {{model: {tiny_models}/clip}}\n",
        encoding="utf-8",
    )

    def said(step: str) -> str:
        return CliRunner().invoke(main, [step, "--config", str(config)]).output

    early = said("tune")
    assert "waiting for an earlier step (tune 1): `tav run` does them all" in early
    said("ingest")
    late = said("run")
    assert "failed for good, or waiting for what did (ingest 1, caption 1, tune 1, sam" in late
    for words in (early, late):
        assert "Nothing was computed, and Ray was not started:" in words
        assert "every row is there already" not in words


def test_status_tells_when_the_last_row_was_committed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LocalStore(tmp_path)
    status = Status(dict.fromkeys(("ingest", "tune"), StepStatus(3, 1, 0)), 0)
    everything = Status(
        dict.fromkeys(
            ("ingest", "caption", "control", "tune", "sample", "score"), StepStatus(3, 1, 0)
        ),
        0,
    )
    print_status(status, run_pace(store, everything))
    assert "last row" not in capsys.readouterr().out
    at = dt.datetime.now(dt.UTC) - dt.timedelta(hours=2, seconds=5)
    append_rows(store, "videos", [make_row("videos", created_at=at)])
    print_status(status, run_pace(store, everything))
    assert "last row committed 2:00:0" in capsys.readouterr().out
