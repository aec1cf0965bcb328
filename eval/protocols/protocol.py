"""What a protocol is: two kinds, on CLIP embeddings of the edit, and on what a reader sees.

The second compares what is read from the edit's frames with its source clip and both prompts.
Shape legend: F frames, H height, W width, C channels, D embedding width.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eval.errors import EvalError

if TYPE_CHECKING:
    from tinyworld.reader import Reading

Frames = npt.NDArray[np.uint8]
Embedding = npt.NDArray[np.floating[Any]]


class Encoder(typing.Protocol):
    """What a protocol asks of a CLIP model (see ``eval.clip_encoder.ClipEncoder``)."""

    def encode_frames(self, frames_FHWC: Frames) -> Embedding:
        """Embed frames: (F, H, W, 3) uint8 to (F, D)."""

    def encode_text(self, prompt: str) -> Embedding:
        """Embed a prompt: to (D,). An over-long prompt is an error."""


@dataclass(frozen=True, slots=True)
class ClipEmbeddings:
    """One edit's embeddings, as a protocol's metrics take them."""

    frames_FD: Embedding
    text_D: Embedding


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """How an edited clip becomes scores."""

    name: str
    """Ends in its version, ``_v1``."""
    source: str
    """Where the protocol is defined, and what it leaves open."""
    whole: float = 100.0
    """What 100 percent are (see ``Measure.percent``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipProtocol(Protocol):
    """Scores from CLIP embeddings of the edit and of its prompt."""

    metrics: Callable[[ClipEmbeddings], dict[str, float]]
    """Gives ``frame_consistency`` and ``textual_alignment``."""
    frame_size: tuple[int, int] | None = None
    """Width and height in pixels that PIL's default filter resizes frames to before the model's own
    preprocessing; none leaves them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TruthProtocol(Protocol):
    """Scores from what a reader of tinyworld's frames sees in the edit and in its source clip."""

    metrics: Callable[[Reading, Reading, str, str], dict[str, float | None]]
    """Takes readings of edit and source, source prompt and edited prompt."""


def score_clip(
    protocol: ClipProtocol, encoder: Encoder, frames_FHWC: Frames, prompt: str
) -> dict[str, float]:
    """Score one edited clip against its prompt.

    Args:
        protocol: How.
        encoder: The CLIP model.
        frames_FHWC: The edit's frames, shape (F, H, W, 3), uint8 RGB.
        prompt: The edited prompt.

    Returns:
        ``frame_consistency`` and ``textual_alignment``, in the protocol's units.

    Raises:
        EvalError: the frames or the prompt cannot be scored (see the metrics and the encoder).
    """
    return score_embeddings(
        protocol, embed_frames(protocol, encoder, frames_FHWC), encoder.encode_text(prompt)
    )


def embed_frames(protocol: ClipProtocol, encoder: Encoder, frames_FHWC: Frames) -> Embedding:
    """Embed a clip the protocol's way: (F, H, W, 3) uint8 to (F, D).

    Protocols of equal ``frame_size`` share the result under one encoder.
    """
    if frames_FHWC.dtype != np.uint8 or frames_FHWC.ndim != 4 or frames_FHWC.shape[3] != 3:  # noqa: PLR2004
        raise EvalError(
            f"frames are {frames_FHWC.dtype} of shape {frames_FHWC.shape}, but uint8 of shape "
            "(frames, height, width, 3) is needed"
        )
    if protocol.frame_size is not None:
        frames_FHWC = _resized(frames_FHWC, protocol.frame_size)
    return encoder.encode_frames(frames_FHWC)


def score_embeddings(
    protocol: ClipProtocol, frames_FD: Embedding, text_D: Embedding
) -> dict[str, float]:
    """Score embeddings that ``embed_frames`` made for this protocol."""
    return protocol.metrics(ClipEmbeddings(frames_FD, text_D))


def _resized(frames_FHWC: Frames, size: tuple[int, int]) -> Frames:
    from PIL import Image  # noqa: PLC0415 - most protocols need none

    return np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in frames_FHWC])
