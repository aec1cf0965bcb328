"""`--variant`, and what commands say of a run with several variants."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

import components.run.perform
from benchmarks.chaos.plain import PlainRunner
from components.cli.main import main
from components.run.record import RUN_FILE, load_run, save_run
from components.storage.local import LocalStore
from components.storage.tables import read_table
from tests.runs import tiny_document, tiny_videos, write_manifest
from tests.unit.components.run.test_plan import Run

VARIANTS = {"long": {}, "short": {"sample": {"steps": 9}}, "none": {"method": "identity"}}


def tav(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture
def broken(tmp_path: Path) -> Run:
    """A run of three variants, whose only video could not be tuned."""
    run = Run(tmp_path / "run", variants=VARIANTS)
    run.ingest()
    run.caption()
    save_run(run.store, run.config, run.state.manifest, run.state.revisions)
    key = run.view.stages["v"][0].work_key
    run.fail("tune", key, retryable=False, error_type="SourceError", message="it is grey")
    return run


def test_a_failure_names_the_variants_that_wait_for_it(broken: Run) -> None:
    root = broken.config.run
    (line,) = tav("failures", root, "--json").stdout.splitlines()
    assert json.loads(line)["variants"] == ["long", "short"]
    assert "(attempt 1; needs --retry-failed; of long, short)" in tav("failures", root).stdout
    only = tav("failures", root, "--variant", "short", "--json").stdout
    assert json.loads(only)["variants"] == ["short"]
    assert tav("failures", root, "--variant", "none").stdout == ""


def test_status_has_a_row_for_each_variant(broken: Run) -> None:
    root = broken.config.run
    said = tav("status", root).stdout
    rows = [line.split() for line in said.splitlines()]
    assert ["variant", "edits", "failed", "left", "scores", "failed", "left"] in rows
    assert ["long", "0/1", "1", "0", "0/1", "1", "0"] in rows
    assert ["none", "0/1", "0", "1", "0/1", "0", "1"] in rows
    found = json.loads(tav("status", root, "--json").stdout)
    assert list(found["variants"]) == ["long", "short", "none"]
    assert found["variants"]["none"]["steps"]["sample"]["left"] == 1
    one = tav("status", root, "--variant", "none", "--json").stdout
    assert json.loads(one)["steps"]["tune"]["total"] == 0
    assert "variants" not in json.loads(one)
    assert "variant" not in tav("status", root, "--variant", "none").stdout
    # Of what is asked for nothing is left, so there is nothing to wait for.
    watched = tav("status", root, "--variant", "long", "--variant", "short", "--watch")
    assert watched.exit_code == 0
    assert "variant" in watched.stdout


@pytest.mark.parametrize(
    "words", [("status",), ("failures",), ("export", "--to", "x.csv"), ("strip", "--to", "x.png")]
)
def test_a_variant_that_the_run_has_not_is_refused(broken: Run, words: tuple[str, ...]) -> None:
    command, *options = words
    refused = tav(command, broken.config.run, *options, "--variant", "shrot")
    assert refused.exit_code == 1
    assert "the run has no variant 'shrot': did you mean 'short'?" in refused.stderr


def test_every_command_that_computes_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    document = {"run": str(tmp_path / "run"), "manifest": "m", "model": {"base": "x"}}
    path.write_text(yaml.safe_dump(document | {"variants": VARIANTS}))
    steps = ("run", "ingest", "caption", "control", "tune", "sample", "score", "report", "plan")
    server = ("--host", "http://localhost:1")
    for words in (
        *((step,) for step in steps),
        ("submit", "--kuberay"),
        ("pipeline", "run"),
        ("pipeline", "submit", *server),
        ("pipeline", "schedule", *server, "--name", "n", "--cron", "0 3 * * *"),
    ):
        refused = tav(*words, "--config", str(path), "--variant", "shrot")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "no variant 'shrot': did you mean 'short'?" in refused.stderr
    assert not (tmp_path / "run").exists()


def test_a_narrowed_run_computes_its_variants_and_keeps_the_others(
    tmp_path: Path, tiny_models: Path, tiny_clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tiny_document(tmp_path, tiny_models)
    write_manifest(document, tiny_videos(tiny_clips)[:1])
    half = {"method": "sdedit", "sdedit": {"strength": 0.5, "steps": 4}}
    variants: dict[str, Any] = {
        "half-noised": half,
        "each-frame": {
            "method": "frame_by_frame",
            "frame_by_frame": {"steps": 2, "inversion_steps": 2},
        },
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(document | {"variants": variants}, sort_keys=False))
    monkeypatch.setattr(components.run.perform, "Runner", PlainRunner)
    store, page = LocalStore(Path(document["run"])), Path(document["run"], "report/index.html")

    def run(*words: str, step: str = "run") -> dict[str, Any]:
        done = tav(step, "--config", str(path), *words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    def shown() -> Counter[str]:
        """How many edits of each method the gallery shows."""
        text = page.read_text("utf-8")
        rows = read_table(store, "edits")
        return Counter(row["method"] for row in rows if f"media/{row['sha256']}" in text)

    assert run("--variant", "each-frame")["computed"]["sample"] == 2
    assert [row["method"] for row in read_table(store, "edits")] == ["frame_by_frame"] * 2
    record = json.loads(store.read_bytes(RUN_FILE))
    assert list(record["config"]["variants"]) == ["half-noised", "each-frame"]
    assert "only" not in record["config"]
    assert shown() == {"frame_by_frame": 2}  # the other has no edit yet

    computed = run("--variant", "half-noised")["computed"]
    assert {step: count for step, count in computed.items() if count} == {"sample": 2, "score": 2}
    assert json.loads(store.read_bytes(RUN_FILE))["config"] == record["config"]
    assert len(read_table(store, "edits")) == 4
    assert shown() == {"frame_by_frame": 2, "sdedit": 2}
    state = load_run(document["run"])
    assert {name: len(view.scores) for name, view in state.views.items()} == {
        "half-noised": 2,
        "each-frame": 2,
    }
    assert not any(run()["computed"].values())

    # Report, export and strip show those that are asked for.
    run("--variant", "half-noised", step="report")
    assert shown() == {"sdedit": 2}
    for words, methods in (
        (("--variant", "each-frame"), {"each-frame"}),
        ((), {"half-noised", "each-frame"}),
    ):
        target = tmp_path / "scores.jsonl"
        assert tav("export", document["run"], *words, "--to", str(target)).exit_code == 0
        assert {json.loads(line)["variant"] for line in target.read_text().splitlines()} == methods
    pictures = []
    for words in (("--variant", "each-frame"), ()):
        target = tmp_path / "strip.png"
        assert tav("strip", document["run"], *words, "--to", str(target)).exit_code == 0
        pictures.append(target.read_bytes())
    assert pictures[0] != pictures[1]
    small = tmp_path / "strip.jpg"
    assert tav("strip", document["run"], "--videos", "1", "--to", str(small)).exit_code == 0
    assert small.read_bytes()[:2] == b"\xff\xd8"
    refused = tav("strip", document["run"], "--to", str(tmp_path / "strip.gif"))
    assert refused.exit_code == 2
    assert "strip.gif is no picture's name: end it in .png or .jpg" in refused.stderr
