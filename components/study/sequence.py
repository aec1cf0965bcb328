"""A rater's pages: what is told of each, and under which names its clips go."""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.errors import ItemError, UserError
from components.study.clips import Clips
from components.study.design import Design, StudyEdit
from eval.study.assignment import Showing, showings
from eval.study.votes import NOISE, SOURCE, Kind

SIDES = ("left", "right")


class Sequences:
    """Every rater's pages. Nothing of them says which variant is where, or what is a check."""

    def __init__(self, design: Design, secret: bytes) -> None:
        self.design = design
        self._secret = secret
        self._edits = {(one.video, one.edit): one for one in design.edits}
        self._with_source = any(question.shows_source for question in design.asked)
        self.of = functools.cache(self._of)
        self.clips = functools.cache(self._clips)

    def _of(self, rater: int) -> tuple[Showing, ...]:
        """What a rater is shown."""
        return showings(self.design.plan, rater)

    def page(self, rater: int, place: int) -> dict[str, Any]:
        """One page as the browser gets it; at the end of the sequence that alone.

        Args:
            rater: Their number, from 0.
            place: In their sequence, from 0; its length is the end.
        """
        places = len(self.of(rater))
        head = {"place": place, "places": places}
        if place == places:
            return head
        showing = self.of(rater)[place]
        edit = self._edit(showing)
        # Of a check the source is right by every question, and so by its own prompt.
        prompt = edit.source_prompt if showing.kind is Kind.CHECK else edit.prompt
        return head | {
            "key": self.key(rater, place),
            "prompt": prompt or edit.prompt,
            "clips": {
                side: {"name": self._name(rater, place, side), "speed": self._speed(edit, shown)}
                for side, shown in self._shown(showing)
            },
        }

    def asked(self) -> dict[str, Any]:
        """What is the same on every page: questions, and whether a tie is offered."""
        texts = [{"id": one.id, "text": one.text} for one in self.design.asked]
        return {"questions": texts, "ties": self.design.ties}

    def _clips(self, rater: int) -> Mapping[str, tuple[StudyEdit, str]]:
        """By name: the edit, and the variant, the source or noise."""
        return {
            self._name(rater, place, side): (self._edit(showing), shown)
            for place, showing in enumerate(self.of(rater))
            for side, shown in self._shown(showing)
        }

    def key(self, rater: int, place: int) -> str:
        """What answers to a page repeat: a browser may have become another rater's meanwhile."""
        return self._digest("page", rater, place)[:32]

    def folder(self, rater: int) -> str:
        """The unguessable name of a rater's folder in a bundle: who knows it is the rater."""
        return self._digest("folder", rater)[:43]

    def _name(self, rater: int, place: int, side: str) -> str:
        return self._digest("clip", rater, place, side)[:32]

    def _digest(self, *key: object) -> str:
        text = "/".join(map(str, key))
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    def _edit(self, showing: Showing) -> StudyEdit:
        return self._edits[showing.pair.video, showing.pair.edit]

    def _shown(self, showing: Showing) -> Iterator[tuple[str, str]]:
        yield from zip(SIDES, (showing.pair.left, showing.pair.right), strict=True)
        if self._with_source:
            yield "source", SOURCE

    @staticmethod
    def _speed(edit: StudyEdit, shown: str) -> float:
        return 1.0 if shown in {SOURCE, NOISE} else edit.clips[shown].speed


def files(sequences: Sequences, clips: Clips) -> dict[tuple[str, str, str], Path]:
    """The file of every clip that any rater is shown, by video, edit and what it is.

    Raises:
        UserError: one is gone, or is not what the study was made of.
    """
    design = sequences.design
    wanted = {
        (edit.video, edit.edit, shown): edit
        for rater in range(design.plan.raters)
        for edit, shown in sequences.clips(rater).values()
    }
    try:
        return {
            key: file_of(clips, edit, key[-1], design.plan.seed) for key, edit in wanted.items()
        }
    except ItemError as error:
        raise UserError(f"a clip of the study cannot be shown: {error}") from error


def file_of(clips: Clips, edit: StudyEdit, shown: str, seed: int) -> Path:
    """The file of one clip.

    Args:
        clips: Of the run.
        edit: What it is of.
        shown: A variant, the source or noise.
        seed: The study's.

    Raises:
        ItemError: it is not to be had.
    """
    if shown in {SOURCE, NOISE}:
        assert edit.source is not None, "made only where checks or questions ask for it"
        return clips.noise(edit.source, seed) if shown == NOISE else clips.fetch(edit.source)
    return clips.fetch(edit.clips[shown])
