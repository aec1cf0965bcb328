"""Scores against what is known of tinyworld's clips, from a reader's words and centres.

Numbers in, numbers out: ``tinyworld.reader.Reading`` says what each frame of the edit and of its
source clip shows, and the prompts say what it should show. README.md defines every score again,
for users.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eval.errors import EvalError
from tinyworld.scenes import ATTRIBUTES, Attribute, read_caption

if TYPE_CHECKING:
    from tinyworld.reader import Reading

PRESENT = 0.5
"""An object is there where the reader says so with at least this likelihood."""
STILL = 1.0
"""Pixels of 64: an object that is this near to its mean place (RMS) stands still, as a reader's
centres are never exact."""
_OF_THE_OBJECT = ("color", "shape")

Track = npt.NDArray[np.float64]
"""(F, 2), x and y in pixels of a frame of 64×64."""
Words = tuple[str | None, ...]


def ground_truth(
    edit: Reading, source: Reading, source_prompt: str, prompt: str
) -> dict[str, float | None]:
    """Judge an edit.

    Args:
        edit: What its F frames show.
        source: What the source clip's F frames show.
        source_prompt: What the source clip was said to show.
        prompt: The edited prompt.

    Returns:
        ``edited_right``, ``unedited_kept``, ``motion_correlation``, ``flicker`` and ``jitter`` (see
        the functions below). None where a score has no meaning, such as the first where the edit
        changes no word.

    Raises:
        EvalError: a prompt names nothing of the tiny world, or the clips are not of equal length
            of at least 2 frames.
    """
    frames = len(edit.present)
    if frames != len(source.present) or frames < 2:  # noqa: PLR2004 - a pair
        raise EvalError(
            f"the edit has {frames} frame(s) and its source {len(source.present)}, but equally "
            "many, and at least 2, are needed: raise video.num_frames and run again"
        )
    asked, expected = split_words(source, source_prompt, prompt)
    return {
        "edited_right": edited_right(edit, asked),
        "unedited_kept": unedited_kept(edit, expected),
        "motion_correlation": motion_correlation(edit, source),
        "flicker": flicker(edit),
        "jitter": jitter(edit, source),
    }


def split_words(
    source: Reading, source_prompt: str, prompt: str
) -> tuple[dict[Attribute, str], dict[Attribute, str]]:
    """Say what an edit should change and what it should keep.

    Returns:
        The words asked for, of each attribute whose word differs between the prompts; and the words
        expected, of each attribute whose word does not: the prompts' word, or, where they name
        none, the one read in most frames of the source clip. An attribute that only the source
        prompt names is in neither: nothing is asked for, and nothing need stay.

    Raises:
        EvalError: a prompt names nothing of the tiny world.
    """
    before, after = _named(source_prompt, "source"), _named(prompt, "edited")
    asked: dict[Attribute, str] = {}
    expected: dict[Attribute, str] = {}
    for name in ATTRIBUTES:
        word = after[name]
        if word != before[name]:
            if word is not None:
                asked[name] = word
        else:
            expected[name] = word or Counter(source.attributes[name]).most_common(1)[0][0]
    return asked, expected


def _named(prompt: str, kind: str) -> dict[Attribute, str | None]:
    found = read_caption(prompt)
    if found == read_caption(""):
        words = "; ".join(f"{name}: {', '.join(words)}" for name, words in ATTRIBUTES.items())
        raise EvalError(
            f"the {kind} prompt {prompt!r} names nothing of the tiny world, so the ground truth "
            f"cannot judge it: use its words ({words}), or leave tinyworld_v1 out of "
            "score.protocols"
        )
    return found


def edited_right(edit: Reading, asked: dict[Attribute, str]) -> float | None:
    """Percent of frames that show the object and all that the edit asked for.

    Returns:
        100 × the share of frames where the object is present and every attribute in `asked` is read
        as asked; 0 to 100. None if nothing was asked for.
    """
    if not asked:
        return None
    right = _present(edit)
    for name, word in asked.items():
        right &= _equal(_words(edit, name), word)
    return 100 * float(right.mean())


def unedited_kept(edit: Reading, expected: dict[Attribute, str]) -> float | None:
    """Percent of what the edit should not change that is as it was.

    Returns:
        100 × the mean over frames and over the attributes in `expected` of "is read as expected";
        0 to 100. Colour and shape of an object that is not there are not kept. None if nothing was
        to be kept.
    """
    if not expected:
        return None
    kept = [_equal(_words(edit, name), word).mean() for name, word in expected.items()]
    return 100 * float(np.mean(kept))


def flicker(edit: Reading) -> float:
    """Changes of the read words from frame to frame.

    Returns:
        100 × the mean over pairs of neighbouring frames of how many of the four attributes are read
        differently in the two: 0 to 400, and 25 is one change in every fourth pair. An object that
        vanishes or appears changes its colour and its shape.
    """
    changes = [
        [a != b for a, b in itertools.pairwise(words)]
        for words in (_words(edit, name) for name in ATTRIBUTES)
    ]
    return 100 * float(np.sum(changes, axis=0).mean())


def motion_correlation(edit: Reading, source: Reading) -> float | None:
    """Pearson's correlation of the object's track with the source's, x and y together.

    Returns:
        With both tracks' means taken off, the sum over frames and over x and y of their products,
        divided by the root of the product of their sums of squares: -1 to 1, 1 for the same motion
        anywhere in the frame. The direction in which the source moves more weighs more. Only frames
        count in which both clips show the object.

        0 if the edit's object follows nothing: it stands still (see `STILL`), or is there in fewer
        than 2 frames or fewer than half of those in which the source's is. None if there is
        nothing to follow: the source's object stands still or is not there.
    """
    there = _present(source)
    both = there & _present(edit)
    if there.sum() < 2 or _spread(source.centers[there]) < STILL:  # noqa: PLR2004 - a motion
        return None
    if both.sum() < max(2, there.sum() / 2):
        return 0.0
    one, other = _centred(edit.centers[both]), _centred(source.centers[both])
    if min(_spread(one), _spread(other)) < STILL:
        return 0.0
    scale = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float(np.clip((one * other).sum() / scale, -1, 1))


def jitter(edit: Reading, source: Reading) -> float | None:
    """Unsteadiness of the object's place against the source's.

    Returns:
        The root of the mean over pairs of neighbouring frames of the squared length of the change,
        from one frame to the next, of (centre in the edit - centre in the source), in pixels of a
        frame of 64×64; 0 for the same motion anywhere in the frame. Only pairs count whose two
        frames show the object in both clips; none if there is no such pair.
    """
    both = _present(source) & _present(edit)
    steps = np.diff(edit.centers - source.centers, axis=0)[both[1:] & both[:-1]]
    if len(steps) == 0:
        return None
    return float(np.sqrt((steps**2).sum(axis=1).mean()))


def _present(reading: Reading) -> npt.NDArray[np.bool_]:
    return np.asarray(reading.present) >= PRESENT


def _words(reading: Reading, name: Attribute) -> Words:
    """The words read, by frame; none for colour and shape of an object that is not there."""
    words = reading.attributes[name]
    if name not in _OF_THE_OBJECT:
        return words
    there = _present(reading).tolist()
    return tuple(word if here else None for word, here in zip(words, there, strict=True))


def _equal(words: Words, wanted: str) -> npt.NDArray[np.bool_]:
    return np.array([word == wanted for word in words])


def _centred(track: Track) -> Track:
    centred: Track = track - track.mean(axis=0)
    return centred


def _spread(track: Track) -> float:
    """Root mean square distance from the mean place, in pixels."""
    return float(np.sqrt((_centred(track) ** 2).sum(axis=1).mean()))
