"""What an edit should change and keep, from both prompts and what is read of the source."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.asked import FRAME, Task, read_words, task
from eval.errors import EvalError
from tests.drawn_scenes import edits, scenes
from tests.truth import FRAMES, changed, crossed, equal, everywhere, truth
from tinyworld.edits import replaced
from tinyworld.reader import Reading
from tinyworld.scenes import OF_A_THING, OF_THE_FRAME, Scene, Thing

SOURCE = Scene(
    things=(
        Thing(color="red", shape="fish", motion="rising"),
        Thing(color="blue", shape="star", motion="moving left"),
    ),
    background="sea",
    seed=3,
)
SAID = SOURCE.caption()


def asked(prompt: str, source_prompt: str = SAID, source: Reading | None = None) -> Task:
    reading = truth(SOURCE) if source is None else source
    return task(reading, reading, source_prompt, prompt)


@given(scenes(), st.data())
def test_what_the_prompts_say_alike_stays_and_the_rest_is_asked_for(
    source: Scene, data: st.DataObject
) -> None:
    edited = data.draw(edits(source))
    found = task(truth(edited), truth(source), source.caption(), edited.caption())
    places = [(k, name) for k in range(len(source.things)) for name in OF_A_THING]
    places += [(FRAME, name) for name in OF_THE_FRAME]
    assert found.asked.keys() | found.expected.keys() == set(places)
    assert found.asked.keys().isdisjoint(found.expected)
    for k, name in places:
        before, after = (
            getattr(one if k == FRAME else one.things[k], name) for one in (source, edited)
        )
        if before == after:
            assert found.expected[k, name] == after
        elif len(source.things) == 1:
            assert found.asked[k, name] == after


@given(scenes(things=2), st.data(), st.sets(st.integers(0, FRAMES - 1)))
def test_slots_of_the_readings_may_be_in_any_order(
    source: Scene, data: st.DataObject, frames: set[int]
) -> None:
    edited = data.draw(edits(source))
    prompts = source.caption(), edited.caption()
    plain = task(truth(edited), truth(source), *prompts)
    for one, other in ((frames, set[int]()), (set[int](), frames), (frames, frames)):
        found = task(
            crossed(truth(edited), sorted(one)), crossed(truth(source), sorted(other)), *prompts
        )
        assert equal(found.edit, plain.edit)
        assert equal(found.source, plain.source)
        assert (found.asked, found.expected) == (plain.asked, plain.expected)


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("a green fish and a blue star over the sea", {(0, "color"): "green"}),
        ("a blue star and a green fish over the sea", {(0, "color"): "green"}),
        ("a red fish and a pink star over the sea", {(1, "color"): "pink"}),
        ("a pink star and a red fish over the sea", {(1, "color"): "pink"}),
        ("a blue car and a red fish over the sea", {(1, "shape"): "car"}),
        ("a blue star and a red fish over the sea", {}),
        (
            "a blue fish and a red star over the sea",
            {(0, "color"): "blue", (1, "color"): "red"},
        ),
        (
            "a blue star and a green car over the sand",
            {(0, "color"): "green", (0, "shape"): "car", (FRAME, "background"): "sand"},
        ),
    ],
)
def test_things_may_be_named_in_either_order(
    prompt: str, wanted: dict[tuple[int, str], str]
) -> None:
    found = asked(prompt)
    assert found.asked == wanted
    for k, thing in enumerate(SOURCE.things):
        for name in OF_A_THING:
            if (k, name) not in wanted:
                assert found.expected[k, name] == getattr(thing, name)


def test_what_neither_prompt_says_is_what_most_of_the_source_shows() -> None:
    source = changed(truth(SOURCE), "background", {0: "road", 1: "road"})
    found = asked("a fish and a star, cartoon style", "a fish and a star", source)
    assert found.asked == {(FRAME, "style"): "cartoon"}
    assert found.expected == {
        (0, "color"): "red",
        (0, "shape"): "fish",
        (1, "color"): "blue",
        (1, "shape"): "star",
        (FRAME, "background"): "sea",
    }


def test_a_word_that_only_the_source_prompt_names_is_neither_asked_for_nor_kept() -> None:
    found = asked("a fish and a blue star over the sea")
    assert found.asked == {}
    assert (0, "color") not in found.expected


def test_a_style_that_the_edited_prompt_leaves_out_is_the_plain_one() -> None:
    mosaic = replace(SOURCE, style="mosaic")
    found = task(truth(SOURCE), truth(mosaic), mosaic.caption(), SAID)
    assert found.asked == {(FRAME, "style"): "plain"}


def test_where_the_edited_prompt_names_no_thing_the_things_stay() -> None:
    found = asked("in the snow, sketch style")
    assert found.asked == {(FRAME, "background"): "snow", (FRAME, "style"): "sketch"}
    assert found.expected[1, "shape"] == "star"
    assert found.edit.present.shape == (FRAMES, 2)


def test_where_the_source_prompt_names_no_thing_those_of_the_edited_are_asked_for() -> None:
    found = asked("a blue car over the sea", "over the sea")
    assert found.asked == {(0, "color"): "blue", (0, "shape"): "car"}
    # Of the source it is the thing that has more of these words.
    assert set(read_words(found.source, (0, "shape"))) == {"star"}


def test_where_none_names_a_thing_one_is_looked_at() -> None:
    lone = truth(replace(SOURCE, things=SOURCE.things[:1]))
    found = task(lone, lone, "over the sea", "over the sand")
    assert found.asked == {(FRAME, "background"): "sand"}
    assert found.expected[0, "shape"] == "fish"
    assert found.edit.present.shape == (FRAMES, 1)


def test_things_of_equal_words_are_told_by_their_places() -> None:
    """Both became green fish; each is where one of the source's is."""
    edited = replaced(SOURCE, 0, "color", "green")
    edit = changed(truth(edited), "color", everywhere("green"), thing=1)
    edit = changed(edit, "shape", everywhere("fish"), thing=1)
    found = task(crossed(edit, [1, 2]), truth(SOURCE), SAID, edited.caption())
    assert equal(found.edit, edit)


def test_read_words_are_of_a_thing_or_of_the_frame() -> None:
    found = asked(SAID)
    assert list(read_words(found.edit, (1, "color"))) == ["blue"] * FRAMES
    assert list(read_words(found.edit, (FRAME, "background"))) == ["sea"] * FRAMES


@pytest.mark.parametrize(
    ("source_prompt", "prompt", "counts"),
    [
        (SAID, "a red fish over the sea", "2 .* edited prompt 1"),
        ("a red fish over the sea", SAID, "1 .* edited prompt 2"),
    ],
)
def test_prompts_of_other_numbers_of_things_are_refused(
    source_prompt: str, prompt: str, counts: str
) -> None:
    with pytest.raises(EvalError, match=f"source prompt names {counts}.*name equally many"):
        asked(prompt, source_prompt)


@pytest.mark.parametrize(
    ("source_prompt", "prompt", "kind"),
    [
        ("a man is skiing", SAID, "the source prompt 'a man is skiing'"),
        (SAID, "a panda eats bamboo", "the edited prompt 'a panda eats bamboo'"),
    ],
)
def test_prompts_of_another_world_are_refused(source_prompt: str, prompt: str, kind: str) -> None:
    message = f"{kind} names nothing of the tiny world.*color: red.*leave tinyworld_v2 out"
    with pytest.raises(EvalError, match=message):
        asked(prompt, source_prompt)
