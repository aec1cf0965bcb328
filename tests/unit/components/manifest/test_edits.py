"""Templates over a caption, which may hold anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ItemError
from components.manifest.edits import default_name
from components.manifest.fields import valid_id
from components.manifest.load import (
    EditEntry,
    expand_edit,
)


def test_replacing_is_of_whole_words_and_all_at_once() -> None:
    words = {"cat": "dog", "dog": "cat", "red": "green", "red dog": "blue fox"}
    edit = EditEntry(name="e", replace=words)
    caption = "a Cat, a red dog, a red car and a dog in a catalogue"
    expected = "a dog, a blue fox, a green car and a cat in a catalogue"
    assert expand_edit(edit, caption) == expected


@given(word=st.text(min_size=1, max_size=5), caption=st.text(max_size=30), target=st.text())
def test_no_word_and_no_caption_is_ever_read_as_a_pattern(
    word: str, caption: str, target: str
) -> None:
    edit = EditEntry(name="e", replace={word: target})
    try:
        prompt = expand_edit(edit, f"{caption} {word} {caption}")
    except ItemError:
        return
    assert target in prompt


def test_a_word_that_the_caption_lacks_is_an_error_of_the_edit() -> None:
    edit = EditEntry(name="puppy", replace={"rabbit": "puppy"})
    with pytest.raises(
        ItemError, match=r"'puppy' replaces 'rabbit', which is not a word of .*'a car'"
    ):
        expand_edit(edit, "a car")
    with pytest.raises(ItemError, match="not a word"):
        expand_edit(edit, "two rabbits")


def test_templates_are_text_and_never_code() -> None:
    edit = EditEntry(name="e", prompt="{caption}, {caption}")
    assert expand_edit(edit, " {caption.x} %s {0} ") == "{caption.x} %s {0}, {caption.x} %s {0}"
    assert expand_edit(edit, "{caption}") == "{caption}, {caption}"
    with pytest.raises(ItemError, match="the caption is empty"):
        expand_edit(edit, " ")
    with pytest.raises(ItemError, match=r"a prompt of 4002 characters, but 1 to 2000"):
        expand_edit(edit, "x" * 2000)


def test_default_names_depend_on_the_content_alone() -> None:
    assert default_name("{caption}, in the Snow!", None).startswith("in-the-snow-")
    assert default_name("雪", None).startswith("edit-")
    names = {default_name(p, r) for p, r in [("a", None), ("b", None), (None, {"a": "b"})]}
    assert len(names) == 3
    assert all(valid_id(default_name(prompt, None)) for prompt in ["x" * 2000, "- -", "a..b", "é"])
