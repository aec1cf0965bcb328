"""Nets that steer the base: ControlNets for depth and edges, and a T2I-Adapter for edges.

As their authors train them: the base is frozen, and the net learns to predict the noise of stills
from their maps besides. A ControlNet (arXiv 2302.05543) begins as a copy of the UNet's way down
whose outputs are zero, and half of its captions are left out (section 3.3), so that it looks at the
map; a T2I-Adapter (arXiv 2302.08453) sees noisy levels more often (section 3.4).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tinyworld.maps import canny, depth
from tinyworld.shipped import Net
from tinyworld.train.data import Stills
from tinyworld.train.diffusion import tokens
from tinyworld.train.loop import Settings, Step, fit
from tinyworld.train.noising import Noised, Noising

_EMBEDDING = (16, 32, 96)
"""Channels from pixels to latents: one step fewer than Stable Diffusion's, whose VAE divides by 8
where this one divides by 4."""
_FACTOR = 4
_DROPPED = {"controlnet": 0.5, "t2i_adapter": 0.1}
"""Captions left out; the adapter's paper names none, so it has the base's own share."""


def new_net(net: Net, unet: Any) -> Any:
    """An untrained ControlNetModel or T2IAdapter for a UNet."""
    from diffusers import ControlNetModel, T2IAdapter  # noqa: PLC0415 - seconds others need not pay

    if net.startswith("controlnet"):
        return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=_EMBEDDING)
    return T2IAdapter(
        in_channels=3, channels=list(unet.config.block_out_channels), downscale_factor=_FACTOR
    )


def train_net(
    net: Net, base: Path, data: Stills, settings: Settings, folder: Path, device: torch.device
) -> Any:
    """Train a net for the trained base.

    Args:
        net: which; its name ends in the map that it is shown.
        base: folder of the base, in diffusers' layout.
        data: the stills.
        settings: of the training.
        folder: for checkpoint, log and the latents.
        device: where to train.

    Returns:
        The net with its averaged weights.

    Raises:
        FileNotFoundError: the base was not trained yet.
    """
    torch.manual_seed(settings.seed)
    unet, text_encoder, tokenizer, vae = _frozen(base, device)
    model = new_net(net, unet).to(device, memory_format=torch.channels_last)
    noising = Noising(vae, data, folder, device)
    adapter = net.startswith("t2i_adapter")
    dropped = _DROPPED["t2i_adapter" if adapter else "controlnet"]

    def loss(step: Step) -> Tensor:
        index = torch.randint(len(data), (step.batch,), generator=step.generator)
        noised = noising(index, step.generator, cubic=adapter)
        with torch.no_grad():
            ids = tokens(data, index, tokenizer, step, dropped=dropped)
            text = text_encoder(ids.to(device))[0]
        added = _added(model, noised, text, maps(net, data, index).to(device))
        return noising.loss(unet(noised.latents, noised.times, text, **added).sample, noised)

    fit(net, model, loss, settings, folder, device)
    return model


def maps(net: Net, data: Stills, index: Tensor) -> Tensor:
    """What a net is shown of stills: (B, 3, 64, 64) fp32 in 0 to 1, channels_last."""
    rows = index.numpy()
    shown = canny(data.pixels[rows]) if net.endswith("canny") else depth(data.near[rows])
    x = torch.from_numpy(shown).permute(0, 3, 1, 2).float() / 255
    return x.contiguous(memory_format=torch.channels_last)


def _added(model: Any, noised: Noised, text: Tensor, shown: Tensor) -> dict[str, Any]:
    """What the UNet is given of a net's, by the name of its argument."""
    from diffusers import T2IAdapter  # noqa: PLC0415

    if isinstance(model, T2IAdapter):
        return {"down_intrablock_additional_residuals": model(shown)}
    skips, middle = model(noised.latents, noised.times, text, shown, return_dict=False)
    return {
        "down_block_additional_residuals": skips,
        "mid_block_additional_residual": middle,
    }


def _frozen(base: Path, device: torch.device) -> tuple[Any, Any, Any, Any]:
    """UNet, text encoder, tokenizer and VAE of a base, in fp32."""
    from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: PLC0415
    from transformers import CLIPTextModel, CLIPTokenizer  # noqa: PLC0415

    found = []
    kinds = {"unet": UNet2DConditionModel, "text_encoder": CLIPTextModel, "vae": AutoencoderKL}
    for part, kind in kinds.items():
        if not (base / part).is_dir():
            raise FileNotFoundError(
                f"{base / part} is not there: a net is trained for a trained base. Train it first, "
                "with --parts vae diffusion, or copy a base's folder there"
            )
        model: Any = kind.from_pretrained(base / part, torch_dtype=torch.float32)
        found.append(model.to(device).eval().requires_grad_(requires_grad=False))
    unet, text_encoder, vae = found
    unet.to(memory_format=torch.channels_last)
    return unet, text_encoder, CLIPTokenizer.from_pretrained(base / "tokenizer"), vae
