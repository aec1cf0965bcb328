"""Named, versioned metric protocols. A protocol never changes: a correction is a new version.

Numbers of two protocols are never mixed: they differ in model, preprocessing, pairs and scale.
Adding one is one entry of ``PROTOCOLS``. There are two kinds: those on CLIP embeddings of the edit,
and those that compare what is read from the edit's frames with its source clip and both prompts.
Shape legend: F frames, H height, W width, C channels, D embedding width.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eval.errors import EvalError, UnknownProtocolError
from eval.ground_truth import ground_truth
from eval.metrics import frame_consistency, textual_alignment

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


def _tav_paper(embeddings: ClipEmbeddings) -> dict[str, float]:
    return {
        "frame_consistency": frame_consistency(embeddings.frames_FD),
        "textual_alignment": textual_alignment(embeddings.frames_FD, embeddings.text_D),
    }


def _rave(embeddings: ClipEmbeddings) -> dict[str, float]:
    return {name: value / 100 for name, value in _tav_paper(embeddings).items()}


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            ClipProtocol(
                name="tav_paper_v1",
                source="arXiv 2212.11565, experiments: all pairs of frames; every frame with the "
                "edited prompt; both ×100. The paper does not state its CLIP variant.",
                metrics=_tav_paper,
            ),
            ClipProtocol(
                name="rave_v1",
                source="arXiv 2312.04524 (RAVE), evaluation: all pairs of frames and every frame "
                "with the edited prompt, as raw cosines. Its model is ViT-B/32.",
                metrics=_rave,
                whole=1.0,
            ),
            TruthProtocol(
                name="tinyworld_v1",
                source="eval/README.md of this project: what the tiny world's reader sees in the "
                "edit, against its source clip and both prompts. Edits of tinyworld's clips alone.",
                metrics=ground_truth,
            ),
        )
    }
)
"""Every protocol by name."""


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UnknownProtocolError: with the nearest name and the list of all.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    near = difflib.get_close_matches(name, PROTOCOLS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UnknownProtocolError(
        f"unknown protocol {name!r}: {hint}known protocols: {', '.join(sorted(PROTOCOLS))}"
    )


def reads_frames(name: str) -> bool:
    """Whether scores under this protocol come from tinyworld's reader, and not from CLIP."""
    return isinstance(PROTOCOLS.get(name), TruthProtocol)


def score_clip(
    protocol: ClipProtocol, encoder: Encoder, frames_FHWC: Frames, prompt: str
) -> dict[str, float]:
    """Score one edited clip against its prompt.

    Args:
        protocol: One of ``PROTOCOLS``.
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
