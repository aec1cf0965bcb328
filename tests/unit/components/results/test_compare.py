"""Runs and variants side by side: what is compared with what, and every way of showing it."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from components.errors import UserError
from components.results.compare import RunScores, compare_runs, run_scores
from components.results.comparison_files import document, markdown
from components.results.comparison_table import print_comparison
from components.results.comparison_writers import write
from components.results.scored import Selection
from components.storage.local import LocalStore
from components.storage.tables import Row
from eval.compare import Cell, Comparison
from eval.protocols.registry import PROTOCOLS
from eval.protocols.retired import RETIRED
from tests.finished_run import exported_row, write_run

RECORDED = Path(__file__).parents[2] / "eval"
CONSISTENCY = "tav_paper_v1.frame_consistency"


def row(video: str, variant: str, consistency: float | None, **changes: Any) -> Row:
    names = {"video_id": video, "edit_id": f"{video}/e", "variant": variant}
    values = {"frame_consistency": consistency, "textual_alignment": None}
    return exported_row(**names, values=values, score_revision="sha256:abc", **changes)


def run(*variants: str, consistency: float = 90.0) -> RunScores:
    rows = [row(video, name, consistency) for video in "ab" for name in variants]
    return RunScores(variants=variants, rows=rows)


def of(found: Comparison, variant: str, measure: str = "frame_consistency") -> Cell:
    (cell,) = [
        one
        for one in found.cells
        if (one.variant, one.measure, one.category) == (variant, measure, None)
    ]
    return cell


def test_variants_of_one_run_are_compared_with_the_first() -> None:
    found = compare_runs({"runs/a": run("full", "pnp", "sdedit")})
    assert found.against == {"full": None, "pnp": "full", "sdedit": "full"}
    assert of(found, "pnp").pairs == 2


def test_a_later_runs_variant_is_compared_with_its_namesake_in_the_first() -> None:
    runs = {"s3://b/base/": run("full", "pnp"), "runs/new": run("pnp", "other")}
    assert compare_runs(runs).against == {
        "full": None,
        "pnp (base)": "full",
        "pnp (new)": "pnp (base)",
        "other": "full",
    }
    same = {"a/run": run("full"), "b/run": run("full")}
    assert compare_runs(same).against == {"full (a/run)": None, "full (b/run)": "full (a/run)"}


def test_the_chosen_alone_in_the_order_given() -> None:
    runs = {"a": run("full", "pnp", "sdedit")}
    assert compare_runs(runs, chosen=["sdedit", "full"]).against == {
        "sdedit": None,
        "full": "sdedit",
    }
    with pytest.raises(UserError, match=r"no variant 'pnq': did you mean 'pnp'.*full, pnp, sdedit"):
        compare_runs(runs, chosen=["pnq"])
    with pytest.raises(UserError, match=r"b has none of the variants pnp: it has full"):
        compare_runs(runs | {"b": run("full")}, chosen=["pnp"])


def test_bounds_hold_for_the_later_run_or_variant() -> None:
    worse, bound = run("full", consistency=80.0), {CONSISTENCY: 1.0}
    (line,) = compare_runs({"base": run("full"), "new": worse}, bound).regressions
    assert "frame_consistency is 80.00 and was 90.00: worse by 10.00" in line
    mixed = RunScores(variants=("a", "b"), rows=[row("x", "a", 90.0), row("x", "b", 80.0)])
    assert len(compare_runs({"one": mixed}, bound).regressions) == 1
    # Variants of the baseline are not held to each other.
    assert compare_runs({"base": mixed, "new": mixed}, bound).regressions == []


def test_bounds_that_nothing_is_held_to_are_refused() -> None:
    bound = {CONSISTENCY: 1.0}
    with pytest.raises(UserError, match="nothing is compared with it: name another run"):
        compare_runs({"a": run("full")}, bound)
    with pytest.raises(UserError, match="new has no variant 'pnp', which base has"):
        compare_runs({"base": run("full", "pnp"), "new": run("full")}, bound)
    with pytest.raises(UserError, match="which the baseline does not hold: it has seconds, tav"):
        compare_runs({"a": run("full", "pnp")}, {"tav_paper_v1.jitter": 1})


def test_a_run_without_a_score_that_counts_is_refused_and_a_variant_is_shown() -> None:
    unscored = row("a", "full", None) | {"protocol": None}
    with pytest.raises(UserError, match=r"runs/x has no score that counts.*`tav status runs/x`"):
        compare_runs({"runs/x": RunScores(variants=("full",), rows=[unscored])})
    failed = RunScores(variants=("full", "lost"), rows=run("full").rows)
    cell = of(compare_runs({"a": failed}), "lost")
    assert (cell.edits, cell.missing, cell.lost) == (0, 2, 2)


def test_a_run_without_variants_is_named_by_its_method(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    write_run(store)
    found = compare_runs({"a": run_scores(store, Selection())})
    assert found.against == {"tune_a_video": None}
    cell = of(found, "tune_a_video")
    assert cell.mean is not None
    assert cell.mean.mean == pytest.approx(91 + 1 / 6)
    assert of(found, "tune_a_video", "seconds").mean is not None
    chosen = {"full": Selection(), "none": Selection(edit_keys=())}
    assert run_scores(store, chosen).variants == ["full", "none"]


def test_seconds_count_once_for_an_edit_of_two_protocols() -> None:
    rows = [row("a", "full", 1.0, seconds=4.0), row("b", "full", 2.0, seconds=8.0)]
    rows.append(row("a", "full", 3.0, seconds=4.0) | {"protocol": "rave_v1"})
    cell = of(compare_runs({"a": RunScores(variants=("full",), rows=rows)}), "full", "seconds")
    assert cell.mean is not None
    assert (cell.edits, cell.mean.mean, cell.name) == (2, 6, "seconds")


HOSTILE = "a|b\n<script>x</script> =1+1 [l](u) \x1b[31m`z` $\\frac{"


def hostile() -> Comparison:
    """Names of a folder and of a category that are made to act."""
    rows = [row(video, "full", 90.0, category=HOSTILE) for video in "ab"]
    first = RunScores(variants=("full",), rows=rows)
    return compare_runs({"base": first, f"runs/{HOSTILE.replace('/', '')}": first})


def test_names_are_text_in_markdown() -> None:
    text = markdown(hostile())
    tables = [line for line in text.splitlines() if line.startswith("|")]
    bare = [re.sub(r"\\.", "", line).count("|") for line in tables]
    assert set(bare) == {4, 5}, "means and differences; published figures"
    assert "<script" not in text
    assert "\\[l\\](u)" in text


def test_names_are_text_in_csv_and_json(tmp_path: Path) -> None:
    rows = [row(video, "full", 90.0, category="=1+1") for video in "ab"]
    found = compare_runs({"base": RunScores(variants=("full",), rows=rows)})
    write(found, str(tmp_path / "c.csv"))
    with (tmp_path / "c.csv").open(newline="", encoding="utf-8") as handle:
        assert {one["category"] for one in csv.DictReader(handle)} == {"", "'=1+1"}
    write(hostile(), str(tmp_path / "c.json"))
    cells = json.loads((tmp_path / "c.json").read_text("utf-8"))["cells"]
    assert HOSTILE in {cell["category"] for cell in cells}


def test_names_are_text_on_a_terminal() -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    print_comparison(hostile(), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "\x1b" not in text
    assert "90.00" in text
    assert "0/2/0" in text


def test_the_picture_opens_with_any_name(tmp_path: Path) -> None:
    write(hostile(), str(tmp_path / "c.png"))
    with Image.open(tmp_path / "c.png") as image:
        image.load()
        assert image.width > 400
        assert len(np.unique(np.asarray(image.convert("L")))) > 10


def test_files_hold_numbers_in_full(tmp_path: Path) -> None:
    rows = [row(video, name, 100 / 3 + i) for i, name in enumerate("xy") for video in "ab"]
    rows.append(row("c", "x", math.nan))
    found = compare_runs({"a": RunScores(variants=("x", "y"), rows=rows)})
    write(found, str(tmp_path / "c.csv"))
    with (tmp_path / "c.csv").open(newline="", encoding="utf-8") as handle:
        read = next(csv.DictReader(handle))
    assert (read["variant"], float(read["mean"]), read["against"]) == ("x", 100 / 3, "")
    cells = document(found)["cells"]
    assert cells[0]["mean"] == 100 / 3
    assert cells[1]["difference"] == -1
    assert (cells[1]["wins"], cells[1]["against"]) == (2, "x")


@pytest.mark.parametrize("name", ["c.parquet", "c", "c.md.gz"])
def test_an_unknown_suffix_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"one of \.md, \.json, \.csv, \.tex, \.png"):
        write(compare_runs({"a": run("full")}), str(tmp_path / name))
    assert list(tmp_path.iterdir()) == []


def test_markdown_says_what_regressed() -> None:
    runs = {"base": run("full"), "new": run("full", consistency=80.0)}
    assert "**Regressed:** tav\\_paper\\_v1" in markdown(compare_runs(runs, {CONSISTENCY: 1}))
    assert markdown(compare_runs(runs, {CONSISTENCY: 10})).startswith("No regression.\n")


def test_a_terminal_has_no_line_that_is_longer_than_it_is_wide() -> None:
    values = dict.fromkeys((f"measure_{number}" for number in range(9)), 50.0)
    rows = [
        exported_row(video_id=video, edit_id=f"{video}/e", variant=name, values=values)
        for video in "vw"
        for name in ("full", "pnp")
    ]
    found = compare_runs({"run": RunScores(variants=("full", "pnp"), rows=rows)})
    for width in (80, 140):
        console = Console(file=io.StringIO(), width=width)
        print_comparison(found, console)
        assert isinstance(console.file, io.StringIO)
        text = console.file.getvalue()
        assert max(map(len, text.splitlines())) <= width
        assert text.count("[50.00, 50.00]") == 2 * 2 * len(values), "of all and of one category"
        # The protocol's own two, and seconds, are there too.
        assert text.count("+0.00, +0.00]") == 2 * (len(values) + 3)


NAMED = [*PROTOCOLS["tav_paper_v1"].measures, *RETIRED["tinyworld_v1"].measures]
NAMES = {
    "full": "full",
    "no_st_attn": "w/o ST-Attn",
    "no_inversion": "w/o inversion",
    "no_tuning": "w/o tuning",
}


def test_the_ablations_numbers_are_those_that_its_former_module_printed() -> None:
    """Scores of a real run of 3 clips, 4 steps of everything, and what eval.ablation made of it."""
    recorded = json.loads((RECORDED / "recorded_ablation.json").read_text("utf-8"))
    nothing = dict.fromkeys(("frame_consistency", "textual_alignment"))
    rows = [
        exported_row(
            **{name: value for name, value in one.items() if name not in NAMED},
            values=nothing | {name: value for name, value in one.items() if name in NAMED},
        )
        for one in recorded
    ]
    found = compare_runs({"run": RunScores(variants=tuple(NAMES), rows=rows)})
    ours: dict[str, list[str]] = {}
    for line in markdown(found).splitlines():
        cells = line.strip("| ").split(" | ")
        if cells[0] == "all":
            ours.setdefault(cells[1].replace("\\", ""), []).extend(cells[2:])
    means, differences = (RECORDED / "recorded_ablation.md").read_text("utf-8").split("Paired")
    for name, theirs in NAMES.items():
        expected = cells_of(means, theirs)
        assert ours[name][: len(expected)] == expected
        if name != "full":
            without_counts = [re.sub(r" \d+/\d+/\d+$", "", c) for c in ours[f"full minus {name}"]]
            expected = cells_of(differences, theirs)
            assert without_counts[: len(expected)] == expected


def cells_of(table: str, name: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {name} |")]
    found = line.strip("| ").split(" | ")[1:]
    assert len(found) == len(NAMED)
    return found


def test_correlations_with_a_trusted_protocol_are_a_table_of_their_own() -> None:
    names = ("a", "b", "c", "d")
    rows = [
        line
        for video in "vw"
        for at, name in enumerate(names)
        for line in (
            row(video, name, 90.0 - at),
            exported_row(
                video_id=video,
                edit_id=f"{video}/e",
                variant=name,
                protocol="tinyworld_v2",
                values={"frame_consistency": None, "textual_alignment": None}
                | {"edited_right": 10.0 * at, "jitter": 1.0 * at},
            ),
        )
    ]
    runs = {"run": RunScores(variants=names, rows=rows)}
    found = compare_runs(runs, trusted="tinyworld_v2")
    told = markdown(found).partition("## Rank correlation with tinyworld\\_v2")[2]
    assert "| Measure | Edited right ↑ | Jitter, px ↓ |" in told
    line = "tav\\_paper\\_v1.frame\\_consistency"
    assert f"| {line} | -1.00 [-1.00, -1.00] | 1.00 [1.00, 1.00] |" in told
    assert document(found)["correlations"][0] == {
        "protocol": "tav_paper_v1",
        "judge": "sha256:abc",
        "measure": "frame_consistency",
        "with": "edited_right",
        "variants": 4,
        "rho": pytest.approx(-1),
        "low": pytest.approx(-1),
        "high": pytest.approx(-1),
    }
    console = Console(file=io.StringIO(), width=140)
    print_comparison(found, console)
    assert isinstance(console.file, io.StringIO)
    assert "rank correlation with tinyworld_v2" in console.file.getvalue()
    with pytest.raises(UserError, match="no score is of protocol 'rave_v1'"):
        compare_runs(runs, trusted="rave_v1")
