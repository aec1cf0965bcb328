"""Prompts to text embeddings. Nothing is cut off in silence."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tav_model.errors import PromptError
from tav_model.load import BaseModel


def check_prompt(
    tokenizer: Any, prompt: str, *, allow_empty: bool = False, limit: int | None = None
) -> None:
    """Refuse a prompt that the text encoder cannot read whole.

    Args:
        tokenizer: the model's tokenizer, of transformers.
        prompt: any text.
        allow_empty: the empty prompt stands for "no text" in inversion and guidance.
        limit: tokens that the text encoder reads, where the tokenizer does not say it.

    Raises:
        PromptError: the prompt is empty, or has more tokens than the text encoder reads.
    """
    if not prompt.strip() and not allow_empty:
        msg = f"the prompt {prompt!r} is empty. Give a description of the video."
        raise PromptError(msg)
    ids = tokenizer(prompt, truncation=False, verbose=False).input_ids
    limit = tokenizer.model_max_length if limit is None else limit
    if len(ids) > limit:
        cut = tokenizer.decode(ids[limit - 1 : -1])
        msg = (
            f"the prompt has {len(ids)} tokens, the text encoder reads {limit} (start and end "
            f"marks included): {cut!r} would be cut off. Shorten {prompt!r}."
        )
        raise PromptError(msg)


def check_settings(tokenizer: Any, texts: Mapping[str, str], *, limit: int | None = None) -> None:
    """Refuse texts of settings that the text encoder cannot read whole; they may be empty.

    Args:
        tokenizer: the base model's tokenizer.
        texts: by what the user calls them, such as `plug_and_play.negative_prompt`.
        limit: see `check_prompt`.

    Raises:
        ValueError: names the setting.
    """
    for name, text in texts.items():
        try:
            check_prompt(tokenizer, text, allow_empty=True, limit=limit)
        except PromptError as error:
            raise ValueError(f"{name}: {error}") from error


@torch.no_grad()
def encode_prompts(base: BaseModel, prompts: Sequence[str]) -> Tensor:
    """Embed prompts with the text encoder. The empty prompt is allowed: it means no text.

    Args:
        base: the base model.
        prompts: P prompts.

    Returns:
        (P, L, C), the last hidden state, in the model's dtype and on its device.

    Raises:
        PromptError: a prompt has more tokens than the text encoder reads.
    """
    for prompt in prompts:
        check_prompt(base.tokenizer, prompt, allow_empty=True)
    ids = base.tokenizer(
        list(prompts),
        padding="max_length",
        max_length=base.tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids.to(base.device)
    return base.text_encoder(ids).last_hidden_state  # type: ignore[no-any-return]
