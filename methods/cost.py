"""What a method takes: passes of a clip through the base's parts, and bytes that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSize:
    """Frames, and pixels of each."""

    num_frames: int
    width: int
    height: int

    def latents(self, factor: float) -> float:
        """Numbers in the clip's latents, at so many pixels per latent by side."""
        return 4 * self.num_frames * self.width * self.height / factor**2


@dataclass(frozen=True, kw_only=True, slots=True)
class Passes:
    """Work, in passes of a whole clip through the base model's parts; a plan makes hours of it."""

    train: float = 0
    """Tuning steps of the inflated UNet."""
    inversion: float = 0
    """UNet calls without guidance."""
    guided: float = 0
    """UNet calls while sampling: with guidance two a step."""
    encode: float = 0
    """VAE encodings."""
    decode: float = 0
    """VAE decodings."""
    rows: int = 1
    """Clips that go through the UNet at once: what its memory follows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a method takes of one clip."""

    stages: Mapping[str, Passes]
    """By kind of stage."""
    edit: Passes
    """For each edit."""
    image: bool = False
    """Whether each frame goes through the image model alone."""
    frames_per_batch: int | None = None
    """Frames of a clip that go through the UNet at once; all of them where none."""
    storage: Mapping[str, Callable[[ClipSize, float], float]] = field(default_factory=dict)
    """By kind of stage: bytes of its artefact for a clip and the pixels per latent, by side; those
    of ``adapter`` and ``latents`` are known."""
