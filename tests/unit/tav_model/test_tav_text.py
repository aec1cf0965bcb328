import pytest
import torch

from tav_model.errors import PromptError
from tav_model.load import BaseModel
from tav_model.text import check_prompt, encode_prompts


def test_prompts_embed_alone_as_together(base: BaseModel) -> None:
    together = encode_prompts(base, ["a red fish", ""])
    assert together.shape == (2, 77, 32)
    torch.testing.assert_close(together[:1], encode_prompts(base, ["a red fish"]))
    assert (together[0] - together[1]).abs().max() > 1e-2


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_empty_prompt(base: BaseModel, prompt: str) -> None:
    with pytest.raises(PromptError, match="is empty"):
        check_prompt(base.tokenizer, prompt)


def test_long_prompt_says_what_would_be_cut(base: BaseModel) -> None:
    check_prompt(base.tokenizer, "fish " * 75)
    with pytest.raises(PromptError, match=r"79 tokens.*reads 77.*'red car'") as caught:
        encode_prompts(base, ["fish " * 75 + "red car"])
    assert "Shorten" in str(caught.value)
