"""Load a Stable Diffusion base model and inflate its UNet to video."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from tav_model.attention import backend_named
from tav_model.base import BaseFiles, files_of, find_base
from tav_model.config import AttentionMode, DTypeName, ModelConfig, TunedSet
from tav_model.load_parts import (
    check_fit,
    fitting,
    load_scheduler,
    load_text_encoder,
    load_tokenizer,
    load_vae,
)
from tav_model.parts import check_parts
from tav_model.unet import ClipUNet, build_unet, init_temporal, tuned_parameters
from tav_model.windows import windows_of

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseModel:
    """A base model, loaded once and used for many clips."""

    unet: ClipUNet
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: DDIMScheduler
    """The model's own noise schedule, with the settings that DDIM inversion needs."""
    device: torch.device
    dtype: torch.dtype
    """Compute dtype of UNet, VAE and text encoder."""
    config: ModelConfig
    """What the model was loaded with."""
    identity: str
    """Digest of the model's files; an adapter carries it."""
    initial: dict[str, Tensor]
    """fp32 CPU copies of the tuned parameters as loaded; `reset_adapter` goes back to them. An
    image model has none."""


def load_base(config: ModelConfig, tuned: TunedSet = "paper") -> BaseModel:
    """Load every part of a base model.

    Args:
        config: which model, where and how.
        tuned: what tuning is to change, see `TuneConfig.parameters`.

    Returns:
        The model, frozen but for the UNet's tuned parameters, which hold their initial values.

    Raises:
        ValueError: the device is not there.
        BaseModelError: it is no Stable Diffusion 1.x or 2.x model, or what is in it is missing,
            damaged or of different models; or a LoRA or VAE does not fit it.
    """

    def unet(base: BaseFiles, device: torch.device) -> ClipUNet:
        found = load_unet(
            base,
            attention_mode=config.attention_mode,
            attention_backend=config.attention_backend,
            init_seed=config.init_seed,
            device=device,
            dtype=config.dtype,
            tuned=tuned,
        )
        found.windows = windows_of(config)
        return found

    return load_parts(config, unet)


def load_parts(
    config: ModelConfig, unet_of: Callable[[BaseFiles, torch.device], ClipUNet]
) -> BaseModel:
    """Load a base model around a UNet of one's own making.

    Args:
        config: which model, where and how.
        unet_of: makes the UNet of a base model's files, on a device.

    Returns:
        The model; `initial` holds what requires gradients.

    Raises:
        ValueError: the device is not there.
        BaseModelError: see `load_base`.
    """
    device = checked_device(config.device)
    dtype = DTYPES[config.dtype]
    files = find_base(config)
    check_parts(files.configs())
    tokenizer, scheduler = load_tokenizer(files), load_scheduler(files)
    unet = unet_of(files, device)
    initial = {
        name: parameter.detach().to("cpu", copy=True)
        for name, parameter in tuned_parameters(unet).items()
        if parameter.requires_grad
    }
    if config.compile:
        unet.compile()
    return BaseModel(
        unet=unet,
        vae=load_vae(files, dtype).to(device=device, memory_format=torch.channels_last),
        text_encoder=load_text_encoder(files, dtype).to(device),
        tokenizer=tokenizer,
        scheduler=scheduler,
        device=device,
        dtype=dtype,
        config=config,
        identity=files.identity(),
        initial=initial,
    )


def load_unet(
    base: BaseFiles | Path,
    *,
    attention_mode: AttentionMode = "sparse_causal",
    attention_backend: str = "native",
    init_seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: DTypeName = "fp32",
    tuned: TunedSet = "paper",
) -> ClipUNet:
    """Load a stock 2D UNet and inflate it, or load an official Tune-A-Video (3D) UNet as it is.

    Frozen weights are held in the compute dtype: autocast would cast the same weights to the same
    values at every step. Only the affine parameters of frozen norms differ from autocast, by one
    rounding (2^-9 relative in bf16). Tuned parameters stay fp32.

    Args:
        base: a base model's files, its folder or its `unet` folder; safetensors only.
        attention_mode: which frames the space-time attention sees.
        attention_backend: name of a diffusers attention backend.
        init_seed: seed of the temporal attentions' weights, used for a 2D UNet only.
        device: where the parameters go.
        dtype: compute dtype.
        tuned: what tuning is to change.

    Returns:
        The UNet in channels_last memory, only its tuned parameters requiring gradients.

    Raises:
        BaseModelError: a file is missing, damaged, pickled, or its tensors do not fit the config.
        ValueError: the attention backend is unknown.
    """
    files = files_of(base)
    config = files.config("unet")
    backend_named(attention_backend)  # a wrong name is no fault of the files
    with fitting(*files.places("unet")):
        unet = build_unet(
            config,
            attention_mode=attention_mode,
            attention_backend=attention_backend,
            tuned=tuned,
        )
    state = files.state("unet")
    if not any(".attn_temp." in name for name in state):
        state |= init_temporal(unet, init_seed)
    with fitting(*files.places("unet")):
        check_fit(unet, state)
        fill_unet(unet, state, device=device, dtype=dtype)
    return unet


def fill_unet(
    unet: ClipUNet, state: dict[str, Tensor], *, device: torch.device | str, dtype: DTypeName
) -> None:
    """Give a UNet without weights its weights, each in the dtype that `load_unet` describes.

    Args:
        unet: what `build_unet` made.
        state: a tensor of any floating dtype for every state-dict name; emptied, so that no weight
            is held twice.
        device: where the parameters go.
        dtype: compute dtype.

    Raises:
        RuntimeError: names or shapes do not fit.
    """
    tuned = tuned_parameters(unet)
    typed = {}
    for name in list(state):
        tensor = state.pop(name).to(device, torch.float32 if name in tuned else DTYPES[dtype])
        if tensor.ndim == 4:  # noqa: PLR2004 (weights of convolutions)
            # Also those of 1x1, which are laid so already: some CPUs' kernels round differently
            # where a weight lies as a file's header has shifted it.
            tensor = tensor.clone(memory_format=torch.channels_last)
        typed[name] = tensor
        del tensor
    unet.load_state_dict(typed, assign=True)
    unet.compute_dtype = DTYPES[dtype]
    for name, parameter in unet.named_parameters():  # assign=True takes the tensors' own flags
        parameter.requires_grad_(name in tuned)


def checked_device(name: str) -> torch.device:
    """Turn a device's name into a device that is there.

    Raises:
        ValueError: CUDA, or that CUDA device, is not available. Nothing falls back to the CPU.
    """
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        msg = (
            f"device={name} was asked for, but torch sees {torch.cuda.device_count()} CUDA GPUs. "
            "Set model.device=cpu, or run where a GPU and its driver are installed."
        )
        raise ValueError(msg)
    return device
