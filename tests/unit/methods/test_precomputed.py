from pathlib import Path
from typing import Any

import numpy as np
import pytest

from methods.method import Edit, Frames, Passes
from methods.precomputed import Precomputed, PrecomputedConfig
from tests.editing import clip, loaded, made


@pytest.mark.parametrize(
    ("videos", "address"),
    [
        ("s3://b/{video}/{edit}.mp4", "s3://b/fish/snow.mp4"),
        ("/e/{edit}-of-{video}", "/e/snow-of-fish"),
        ("/e/{edit}/{edit}.mp4", "/e/snow/snow.mp4"),
        ("/{{e}}/{video}/{edit}", "/{e}/fish/snow"),
        ("/%7Be%7D/{video} {edit}.mp4", "/%7Be%7D/fish snow.mp4"),
    ],
)
def test_each_edit_has_its_address(videos: str, address: str) -> None:
    method = made(Precomputed, Path("/no base is read"), videos=videos)
    assert method.address("fish", "snow") == address
    assert not method.uses_base
    assert method.stages() == ()
    assert method.cost().edit == Passes()


@pytest.mark.parametrize(
    ("videos", "words"),
    [
        ("", "holds no {edit}"),
        ("/e/fish.mp4", "holds no {edit}, but each edit is a file: give a pattern such as s3://b"),
        ("/e/{video}.mp4", "holds no {edit}"),
        ("/e/{{edit}}.mp4", "holds no {edit}"),
        ("/e/{video}/{name}.mp4", "holds {name}, but only {video} and {edit}"),
        ("/e/{}/{edit}.mp4", "holds {}, but only"),
        ("/e/{0}/{edit}.mp4", "holds {0}, but only"),
        ("/e/{edit.__class__}.mp4", "holds {edit.__class__}, but only"),
        ("/e/{edit[0]}.mp4", "holds {edit[0]}, but only"),
        ("/e/{edit!r}.mp4", "holds {edit!r}, but only"),
        ("/e/{edit:>9}.mp4", "holds {edit:>9}, but only"),
        ("/e/{edit.mp4", "is no pattern (expected '}' before end of string)"),
        ("/e/}{edit}.mp4", "is no pattern (Single '}'"),
    ],
)
def test_a_pattern_that_cannot_be_filled_in_is_refused(videos: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"^videos ") as refused:
        PrecomputedConfig(videos=videos)
    assert words in str(refused.value)


def test_a_refusal_does_not_repeat_credentials() -> None:
    with pytest.raises(ValueError, match=r"^videos ") as refused:
        PrecomputedConfig(videos="s3://key:secret@b/{vido}/{edit}.mp4")
    assert "secret" not in str(refused.value)


def test_what_is_given_is_the_edit(frames: Frames) -> None:
    method: Any = loaded(Precomputed, Path("/no base is read"), videos="/e/{edit}")
    edits = [Edit(name="e", prompt="p", given=lambda: frames)]
    (out,) = method.edit(clip(frames[:0]), edits, {})
    assert np.array_equal(out, frames)
