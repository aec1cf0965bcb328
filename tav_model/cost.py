"""What a step of the UNet costs, counted from its configuration: FLOPs, parameters and memory.

Standard library only, so that a run can be planned without loading torch. Tests compare the counts
with torch's own counter and with the tensors that autograd really saves.

One multiplication with its addition counts as two FLOPs; norms, activations and sums count as none.
The backward pass of an attention counts as five products, as the fused kernels do it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tav_model.config import AttentionMode, TunedSet
from tav_model.cost_walk import ClipSize, Walk

TEXT_TOKENS = 77
"""Of the longest prompt that CLIP's text encoder takes; shorter ones are padded to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetCost:
    """One UNet and one clip."""

    parameters: int
    tuned: int
    """Of these, numbers that tuning changes."""
    tuned_sides: int
    """Rows and columns of the matrices that these are in: what low-rank factors have."""
    forward: float
    """FLOPs of one forward pass."""
    train: float
    """FLOPs of forward and backward pass of a tuning step."""
    recompute: float
    """FLOPs that gradient checkpointing adds to a tuning step."""
    saved: int
    """Numbers that autograd keeps from forward to backward pass."""
    kept: int
    """The same with gradient checkpointing."""
    recomputed: int
    """What the largest block that is computed again saves meanwhile."""
    working: int
    """Numbers in flight in a forward pass without gradients: skips and the largest block's."""


def unet_cost(
    config: Mapping[str, Any],
    clip: ClipSize,
    attention: AttentionMode,
    tuned: TunedSet = "paper",
) -> UNetCost:
    """Count an inflated UNet.

    Args:
        config: The `config.json` of a Stable Diffusion 1.x or 2.x UNet, stock or inflated.
        clip: Size of the clip's latents.
        attention: Which frames the space-time attention sees.
        tuned: What tuning changes.
    """
    walk = UNetWalk(config, clip, attention, tuned)
    walk.run()
    return UNetCost(
        parameters=walk.parameters,
        tuned=walk.tuned,
        tuned_sides=walk.tuned_sides,
        forward=walk.forward,
        train=walk.forward + walk.backward,
        recompute=walk.recompute,
        saved=walk.saved,
        kept=walk.kept,
        recomputed=walk.largest,
        working=walk.skip_numbers + walk.in_flight,
    )


class UNetWalk(Walk):
    """Counts a UNet. Also follows gradients: what comes before the first tuned layer needs none."""

    along_time = True
    """Whether its blocks attend along time."""
    texts = 1
    """How often a text's keys and values are computed."""

    def __init__(
        self,
        config: Mapping[str, Any],
        clip: ClipSize,
        attention: AttentionMode,
        tuned: TunedSet,
    ) -> None:
        super().__init__(clip)
        self._all = tuned == "all"
        self._projections = tuned != "paper"
        """Whether the attentions' keys, values and outputs are tuned."""
        self.config = config
        self.mode = attention
        text = config["cross_attention_dim"]
        self.text: int = text if isinstance(text, int) else text[0]
        self.channels: list[int] = list(config["block_out_channels"])
        self.linear_projection = bool(config.get("use_linear_projection"))
        levels = len(self.channels)
        self._depths = _per_level(config.get("transformer_layers_per_block") or 1, levels)
        # diffusers' name for the number of heads, kept for old configs.
        heads = config.get("num_attention_heads") or config["attention_head_dim"]
        self._heads = _per_level(heads, levels)
        self.tuned = 0
        self.tuned_sides = 0
        self.backward = 0.0
        self.recompute = 0.0
        self.saved = 0
        self.kept = 0
        """Saved outside of what checkpointing recomputes, and at its entries."""
        self.largest = 0
        """Saved inside of the largest recomputed block."""
        self.skip_numbers = 0
        self._graded = False
        """Whether the present input depends on a tuned parameter."""

    def run(self) -> None:
        """Go through all layers."""
        x, skips = self.inwards()
        self._outwards(x, skips)

    def inwards(self) -> tuple[int, list[tuple[int, int, int]]]:
        """To the middle block; give its channels, and those and the size of each skip."""
        levels = len(self.channels)
        layers = _per_level(self.config["layers_per_block"], levels)
        first, last = self.channels[0], self.channels[-1]
        self._linear(first, 4 * first, self.frames, tuned=self._all)
        self._conv(self.config["in_channels"], first)
        self._graded = self._all  # from here on, where everything is tuned
        self._linear(4 * first, 4 * first, self.frames, tuned=self._all)
        # What these three take (of what the convolution gives two are kept), and the activations of
        # the time embedding.
        self._keep(self.config["in_channels"] + first)
        self._keep_rows(first + 4 * 4 * first)
        skips = [(first, self.height, self.width)]
        x = first
        for level, kind in enumerate(self.config["down_block_types"]):
            for _ in range(layers[level]):
                x = self._resnet(x, self.channels[level])
                if kind.startswith("CrossAttn"):
                    self._transformer(x, level)
                skips.append((x, self.height, self.width))
            if level + 1 < levels:
                self._keep(x * self._all)
                self.height, self.width = (self.height + 1) // 2, (self.width + 1) // 2
                self._conv(x, x)
                skips.append((x, self.height, self.width))
        self.skip_numbers = sum(self.frames * c * h * w for c, h, w in skips)
        self._resnet(last, last, recomputed=False)
        self._transformer(last, levels - 1)
        self._resnet(last, last)
        return x, skips

    def _outwards(self, x: int, skips: list[tuple[int, int, int]]) -> None:
        """From the middle block to the prediction."""
        levels = len(self.channels)
        layers = _per_level(self.config["layers_per_block"], levels)
        for level, kind in enumerate(self.config["up_block_types"]):
            same = levels - 1 - level
            for _ in range(layers[same] + 1):
                x = self._resnet(x + skips.pop()[0], self.channels[same])
                if kind.startswith("CrossAttn"):
                    self._transformer(x, same)
            if level + 1 < levels:
                _, self.height, self.width = skips[-1]
                self._conv(x, x)
                self._keep(x * self._all)
        self.norm(x)
        self._keep((2 + self._all) * x)  # what norm and activation take, and a tuned convolution
        self._conv(x, self.config["out_channels"])
        if self._all:
            self.tuned, self.tuned_sides = self.parameters, self.sides

    def _keep_rows(self, channels: int) -> None:
        """Of what has a row for each frame."""
        self.saved += channels * self.frames * self._all
        self.kept += channels * self.frames * self._all

    def _keep(self, channels: float) -> None:
        if self._graded:
            self.saved += round(channels * self.pixels)
            self.kept += round(channels * self.pixels)

    def _conv(self, c_in: int, c_out: int, kernel: int = 3) -> float:
        flops = self.conv(c_in, c_out, kernel)
        self.backward += flops * (self._graded + self._all)
        return flops

    def _linear(self, c_in: int, c_out: int, rows: int, *, tuned: bool, bias: bool = True) -> float:
        """A layer whose backward pass has a product for its input and one for its weight."""
        flops = self.linear(c_in, c_out, rows, bias=bias)
        self.tuned += tuned * (c_in * c_out + bias * c_out)
        self.tuned_sides += tuned * (c_in + c_out)
        self.backward += flops * (tuned + self._graded)
        return flops

    def _resnet(self, c_in: int, c_out: int, *, recomputed: bool = True) -> int:
        self.norm(c_in)
        again = self._conv(c_in, c_out)
        time = self._time(c_out)
        again += time
        self.norm(c_out)
        second = self._conv(c_out, c_out)
        if c_in != c_out:
            self._conv(c_in, c_out, kernel=1)
            again += second * self._all
        self.in_flight = max(self.in_flight, 3 * max(c_in, c_out) * self.pixels)
        if self._graded:
            # Of each half: what its norm takes, and a tuned convolution.
            inside = (1 + self._all) * (c_in + c_out) * self.pixels
            self.saved += inside
            # Recomputation ends at the last saved tensor, before the last convolution.
            self.recompute += again * recomputed
            self.kept += 0 if recomputed else inside
            self.largest = max(self.largest, inside * recomputed)
        self.kept += c_in * self.pixels * recomputed  # checkpointing keeps what goes in, always
        return c_out

    def _time(self, c_out: int) -> float:
        """The time embedding's layer, whose input depends on what is tuned where all is."""
        flops = self.linear(4 * self.channels[0], c_out, self.frames)
        self.backward += 2 * flops * self._all
        self._keep_rows(4 * self.channels[0])
        return flops

    def _transformer(self, c: int, level: int) -> None:
        self.norm(c)
        self._conv(c, c, kernel=1)
        self._keep(c * (1 + self._all))  # a layer keeps its input for its weight's gradient alone
        for _ in range(self._depths[level]):
            self._block(c, level)
        self._conv(c, c, kernel=1)
        self._keep(c * self._all)

    def _block(self, c: int, level: int) -> None:
        rows, before, graded = self.pixels, self.forward, self._graded
        for _ in range(4 if self.along_time else 3):
            self.norm(c)
        projections = self._projections
        self._linear(c, c, rows, tuned=True, bias=False)  # attn1
        for _ in range(2):
            self._linear(c, c, rows, tuned=projections, bias=False)
        self._graded = True
        self._attention(c, self._pairs())
        self._linear(c, c, rows, tuned=projections)
        self._linear(c, c, rows, tuned=True, bias=False)  # attn2
        for _ in range(2):
            flops = self.linear(self.text, c, self.texts * TEXT_TOKENS, bias=False)
            self.tuned += projections * self.text * c
            self.tuned_sides += projections * (self.text + c)
            self.backward += projections * flops  # of the text nothing depends on what is tuned
        self._attention(c, rows * TEXT_TOKENS)
        self._linear(c, c, rows, tuned=projections)
        self._linear(c, 8 * c, rows, tuned=self._all)  # feed-forward
        self._linear(4 * c, c, rows, tuned=self._all)
        last = self._attn_temp(c) if self.along_time else 0.0
        self.recompute += self.forward - before - last
        # Beside the tensors each attention keeps a number for each query and head, and each of the
        # four norms two for each token; and the text's keys and values.
        inside = round((self._saved_by_block() * c + 3 * self._heads[level] + 8) * rows)
        inside += 2 * c * TEXT_TOKENS
        inside -= (c + 2) * rows * (not graded)  # the first norm of the first block
        self.saved += inside
        self.kept += c * rows
        self.largest = max(self.largest, inside)
        self.in_flight = max(self.in_flight, 14 * c * rows)  # the feed-forward's, and its input

    def _attn_temp(self, c: int) -> float:
        """Of its last layer, which is not recomputed, the FLOPs are given."""
        for _ in range(3):
            self._linear(c, c, self.pixels, tuned=True, bias=False)
        self._attention(c, self.pixels * self.frames)
        return self._linear(c, c, self.pixels, tuned=True)

    def _attention(self, c: int, pairs: int) -> None:
        """Two products forward, five backward, for each pair of a query and a key."""
        self.forward += 4.0 * c * pairs
        self.backward += 10.0 * c * pairs

    def _pairs(self) -> int:
        """Queries times keys of the space-time attention."""
        f, tokens = self.frames, self.height * self.width
        frames = {
            # The first two frames see the first alone.
            "sparse_causal": 2 * (f - 1) if f > 1 else 1,
            "full": f * f,
            "causal": f * (f + 1) // 2,
            "per_frame": f,
        }[self.mode]
        return frames * tokens**2

    def _saved_by_block(self) -> float:
        """Tensors of the size of a block's input that autograd keeps, and the block's input."""
        f = self.frames
        seen = 0.0
        if self.mode == "sparse_causal" and f > 2:  # noqa: PLR2004 (the first two have no former)
            # Keys and values of first and former frame side by side.
            seen = 4 * (f - 2) / f
        # attn1: input, norm, query, key, value, output. attn2: input, norm, query, output.
        # Feed-forward: input and projection (8). attn_temp: input, norm, query, key, value and
        # output. Beside that, tuned outputs keep a copy, and a tuned feed-forward what goes into
        # its projection (1) and into its output (4).
        return 6 + seen + 4 + 9 + 6 + self._projections + 5 * self._all


def _per_level(value: int | Iterable[int], levels: int) -> list[int]:
    return [value] * levels if isinstance(value, int) else list(value)
