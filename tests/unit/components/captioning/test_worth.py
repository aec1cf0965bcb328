"""Captions that say nothing, and those that say little but enough."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from components.captioning.worth import fault


@pytest.mark.parametrize("caption", ["", " ", "\n\t "])
def test_no_caption_is_empty(caption: str) -> None:
    assert fault(caption, "") == "is empty"


@pytest.mark.parametrize(
    "caption",
    [
        "a photo of",
        "A photo of a",
        "a picture of the",
        "an image",
        "video",
        "a photo of a photo of a photo of",
        "a close-up view of",
        "this is",
        "There is something in the picture.",
        "the the the the",
        "it's a",
        "It’s",
        "...",
        "!?, -",
        "“”",
        "1 2 3",
        "x",
        "\ufffd\ufffd",
    ],
)
def test_words_that_name_nothing_say_nothing(caption: str) -> None:
    assert fault(caption, "") == "names nothing that is to be seen"


@pytest.mark.parametrize(
    "caption",
    [
        "bald bald bald bald",
        "Bald, bald BALD",
        "bald bald bald bal",
        "baldbaldbaldbald",
        "a dog a dog a dog a dog a",
        "red car red car red car red",
        "a photo of dog dog dog",
        "猫猫猫猫",
        "собака собака собака",
        "แมวแมวแมว",
        "cafe\u0301 caf\u00e9 CAF\u00c9",
    ],
)
def test_loops_say_nothing(caption: str) -> None:
    assert fault(caption, "") == "only repeats itself"


@pytest.mark.parametrize(
    ("caption", "prompt"),
    [
        ("Question: what is shown? Answer:", "Question: what is shown? Answer:"),
        ("what is it? answer what is it answer: what is", "what is it? answer:"),
        ("Question: what is", "Question: what is shown? Answer:"),
        ("the animal is the animal is", "the animal is"),
        ("猫", "猫"),
    ],
)
def test_the_prompt_again_says_nothing(caption: str, prompt: str) -> None:
    assert fault(caption, prompt) == "only repeats caption.prompt"


@pytest.mark.parametrize(
    ("caption", "prompt"),
    [
        ("dog", ""),
        ("a dog", ""),
        ("a dog", "a photo of"),
        ("dog", "is this a cat or a dog? answer:"),
        ("dog. Question: what is it", "Question: what is it? Answer:"),
        ("very very tall tower", ""),
        ("a very, very, very tall tower", ""),
        ("a tuk tuk", ""),
        ("a dog next to a dog", ""),
        ("boat boat boat shark is photo", ""),
        ("a photo frame", ""),
        ("a video game", ""),
        ("a 3d render", ""),
        ("boeing 747", ""),
        ("man's best friend", ""),
        ("ox", ""),
        ("猫", ""),
        ("一只猫在跑", ""),
        ("犬", "写真:"),
        ("개", ""),
        ("собака", ""),
        ("แมว", ""),
        ("बिल्ली", ""),
        ("قطة", ""),
        ("e\u0301te\u0301", ""),
        ("🐱", ""),
    ],
)
def test_a_word_is_enough_in_any_script(caption: str, prompt: str) -> None:
    assert fault(caption, prompt) is None


@given(
    word=st.text(st.characters(categories=["Ll", "Lo"]), min_size=2, max_size=8),
    times=st.integers(3, 9),
    blank=st.sampled_from([" ", ", ", ""]),
    prompt=st.sampled_from(["", "a photo of"]),
)
def test_whatever_stands_thrice_alone_is_refused(
    word: str, times: int, blank: str, prompt: str
) -> None:
    assert fault(blank.join([word] * times), prompt) is not None


@given(caption=st.text(max_size=40), prompt=st.text(max_size=20))
def test_any_text_is_judged(caption: str, prompt: str) -> None:
    assume(fault(caption, prompt) is None)
    assert not all(char.isspace() or char in string.punctuation for char in caption)
