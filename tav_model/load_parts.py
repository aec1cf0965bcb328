"""Load what a base model has beside its UNet, each from the files that its digest is of."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from tav_model.errors import BaseModelError
from tav_model.parts import check_vocabulary, read_config
from tav_model.schedule import SCHEDULER_FILE, schedule_settings
from tav_model.weights import read_state, weight_files


def load_vae(folder: Path, dtype: torch.dtype) -> AutoencoderKL:
    """Load the VAE, frozen.

    Args:
        folder: a base model's folder.
        dtype: of all its parameters.

    Raises:
        BaseModelError: a file is missing, damaged, pickled, or its tensors do not fit the config.
    """
    folder = folder / "vae"
    config = read_config(folder / "config.json")
    state = read_state(weight_files(folder))
    with fitting(folder):
        with torch.device("meta"):
            vae: AutoencoderKL = AutoencoderKL.from_config(config)
        vae._fix_state_dict_keys_on_load(state)  # noqa: SLF001 (names of older diffusers)
        check_fit(vae, state)
        vae.load_state_dict({n: t.to(dtype) for n, t in state.items()}, assign=True)
    return vae.requires_grad_(requires_grad=False).eval()


def load_text_encoder(folder: Path, dtype: torch.dtype) -> CLIPTextModel:
    """Load the text encoder, frozen.

    Args:
        folder: a base model's folder.
        dtype: of all its parameters.

    Raises:
        BaseModelError: a file is missing, damaged, pickled, or its tensors do not fit the config.
    """
    folder = folder / "text_encoder"
    config = CLIPTextConfig.from_dict(read_config(folder / "config.json"))
    state = read_state(weight_files(folder, "model"))
    with fitting(folder), quiet():
        model, info = CLIPTextModel.from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=dtype,
            ignore_mismatched_sizes=True,  # told below, and not in a table of its own
            output_loading_info=True,
        )
        if misfits := sorted(map(str, {*info["missing_keys"], *info["mismatched_keys"]})):
            raise RuntimeError(_misfit(misfits))
    return model.requires_grad_(requires_grad=False).eval()


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """Load the tokenizer.

    Args:
        folder: a base model's folder.

    Raises:
        BaseModelError: a file is missing or damaged, or the tokenizer knows tokens that the text
            encoder does not.
    """
    place = folder / "tokenizer"
    check_vocabulary(place)
    try:
        tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(place)
    except Exception as err:  # the Rust library raises Exception itself
        msg = f"{place} is no tokenizer that can be read ({err}). Copy or download it again."
        raise BaseModelError(msg) from err
    words = read_config(folder / "text_encoder" / "config.json").get("vocab_size", 0)
    if len(tokenizer) > words:
        msg = (
            f"{place} has {len(tokenizer)} tokens, but the text encoder knows {words} "
            "(vocab_size). Take both from one model."
        )
        raise BaseModelError(msg)
    return tokenizer


def load_scheduler(folder: Path) -> DDIMScheduler:
    """Make the DDIM schedule of a base model, whatever sampler its own config names.

    Inversion and sampling use the same one, or the way back would not end where the way there
    began. What of the config is honoured, forced and refused: `tav_model.schedule`.

    Args:
        folder: a base model's folder.

    Raises:
        BaseModelError: there is no scheduler config, or it asks for what cannot be honoured.
    """
    return DDIMScheduler(**schedule_settings(read_config(folder / SCHEDULER_FILE)))


@contextmanager
def fitting(folder: Path) -> Iterator[None]:
    """Tell of weights and config that do not go together, where the libraries do.

    Raises:
        BaseModelError: in place of what they raise.
    """
    try:
        yield
    except BaseModelError:
        raise
    except (RuntimeError, ValueError, TypeError, LookupError, NotImplementedError) as err:
        msg = (
            f"the weights in {folder} do not fit its config.json: {err}. Take both from one model."
        )
        raise BaseModelError(msg) from err


def check_fit(module: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Hold tensors against a module's own, as `load_state_dict` does, but briefly.

    Raises:
        RuntimeError: names the first of those that are missing, of another shape or unknown.
    """
    own = {name: tensor.shape for name, tensor in module.state_dict().items()}
    there = {name: tensor.shape for name, tensor in state.items()}
    if misfits := sorted(n for n, shape in own.items() if there.get(n) != shape):
        raise RuntimeError(_misfit(misfits))
    if unknown := sorted(there.keys() - own.keys()):
        msg = f"{unknown[0]} is unknown ({len(unknown)} in all)"
        raise RuntimeError(msg)


def _misfit(names: list[str]) -> str:
    return f"{names[0]} is missing or of another shape ({len(names)} in all)"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bar and report to itself."""
    level, bar = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
    )
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bar:
            transformers_logging.enable_progress_bar()
