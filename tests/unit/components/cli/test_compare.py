"""`tav compare`, as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from components.cli.main import main
from tests.scored_run import scored_run

BOUND = "tav_paper_v1.frame_consistency"


def compare(*words: str) -> Result:
    return CliRunner().invoke(main, ["compare", *words])


@pytest.fixture
def runs(tmp_path: Path) -> tuple[str, str]:
    return scored_run(tmp_path / "base", 92.0), scored_run(tmp_path / "new", 90.0)


def test_it_prints_tables_or_json(runs: tuple[str, str]) -> None:
    printed = compare(*runs)
    assert printed.exit_code == 0, printed.output
    assert "frame consistency" in printed.output
    assert "+2.00" in printed.output
    found = json.loads(compare(*runs, "--json").stdout)
    assert [one["against"] for one in found["variants"]] == [None, found["variants"][0]["variant"]]
    assert found["cells"][1]["difference"] == 2


def test_a_broken_bound_is_told_and_ends_with_1(runs: tuple[str, str], tmp_path: Path) -> None:
    good = compare(*runs, "--bound", f"{BOUND}=2", "--to", str(tmp_path / "c.md"))
    assert (good.exit_code, good.stderr) == (0, "")
    assert (tmp_path / "c.md").read_text("utf-8").startswith("No regression.")
    bad = compare(*runs, "--bound", f"{BOUND}=1.5", "--to", str(tmp_path / "c.md"))
    assert bad.exit_code == 1
    assert "worse by 2.00, but at most 1.5 is allowed" in bad.stderr
    assert "Regressed" in (tmp_path / "c.md").read_text("utf-8")
    assert compare(*reversed(runs), "--bound", f"{BOUND}=0").exit_code == 0


@pytest.mark.parametrize(
    "bound", ["", BOUND, f"{BOUND}=", f"{BOUND}=x", f"{BOUND}=-1", "=1", "a=nan"]
)
def test_a_bound_that_is_none_is_refused(bound: str) -> None:
    scheduled = ["pipeline", "run", "--pipeline", "reevaluate", "--config", "nowhere.yaml"]
    for words in (["compare", "nowhere"], scheduled):
        refused = CliRunner().invoke(main, [*words, "--bound", bound])
        assert refused.exit_code == 2
        assert "0 or more" in refused.stderr


def test_what_cannot_be_compared_is_refused(runs: tuple[str, str], tmp_path: Path) -> None:
    for words, said in (
        ((*runs, "--bound", "tav_paper_v1.flicke=1"), "which the baseline does not hold"),
        ((*runs, "--bound", f"{BOUND}=1", "--bound", f"{BOUND}=2"), "has two bounds"),
        ((runs[0], f"{runs[0]}/"), "given twice"),
        ((str(tmp_path / "none"),), "run.json"),
        ((runs[0], "--variant", "pnp"), "no variant 'pnp'"),
        (("nowhere", "--to", "c.xlsx"), "must be one of .md, .json, .csv, .tex, .png"),
        ((*runs, "--json", "--to", "c.md"), "give one of them"),
    ):
        refused = compare(*words)
        assert refused.exit_code in (1, 2)
        assert said in refused.stderr


def test_correlations_are_refused_where_they_cannot_be_shown(
    runs: tuple[str, str], tmp_path: Path
) -> None:
    csv = compare(*runs, "--correlate", "tav_paper_v1", "--to", str(tmp_path / "c.csv"))
    assert csv.exit_code == 2
    assert "written to a .md or .json file" in csv.output
    for protocol, said in (("tav_paper_v1", "4 variants or more"), ("fvd", "no score is of")):
        refused = compare(*runs, "--correlate", protocol)
        assert refused.exit_code == 1
        assert said in refused.stderr
