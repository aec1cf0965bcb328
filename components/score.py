"""The score step: CLIP metrics of every edit, under each protocol of the configuration."""

from __future__ import annotations

import functools
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import ItemError, UserError
from components.keys import content_key
from components.log import VideoLog
from components.provenance import provenance
from components.revisions import hub_revision
from components.step import Outcome, StepContext, attempt_item
from components.tables import append_rows

if TYPE_CHECKING:
    from eval.protocols import Embedding, Frames, Protocol

logger = logging.getLogger(__name__)

METHOD = "tune-a-video"
"""What made the edits, as in ``scores.method``."""


class ScoreError(ItemError):
    """An edit cannot be scored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreItem:
    """One edit under one protocol. The protocols of one edit stand together in a batch."""

    item_key: str
    """The score's key (see ``score_key``)."""
    video_id: str
    edit_id: str
    edit_key: str
    prompt: str
    category: str
    video_uri: str
    """The edit's mp4, relative to the run's root."""
    sha256: str
    protocol: str
    attempt: int = 1


def score_key(edit_key: str, protocol: str, revision: str) -> str:
    """Content key of one edit's scores.

    Args:
        edit_key: Of the edit.
        protocol: The protocol's name, which ends in its version.
        revision: What the CLIP model is exactly: a hub commit or a folder's digest.
    """
    return content_key(kind="score", edit_key=edit_key, protocol=protocol, score_revision=revision)


def check_protocols(names: Sequence[str]) -> None:
    """Refuse unknown protocols before any work.

    Raises:
        UserError: names what is unknown, the nearest name and the list of all.
    """
    from eval.protocols import get_protocol

    for name in names:
        try:
            get_protocol(name)
        except ValueError as error:
            raise UserError(f"score.protocols: {error}") from error


class _Edit:
    """The edit that is being scored: decoded once, embedded once for each preprocessing."""

    def __init__(self, video_uri: str, sha256: str, frames: Frames) -> None:
        self.identity = (video_uri, sha256)
        self.frames = frames
        self.embeddings: dict[tuple[int, int] | None, Embedding] = {}


class ScoreWorker:
    """Loads the CLIP model once and scores edit after edit."""

    def __init__(self, context: StepContext) -> None:
        from eval.clip_encoder import ClipEncoder
        from eval.errors import EncoderError

        settings = context.config.score
        self._context = context
        self._store = context.store()
        self._edit: _Edit | None = None
        try:
            self._encoder = ClipEncoder(
                settings.model,
                device=settings.device,
                batch_size=settings.batch_size,
                revision=hub_revision(context.score_revision),
            )
        except EncoderError as error:
            raise UserError(f"the score step cannot start: {error}") from error
        # The protocols of one edit share its prompt.
        self._encode_text = functools.lru_cache(maxsize=16)(self._encoder.encode_text)

    def __call__(self, items: Sequence[ScoreItem]) -> list[Outcome]:
        """Score each item; one that fails leaves the others alone."""
        return [
            attempt_item(
                "score",
                self._context,
                item,
                functools.partial(self._score, item),
                edit_id=item.edit_id,
            )
            for item in items
        ]

    def _score(self, item: ScoreItem) -> None:
        from eval.errors import EvalError
        from eval.protocols import get_protocol, score_embeddings

        started = time.perf_counter()
        protocol = get_protocol(item.protocol)
        try:
            # The prompt first: one that is too long need not cost a download.
            text = self._encode_text(item.prompt)
            scores = score_embeddings(protocol, self._embed(item, protocol), text)
        except EvalError as error:
            raise ScoreError(f"edit {item.edit_id!r}, protocol {item.protocol}: {error}") from error
        append_rows(self._store, "scores", [self._row(item, scores, started)])
        VideoLog(logger, step="score", video_id=item.video_id).info(
            "edit=%s protocol=%s frame_consistency=%.2f textual_alignment=%.2f",
            item.edit_id,
            item.protocol,
            scores["frame_consistency"],
            scores["textual_alignment"],
        )

    def _row(self, item: ScoreItem, scores: dict[str, float], started: float) -> dict[str, Any]:
        settings = self._context.config.score
        return {
            "edit_key": item.edit_key,
            "protocol": item.protocol,
            "score_key": item.item_key,
            "edit_id": item.edit_id,
            "video_id": item.video_id,
            "prompt": item.prompt,
            "category": item.category,
            "method": METHOD,
            "frame_consistency": scores["frame_consistency"],
            "textual_alignment": scores["textual_alignment"],
            "score_model": settings.model,
            "score_revision": self._context.score_revision,
            **provenance(
                config_hash=self._context.config_hash, device=settings.device, started=started
            ),
        }

    def _embed(self, item: ScoreItem, protocol: Protocol) -> Embedding:
        from eval.protocols import embed_frames

        if self._edit is None or self._edit.identity != (item.video_uri, item.sha256):
            self._edit = None  # two edits at once would double the memory
            self._edit = _Edit(item.video_uri, item.sha256, self._frames(item))
        known = self._edit.embeddings
        if protocol.frame_size not in known:
            known[protocol.frame_size] = embed_frames(protocol, self._encoder, self._edit.frames)
        return known[protocol.frame_size]

    def _frames(self, item: ScoreItem) -> Frames:
        from components.video_io import read_mp4_frames

        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, Path(item.video_uri).name)  # the name that messages show
            self._store.fetch_checked(item.video_uri, target, item.sha256)
            return read_mp4_frames(target)
