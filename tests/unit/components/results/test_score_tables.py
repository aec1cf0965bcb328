"""Scores on a terminal: a table for each protocol, and no text that acts."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from components.results.score_tables import MAX_PRINTED, in_parts, print_scores
from components.storage.tables import Row
from eval.protocols.registry import PROTOCOLS
from tests.finished_run import exported_row


def printed(rows: list[Row], width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_scores(rows, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_printed_scores_end_with_the_means() -> None:
    text = printed(
        [
            exported_row(values={"frame_consistency": 90.0}),
            exported_row(values={"frame_consistency": None}, edit_id="car/b"),
        ]
    )
    assert "car/snow" in text
    assert "1 of 2 edit(s)" in text
    mean = next(line for line in text.splitlines() if "mean" in line)
    assert "90.00" in mean
    assert "-1.50" in mean


def test_printed_text_is_neither_markup_nor_control() -> None:
    text = printed([exported_row(prompt="[bold red]x[/] \x1b[31m\x07", category=None)])
    assert "[bold red]x[/]" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_long_table_says_what_it_leaves_out() -> None:
    text = printed([exported_row(edit_id=f"car/{number}") for number in range(MAX_PRINTED + 7)])
    assert "and 7 more: `tav export RUN --to scores.csv`" in text


@pytest.mark.parametrize("name", ["tinyworld_v2", "tinyworld_v1"])
def test_every_protocol_has_its_own_table_and_measures(name: str) -> None:
    truth = {"frame_consistency": None, "textual_alignment": None, "flicker": 14.0}
    text = printed([exported_row(), exported_row(protocol=name, values=truth)])
    paper, tiny = text.split(name)
    assert ("alignment" in paper, "flicker" in paper) == (True, False)
    assert ("alignment" in tiny, "flicker" in tiny) == (False, True)


def test_what_is_not_scored_yet_is_shown() -> None:
    nothing = dict.fromkeys(("frame_consistency", "textual_alignment"))
    text = printed(
        [exported_row(), exported_row(edit_id="car/boat", protocol=None, values=nothing)]
    )
    assert "not scored" in text
    assert "car/boat" in text


def test_of_several_variants_the_means_are_shown() -> None:
    rows = [
        exported_row(edit_id=f"car/{edit}", variant=variant, values={"frame_consistency": value})
        for edit, value in (("snow", 90.0), ("sand", 80.0), ("ice", None))
        for variant, value in (("full", value), ("pnp", value and value - 20))
    ]
    lines = printed(rows).splitlines()
    (full,) = (line.split() for line in lines if "full" in line)
    (pnp,) = (line.split() for line in lines if "pnp" in line)
    assert full[1::2] == ["full", "2/3", "85.00", "-1.50"]
    assert pnp[1::2] == ["pnp", "2/3", "65.00", "-1.50"]
    assert "car/" not in "".join(lines)
    assert "`tav compare RUN`" in lines[-1]
    one = printed(rows[::2])
    assert "car/snow" in one
    assert "tav compare" not in one


def test_a_run_of_many_variants_ends_in_a_screenful() -> None:
    names = ("full", "no_tuning", "noise", "plug_and_play", "sdedit", "frame_by_frame", "identity")
    rows = [
        exported_row(edit_id=f"car/{number}", variant=name, protocol=protocol)
        for number in range(12)
        for name in names
        for protocol in ("rave_v1", "tav_paper_v1")
    ]
    lines = printed(rows, width=80).splitlines()
    assert len(lines) < 40
    assert all(any(name in line for line in lines) for name in names)


def test_numbers_of_several_variants_are_whole_at_80_columns() -> None:
    nothing = dict.fromkeys(PROTOCOLS["tav_paper_v1"].measures)
    names = PROTOCOLS["tinyworld_v2"].measures
    truth = nothing | dict.fromkeys(names, 123.45)
    row = exported_row(prompt="a jeep is moving " * 5, protocol="tinyworld_v2", values=truth)
    text = printed([row | {"variant": name} for name in ("no_inversion", "no_tuning")], width=80)
    assert text.count("123.45") == len(names) * 2
    assert "no_inversion" in text


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("variants", [("full",), ("no_inversion", "no_tuning")])
def test_many_measures_are_whole_in_several_tables(width: int, variants: tuple[str, ...]) -> None:
    values = {f"measure_{number}": 100.25 + number for number in range(9)}
    row = exported_row(prompt="a jeep is moving " * 5, values=values)
    text = printed([row | {"variant": name} for name in variants], width=width)
    assert max(map(len, text.splitlines())) <= width
    for name, value in values.items():
        assert text.count(name) == 1
        assert text.count(f"{value:.2f}") == 2  # of an edit and the mean, or of two variants
    assert all(text.count(name) == text.count("┏━") for name in variants if len(variants) > 1)


@given(
    st.dictionaries(st.text("ab", min_size=1), st.text("ab\n", min_size=1).filter(str.strip)),
    st.integers(0, 40),
)
def test_parts_hold_every_column_once_and_fit(titles: dict[str, str], room: int) -> None:
    parts = list(in_parts(titles, room, 5))
    assert [name for part in parts for name in part] == list(titles)
    for part in parts:
        wide = sum(max(5, 3 + max(map(len, titles[name].splitlines()))) for name in part)
        assert wide <= room or len(part) <= 1


def test_a_variant_that_a_protocol_lacks_is_said_to_have_none() -> None:
    nothing = dict.fromkeys(("frame_consistency", "textual_alignment"))
    text = printed(
        [exported_row(variant="full"), exported_row(variant="pnp", protocol=None, values=nothing)]
    )
    paper, rest = text.split("not scored")
    assert [line.split()[1:4:2] for line in paper.splitlines() if "pnp" in line] == [["pnp", "0/0"]]
    assert [line.split()[1:4:2] for line in rest.splitlines() if "pnp" in line] == [["pnp", "0/1"]]
