"""The caption step: a source prompt for every video, the manifest's own or BLIP-2's."""

from __future__ import annotations

import collections
import dataclasses
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from typing_extensions import override

from components.captioning.worth import fault
from components.config import CaptionConfig
from components.errors import ItemError
from components.log import VideoLog
from components.records.failures import expected_errors
from components.records.keys import content_key
from components.records.provenance import provenance
from components.steps.step import ItemWorker, Outcome, StepContext
from components.storage.store import Store
from components.storage.tables import Row, append_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


class Captioner(Protocol):
    """A loaded model; see ``Blip2Captioner``."""

    device: Any
    """Where it computes."""

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[str]:
        """Caption (H, W, 3) images, each for itself; raises ItemError."""


MANIFEST = "manifest"
"""Captioner and source of the prompts that the manifest gives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionItem:
    """One video that BLIP-2 describes."""

    item_key: str
    video_id: str
    video_key: str
    video_row: Row
    """What ``ingest.load_clip`` needs of the videos row."""
    captioner: str
    """See ``captioner_name``."""
    attempt: int = 1


class CaptionWorker(ItemWorker):
    """Loads BLIP-2 once and captions the middle frame of one batch of clips after another."""

    step = "caption"
    table = "captions"
    identity = MappingProxyType(
        {"video_id": "video_id", "video_key": "video_key", "captioner": "captioner"}
    )

    def __init__(self, context: StepContext) -> None:
        super().__init__(context)
        self._captioner = self._load()

    def _load(self) -> Captioner:
        from components.records.revisions import hub_revision

        config = self._context.config.caption
        revision = hub_revision(self._context.caption_revision)
        if config.backend == "lavis":
            from components.captioning.lavis.captioner import LavisCaptioner

            return LavisCaptioner(config, revision=revision)
        from components.captioning.blip2 import Blip2Captioner

        return Blip2Captioner(config, revision=revision)

    @override
    def _outcomes(self, items: Sequence[CaptionItem]) -> Iterator[Outcome]:
        size = self._context.config.caption.batch_size
        for first in range(0, len(items), size):
            yield from self._caption(items[first : first + size])

    def _caption(self, items: Sequence[CaptionItem]) -> list[Outcome]:
        """Caption a batch; a bad video leaves the others alone."""
        started = time.perf_counter()
        errors: dict[str, ItemError] = {}
        frames: dict[str, NDArray[np.uint8]] = {}
        for item in items:
            try:
                with expected_errors():
                    frames[item.item_key] = self._middle_frame(item)
            except ItemError as error:
                errors[item.item_key] = error
        captions = self._describe(frames, errors)
        seconds = (time.perf_counter() - started) / max(len(items), 1)
        outcomes = []
        for item in items:
            if (problem := errors.get(item.item_key)) is not None:
                outcomes.append(self._fail(item, problem))
                continue
            row = self._row(item, captions[item.item_key], started)
            self._writer.add("captions", row | {"seconds": seconds})
            outcomes.append(Outcome(item.video_id, None, seconds))
        return outcomes

    def _describe(
        self, frames: dict[str, NDArray[np.uint8]], errors: dict[str, ItemError]
    ) -> dict[str, str]:
        """Captions by item key; what fails is added to the errors."""
        try:
            with expected_errors():
                texts = self._captioner(list(frames.values()))
        except ItemError as error:
            if len(frames) > 1:  # one frame may be to blame, and the others are to have captions
                logger.warning("captioning the %d videos of a batch singly: %s", len(frames), error)
                single = [self._describe({key: frames[key]}, errors) for key in frames]
                return dict(collections.ChainMap(*single))
            errors.update(dict.fromkeys(frames, error))
            return {}
        captions = dict(zip(frames, texts, strict=True))
        for key, text in list(captions.items()):
            if (wrong := fault(text, self._context.config.caption.prompt)) is not None:
                del captions[key]
                errors[key] = ItemError(
                    f"BLIP-2 gave the caption {text!r} for the clip's middle frame, which {wrong}: "
                    "give the video a prompt in the manifest, or set another caption.prompt or "
                    "caption.model"
                )
        return captions

    def _row(self, item: CaptionItem, caption: str, started: float) -> Row:
        VideoLog(logger, step="caption", video_id=item.video_id).info("caption: %s", caption)
        return _caption_row(
            {"video_key": item.video_key, "video_id": item.video_id},
            item.captioner,
            caption,
            source="blip2",
        ) | provenance(
            config_hash=self._context.config_hash,
            device=str(self._captioner.device),
            started=started,
        )

    def _middle_frame(self, item: CaptionItem) -> NDArray[np.uint8]:
        """(H, W, 3), uint8, RGB."""
        from components.steps.ingest import load_clip

        frames = load_clip(item.video_row, self._context.config.video.limits).frames
        middle: NDArray[np.uint8] = frames[len(frames) // 2]
        return middle


def commit_manifest_captions(
    store: Store, prompts: Sequence[tuple[Row, str]], context: StepContext
) -> None:
    """Commit prompts that the manifest gives, each with its row of ``videos``, in one part."""
    started = time.perf_counter()
    rows = [
        _caption_row(video, MANIFEST, prompt, source=MANIFEST)
        | provenance(config_hash=context.config_hash, device="cpu", started=started)
        for video, prompt in prompts
    ]
    if rows:
        append_rows(store, "captions", rows)


def check_backend(config: CaptionConfig) -> None:
    """Raise UserError where what ``caption.backend`` needs is not installed here."""
    if config.backend == "lavis":
        from components.captioning.lavis.environment import find_python

        find_python(config)


def captioner_name(config: CaptionConfig, revision: str) -> str:
    """Name a captioner by what its captions depend on: the model's content and the settings.

    Args:
        config: Its model's address does not count, only the revision does.
        revision: See ``revisions.resolve_revision``.
    """
    settings = dataclasses.replace(config, model="-", revision=None)
    return f"blip2:{content_key(caption=settings, revision=revision)[:12]}"


def _caption_row(video: Row, captioner: str, caption: str, *, source: str) -> Row:
    return {
        "video_key": video["video_key"],
        "captioner": captioner,
        "video_id": video["video_id"],
        "caption": caption,
        "source": source,
    }
