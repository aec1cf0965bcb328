"""What the tasks do, apart from the steps themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.config import RunConfig, narrowed
from components.errors import UserError
from components.run.record import save_run
from pipelines import tasks
from tests.scored_run import scored_run
from tests.unit.components.run.test_plan import Run

CONFIG = {"run": "s3://b/runs", "manifest": "s3://b/m.yaml", "model": {"base": "tinyworld"}}


def test_an_evaluation_has_a_run_of_its_own() -> None:
    config = json.dumps(CONFIG)
    assert tasks.run_config(config).run == "s3://b/runs"
    assert tasks.run_config(config, "nightly-1").run == "s3://b/runs/nightly-1"
    for name in ("../x", "a/b", "A", "-a", "a" * 129, "a\n"):
        with pytest.raises(UserError, match="names a folder"):
            tasks.run_config(config, name)


def test_an_evaluation_that_is_not_pinned_is_refused() -> None:
    tasks.check_pins(json.dumps(CONFIG), "")
    with pytest.raises(UserError, match=r"asks for 9\.9\.9"):
        tasks.check_pins(json.dumps(CONFIG), "9.9.9")
    hub = CONFIG | {"model": {"base": "CompVis/stable-diffusion-v1-4"}}
    with pytest.raises(UserError, match=r"has no model\.revision"):
        tasks.check_pins(json.dumps(hub), "")
    pinned = CONFIG | {"model": {"base": "CompVis/stable-diffusion-v1-4", "revision": "133a221b"}}
    tasks.check_pins(json.dumps(pinned), "")
    variants = {"drawn": {}, "other": {"model": {"base": "org/other"}}}
    several = CONFIG | {"variants": variants}
    with pytest.raises(UserError, match=r"variants\.other: model\.base 'org/other' has no model"):
        tasks.check_pins(json.dumps(several), "")
    tasks.check_pins(json.dumps(several | {"only": ["drawn"]}), "")


def test_outcomes_are_kept_by_execution_and_never_leave_their_folder(tmp_path: Path) -> None:
    config = tasks.run_config(json.dumps(CONFIG | {"run": str(tmp_path / "run")}))
    tasks.record_outcome(config, "edit-1", {"state": "FAILED", "error_message": "no GPU"})
    tasks.record_outcome(config, "../../evil", {"state": "SUCCEEDED"})
    folder = tmp_path / "run" / tasks.OUTCOMES
    assert {path.name for path in folder.iterdir()} == {"edit-1.json", "______evil.json"}
    found = json.loads((folder / "edit-1.json").read_text())
    assert (found["state"], found["error_message"]) == ("FAILED", "no GPU")
    assert "holds no run.json" in found["status"]  # it failed before there was a run
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_would_fail_hours_later_is_refused_at_once() -> None:
    config, here = json.dumps(CONFIG), '{"mode": "local"}'
    good = {"cpus": "500m", "memory": "1.5Gi", "gpus": "0"}
    tasks.check(config, here, good, "nvidia.com/gpu")
    for memory in ("32 GB", "lots", "", "-1G", "1e"):
        with pytest.raises(UserError, match=r"memory is .*must be a Kubernetes quantity"):
            tasks.check(config, here, good | {"memory": memory}, "nvidia.com/gpu")
    with pytest.raises(UserError, match="accelerator is 'gpu'"):
        tasks.check(config, here, good, "gpu")
    for wrong, said in (
        ({"variants": {"one": {"method": "identiti"}}}, "variants.one: unknown method 'identiti'"),
        ({"variants": {"one": {"tune": {"step": 1}}}}, r"tune\.step: unknown key; did you mean"),
        ({"variants": {"one": {}, "two": {}}, "only": ["tow"]}, "'tow': did you mean 'two'"),
    ):
        with pytest.raises(UserError, match=said):
            tasks.check(json.dumps(CONFIG | wrong), here, good, "nvidia.com/gpu")
    with pytest.raises(UserError, match="did you mean 'address'"):
        tasks.check(config, '{"mode": "address", "adress": "http://h"}', good, "nvidia.com/gpu")


PROTOCOL = "tav_paper_v1"
BOUND = f"{PROTOCOL}.frame_consistency"


def evaluation(folder: Path, name: str, consistency: float) -> RunConfig:
    """A scored run, as the task's configuration names it."""
    run = scored_run(folder / name, consistency)
    return tasks.run_config(json.dumps(CONFIG | {"run": run}))


def test_a_run_is_held_to_its_baseline_by_what_tav_compare_uses(tmp_path: Path) -> None:
    evaluation(tmp_path, "base", 92.0)
    config, summary = evaluation(tmp_path, "now", 90.0), tmp_path / "summary.md"
    base = json.dumps(str(tmp_path / "base"))
    found = tasks.compare_runs(config, base, json.dumps({BOUND: 2}), summary)
    assert (found.regressions, found.changes[BOUND].worse_by) == ([], 2)
    assert summary.read_text("utf-8").startswith("No regression.")
    (line,) = tasks.compare_runs(config, base, json.dumps({BOUND: 1}), summary).regressions
    assert line == f"{BOUND} is 90.00 and was 92.00: worse by 2.00, but at most 1 is allowed"
    assert "**Regressed:**" in summary.read_text("utf-8")
    means = tasks.publish_scores(config, tmp_path / "table", summary)
    assert means == {BOUND: 90.0}


def test_bounds_and_baselines_that_are_none_are_refused(tmp_path: Path) -> None:
    config, summary = evaluation(tmp_path, "now", 90.0), tmp_path / "summary.md"
    evaluation(tmp_path, "base", 92.0)
    base = str(tmp_path / "base")
    for bounds in ("[]", "1", "{", '{"a.b": "x"}', '{"a.b": null}'):
        with pytest.raises(UserError, match="must be a JSON object of numbers"):
            tasks.compare_runs(config, base, bounds, summary)
    with pytest.raises(UserError, match="which the baseline does not hold"):
        tasks.compare_runs(config, base, '{"a.b": 1}', summary)
    with pytest.raises(UserError, match="must be 0 or more"):
        tasks.compare_runs(config, base, json.dumps({BOUND: -1}), summary)
    with pytest.raises(UserError, match="the baseline is the run itself"):
        tasks.compare_runs(config, f"{config.run}/", json.dumps({BOUND: 1}), summary)


VARIANTS = {"long": {}, "short": {"sample": {"steps": 9}}}


def of_variants(
    folder: Path, name: str, only: Sequence[str] = (), **consistency: float
) -> RunConfig:
    """A run with a score of some of its variants, as the task's configuration names it."""
    run = Run(folder / name, variants=VARIANTS)
    run.ingest()
    run.caption()
    run.tune()
    for variant, value in consistency.items():
        view = run.state.views[variant]
        key = view.planned_edits["v/e"].edit_key
        run.commit("edits", edit_id="v/e", edit_key=key)
        score = {"edit_id": "v/e", "edit_key": key, "score_key": view.score_key(key, PROTOCOL)}
        values = {"frame_consistency": value}
        run.commit("scores", protocol=PROTOCOL, **score, values=values)
    save_run(run.store, run.config, run.state.manifest, run.state.revisions)
    document = CONFIG | {"run": str(folder / name), "variants": VARIANTS, "only": list(only)}
    return tasks.run_config(json.dumps(document))


def test_means_and_counts_are_those_of_the_variants_that_are_asked_for(tmp_path: Path) -> None:
    table, summary = tmp_path / "table", tmp_path / "summary.md"
    both = of_variants(tmp_path, "run", long=92.0, short=90.0)
    assert tasks.publish_scores(both, table, summary) == {
        f"long.{BOUND}": 92.0,
        f"short.{BOUND}": 90.0,
    }
    assert pq.read_table(table)["variant"].to_pylist() == ["long", "short"]
    one = narrowed(both, ("short",))
    assert tasks.publish_scores(one, table, summary) == {f"short.{BOUND}": 90.0}
    assert pq.read_table(table)["variant"].to_pylist() == ["short"]


def test_each_variant_is_held_to_its_namesake_of_the_baseline(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    of_variants(tmp_path, "base", long=92.0, short=90.0)
    now = of_variants(tmp_path, "now", long=91.5, short=88.0)
    base, bounds = str(tmp_path / "base"), json.dumps({BOUND: 1})
    found = tasks.compare_runs(now, base, bounds, summary)
    (line,) = found.regressions
    assert line.startswith("short (now): ")
    assert "is 88.00 and was 90.00: worse by 2.00, but at most 1 is allowed" in line
    changes = {name: change.worse_by for name, change in found.changes.items()}
    assert changes[f"long (now).{BOUND}"] == 0.5
    assert changes[f"short (now).{BOUND}"] == 2
    # Narrowed, the other one is not asked for, nor missed.
    lone = of_variants(tmp_path, "lone", ["long"], long=91.5)
    assert tasks.compare_runs(lone, base, bounds, summary).regressions == []
    (line,) = tasks.compare_runs(narrowed(lone, ()), base, bounds, summary).regressions
    assert line == f"short (lone): {BOUND} cannot be compared: 1 edit(s) lack it now"
