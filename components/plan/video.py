"""What one video costs: seconds of a worker, peak memory and storage, from the model's configs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from components.config import RunConfig, VideoConfig
from components.plan.rates import Rates
from components.records.models import part_config
from components.steps.methods import answering, make_method
from methods.method import ADAPTER, LATENTS, Cost, Passes
from methods.method import ClipSize as MethodClipSize
from tav_model.config import ControlConfig, ModelConfig
from tav_model.cost import UNetCost, unet_cost
from tav_model.cost_control import adapter_cost, controlnet_cost
from tav_model.cost_vae import VaeCost, vae_cost
from tav_model.cost_walk import ClipSize
from tav_model.windows import windows_of

PROCESS_BYTES = {"cpu": 0.95e9, "cuda": 0.5e9}
"""Of a worker without any model. CPU: Python, torch and the libraries, measured
(benchmarks/README.md). CUDA: its context and kernels, assumed."""
MARGIN = 1.1
"""On the counted memory, for what allocators and kernels take beside it. With it the plan is 11 %
below to 2 % above the peaks measured on a CPU (benchmarks/README.md); no GPU's was measured."""
_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
_PIXEL_BITS = 1.0
"""Of an mp4 at crf 12: 0.5 to 1.6 were measured on two real clips and a drawn one."""
_ROW_BYTES = 20_000
"""Of a video's rows in all tables, beside its latents."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseConfigs:
    """The ``config.json`` of a base model's parts."""

    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    text: Mapping[str, Any]
    nets: tuple[tuple[ControlConfig, Mapping[str, Any]], ...] = ()
    """Of the nets that steer the edits of a clip."""

    @property
    def factor(self) -> int:
        """Pixels per latent, by side."""
        return int(2 ** (len(self.vae["block_out_channels"]) - 1))


class VideoCost:
    """One clip size under one variant's configuration.

    What is None nobody has counted: the method does not say what it takes.
    """

    def __init__(self, config: RunConfig, base: BaseConfigs | None, video: VideoConfig) -> None:
        """Count.

        Args:
            config: Of the variant.
            base: Of the base model; none where the method uses none.
            video: The size of the clip.
        """
        self._config, self._base, self._video = config, base, video
        self._seen, self._forwards = video.num_frames, 1
        """Frames that the UNet sees at once, and how often for the clip; tuning sees one window."""
        method = make_method(config)
        with answering(config.method):
            self.cost: Cost | None = method.cost()
        self.kinds = tuple(stage.kind for stage in method.stages() if stage.kept)
        """Of the stages that are kept."""
        if base is not None:
            factor = base.factor
            clip = ClipSize(
                frames=video.num_frames, height=video.height // factor, width=video.width // factor
            )
            image = self.cost is not None and self.cost.image
            windows = None if image else windows_of(config.model)
            if windows is not None and windows.divides(clip.frames):
                self._forwards = len(windows.starts(clip.frames))
                self._seen = windows.frames + 1
            seen = dataclasses.replace(clip, frames=self._seen)
            self.unet: UNetCost = unet_cost(
                base.unet,
                seen,
                "per_frame" if image else config.model.attention_mode,
                "paper" if image else config.tune.parameters,
            )
            self.vae: VaeCost = vae_cost(base.vae, clip)
            self._nets = [
                (net, controlnet_cost(file, seen))
                for net, file in base.nets
                if net.kind == "controlnet"
            ]
            self._adapters = [
                adapter_cost(file, clip, factor)
                for net, file in base.nets
                if net.kind == "t2i_adapter"
            ]
            """Each is asked once a clip, so that its time is not counted."""

    @property
    def train_flops(self) -> float:
        """Of one tuning step."""
        again = self.unet.recompute if self._config.tune.gradient_checkpointing is True else 0.0
        return self.unet.train + again

    def tune_seconds(self, rates: Rates, kinds: Collection[str] | None = None) -> float | None:
        """Of what is prepared once per video.

        Args:
            rates: Of the worker.
            kinds: The stages that are to be done; none means all.
        """
        if self.cost is None:
            return None
        asked = self.kinds if kinds is None else kinds
        return sum(self._seconds(self.cost.stages[kind], rates) for kind in asked)

    def sample_seconds(self, rates: Rates) -> float | None:
        """Of one edit."""
        return None if self.cost is None else self._seconds(self.cost.edit, rates)

    def _seconds(self, passes: Passes, rates: Rates) -> float:
        if self._base is None:
            return 0.0
        unet = passes.train * self.train_flops / rates.train
        if self._config.control.tune:
            unet += passes.train * self._net_flops(whole=True) / rates.guided
        unet += passes.guided * self._forwards * self._net_flops() / rates.guided
        unet += passes.inversion * self._forwards * self.unet.forward / rates.inversion
        unet += passes.guided * self._forwards * self.unet.forward / rates.guided
        vae = passes.encode * self.vae.encode / rates.encode
        return unet + vae + passes.decode * self.vae.decode / rates.decode

    def _net_flops(self, *, whole: bool = False) -> float:
        """Of all ControlNets beside one UNet call of sampling, on average over the steps.

        Args:
            whole: At every step, as tuning has them.
        """
        return sum(cost.forward * (1 if whole else net.end - net.start) for net, cost in self._nets)

    def map_bytes(self) -> float:
        """Storage of a control map and its preview: as an edit's mp4, and FFV1 at half of grey."""
        return 0.5 * self._pixels() + self.edit_bytes() + _ROW_BYTES / 2

    def tune_bytes(self) -> float | None:
        """Peak memory of a worker that prepares: on its GPU, or on a CPU of its process."""
        if self.cost is None or not self.kinds:
            return None
        return max(self._bytes(self.cost.stages[kind]) for kind in self.kinds)

    def sample_bytes(self) -> float | None:
        """Peak memory of a worker that makes edits."""
        return None if self.cost is None else self._bytes(self.cost.edit)

    def _bytes(self, passes: Passes) -> float:
        if self._base is None:
            return PROCESS_BYTES["cpu"] + 12.0 * self._pixels()
        unet = self.unet
        assert self.cost is not None
        frames = self._seen
        share = min(self.cost.frames_per_batch or frames, frames) / frames
        # One net after the other, while the UNet's skips are not there yet.
        working = max([unet.working, *(cost.working for _, cost in self._nets)])
        working += sum(cost.given for _, cost in self._nets[:1])
        # T2I-Adapters' features are kept of the whole clip; a call has them for each row, twice.
        kept = sum(cost.given for cost in self._adapters)
        working += 2 * kept * frames // self._video.num_frames
        step = (passes.rows * share * working + kept) * self._number
        if passes.train:
            numbers = unet.saved
            if self._config.tune.gradient_checkpointing is True:
                numbers = unet.kept + unet.recomputed
            # Gradients and two moments of AdamW in fp32; where the compute dtype is another, the
            # tuned weights in it.
            cast = self._number if self._number < _BYTES["fp32"] else 0
            step = numbers * self._number + (12 + cast) * unet.tuned
        return self._process() + MARGIN * max(step, self._decode_bytes())

    def adapter_bytes(self) -> float:
        """Of the stored adapter, in its encoding (see ``tav_model.encoding``)."""
        stored, numbers, sides = self._config.adapter, self.unet.tuned, self.unet.tuned_sides
        return {
            "fp32": 4.0 * numbers,
            "fp16": 2.0 * numbers,
            "low_rank": min(2.0 * numbers, 1.0 * stored.rank * sides),
            "sign": numbers / 8 + 4.0 * sides / 2,
            "int4": numbers / 2 + 2.0 * numbers / 64,
        }[stored.encoding]

    def video_bytes(self, kinds: Collection[str] | None = None) -> float:
        """Storage of what is prepared of a video, with its rows.

        Args:
            kinds: The stages that are to be done; none means all.
        """
        total = 0.0
        for kind in self.kinds if kinds is None else kinds:
            total += _ROW_BYTES / 2 + self._stage_bytes(kind)
        return total

    def _stage_bytes(self, kind: str) -> float:
        if self._base is None:
            return 0.0
        factor = self._base.factor
        if kind == ADAPTER:
            return self.adapter_bytes()
        if kind == LATENTS:
            channels: int = self._base.unet["in_channels"]
            return 2.0 * channels * self._pixels() / factor**2
        known = self.cost.storage.get(kind) if self.cost is not None else None
        size = MethodClipSize(
            num_frames=self._video.num_frames, width=self._video.width, height=self._video.height
        )
        return 0.0 if known is None else known(size, factor)

    def edit_bytes(self) -> float:
        """Storage of an edit's mp4, and of its PNG frames where they are asked for."""
        output = self._config.output
        bits = _PIXEL_BITS * math.exp2((12 - output.crf) / 6)  # x264 halves its rate every 6 steps
        frames = 1.5 * self._pixels() if output.frames else 0.0  # PNG: about half of RGB
        return bits * self._pixels() / 8 + frames

    @property
    def _number(self) -> int:
        return _BYTES[self._config.model.dtype]

    def _pixels(self) -> int:
        return self._video.num_frames * self._video.height * self._video.width

    def _process(self) -> float:
        """What a worker holds all the time: itself and the weights, the tuned ones in fp32."""
        assert self._base is not None
        frozen = self.unet.parameters - self.unet.tuned + self.vae.parameters
        frozen += text_parameters(self._base.text)
        frozen += sum(
            cost.parameters for cost in (*(one for _, one in self._nets), *self._adapters)
        )
        device = self._config.model.device.partition(":")[0]
        # On a CPU the tuned weights' initial values, which lie there for every video, count, too.
        copies = 2 if device == "cpu" else 1
        weights = frozen * self._number + copies * 4 * self.unet.tuned
        return PROCESS_BYTES[device] + weights

    def _decode_bytes(self) -> float:
        """Of decoding: one chunk's layers, and the clip's frames as fp32."""
        return self.vae.working * self._number + 12.0 * self._pixels()


def text_parameters(config: Mapping[str, Any]) -> int:
    """Numbers in a CLIP text encoder: embeddings, and each layer's attention and MLP."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    layer = 4 * width * (width + 1) + 2 * width * inner + width + inner + 4 * width
    embeddings = (config["vocab_size"] + config["max_position_embeddings"]) * width
    return int(embeddings + config["num_hidden_layers"] * layer + 2 * width)


def base_configs(model: ModelConfig, revision: str) -> BaseConfigs:
    """Read the configs of a base model; of a hub model only these are downloaded.

    Args:
        model: The base, as it is configured.
        revision: What ``base_revision`` made of it.

    Raises:
        UserError: a config is missing, or the hub does not answer.
    """
    names = {"unet": "unet", "vae": "vae", "text": "text_encoder"}
    files = {field: part_config(model, revision, part) for field, part in names.items()}
    return BaseConfigs(unet=files["unet"], vae=files["vae"], text=files["text"])
