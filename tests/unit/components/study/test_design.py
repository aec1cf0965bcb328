"""A design is frozen: it comes back as it was kept, and another one is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import UserError
from components.study.design import Asked, Design, StudyClip, StudyEdit, check_same
from eval.study.assignment import Plan, units_of
from eval.study.votes import Choice

CLIPS = {name: StudyClip(path=f"edits/{name}.mp4", sha256="a" * 64) for name in ("full", "pnp")}


def design(prompt: str = "a puppy", **plan: Any) -> Design:
    edit = StudyEdit(
        video="v",
        edit="v/e",
        prompt=prompt,
        source_prompt="a rabbit",
        source=StudyClip(path="clips/v.mp4", sha256="b" * 64, speed=0.5),
        clips=CLIPS,
    )
    return Design(
        pairs=(("pnp", "full"),),
        questions="both",
        ties=True,
        plan=Plan(units=units_of([("v", "v/e")], [("pnp", "full")]), **{"checks": 1} | plan),
        edits=(edit,),
    )


@given(st.text(), st.integers(0, 2**62), st.floats(0, 0.5))
def test_it_comes_back_as_it_was_kept(prompt: str, seed: int, repeated: float) -> None:
    one = design(prompt.encode(errors="replace").decode(), seed=seed, repeated=repeated)
    assert Design.from_json(one.to_json()) == one


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pairs": 3}'])
def test_what_is_no_design_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="another release made it, or it was changed"):
        Design.from_json(text)


def test_a_plan_that_was_changed_is_refused() -> None:
    with pytest.raises(UserError, match="cannot be read"):
        Design.from_json(design().to_json().replace('"repeated":0.1', '"repeated":0.9'))


def test_what_it_asks_and_offers() -> None:
    assert [one.id for one in design().asked] == [
        *("consistency", "text", "loveu_text", "loveu_structure", "loveu_quality"),
    ]
    assert design().choices == tuple(Choice)
    assert design().order == ["pnp", "full"]


def test_another_plan_is_refused_by_every_name_and_what_is_not_asked_is_not_compared() -> None:
    check_same(design(), Asked(), "study.sqlite")
    check_same(design(), Asked(pairs=(("pnp", "full"),), checks=1, ties=True), "study.sqlite")
    wanted = Asked(pairs=(("full", "pnp"),), seed=7, ties=False, questions="paper", checks=0)
    with pytest.raises(UserError) as caught:
        check_same(design(), wanted, "study.sqlite")
    told = str(caught.value)
    assert "study.sqlite holds a study whose pairs is pnp,full, not full,pnp; " in told
    assert "questions is both, not paper; ties is True, not False; checks is 1, not 0" in told
    assert "seed is 0, not 7" in told
    assert "another --database" in told
