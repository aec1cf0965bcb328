"""What the methods that edit each frame alone have in common: the base's own image model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from methods.method import ClipSize, Method, Source
from methods.steered import Nets
from tav_model.config import MAX_STEPS, ModelConfig, SampleConfig, require

if TYPE_CHECKING:
    from torch import Tensor

    from tav_model.load import BaseModel

INVERSION = "inversion"
"""Kind of the stage whose artefact is latents of inverted frames."""


def check_settings(own: Any) -> None:
    """Check what these methods' settings have in common.

    Args:
        own: A ``Config`` with ``steps``, ``guidance_scale``, and maybe ``inversion_steps`` and
            ``frames_per_batch``.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """
    for name in ("inversion_steps", "steps"):
        steps = getattr(own, name, 1)
        require(1 <= steps <= MAX_STEPS, name, steps, f"1 .. {MAX_STEPS}", "Use 50.")
    SampleConfig(guidance_scale=own.guidance_scale)
    batch = getattr(own, "frames_per_batch", 1)
    require(batch >= 1, "frames_per_batch", batch, ">= 1", "Use 8.")


def image_numerics(model: ModelConfig) -> Mapping[str, Any]:
    """What of ``model`` the image model's results depend on, beside its revision."""
    return {"dtype": model.dtype, "attention_backend": model.attention_backend}


class ImageMethod(Method):
    """A method that loads the base without inflating it.

    Its ``Config`` has ``frames_per_batch``, and the ``texts``.
    """

    section: ClassVar[str]
    """What a configuration calls the method's own settings."""
    texts: ClassVar[tuple[str, ...]] = ("negative_prompt",)
    """Those that the text encoder reads."""

    _base: BaseModel
    _nets: Nets

    @property
    def numerics(self) -> Mapping[str, Any]:
        """See ``image_numerics``."""
        return image_numerics(self.settings.model)

    @override
    def key_parts(self) -> Mapping[str, Any]:
        return {"own": self.settings.own, "model": self.numerics}

    @override
    def schedule_steps(self) -> Mapping[str, int]:
        own = self.settings.own
        names = [name for name in ("inversion_steps", "steps") if hasattr(own, name)]
        return {f"{self.section}.{name}": getattr(own, name) for name in names}

    @override
    def load(self) -> None:
        from tav_model.image import load_image_base
        from tav_model.text import check_settings

        own = self.settings.own
        base = load_image_base(self.settings.model, frames_per_batch=own.frames_per_batch)
        texts = {f"{self.section}.{name}": getattr(own, name) for name in self.texts}
        check_settings(base.tokenizer, texts)
        self._base = base
        self._nets = Nets()

    @override
    def check_prompt(self, prompt: str) -> None:
        from tav_model.text import check_prompt

        check_prompt(self._base.tokenizer, prompt)

    def encode(self, source: Source) -> Tensor:
        """A clip's latents (C, F, H, W) fp32: the posterior's mean, which needs no draw."""
        from tav_model.frames import to_model_range
        from tav_model.vae import encode_moments, mean_latents

        return mean_latents(encode_moments(self._base, to_model_range(source.frames)))

    def stored_bytes(self, size: ClipSize, factor: float, kept: int = 1) -> float:
        """Bytes of a clip's latents at so many noise levels."""
        number = 4 if self.settings.model.dtype == "fp32" else 2
        return kept * number * size.latents(factor)

    def stored(self, latents: Tensor) -> Tensor:
        """Latents as they are stored: no finer than what the UNet reads, which halves them."""
        half = self.settings.model.dtype != "fp32"
        return (latents.half() if half else latents).cpu().contiguous()
