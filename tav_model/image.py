"""The base's own image UNet over a clip, each frame alone: what other methods edit frames with."""

import torch
from torch import Tensor

from tav_model.attention import SpatioTemporalProcessor, TextProcessor, backend_named
from tav_model.base import BaseFiles
from tav_model.config import DTypeName, ModelConfig
from tav_model.errors import BaseModelError
from tav_model.layers import Clip
from tav_model.load import DTYPES, BaseModel, load_parts
from tav_model.load_parts import check_fit, fitting
from tav_model.parts import stock_config
from tav_model.residuals import Added
from tav_model.unet import ClipUNet


class ImageUNet(ClipUNet):
    """A `ClipUNet` of stock layers alone, in which no frame sees another."""

    frames_per_batch: int

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int,
        encoder_hidden_states: Tensor,
        added: Added | None = None,
    ) -> Tensor:
        """Predict the noise (or velocity) of noisy latents, a few frames at a time.

        Args:
            sample: (B, C, F, H, W) latents, any floating dtype.
            timestep: a number, or (B,) int64.
            encoder_hidden_states: (B, L, text channels), one text for all frames of a clip.
            added: gives what controls add to the features of frames.

        Returns:
            (B, C, F, H, W), fp32.
        """
        all_frames = torch.arange(sample.shape[2], device=sample.device)
        parts = [
            self._seen(sample[:, :, frames], timestep, encoder_hidden_states, added, frames)
            for frames in torch.split(all_frames, self.frames_per_batch)
        ]
        return torch.cat(parts, dim=2)


def load_image_base(config: ModelConfig, *, frames_per_batch: int) -> BaseModel:
    """Load a base model as it is, without inflating its UNet.

    Args:
        config: which model, where and how; what it says of attention between frames and of its
            initial weights has no meaning here.
        frames_per_batch: frames of each clip that go through the UNet at once.

    Returns:
        The frozen model, for all that takes a `BaseModel` but tuning; `initial` is empty.

    Raises:
        ValueError: the device is not there, or the attention backend is unknown.
        BaseModelError: see `tav_model.load.load_base`; or the UNet is inflated.
    """

    def unet(base: BaseFiles, device: torch.device) -> ImageUNet:
        return load_image_unet(
            base,
            frames_per_batch=frames_per_batch,
            attention_backend=config.attention_backend,
            device=device,
            dtype=config.dtype,
        )

    return load_parts(config, unet)


def load_image_unet(
    base: BaseFiles,
    *,
    frames_per_batch: int,
    attention_backend: str,
    device: torch.device,
    dtype: DTypeName,
) -> ImageUNet:
    """Load a stock 2D UNet.

    Args:
        base: a base model's files; safetensors only.
        frames_per_batch: frames of each clip that go through it at once.
        attention_backend: name of a diffusers attention backend.
        device: where the parameters go.
        dtype: of all parameters.

    Returns:
        The UNet in channels_last memory, frozen.

    Raises:
        BaseModelError: a file is missing, damaged or pickled, its tensors do not fit the config, or
            they are those of an inflated UNet.
        ValueError: the attention backend is unknown.
    """
    config = stock_config(base.config("unet"))
    backend = backend_named(attention_backend)
    state = base.state("unet")
    if inflated := sorted(name for name in state if ".attn_temp." in name):
        raise BaseModelError(
            f"the UNet in {base.places('unet')[0]} is inflated to video (it has {inflated[0]}): "
            "tuned together with layers along time, the rest of it is no image model. For this "
            "method set model.base to the image model that it was made from."
        )
    with fitting(*base.places("unet")):
        with torch.device("meta"):
            unet: ImageUNet = ImageUNet.from_config(config)
        check_fit(unet, state)
        unet.load_state_dict({n: t.to(DTYPES[dtype]) for n, t in state.items()}, assign=True)
    unet.frames_per_batch = frames_per_batch
    clip = unet.clip = Clip()
    processors = {
        name: TextProcessor(backend, clip)
        if name.endswith("attn2.processor")
        else SpatioTemporalProcessor("per_frame", backend, clip)
        for name in unet.attn_processors
    }
    unet.set_attn_processor(processors)
    unet.requires_grad_(requires_grad=False)
    unet.to(device=device, memory_format=torch.channels_last)
    unet.eval()
    return unet
