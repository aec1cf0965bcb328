"""Load what a base model has beside its UNet, each from the files that its digest is of."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from tav_model.base import BaseFiles, files_of, is_shipped
from tav_model.errors import BaseModelError
from tav_model.parts import check_vocabulary
from tav_model.schedule import schedule_settings
from tav_model.single_file import tokenizer_of


def load_vae(base: BaseFiles | Path, dtype: torch.dtype) -> AutoencoderKL:
    """Load the VAE, frozen.

    Args:
        base: a base model's files, or its folder.
        dtype: of all its parameters.

    Raises:
        BaseModelError: a file is missing, damaged, pickled, or its tensors do not fit the config.
    """
    files = files_of(base)
    config, state = files.config("vae"), files.state("vae")
    with fitting(*files.places("vae")):
        with torch.device("meta"):
            vae: AutoencoderKL = AutoencoderKL.from_config(config)
        vae._fix_state_dict_keys_on_load(state)  # noqa: SLF001 (names of older diffusers)
        check_fit(vae, state)
        vae.load_state_dict({n: t.to(dtype) for n, t in state.items()}, assign=True)
    return vae.requires_grad_(requires_grad=False).eval()


def load_text_encoder(base: BaseFiles | Path, dtype: torch.dtype) -> CLIPTextModel:
    """Load the text encoder, frozen.

    Args:
        base: a base model's files, or its folder.
        dtype: of all its parameters.

    Raises:
        BaseModelError: a file is missing, damaged, pickled, or its tensors do not fit the config.
    """
    files = files_of(base)
    config = CLIPTextConfig.from_dict(files.config("text_encoder"))
    state = files.state("text_encoder")
    with fitting(*files.places("text_encoder")), quiet():
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


def load_tokenizer(base: BaseFiles | Path) -> CLIPTokenizer:
    """Load the tokenizer.

    Args:
        base: a base model's files, or its folder.

    Raises:
        BaseModelError: a file is missing or damaged, or the tokenizer knows tokens that the text
            encoder does not.
    """
    files = files_of(base)
    place = files.folder / "tokenizer"
    if is_shipped(files.folder):
        tokenizer: CLIPTokenizer = tokenizer_of(files.config("tokenizer"))
    else:
        tokenizer = _read_tokenizer(place)
    words = files.config("text_encoder").get("vocab_size", 0)
    if len(tokenizer) > words:
        msg = (
            f"{place} has {len(tokenizer)} tokens, but the text encoder knows {words} "
            "(vocab_size). Take both from one model."
        )
        raise BaseModelError(msg)
    return tokenizer


def _read_tokenizer(place: Path) -> CLIPTokenizer:
    check_vocabulary(place)
    try:
        return CLIPTokenizer.from_pretrained(place)
    except Exception as err:  # the Rust library raises Exception itself
        msg = f"{place} is no tokenizer that can be read ({err}). Copy or download it again."
        raise BaseModelError(msg) from err


def load_scheduler(base: BaseFiles | Path) -> DDIMScheduler:
    """Make the DDIM schedule of a base model, whatever sampler its own config names.

    Inversion and sampling use the same one, or the way back would not end where the way there
    began. What of the config is honoured, forced and refused: `tav_model.schedule`.

    Args:
        base: a base model's files, or its folder.

    Raises:
        BaseModelError: there is no scheduler config, or it asks for what cannot be honoured.
    """
    return DDIMScheduler(**schedule_settings(files_of(base).config("scheduler")))


@contextmanager
def fitting(origin: Path, place: Path | None = None) -> Iterator[None]:
    """Tell of weights and config that do not go together, where the libraries do.

    Args:
        origin: the folder or file of the weights.
        place: the config's folder, where it is another one.

    Raises:
        BaseModelError: in place of what they raise.
    """
    try:
        yield
    except BaseModelError:
        raise
    except (RuntimeError, ValueError, TypeError, LookupError, NotImplementedError) as err:
        config = "its config.json" if place in (None, origin) else f"the config in {place}"
        msg = f"the weights in {origin} do not fit {config}: {err}. Take both from one model."
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
