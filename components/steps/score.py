"""The score step: metrics of every edit, under each protocol of the configuration."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from components.errors import ItemError, UserError
from components.log import VideoLog
from components.records.keys import KeyMaker
from components.records.provenance import provenance
from components.records.revisions import hub_revision
from components.steps.step import ItemWorker, Outcome, StepContext
from components.storage.tables import Row
from eval.measures import MEASURES
from tinyworld.shipped import public_name

if TYPE_CHECKING:
    from eval.clip_encoder import ClipEncoder
    from eval.protocols.protocol import ClipProtocol, Embedding, Frames, Protocol, TruthProtocol
    from tinyworld.reader import Reader, Reading

logger = logging.getLogger(__name__)

READER = "tinyworld/reader"
"""What reads frames for ground truth, as in ``scores.score_model``."""


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
    method: str
    """What made the edit."""
    prompt: str
    category: str
    video_uri: str
    """The edit's mp4, relative to the run's root."""
    sha256: str
    protocol: str
    source: Row | None = None
    """What leads back to the source clip's frames (see ``plan.clip_reference``) and its
    ``source_prompt``; none where the protocol asks for neither."""
    attempt: int = 1


def score_key(edit_key: str, protocol: str, revision: str) -> str:
    """Content key of one edit's scores.

    Args:
        edit_key: Of the edit.
        protocol: The protocol's name, which ends in its version.
        revision: What the CLIP model or the reader is exactly: a hub commit or a folder's digest.
    """
    return _score_keys(protocol, revision)(edit_key=edit_key)


@functools.lru_cache(maxsize=100)
def _score_keys(protocol: str, revision: str) -> KeyMaker:
    return KeyMaker(kind="score", protocol=protocol, score_revision=revision)


def check_protocols(names: Sequence[str]) -> None:
    """Refuse unknown protocols before any work.

    Raises:
        UserError: names what is unknown, the nearest name and the list of all.
    """
    from eval.protocols.registry import get_protocol

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


class ScoreWorker(ItemWorker):
    """Loads what the protocols judge with once, and scores edit after edit."""

    step = "score"
    table = "scores"
    identity = MappingProxyType(
        {"edit_id": "edit_id", "protocol": "protocol", "score_key": "item_key"}
    )

    def __init__(self, context: StepContext) -> None:
        super().__init__(context)
        self._edit: _Edit | None = None
        self._source: tuple[Row, Reading] | None = None
        self._encoder: ClipEncoder | None = None
        self._reader: Reader | None = None
        self._load()

    def _load(self) -> None:
        from eval.errors import EncoderError
        from eval.protocols.registry import reads_frames

        readers = {reads_frames(name) for name in self._context.config.score.protocols}
        try:
            self._encoder = _load_encoder(self._context) if False in readers else None
            self._reader = _load_reader(self._context) if True in readers else None
        except EncoderError as error:
            raise UserError(f"the score step cannot start: {error}") from error
        if self._encoder is not None:
            # The protocols of one edit share its prompt.
            self._encode_text = functools.lru_cache(maxsize=16)(self._encoder.encode_text)

    @override
    def _outcomes(self, items: Sequence[ScoreItem]) -> Iterator[Outcome]:
        for item in items:
            yield self._attempt(item, functools.partial(self._score, item), edit_id=item.edit_id)

    def _score(self, item: ScoreItem) -> None:
        from eval.errors import EvalError
        from eval.protocols.registry import get_protocol

        started = time.perf_counter()
        try:
            scores = self._judge(item, get_protocol(item.protocol))
        except EvalError as error:
            raise ScoreError(f"edit {item.edit_id!r}, protocol {item.protocol}: {error}") from error
        self._writer.add("scores", self._row(item, scores, started))
        log = VideoLog(logger, step="score", video_id=item.video_id, edit_id=item.edit_id)
        log.info(
            "protocol=%s %s",
            item.protocol,
            " ".join(f"{k}={v:.2f}" for k, v in scores.items() if v is not None),
        )

    def _judge(self, item: ScoreItem, protocol: Protocol) -> dict[str, float | None]:
        from eval.protocols.protocol import ClipProtocol, TruthProtocol, score_embeddings

        if isinstance(protocol, TruthProtocol):
            return self._compare(item, protocol)
        assert isinstance(protocol, ClipProtocol)  # there is no third kind
        # The prompt first: one that is too long need not cost a download.
        text = self._encode_text(item.prompt)
        return {**score_embeddings(protocol, self._embed(item, protocol), text)}

    def _compare(self, item: ScoreItem, protocol: TruthProtocol) -> dict[str, float | None]:
        assert item.source is not None  # the plan gives it
        edit = self._read(self._edited(item).frames)
        source = self._read_source(item.source)
        return protocol.metrics(edit, source, item.source["source_prompt"], item.prompt)

    def _row(
        self, item: ScoreItem, scores: dict[str, float | None], started: float
    ) -> dict[str, Any]:
        from eval.protocols.registry import reads_frames

        context = self._context
        settings = context.config.score
        reads = reads_frames(item.protocol)
        return {
            "edit_key": item.edit_key,
            "protocol": item.protocol,
            "score_key": item.item_key,
            "edit_id": item.edit_id,
            "video_id": item.video_id,
            "prompt": item.prompt,
            "category": item.category,
            "method": item.method,
            **{name: scores.get(name) for name in MEASURES},
            "score_model": READER if reads else public_name(settings.model),
            "score_revision": context.reader_revision if reads else context.score_revision,
            **provenance(config_hash=context.config_hash, device=settings.device, started=started),
        }

    def _embed(self, item: ScoreItem, protocol: ClipProtocol) -> Embedding:
        from eval.protocols.protocol import embed_frames

        assert self._encoder is not None  # a protocol of the configuration asked for it
        edit = self._edited(item)
        if protocol.frame_size not in edit.embeddings:
            embedding = embed_frames(protocol, self._encoder, edit.frames)
            edit.embeddings[protocol.frame_size] = embedding
        return edit.embeddings[protocol.frame_size]

    def _read(self, frames: Frames) -> Reading:
        from eval.errors import EvalError

        assert self._reader is not None  # a protocol of the configuration asked for it
        try:
            return self._reader.read(frames)
        except ValueError as error:
            raise EvalError(str(error)) from error

    def _read_source(self, source: Row) -> Reading:
        """Read the source clip; the edits of one video mostly follow each other."""
        from components.steps.ingest import load_clip

        if self._source is None or self._source[0] != source:
            limits = self._context.config.video.limits
            self._source = (source, self._read(load_clip(source, limits).frames))
        return self._source[1]

    def _edited(self, item: ScoreItem) -> _Edit:
        if self._edit is None or self._edit.identity != (item.video_uri, item.sha256):
            self._edit = None  # two edits at once would double the memory
            self._edit = _Edit(item.video_uri, item.sha256, self._frames(item))
        return self._edit

    def _frames(self, item: ScoreItem) -> Frames:
        with self._scratch() as folder:
            target = folder / Path(item.video_uri).name  # the name that messages show
            self._store.fetch_checked(item.video_uri, target, item.sha256)
            return self._decode(target)

    def _decode(self, path: Path) -> Frames:
        from components.video.io import read_mp4_frames

        return read_mp4_frames(path)


def _load_encoder(context: StepContext) -> ClipEncoder:
    from eval.clip_encoder import ClipEncoder

    settings = context.config.score
    return ClipEncoder(
        settings.model,
        device=settings.device,
        batch_size=settings.batch_size,
        revision=hub_revision(context.score_revision),
    )


def _load_reader(context: StepContext) -> Reader:
    from eval.clip_encoder import checked_device
    from eval.errors import EncoderError
    from tinyworld.reader import Reader

    device = str(checked_device(context.config.score.device))
    try:
        return Reader.load(device=device)
    except (OSError, ValueError) as error:
        raise EncoderError(f"tinyworld's reader cannot be loaded: {error}") from error
