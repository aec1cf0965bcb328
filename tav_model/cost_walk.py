"""Adds up a model's layers: shared by the UNet's costs (`cost`) and the VAE's (`cost_vae`)."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSize:
    """The clip that goes through the UNet."""

    frames: int
    height: int
    """Of the latents."""
    width: int
    """Of the latents."""


class Walk:
    """Adds up layers in the order in which they compute."""

    def __init__(self, size: ClipSize) -> None:
        self.frames, self.height, self.width = size.frames, size.height, size.width
        self.parameters = 0
        self.sides = 0
        """Rows and columns of all matrices; of a convolution's, (c_out, c_in * kernel**2)."""
        self.forward = 0.0
        self.in_flight = 0
        """Most numbers that one block holds at once."""

    @property
    def pixels(self) -> int:
        """Of all frames, at the present resolution."""
        return self.frames * self.height * self.width

    def conv(self, c_in: int, c_out: int, kernel: int = 3) -> float:
        """Add a 2D convolution on each frame with a bias; return its FLOPs."""
        self.parameters += c_in * c_out * kernel**2 + c_out
        self.sides += c_in * kernel**2 + c_out
        flops = 2.0 * self.pixels * c_in * c_out * kernel**2
        self.forward += flops
        return flops

    def linear(self, c_in: int, c_out: int, rows: int, *, bias: bool = True) -> float:
        """Add a linear layer on so many rows; return its FLOPs."""
        self.parameters += c_in * c_out + bias * c_out
        self.sides += c_in + c_out
        flops = 2.0 * rows * c_in * c_out
        self.forward += flops
        return flops

    def norm(self, channels: int) -> None:
        """Add a norm with scale and shift."""
        self.parameters += 2 * channels
