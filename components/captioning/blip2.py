"""BLIP-2 through transformers, with the generation settings of its authors' library, LAVIS.

With equal weights LAVIS itself (``lavis`` beside this) gives the same captions; what may differ,
and why, is in docs/captioning.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from components.config import CaptionConfig
from components.errors import TransientError, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    """(H, W, 3), uint8, RGB."""

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Names in torch."""


class Blip2Captioner:
    """A loaded BLIP-2 that continues a prompt for each image, or describes it freely."""

    def __init__(self, config: CaptionConfig, *, revision: str | None = None) -> None:
        """Load the model.

        Args:
            config: Model, device, dtype and generation settings.
            revision: Hub commit to load; none for a folder.

        Raises:
            UserError: the device is not there, or the model is no BLIP-2 with an OPT decoder.
        """
        import torch

        self._config = config
        self.device = find_device(config.device)
        self.dtype: torch.dtype = getattr(torch, DTYPES[config.dtype])
        self.processor, self.model = _load(config, revision, self.dtype)
        self.model.to(self.device).eval()
        tokenizer = self.processor.tokenizer
        tokenizer.padding_side = "left"  # a prompt must end where its caption begins
        # Without this a text has no places for the image, which is then ignored without a word.
        self.processor.num_query_tokens = self.model.config.num_query_tokens
        image_token = tokenizer.convert_tokens_to_ids("<image>")
        if self.model.config.image_token_id != image_token:
            raise UserError(
                f"caption.model {config.model!r} expects {self.model.config.image_token_id} as the "
                f"image's token, but its tokenizer's <image> is {image_token}: "
                "use a revision whose processor and model were saved together"
            )
        self._newline: int = tokenizer("\n", add_special_tokens=False).input_ids[-1]

    def __call__(self, images: Sequence[Image]) -> list[str]:
        """Caption images; each one's caption does not depend on the others.

        Args:
            images: (H, W, 3), uint8, RGB; sizes may differ.

        Returns:
            One caption for each image, without the prompt, stripped; it may be empty.

        Raises:
            TransientError: the device is out of memory.
        """
        import torch

        if not images:
            return []
        inputs = self.processor(
            images=[_to_pil(image) for image in images],
            text=[self._config.prompt] * len(images),  # one prompt would give one caption
            return_tensors="pt",
        ).to(self.device, self.dtype)
        try:
            with torch.inference_mode():
                ids = self.model.generate(**inputs, **self._generation())
        except torch.OutOfMemoryError as error:
            raise out_of_memory(self.device, len(images), self._config) from error
        new = ids[:, inputs["input_ids"].shape[1] :]  # what precedes is the image and the prompt
        return [text.strip() for text in self.decode(new)]

    def decode(self, ids: Any) -> list[str]:
        """Rows of tokens as text; as in LAVIS without the spaces of "a dog 's ball ."."""
        tokenizer = self.processor.tokenizer
        texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [tokenizer.clean_up_tokenization(text) for text in texts]

    def _generation(self) -> dict[str, Any]:
        """LAVIS's settings: beam search without sampling, until a newline."""
        settings: dict[str, Any] = {
            "do_sample": False,
            "num_beams": self._config.num_beams,
            "max_new_tokens": self._config.max_new_tokens,
            "repetition_penalty": 1.0,
            "eos_token_id": self._newline,
            "pad_token_id": self.processor.tokenizer.pad_token_id,
        }
        if self._config.num_beams > 1:
            settings["length_penalty"] = self._config.length_penalty
        return settings


def _load(config: CaptionConfig, revision: str | None, dtype: Any) -> tuple[Any, Any]:
    from transformers import Blip2ForConditionalGeneration

    _, processor = load_processor(config, revision)
    with _loading(config):
        model, info = Blip2ForConditionalGeneration.from_pretrained(
            config.model,
            revision=revision,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
        )
        if missing := sorted(info["missing_keys"]):  # which would be drawn at random
            msg = f"its weights lack {missing[0]} ({len(missing)} tensors in all)"
            raise ValueError(msg)
    return processor, model


def load_processor(config: CaptionConfig, revision: str | None) -> tuple[Any, Any]:
    """Load a model's Blip2Config, and its Blip2Processor, but no weights.

    Raises:
        UserError: the model is no BLIP-2 with an OPT decoder, or lacks a file.
    """
    from transformers import AutoConfig, Blip2Processor

    with _loading(config):
        found = AutoConfig.from_pretrained(config.model, revision=revision)
        if found.model_type != "blip-2" or found.text_config.is_encoder_decoder:
            raise UserError(
                f"caption.model {config.model!r} is a {found.model_type} with a "
                f"{getattr(found, 'text_config', found).model_type} decoder, but a blip-2 with an "
                "opt decoder is needed: try Salesforce/blip2-opt-2.7b"
            )
        # The PIL backend's resize is LAVIS's own, to the pixel; torchvision's is not.
        processor = Blip2Processor.from_pretrained(config.model, revision=revision, backend="pil")
    return found, processor


@contextmanager
def _loading(config: CaptionConfig) -> Iterator[None]:
    from safetensors import SafetensorError

    # What transformers raises on damaged folders.
    damaged = (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError)
    try:
        yield
    except (*damaged, SafetensorError) as error:
        raise UserError(
            f"cannot load caption.model {config.model!r}: {error}. Give the folder or hub id of a "
            "Blip2ForConditionalGeneration with its processor, in safetensors"
        ) from error


def out_of_memory(device: Any, images: int, config: CaptionConfig) -> TransientError:
    """What to tell of a batch that was too large for the device."""
    return TransientError(
        f"{device} is out of memory with {images} images in a batch: "
        f"lower caption.batch_size ({config.batch_size})"
    )


def find_device(name: str) -> Any:
    """The torch.device of ``caption.device``.

    Raises:
        UserError: it is no device, or not there.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"caption.device is {name!r}: try cpu, cuda or cuda:1") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"caption.device is {name!r}, but {torch.cuda.device_count()} CUDA devices are visible "
            "here: set caption.device=cpu, or give the worker a GPU (ray.gpus_per_worker)"
        )
    return device


def _to_pil(image: Image) -> Any:
    import PIL.Image

    return PIL.Image.fromarray(image)
