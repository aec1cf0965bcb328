"""From a run to a design: what both variants have, and why the rest is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.errors import UserError
from components.results.scored import Selection
from components.storage.local import LocalStore
from components.study.clips import Clips
from components.study.design import Asked, Design
from components.study.making import make_design
from tests.finished_run import drawn_clip, write_edit, write_variants, write_video

NAMES = ("full", "pnp", "same")
PAIR = (("full", "pnp"),)


Whole = tuple[LocalStore, dict[str, Selection]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A run of three variants, the last of which is the first; to be read alone."""
    store = LocalStore(tmp_path_factory.mktemp("making") / "run")
    return store, write_variants(store, NAMES)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "run")


def designed(whole: Whole, tmp_path: Path, **asked: Any) -> tuple[Design, list[str]]:
    (tmp_path / "c").mkdir(exist_ok=True)
    clips = Clips(whole[0], tmp_path / "c")
    return make_design(*whole, Asked(**{"pairs": PAIR} | asked), clips)


def test_every_edit_that_both_have_is_in_it(whole: Whole, tmp_path: Path) -> None:
    design, left_out = designed(whole, tmp_path, pairs=(("pnp", "full"),), seed=4, checks=3)
    assert left_out == []
    assert design.order == ["pnp", "full"]
    assert len(design.plan.units) == len(design.edits) == 6
    assert {unit.variants for unit in design.plan.units} == {("full", "pnp")}
    assert (design.plan.seed, design.plan.checks, design.plan.raters_per_pair) == (4, 3, 5)
    assert (design.questions, design.ties) == ("paper", False)
    edit = next(one for one in design.edits if one.edit == "car/swap")
    assert (edit.prompt, edit.source_prompt) == (
        "a jeep is moving on the snow",
        "a jeep is moving on the road",
    )
    assert edit.source is not None
    assert edit.source.path == "clips/v-car.mp4"
    assert {name: clip.path for name, clip in edit.clips.items()} == {
        "full": "edits/e-car-swap.mp4",
        "pnp": "edits/e1-car-swap.mp4",
    }


def test_what_needs_no_source_keeps_none(whole: Whole, tmp_path: Path) -> None:
    design, _ = designed(whole, tmp_path, checks=0)
    assert {edit.source for edit in design.edits} == {None}


def test_the_same_clip_twice_is_no_pair(whole: Whole, tmp_path: Path) -> None:
    design, left_out = designed(whole, tmp_path, pairs=(*PAIR, ("full", "same")))
    assert len(design.plan.units) == 6
    assert len(left_out) == 6
    assert left_out[0] == (
        "car/cartoon by full and same: both clips are the same, so there is nothing to choose"
    )
    with pytest.raises(UserError, match=r"no edit can be shown: .* both clips are the same"):
        designed(whole, tmp_path, pairs=(("same", "full"),))


def test_what_one_variant_lacks_or_is_damaged_is_left_out_by_name(
    store: LocalStore, tmp_path: Path
) -> None:
    chosen = write_variants(store, NAMES)
    keys = set(chosen["pnp"].edit_keys or ())
    chosen["pnp"] = Selection(edit_keys=keys - {"e1-car-swap"})
    store.write_bytes("edits/e-rabbit-cartoon.mp4", b"damaged")
    store.delete("edits/e1-surfer-swap.mp4")
    store.delete("clips/v-surfer.mp4")
    (tmp_path / "c").mkdir()
    design, left_out = make_design(store, chosen, Asked(pairs=PAIR), Clips(store, tmp_path / "c"))
    assert {edit.edit for edit in design.edits} == {"car/cartoon", "rabbit/swap"}
    told = {line.partition(" by ")[0]: line for line in left_out}
    assert "pnp made no such edit; `tav failures` may say why" in told["car/swap"]
    assert "changed or damaged" in told["rabbit/cartoon"]
    assert "e1-surfer-swap.mp4 is gone" in told["surfer/swap"]
    assert "v-surfer.mp4 is gone" in told["surfer/cartoon"]


def test_edits_at_another_rate_keep_the_pace_of_their_source(
    store: LocalStore, tmp_path: Path
) -> None:
    write_video(store, "car", drawn_clip(0.1))
    chosen = {}
    for name, fps in (("full", 12.0), ("pnp", 24.0)):
        frames = drawn_clip(0.5 if name == "full" else 0.9)
        write_edit(store, "car", "swap", "a jeep", frames, edit_key=name, fps=fps)
        chosen[name] = Selection(edit_keys={name})
    (tmp_path / "c").mkdir()
    asked = Asked(pairs=PAIR, checks=1)
    design, _ = make_design(store, chosen, asked, Clips(store, tmp_path / "c"))
    assert {name: clip.speed for name, clip in design.edits[0].clips.items()} == {
        "full": 1.0,
        "pnp": 0.5,
    }


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"pairs": None}, "give --pairs ONE,OTHER"),
        ({"pairs": (("ful", "pnp"),)}, "no variant 'ful': did you mean 'full'\\? there are full, "),
        ({"pairs": (("full", "full"),)}, "--pairs full,full is one variant twice"),
        ({"pairs": (*PAIR, ("pnp", "full"))}, "--pairs pnp,full is given twice"),
        ({"repeated": 0.9}, "repeated is 0.9, but must be 0 to 0.5"),
        ({"pairs_per_rater": 7}, "pairs_per_rater is 7, but must be 1 to 6"),
        ({"raters_per_pair": 0}, "raters_per_pair is 0, but must be 1 or more"),
        ({"checks": -1}, "checks is -1, but must be 0 to 6"),
        ({"checks": 7}, "checks is 7, but must be 0 to 6"),
    ],
)
def test_what_cannot_be_is_refused(
    whole: Whole, tmp_path: Path, asked: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        designed(whole, tmp_path, **asked)


def test_a_run_without_variants_has_no_pairs(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with pytest.raises(UserError, match="no variant 'full': the run has no variants"):
        make_design(store, {"": Selection()}, Asked(pairs=PAIR), Clips(store, tmp_path / "c"))
