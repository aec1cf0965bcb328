"""Scores against what is known of tinyworld's clips, from a reader's words, places and details.

Numbers in, numbers out: ``tinyworld.reader.Reading`` says what each frame of the edit and of its
source clip shows, and the prompts say what it should show. README.md defines every score again,
for users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eval.asked import FRAME, Task, read_words, task
from eval.errors import EvalError
from eval.identity import identity_drift, identity_kept
from tinyworld.matching import PRESENT
from tinyworld.scenes import OF_A_THING, OF_THE_FRAME

if TYPE_CHECKING:
    from tinyworld.reader import Reading

STILL = 1.0
"""Pixels of 64: a thing that is this near to its mean place (RMS) stands still, as a reader's
centres are never exact."""

Track = npt.NDArray[np.float64]
"""(F, 2), x and y in pixels of a frame of 64×64."""


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
        ``edited_right``, ``unedited_kept``, ``wrong_object_changed``, ``identity_kept``,
        ``identity_drift``, ``motion_correlation``, ``flicker`` and ``jitter`` (see the functions of
        these names). None where a score has no meaning, such as the first where the edit changes no
        word.

    Raises:
        EvalError: a prompt names nothing of the tiny world, both name things and not equally many,
            or the clips are not of equal length of at least 2 frames.
    """
    frames = len(edit.present)
    if frames != len(source.present) or frames < 2:  # noqa: PLR2004 - a pair
        raise EvalError(
            f"the edit has {frames} frame(s) and its source {len(source.present)}, but equally "
            "many, and at least 2, are needed: raise video.num_frames and run again"
        )
    what = task(edit, source, source_prompt, prompt)
    return {
        "edited_right": edited_right(what),
        "unedited_kept": unedited_kept(what),
        "wrong_object_changed": wrong_object_changed(what),
        "identity_kept": identity_kept(what),
        "identity_drift": identity_drift(what),
        "motion_correlation": motion_correlation(what.edit, what.source),
        "flicker": flicker(what.edit, what.source),
        "jitter": jitter(what.edit, what.source),
    }


def edited_right(what: Task) -> float | None:
    """Percent of frames that show the things and all that the edit asked for.

    Returns:
        100 × the share of frames where every thing that the source's frame shows is present and
        every word asked for is read. 0 to 100. Only frames count in which the source shows the
        things of which something is asked (one may be behind the other). None if nothing was asked
        for, or no frame counts.
    """
    if not what.asked:
        return None
    there = what.source.present >= PRESENT
    right: npt.NDArray[np.bool_] = np.all((what.edit.present >= PRESENT) | ~there, axis=1)
    counts = np.ones(len(right), dtype=bool)
    for (index, name), word in what.asked.items():
        right &= read_words(what.edit, (index, name)) == word
        if index != FRAME:
            counts &= there[:, index]
    if not counts.any():
        # The source's thing is in no frame: the edit is judged by all of its own.
        counts[:] = True
        right &= (what.edit.present >= PRESENT).all(axis=1)
    return 100 * float(right[counts].mean())


def unedited_kept(what: Task) -> float | None:
    """Percent of what the edit should not change that is as it was.

    Returns:
        100 × the mean over frames and over the attributes that no prompt changes of "is read as
        expected"; 0 to 100. Colour and shape of a thing that is not there are not kept; frames in
        which the source does not show it do not count. None if nothing was to be kept.
    """
    kept = []
    for (index, name), word in what.expected.items():
        equal = read_words(what.edit, (index, name)) == word
        if index != FRAME:
            there = what.source.present[:, index] >= PRESENT
            equal = (equal & (what.edit.present[:, index] >= PRESENT))[there]
        if len(equal):
            kept.append(equal.mean())
    return 100 * float(np.mean(kept)) if kept else None


def wrong_object_changed(what: Task) -> float | None:
    """Percent of frames in which the thing that no prompt changes is another.

    Returns:
        Of an edit that changes one of two things: 100 × the share of frames in which the other's
        colour or shape is not what it was, or it is gone. 0 to 100, lower is better. Only frames
        count in which the source shows it. None of other edits.
    """
    changed = {index for index, _ in what.asked if index != FRAME}
    things = what.edit.present.shape[1]
    if len(changed) != 1 or things == 1:
        return None
    (other,) = set(range(things)) - changed
    there = what.source.present[:, other] >= PRESENT
    if not there.any():
        return None
    wrong = what.edit.present[:, other] < PRESENT
    for name in OF_A_THING:
        if (other, name) in what.expected:
            wrong |= read_words(what.edit, (other, name)) != what.expected[other, name]
    return 100 * float(wrong[there].mean())


def flicker(edit: Reading, source: Reading) -> float:
    """Changes of the read words from frame to frame.

    Returns:
        100 × the sum over the attributes of the share of pairs of neighbouring frames in which they
        are read differently, colour and shape over the pairs of all things: 0 to 400, and 25 is one
        change in every fourth pair. A thing that vanishes or appears changes its colour and its
        shape. Of a thing only pairs count in which the source shows it in both frames.
    """
    there, shown = edit.present >= PRESENT, source.present >= PRESENT
    counts = shown[1:] & shown[:-1]
    shares = []
    for name in OF_A_THING:
        words = np.where(there, getattr(edit, name), "")
        shares.append((words[1:] != words[:-1])[counts])
    for name in OF_THE_FRAME:
        words = getattr(edit, name)
        shares.append(words[1:] != words[:-1])
    return 100 * sum(float(share.mean()) for share in shares if len(share))


def motion_correlation(edit: Reading, source: Reading) -> float | None:
    """Pearson's correlation of the things' tracks with the source's, x and y together.

    Returns:
        The mean over the things of: with both tracks' means taken off, the sum over frames and over
        x and y of their products, divided by the root of the product of their sums of squares: -1
        to 1, 1 for the same motion anywhere in the frame. The direction in which the source moves
        more weighs more. Only frames count in which both clips show the thing.

        Of a thing it is 0 if the edit's follows nothing: it stands still (see `STILL`), or is there
        in fewer than 2 frames or fewer than half of those in which the source's is. A thing that
        stands still or is not there in the source does not count; None if there is no other.
    """
    found = [
        value
        for k in range(edit.present.shape[1])
        if (value := _follows(edit, source, k)) is not None
    ]
    return float(np.mean(found)) if found else None


def _follows(edit: Reading, source: Reading, thing: int) -> float | None:
    there = source.present[:, thing] >= PRESENT
    both = there & (edit.present[:, thing] >= PRESENT)
    old, new = source.centers[:, thing], edit.centers[:, thing]
    if there.sum() < 2 or _spread(old[there]) < STILL:  # noqa: PLR2004 - a motion
        return None
    if both.sum() < max(2, there.sum() / 2):
        return 0.0
    one, other = _centred(new[both]), _centred(old[both])
    if min(_spread(one), _spread(other)) < STILL:
        return 0.0
    scale = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float(np.clip((one * other).sum() / scale, -1, 1))


def jitter(edit: Reading, source: Reading) -> float | None:
    """Unsteadiness of the things' places against the source's.

    Returns:
        The root of the mean over pairs of neighbouring frames and over things of the squared length
        of the change, from one frame to the next, of (centre in the edit - centre in the source),
        in pixels of a frame of 64×64; 0 for the same motion anywhere in the frame. Only pairs count
        whose two frames show the thing in both clips; None if there is no such pair.
    """
    both = (source.present >= PRESENT) & (edit.present >= PRESENT)
    steps = np.diff(edit.centers - source.centers, axis=0)[both[1:] & both[:-1]]
    if len(steps) == 0:
        return None
    return float(np.sqrt((steps**2).sum(axis=1).mean()))


def _centred(track: Track) -> Track:
    centred: Track = track - track.mean(axis=0)
    return centred


def _spread(track: Track) -> float:
    """Root mean square distance from the mean place, in pixels."""
    return float(np.sqrt((_centred(track) ** 2).sum(axis=1).mean()))
