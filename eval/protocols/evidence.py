"""What a metric may look at: an edit, its source, both prompts, and what judges make of them.

Everything is made when it is first asked for, and once: protocols and edits that share a clip
share its embeddings. Shape legend: F frames, H height, W width, C channels, D embedding width.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eval.errors import EvalError, UndefinedError
from eval.flow import dis_flows
from eval.judges import RAFT
from eval.warping import Flows

if TYPE_CHECKING:
    from tinyworld.reader import Reading

CLIP, READER = "clip", "reader"
"""Judges: the CLIP model of ``score.model``, and what reads tinyworld's frames."""

T = typing.TypeVar("T")
Frames = npt.NDArray[np.uint8]
Embedding = npt.NDArray[np.floating[Any]]
Masks = npt.NDArray[np.bool_]
"""(F, H, W), true where the object is."""


class Encoder(typing.Protocol):
    """What is asked of a CLIP model (see ``eval.clip_encoder.ClipEncoder``)."""

    def encode_frames(self, frames_FHWC: Frames) -> Embedding:
        """Embed frames: (F, H, W, 3) uint8 to (F, D)."""

    def encode_text(self, prompt: str) -> Embedding:
        """Embed a prompt: to (D,). An over-long prompt is an error."""


class FrameReader(typing.Protocol):
    """What is asked of tinyworld's reader (see ``tinyworld.reader.Reader``)."""

    def read(self, frames_FHWC: Frames) -> Reading:
        """Read frames: (F, H, W, 3) uint8. Raises ValueError for what is no clip of its world."""


class Judges:
    """The models that protocols ask for; each only where one of them does."""

    def __init__(
        self,
        encoder: Encoder | None = None,
        reader: FrameReader | None = None,
        named: Mapping[str, Any] | None = None,
    ) -> None:
        self._named = named or {}
        self._encoder = encoder
        self._reader = reader
        # The protocols of one edit share its prompt, the edits of one video their source's.
        self.embed_text = functools.lru_cache(maxsize=16)(self._embed_text)

    def named(self, judge: str) -> Any:
        """A judge of ``eval.judges``."""
        return self._named[judge]

    def embed_frames(self, frames_FHWC: Frames) -> Embedding:
        """CLIP's embedding of each frame, (F, D)."""
        assert self._encoder is not None  # a protocol of the configuration asked for it
        return self._encoder.encode_frames(frames_FHWC)

    def _embed_text(self, prompt: str) -> Embedding:
        assert self._encoder is not None
        return self._encoder.encode_text(prompt)

    def read(self, frames_FHWC: Frames) -> Reading:
        """What the reader sees in each frame.

        Raises:
            EvalError: it cannot read them.
        """
        assert self._reader is not None
        try:
            return self._reader.read(frames_FHWC)
        except ValueError as error:
            raise EvalError(str(error)) from error


class Clip:
    """One clip's frames, and what judges make of them.

    Args:
        load: Gives the frames, (F, H, W, 3) uint8 RGB.
        judges: Look at them.
        load_mask: Gives the mask of what is to be edited, frame for frame; none where there is
            none.
    """

    def __init__(
        self,
        load: Callable[[], Frames],
        judges: Judges,
        load_mask: Callable[[], Masks | None] | None = None,
    ) -> None:
        self._load = load
        self._judges = judges
        self._load_mask = load_mask
        self._made: dict[str, Any] = {}

    def made(self, name: str, make: Callable[[Frames], T]) -> T:
        """What a judge makes of the frames, once for all who ask for it by one name."""
        if name not in self._made:
            self._made[name] = make(self.frames)
        found: T = self._made[name]
        return found

    @functools.cached_property
    def frames(self) -> Frames:
        """(F, H, W, 3) uint8 RGB.

        Raises:
            EvalError: these are no frames. Also what ``load`` raises.
        """
        frames = self._load()
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:  # noqa: PLR2004
            raise EvalError(
                f"frames are {frames.dtype} of shape {frames.shape}, but uint8 of shape "
                "(frames, height, width, 3) is needed"
            )
        return frames

    @functools.cached_property
    def background(self) -> Masks:
        """What lies outside the mask, (F, H, W).

        Raises:
            UndefinedError: the video has no mask. Also what ``load_mask`` raises.
        """
        mask = None if self._load_mask is None else self._load_mask()
        if mask is None:
            raise UndefinedError(
                "the video has no mask, so nothing says what was to stay: give the manifest's "
                "video one (mask)"
            )
        return ~mask

    @functools.cached_property
    def embeddings(self) -> Embedding:
        """CLIP's projected embeddings, (F, D), after the model's own preprocessing and no other."""
        return self._judges.embed_frames(self.frames)

    @functools.cached_property
    def dis_flows(self) -> Flows:
        """Optical flow between its frames (see ``eval.flow``)."""
        return dis_flows(self.frames)

    @functools.cached_property
    def raft_flows(self) -> Flows:
        """The same by the judge ``raft``."""
        flows: Flows = self._judges.named(RAFT).flows(self.frames)
        return flows

    @functools.cached_property
    def reading(self) -> Reading:
        """What tinyworld's reader sees."""
        return self._judges.read(self.frames)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """One edit, for every metric of every protocol."""

    judges: Judges
    edit: Clip
    prompt: str
    """The edited prompt."""
    source_clip: Clip | None = None
    """The clip that was edited, frame by frame; none where no protocol ``reads_source``."""
    source_prompt: str = ""

    @property
    def text(self) -> Embedding:
        """CLIP's embedding of the edited prompt, (D,).

        Raises:
            EvalError: the prompt is empty or longer than the model reads.
        """
        return self.judges.embed_text(self.prompt)

    @property
    def source_text(self) -> Embedding:
        """CLIP's embedding of the source prompt, (D,); raises as ``text`` does."""
        return self.judges.embed_text(self.source_prompt)

    @property
    def source(self) -> Clip:
        """The clip that was edited."""
        assert self.source_clip is not None  # the plan gives it where a protocol reads it
        return self.source_clip
