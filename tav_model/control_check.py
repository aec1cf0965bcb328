"""Whether a ControlNet or T2I-Adapter goes with a base, by their configs. Loads no torch."""

from collections.abc import Mapping
from typing import Any

from tav_model.config import ControlConfig
from tav_model.errors import BaseModelError

CLASSES = {"controlnet": "ControlNetModel", "t2i_adapter": "T2IAdapter"}
"""Of diffusers, by kind."""


def check_net(
    control: ControlConfig,
    config: Mapping[str, Any],
    unet: Mapping[str, Any],
    vae: Mapping[str, Any],
) -> None:
    """Refuse a net of another kind, or one whose features are none of the base's UNet's.

    Args:
        control: which net.
        config: its `config.json`.
        unet: likewise of the base's UNet.
        vae: likewise of the base's VAE.

    Raises:
        BaseModelError: names what is there and what is needed.
    """
    needed, found = CLASSES[control.kind], config.get("_class_name")
    if found != needed:
        raise BaseModelError(
            f"{control.model} is a {found}, but kind={control.kind} needs a {needed}: set "
            "control's kind to what the model is, or name another model."
        )
    if config.get("global_pool_conditions"):
        raise BaseModelError(
            f"the control {control.model} pools its maps over the frame (global_pool_conditions), "
            "so it steers no place: name one that does not."
        )
    channels = tuple(unet["block_out_channels"])
    factor = 2 ** (len(vae["block_out_channels"]) - 1)
    if control.kind == "controlnet":
        embedding = config.get("conditioning_embedding_out_channels", (16, 32, 96, 256))
        pairs = {
            "block_out_channels": (tuple(config.get("block_out_channels", ())), channels),
            "cross_attention_dim": (config.get("cross_attention_dim"), unet["cross_attention_dim"]),
            "in_channels": (config.get("in_channels", 4), unet["in_channels"]),
            "factor of pixels to latents": (2 ** (len(embedding) - 1), factor),
        }
    else:
        pairs = {
            "channels": (tuple(config.get("channels", ())), channels),
            "factor of pixels to latents": (config.get("downscale_factor"), factor),
        }
    for name, (there, wanted) in pairs.items():
        if there != wanted:
            raise BaseModelError(
                f"the control {control.model} has {name} {there}, but the base {wanted}: it was "
                "made for another base. Name one made for this base's family."
            )
