"""What the VAE costs, counted from its configuration as ``cost`` does for the UNet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tav_model.cost_walk import ClipSize, Walk

VAE_CHUNK = 8
"""Frames that the VAE takes at once (`encode_moments`, `decode`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VaeCost:
    """One VAE and one clip."""

    parameters: int
    encode: float
    """FLOPs of the clip's posterior."""
    decode: float
    """FLOPs of the clip's frames."""
    working: int
    """Numbers in flight at most while a chunk of frames is decoded."""


def vae_cost(config: Mapping[str, Any], clip: ClipSize) -> VaeCost:
    """Count a VAE.

    Args:
        config: The `config.json` of an AutoencoderKL.
        clip: Size of the clip's latents.
    """
    channels: Sequence[int] = config["block_out_channels"]
    layers: int = config["layers_per_block"]
    latent: int = config["latent_channels"]
    factor = 2 ** (len(channels) - 1)
    size = ClipSize(frames=clip.frames, height=clip.height * factor, width=clip.width * factor)
    encoder = _VaeWalk(size)
    encoder.conv(config["in_channels"], channels[0])
    last = channels[0]
    for level, c in enumerate(channels):
        last = encoder.resnets(last, c, layers)
        if level + 1 < len(channels):
            encoder.resize(c, up=False)
    encoder.middle(last)
    encoder.norm(last)
    encoder.conv(last, 2 * latent)
    encoder.conv(2 * latent, 2 * latent, kernel=1)
    decoder = _VaeWalk(clip)
    decoder.conv(latent, latent, kernel=1)
    last = channels[-1]
    decoder.conv(latent, last)
    decoder.middle(last)
    for level, c in enumerate(reversed(channels)):
        last = decoder.resnets(last, c, layers + 1)
        if level + 1 < len(channels):
            decoder.resize(c, up=True)
    decoder.norm(last)
    decoder.conv(last, config["out_channels"])
    return VaeCost(
        parameters=encoder.parameters + decoder.parameters,
        encode=encoder.forward,
        decode=decoder.forward,
        working=decoder.in_flight * min(VAE_CHUNK, clip.frames) // clip.frames,
    )


class _VaeWalk(Walk):
    def resnets(self, c_in: int, c_out: int, count: int) -> int:
        for _ in range(count):
            self.norm(c_in)
            self.conv(c_in, c_out)
            self.norm(c_out)
            self.conv(c_out, c_out)
            if c_in != c_out:
                self.conv(c_in, c_out, kernel=1)
            # The block's input, its norm's output and its activation's.
            self.in_flight = max(self.in_flight, 3 * max(c_in, c_out) * self.pixels)
            c_in = c_out
        return c_out

    def middle(self, c: int) -> None:
        self.resnets(c, c, 1)
        self.norm(c)
        for _ in range(4):
            self.linear(c, c, self.pixels)
        self.forward += 4.0 * c * self.frames * (self.height * self.width) ** 2
        self.resnets(c, c, 1)

    def resize(self, c: int, *, up: bool) -> None:
        self.height, self.width = ((n * 2 if up else n // 2) for n in (self.height, self.width))
        self.conv(c, c)
