"""Whether an edit keeps what no prompt names: patterns, rims, shades, sizes, and the light.

A method that makes each frame on its own must guess these anew each time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from eval.asked import Task
from tinyworld.matching import PRESENT

_SHADE, _TINT, _LIGHT = 1.0, 1.0, 1.0
"""Differences, of values in -1 to 1, that count as a whole one."""
_SIZE = 0.5
"""Of the source thing's size: a difference that counts as a whole one."""

Numbers = npt.NDArray[np.float64]


def identity_kept(task: Task) -> float | None:
    """How far details are those of the source.

    Returns:
        100 × (1 - the mean over frames and details of how far the edit's is from the source's in
        the same frame): pattern and rim are equal (0) or not (1); shade differs by its distance, in
        -1 to 1, up to 1; size by its distance in halves of the source's, up to 1; tint and light of
        the background as the shade. 0 to 100. A thing that the edit lacks keeps nothing; frames in
        which the source's is not seen do not count for it. None if the source's things are never
        seen.
    """
    there = task.source.present >= PRESENT
    if not there.any():
        return None
    lost = there & (task.edit.present < PRESENT)
    parts = [np.where(lost, 1.0, found)[there] for found in _of_things(task)]
    parts += [_far(values, scale) for values, scale in _of_the_place(task)]
    return 100 * float(1 - np.concatenate([np.ravel(part) for part in parts]).mean())


def identity_drift(task: Task) -> float | None:
    """How far details change from frame to frame, against the source's.

    Returns:
        100 × the mean over pairs of neighbouring frames and over details of how far they change:
        pattern and rim where the edit's changes and the source's does not; shade, size, tint and
        light by the change of their difference from the source's, scaled as in `identity_kept`. 0
        to 100, lower is steadier. Only pairs count in which both clips show the thing in both
        frames; None if there is no such pair.
    """
    both = (task.source.present >= PRESENT) & (task.edit.present >= PRESENT)
    pairs = both[1:] & both[:-1]
    if not pairs.any():
        return None
    parts = []
    for name in ("pattern", "rim"):
        edit, source = getattr(task.edit, name), getattr(task.source, name)
        changed = (edit[1:] != edit[:-1]) & (source[1:] == source[:-1])
        parts.append(changed[pairs].astype(np.float64))
    for values, scale in _measured(task):
        parts.append(_far(np.diff(values, axis=0), scale)[pairs])
    for values, scale in _of_the_place(task):
        parts.append(_far(np.diff(values), scale))
    return 100 * float(np.concatenate(parts).mean())


def _of_things(task: Task) -> Iterator[Numbers]:
    """How far each detail of the things is from the source's, (F, K) each."""
    for name in ("pattern", "rim"):
        differs = getattr(task.edit, name) != getattr(task.source, name)
        yield differs.astype(np.float64)
    for values, scale in _measured(task):
        yield _far(values, scale)


def _measured(task: Task) -> Iterator[tuple[Numbers, float]]:
    """Differences from the source that are numbers, (F, K) each, and what counts as a whole one."""
    yield task.edit.shade - task.source.shade, _SHADE
    yield (task.edit.size - task.source.size) / np.maximum(task.source.size, 1.0), _SIZE


def _of_the_place(task: Task) -> Iterator[tuple[Numbers, float]]:
    yield task.edit.tint - task.source.tint, _TINT
    yield task.edit.light - task.source.light, _LIGHT


def _far(difference: Numbers, scale: float) -> Numbers:
    return np.minimum(np.abs(difference) / scale, 1.0)
