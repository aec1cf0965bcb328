"""Keeping a source outside of a mask while its edits are sampled (``sample.keep_outside``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from methods.method import Masks, Source
from tav_model.config import SampleConfig

if TYPE_CHECKING:
    from torch import Tensor

    from tav_model.keeping import Levels, Outside, OutsideOfWords
    from tav_model.load import BaseModel


class Kept:
    """The last source, inverted once for all of its edits."""

    def __init__(self) -> None:
        self._source: Source | None = None
        self._levels: Levels = ()

    @contextmanager
    def around(
        self,
        base: BaseModel,
        source: Source,
        start_CFHW: Tensor,
        prompts: Sequence[str],
        config: SampleConfig,
        clean: Callable[[], Tensor],
    ) -> Iterator[Outside | OutsideOfWords | None]:
        """What is kept of the source while these prompts are sampled, at once, and afterwards.

        Args:
            base: The tuned model.
            source: The clip.
            start_CFHW: Latents of its shape.
            prompts: The edits'.
            config: How they are sampled.
            clean: Encodes the clip, (C, F, H, W), scaled as the UNet's.

        Raises:
            MaskError: there is no mask, it parts nothing, or a prompt has no word of its own.
        """
        from tav_model.keeping import Outside, OutsideOfWords, latent_mask
        from tav_model.words import watched

        if config.keep_outside == "nothing":
            self._source, self._levels = None, ()
            yield None
        elif config.keep_outside == "attention":
            words = [_words(base, source.prompt, prompt) for prompt in prompts]
            levels = self._of(base, source, config.steps, clean)
            with watched(base.unet, words, start_CFHW.shape[1]) as maps:
                yield OutsideOfWords(levels, maps, config.mask_threshold)
        else:
            mask_FHW = _mask(source, config)
            inside_FHW = latent_mask(mask_FHW, start_CFHW).to(base.device)
            levels = self._of(base, source, config.steps, clean)
            yield Outside(levels, inside_FHW, mask_FHW)

    def _of(
        self, base: BaseModel, source: Source, steps: int, clean: Callable[[], Tensor]
    ) -> Levels:
        from tav_model.keeping import source_levels

        if self._source is not source:
            self._source, self._levels = None, ()  # two clips' at once may be too much
            self._levels = source_levels(base, clean(), steps)
            self._source = source
        return self._levels


def _mask(source: Source, config: SampleConfig) -> Masks:
    from tav_model.errors import MaskError

    if source.mask is None:
        raise MaskError(
            f"sample.keep_outside is {config.keep_outside!r}, but the video has no mask: give the "
            "manifest's `mask`, or set sample.keep_outside to sam2 or attention"
        )
    return source.mask


def _words(base: BaseModel, source_prompt: str, prompt: str) -> Sequence[int]:
    """Places of the tokens of the words that an edit's prompt has and its source's has not."""
    from methods.alignment import align
    from tav_model.errors import MaskError

    if not (words := align(base.tokenizer, source_prompt, prompt).added):
        raise MaskError(
            f"sample.keep_outside is 'attention', but {prompt!r} has 0 words that the source's "
            f"prompt {source_prompt!r} has not, so nothing says where the edit is: name what it "
            "adds, or set sample.keep_outside to mask, sam2 or nothing"
        )
    return words
