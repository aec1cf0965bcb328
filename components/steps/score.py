"""The score step: metrics of every edit, under each protocol of the configuration."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from components.config import JudgeConfig, ScoreConfig
from components.errors import ItemError, UserError
from components.log import VideoLog
from components.records.keys import KeyMaker
from components.records.provenance import provenance
from components.records.revisions import hub_revision
from components.steps.step import ItemWorker, Outcome, StepContext
from components.storage.tables import Row
from tinyworld.shipped import public_name

if TYPE_CHECKING:
    from eval.clip_encoder import ClipEncoder
    from eval.protocols.evidence import Clip, Frames, Judges
    from eval.protocols.protocol import Protocol, Scores
    from tinyworld.reader import Reader

logger = logging.getLogger(__name__)

SHIPPED_READER = "tinyworld/reader"
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
    """What leads back to the source clip's frames (see ``clips.clip_reference``) and its
    ``source_prompt``; none where the protocol asks for neither."""
    attempt: int = 1


def score_key(edit_key: str, protocol: str, revision: str, mask: str | None = None) -> str:
    """Content key of one edit's scores.

    Args:
        edit_key: Of the edit.
        protocol: The protocol's name, which ends in its version.
        revision: What its judges are exactly (see ``judges_revision``).
        mask: SHA-256 of the source's mask; it counts where the protocol reads masks.
    """
    from eval.protocols.registry import reads_mask

    # Of no part without one, so that scores without masks keep their keys.
    masked = {"mask": mask} if mask is not None and reads_mask(protocol) else {}
    return _score_keys(protocol, revision)(edit_key=edit_key, **masked)


@functools.lru_cache(maxsize=100)
def _score_keys(protocol: str, revision: str) -> KeyMaker:
    return KeyMaker(kind="score", protocol=protocol, score_revision=revision)


def judges_revision(protocol: str, revisions: Mapping[str, str]) -> str:
    """What the judges of a protocol are exactly: a hub commit or a folder's digest, each.

    Args:
        protocol: Its name.
        revisions: By judge; one that the run has not resolved is empty.
    """
    from eval.protocols.registry import judges_of

    return "+".join(revisions.get(judge, "") for judge in judges_of(protocol))


def judge_model(config: ScoreConfig, judge: str) -> JudgeConfig:
    """The model that a judge of ``eval.judges`` is in a run.

    Raises:
        UserError: the configuration has to name it, and does not.
    """
    from eval.judges import JUDGES
    from eval.protocols.registry import judges_of

    if judge in config.judges:
        return config.judges[judge]
    if (usual := JUDGES[judge].model) is None:
        asked = ", ".join(name for name in config.protocols if judge in judges_of(name))
        raise UserError(
            f"score.judges names no model for {judge!r}, which {asked} judges with and no hub has: "
            f"set score.judges.{judge}.model to a folder of its weights as safetensors "
            "(eval/README.md says how they are made), or leave the protocol out"
        )
    return JudgeConfig(model=usual)


def check_judge(model: str) -> None:
    """Refuse a judge's folder whose weights are no safetensors, before any work.

    Raises:
        UserError: names it. Nothing is asked of a hub.
    """
    from eval.errors import EncoderError
    from eval.weights import check_folder

    if (folder := Path(model)).is_dir():
        try:
            check_folder(folder, model)
        except EncoderError as error:
            raise UserError(str(error)) from error


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


class ScoreWorker(ItemWorker):
    """Loads what the protocols judge with once, and scores edit after edit."""

    step = "score"
    table = "scores"
    identity = MappingProxyType(
        {"edit_id": "edit_id", "protocol": "protocol", "score_key": "item_key"}
    )

    def __init__(self, context: StepContext) -> None:
        super().__init__(context)
        self._edit: tuple[tuple[str, str], Clip] | None = None
        self._source: tuple[Row, Clip] | None = None
        self._judges = self._load()

    def _load(self) -> Judges:
        from eval.errors import EncoderError
        from eval.judges import JUDGES
        from eval.protocols.evidence import CLIP, READER, Judges
        from eval.protocols.registry import judges_of

        names = self._context.config.score.protocols
        asked = {judge for name in names for judge in judges_of(name)}
        try:
            return Judges(
                _load_encoder(self._context) if CLIP in asked else None,
                _load_reader(self._context) if READER in asked else None,
                {
                    judge: _load_judge(self._context, judge)
                    for judge in sorted(asked & JUDGES.keys())
                },
            )
        except EncoderError as error:
            raise UserError(f"the score step cannot start: {error}") from error

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
        for name, reason in scores.reasons.items():
            log.debug("protocol=%s no %s: %s", item.protocol, name, reason)
        log.debug(
            "protocol=%s %s",
            item.protocol,
            " ".join(f"{name}={value:.2f}" for name, value in scores.values.items()),
        )

    def _judge(self, item: ScoreItem, protocol: Protocol) -> Scores:
        from eval.protocols.evidence import Evidence
        from eval.protocols.protocol import score

        source = item.source
        evidence = Evidence(
            judges=self._judges,
            edit=self._edited(item),
            prompt=item.prompt,
            source_clip=None if source is None else self._clip_of(source),
            source_prompt="" if source is None else source["source_prompt"],
        )
        return score(protocol, evidence)

    def _row(self, item: ScoreItem, scores: Scores, started: float) -> dict[str, Any]:
        from eval.judges import JUDGES
        from eval.protocols.evidence import CLIP, READER
        from eval.protocols.registry import judges_of

        context = self._context
        settings = context.config.score
        judges = judges_of(item.protocol)
        models = {judge: judge_model(settings, judge).model for judge in judges if judge in JUDGES}
        models |= {CLIP: public_name(settings.model), READER: SHIPPED_READER}
        return {
            "edit_key": item.edit_key,
            "protocol": item.protocol,
            "score_key": item.item_key,
            "edit_id": item.edit_id,
            "video_id": item.video_id,
            "prompt": item.prompt,
            "category": item.category,
            "method": item.method,
            "values": dict(scores.values),
            "reasons": dict(scores.reasons),
            "score_model": "+".join(models[judge] for judge in judges),
            "score_revision": judges_revision(item.protocol, context.judge_revisions),
            **provenance(config_hash=context.config_hash, device=settings.device, started=started),
        }

    def _clip_of(self, source: Row) -> Clip:
        """The source clip; the edits of one video mostly follow each other."""
        from components.steps.ingest import load_clip, load_mask
        from eval.protocols.evidence import Clip

        if self._source is None or self._source[0] != source:
            limits = self._context.config.video.limits
            clip = Clip(
                lambda: load_clip(source, limits).frames,
                self._judges,
                lambda: load_mask(source, limits),
            )
            self._source = (source, clip)
        return self._source[1]

    def _edited(self, item: ScoreItem) -> Clip:
        """The edit, decoded and embedded once for all protocols; two would double the memory."""
        from eval.protocols.evidence import Clip

        identity = (item.video_uri, item.sha256)
        if self._edit is None or self._edit[0] != identity:
            self._edit = (identity, Clip(lambda: self._frames(item), self._judges))
        return self._edit[1]

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


def _load_judge(context: StepContext, judge: str) -> Any:
    from eval.judges import JUDGES

    settings = context.config.score
    model = judge_model(settings, judge).model
    revision = hub_revision(context.judge_revisions[judge])
    return JUDGES[judge].load(model, revision, settings.device, settings.batch_size)


def _load_reader(context: StepContext) -> Reader:
    from eval.clip_encoder import checked_device
    from eval.errors import EncoderError
    from tinyworld.reader import Reader

    device = str(checked_device(context.config.score.device))
    try:
        return Reader.load(device=device)
    except (OSError, ValueError) as error:
        raise EncoderError(f"tinyworld's reader cannot be loaded: {error}") from error
