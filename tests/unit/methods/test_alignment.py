import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods.alignment import align
from tinyworld.vocabulary import WORDS, clip_tokenizer

SOURCE = "a red fish is swimming over the sea"
#        0 1  2   3    4    5      6    7   8  9 is the end


@functools.cache
def sixteen() -> Any:
    return clip_tokenizer(max_length=16)


@pytest.fixture
def tokenizer() -> Any:
    return sixteen()


def taken(weights: np.ndarray[Any, Any]) -> dict[int, int]:
    """Of each of an edit's tokens the source's that it takes over."""
    assert set(np.unique(weights)) <= {0, 1}
    assert weights.sum(0).max() == 1
    return {int(column): int(weights[:, column].argmax()) for column in weights.sum(0).nonzero()[0]}


def test_equal_prompts_are_each_others(tokenizer: Any) -> None:
    found = align(tokenizer, SOURCE, SOURCE)
    assert np.array_equal(found.source, np.eye(16))
    assert not found.own.any()
    assert found.edited == ()


def test_words_in_anothers_place_see_for_themselves(tokenizer: Any) -> None:
    found = align(tokenizer, SOURCE, "a blue car is swimming over the sea")
    assert taken(found.source) == {i: i for i in range(16) if i not in (2, 3)}
    assert list(found.own.nonzero()[0]) == [2, 3]
    assert found.edited == (2, 3)


def test_added_words_move_those_behind_them(tokenizer: Any) -> None:
    found = align(tokenizer, SOURCE, "a cartoon of a red fish is swimming over the sea")
    # a cartoon of [a red fish is swimming over the sea end]: three places on; then what fills up.
    assert taken(found.source) == {0: 0} | {i + 3: i for i in range(1, 10)} | {
        13: 13,
        14: 14,
        15: 15,
    }
    assert list(found.own.nonzero()[0]) == [1, 2, 3]
    assert found.edited == ()


def test_what_fills_up_beside_a_word_takes_no_word_over(tokenizer: Any) -> None:
    found = align(tokenizer, SOURCE, "a red fish")
    assert taken(found.source) == {0: 0, 1: 1, 2: 2, 3: 3, 4: 9} | {i: i for i in range(10, 16)}
    assert list(found.own.nonzero()[0]) == [5, 6, 7, 8, 9]
    assert found.edited == (4, 5, 6, 7, 8)


def test_replaced_words_take_over_word_by_word(tokenizer: Any) -> None:
    found = align(tokenizer, SOURCE, "a blue car is swimming over the sand", replace=True)
    assert np.array_equal(found.source, np.eye(16))
    assert not found.own.any()
    assert found.edited == (2, 3, 8)


def test_of_unequally_many_each_takes_a_part_of_all(tokenizer: Any) -> None:
    found = align(tokenizer, "a red fish", "a big bright blue car", replace=True)
    count = len(tokenizer("big bright blue car").input_ids) - 2
    assert count > 2, "words that the tokenizer cuts up"
    new = slice(2, 2 + count)
    assert np.allclose(found.source[2:4, new], 1 / count)
    assert found.source[:, new].sum() == pytest.approx(2)
    assert not found.own[new].any()


def test_words_of_several_tokens_are_one_word(tokenizer: Any) -> None:
    ids = tokenizer("xylo").input_ids
    assert len(ids) > 3
    found = align(tokenizer, "a red fish", "a xylo fish", replace=True)
    parts = slice(2, 2 + len(ids) - 2)
    assert np.allclose(found.source[2, parts], 1 / (len(ids) - 2))
    same = align(tokenizer, "a xylo fish", "a xylo car")
    assert taken(same.source).keys() >= set(range(parts.stop))


def test_new_words_alone_are_amplified(tokenizer: Any) -> None:
    edited = "a blue fish is swimming over the sea, cartoon style"
    for replace, new in ((False, [2, 9, 10, 11]), (True, [9, 10, 11])):
        one, other = (align(tokenizer, SOURCE, edited, replace=replace, amplify=a) for a in (1, 5))
        ratio = other.own[one.own > 0] / one.own[one.own > 0]
        assert list(one.own.nonzero()[0]) == new
        assert (ratio == 5).all()
        assert other.source[2, 2] == (5 if replace else 0)
        assert other.source[3, 3] == 1


@given(*[st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)] * 2, st.booleans())
def test_every_token_sees_as_much_as_it_would(one: str, other: str, replace: bool) -> None:  # noqa: FBT001
    tokenizer = sixteen()
    found = align(tokenizer, one, other, replace=replace)
    words = len(tokenizer(other).input_ids)
    shares = found.source.sum(0) + found.own
    assert shares[words:] == pytest.approx(1)
    if not replace:
        assert shares == pytest.approx(1)
    back = align(tokenizer, one, one, replace=replace)
    assert np.array_equal(back.source, np.eye(16))
