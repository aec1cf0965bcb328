"""What a user may choose about the model. Standard library only: importing this loads no torch.

A field with `metadata={"key": False}` cannot change a result beyond rounding; callers leave it out
when they derive a content key from a config, and one with `{"key": "unless default"}` at its
default, so that keys from before it was there hold.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, get_args

AttentionMode = Literal["sparse_causal", "full", "causal", "per_frame"]
DTypeName = Literal["fp32", "bf16", "fp16"]
TunedSet = Literal["paper", "attention", "all"]
Encoding = Literal["fp32", "fp16", "low_rank", "sign", "int4"]

_DTYPES = ("fp32", "bf16", "fp16")
_ATTENTION_MODES = ("sparse_causal", "full", "causal", "per_frame")
_PARAMETERS = ("paper", "attention", "all")
_ENCODINGS = ("fp32", "fp16", "low_rank", "sign", "int4")
_STARTS = ("inversion", "noise")
KeepOutside = Literal["nothing", "mask", "sam2", "attention"]
Solver = Literal["ddim", "dpmpp_2m"]
_SOLVERS: tuple[str, ...] = get_args(Solver)
_KEPT: tuple[str, ...] = get_args(KeepOutside)
MAX_STEPS = 1000
"""Of inversion and sampling."""
_NOT_KEY: dict[str, Any] = {"key": False}
_SOURCE = ("base", "revision", "config", "vae", "vae_revision", "loras")
_UNLESS_DEFAULT: dict[str, Any] = {"key": "unless default"}


def require(ok: bool, name: str, value: object, limit: str, remedy: str) -> None:  # noqa: FBT001
    """Refuse a setting, unless it is in order, with a ValueError that names all that is known."""
    if not ok:
        msg = f"{name}={value!r} is out of range: it must be {limit}. {remedy}"
        raise ValueError(msg)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraConfig:
    """Low-rank updates of a base's weights (LoRA, arXiv 2106.09685), from a file.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    path: str
    """A `.safetensors` file, as diffusers or kohya's sd-scripts write it."""
    weight: float = 1.0
    """What its updates are multiplied by; 0 changes nothing."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(bool(self.path), "path", self.path, "a file", "Name the LoRA's file.")
        finite = -float("inf") < self.weight < float("inf")
        require(finite, "weight", self.weight, "finite", "Use 1, or less for less of its effect.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Which base model, where it runs and how its attention looks at the clip.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    base: str
    """Folder in the diffusers Stable Diffusion layout, a hub id such as `owner/name`, or a
    `.safetensors` file that holds all parts in the original (LDM) layout."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; a folder or a file takes none."""
    config: str | None = field(default=None, metadata=_UNLESS_DEFAULT)
    """The configs of a base in one file: `sd1`, `sd2`, `sd2_v`, or a folder in the diffusers layout
    with configs and tokenizer; none takes those that the file's tensors call for."""
    vae: str | None = field(default=None, metadata=_UNLESS_DEFAULT)
    """In place of the base's own VAE: a folder, a hub id or a `.safetensors` file."""
    vae_revision: str | None = field(default=None, metadata=_UNLESS_DEFAULT)
    """Branch, tag or commit of the VAE's hub id."""
    loras: tuple[LoraConfig, ...] = field(default=(), metadata=_UNLESS_DEFAULT)
    """Merged into UNet and text encoder, before the UNet is inflated."""
    device: str = field(default="cpu", metadata=_NOT_KEY)
    """`cpu`, `cuda` or `cuda:N`. Asking for a device that is not there is an error."""
    dtype: DTypeName = "fp32"
    """Compute precision. Tuned weights, norm statistics, schedules and losses are always fp32."""
    attention_mode: AttentionMode = "sparse_causal"
    """Frames whose keys a frame's queries see: the first and the former, all, all up to it, or
    itself alone (the paper's ablation "w/o ST-Attn")."""
    attention_backend: str = "native"
    """Name of a diffusers attention backend; `native` is torch's scaled_dot_product_attention."""
    window: int | None = field(default=None, metadata=_UNLESS_DEFAULT)
    """Frames that the UNet sees at once of a longer clip, whose memory then follows the window:
    tuned on windows drawn at random, inverted and sampled in windows that overlap and are blended
    at every step, each beside the clip's first frame. None sees any clip whole."""
    overlap: int = field(default=8, metadata=_UNLESS_DEFAULT)
    """Frames that a window shares with the next one, at least."""
    init_seed: int = 0
    """Seed of the temporal attentions' initial weights when the base is a 2D (image) model."""
    compile: bool = field(default=False, metadata=_NOT_KEY)
    """Compile the UNet with torch.compile: a minute or more once, then faster steps on a GPU."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(bool(self.base), "base", self.base, "a folder or a hub id", "Set model.base.")
        require(self.dtype in _DTYPES, "dtype", self.dtype, f"one of {_DTYPES}", "Set model.dtype.")
        require(
            self.attention_mode in _ATTENTION_MODES,
            "attention_mode",
            self.attention_mode,
            f"one of {_ATTENTION_MODES}",
            "The paper's own is sparse_causal.",
        )
        if self.window is not None:
            require(self.window >= 2, "window", self.window, ">= 2", "24 is the paper's clip.")  # noqa: PLR2004
            require(
                0 <= self.overlap < self.window,
                "overlap",
                self.overlap,
                f"0 .. {self.window - 1}, less than the window",
                "A third of the window is usual.",
            )
        device, _, index = self.device.partition(":")
        require(
            device in ("cpu", "cuda") and (not index or (device == "cuda" and index.isdecimal())),
            "device",
            self.device,
            "cpu, cuda or cuda:N",
            "Set model.device.",
        )
        require(0 <= self.init_seed < 2**63, "init_seed", self.init_seed, "0 .. 2**63-1", "Use 0.")

    def source(self) -> "ModelConfig":
        """Which model it is, with what is put on it; all else at its default."""
        return ModelConfig(**{name: getattr(self, name) for name in _SOURCE})

    def use(self) -> "ModelConfig":
        """How the model is used, whichever it is: the rest of `source`."""
        nothing = ModelConfig(base="-")
        return replace(self, **{name: getattr(nothing, name) for name in _SOURCE})


@dataclass(frozen=True, kw_only=True, slots=True)
class StopConfig:
    """When tuning stops by itself: the loss of fixed pairs of noise and level falls no more.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    patience: int = 5
    """Looks in a row without a gain after which it stops."""
    min_steps: int = 100
    """Steps before which it does not stop."""
    min_gain: float = 0.01
    """Part of the smoothed loss that counts as a gain over the best so far."""
    every: int = 24
    """Steps between two looks."""
    pairs: int = 4
    """Pairs of noise and level, each a forward pass (0.41 of a step's FLOPs) at every look."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self.patience >= 1, "patience", self.patience, ">= 1", "Use 5.")
        require(self.min_steps >= 0, "min_steps", self.min_steps, ">= 0", "Use 100.")
        require(0 <= self.min_gain < 1, "min_gain", self.min_gain, "in [0, 1)", "Use 0.01.")
        require(self.pairs >= 1, "pairs", self.pairs, ">= 1", "Use 4.")
        require(
            self.every >= 6 * self.pairs,
            "every",
            self.every,
            f">= {6 * self.pairs}, six times pairs",
            "Looks then cost 7 % of the tuning at most.",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneConfig:
    """One-shot tuning (arXiv 2212.11565, section 4.2; defaults of the official configs).

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    parameters: TunedSet = field(default="paper", metadata=_UNLESS_DEFAULT)
    """What of the UNet is tuned: the paper's (queries of both attentions, and the attention along
    time), all projections of the attentions, or everything (the "full tuning" that section 4.2
    argues against). VAE and text encoder stay as they are."""
    steps: int = 500
    """Optimiser steps, each on the whole clip with one fresh noise level; 0 leaves the initial
    weights (the paper's ablation "w/o tuning")."""
    stop: StopConfig | None = field(default=None, metadata=_UNLESS_DEFAULT)
    """When to stop before `steps`; none does all of them."""
    learning_rate: float = 3e-5
    """AdamW's learning rate; constant, no warm-up."""
    beta1: float = 0.9
    """AdamW's decay of the gradient's running mean."""
    beta2: float = 0.999
    """AdamW's decay of the squared gradient's running mean."""
    weight_decay: float = 1e-2
    """AdamW's decoupled weight decay, on the tuned tensors only."""
    epsilon: float = 1e-8
    """AdamW's denominator offset."""
    max_grad_norm: float = 1.0
    """Total gradient norm above which gradients are scaled down."""
    gradient_checkpointing: bool | Literal["auto"] = field(default="auto", metadata=_NOT_KEY)
    """Recompute activations in the backward pass: a fraction of the memory, a third more time. With
    `auto` a run's plan has it where the device's memory needs it; without a plan it is off."""
    checkpoint_every: int = field(default=100, metadata=_NOT_KEY)
    """Steps between checkpoints that an interrupted tuning resumes from, on the node's own disk; 0
    makes none but when the worker is told to stop."""
    checkpoint_upload_seconds: float = field(default=600.0, metadata=_NOT_KEY)
    """Seconds between checkpoints that also go to the run's store: what the loss of a node costs at
    most. 0 uploads each; a worker that is told to stop uploads at once."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(
            self.parameters in _PARAMETERS,
            "parameters",
            self.parameters,
            f"one of {_PARAMETERS}",
            "The paper's own is paper.",
        )
        require(self.steps >= 0, "steps", self.steps, ">= 0", "The paper uses 500.")
        for name in ("learning_rate", "epsilon", "max_grad_norm"):
            value = getattr(self, name)
            require(0 < value < float("inf"), name, value, "> 0 and finite", "See the defaults.")
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            require(0 <= value < 1, name, value, "in [0, 1)", "AdamW's own are 0.9 and 0.999.")
        require(
            0 <= self.weight_decay < float("inf"),
            "weight_decay",
            self.weight_decay,
            ">= 0 and finite",
            "Use 0 for none.",
        )
        require(
            self.checkpoint_every >= 0,
            "checkpoint_every",
            self.checkpoint_every,
            ">= 0",
            "Use 0 for no checkpoints.",
        )
        require(
            self.checkpoint_upload_seconds >= 0,
            "checkpoint_upload_seconds",
            self.checkpoint_upload_seconds,
            ">= 0",
            "Use 0 to upload each checkpoint.",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterConfig:
    """How a tuned adapter is stored; inversion and sampling see what is stored.

    It changes nothing of the tuning, and its seeds are not drawn from it.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    encoding: Encoding = "fp32"
    """`fp32` is the tuned weights to the bit; the others hold what tuning changed: in `fp16`, as a
    product of two thin int8 factors (`low_rank`), as one bit a number and a scale a row (`sign`),
    or in four bits a number (`int4`)."""
    rank: int = field(default=64, metadata=_UNLESS_DEFAULT)
    """Columns of low_rank's factors."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(
            self.encoding in _ENCODINGS,
            "encoding",
            self.encoding,
            f"one of {_ENCODINGS}",
            "fp32 is exact.",
        )
        require(self.rank >= 1, "rank", self.rank, ">= 1", "64 takes 9.6 MB of SD 1.4.")
        unused = self.encoding == "low_rank" or self.rank == 64  # noqa: PLR2004
        require(unused, "rank", self.rank, "left out", "Only low_rank has one.")


@dataclass(frozen=True, kw_only=True, slots=True)
class InvertConfig:
    """DDIM inversion (arXiv 2010.02502) of the clip's latents, without text and without guidance.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    steps: int = 50
    """Inversion steps; the official configs use 50."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(1 <= self.steps <= MAX_STEPS, "steps", self.steps, f"1 .. {MAX_STEPS}", "Use 50.")


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleConfig:
    """Sampling with classifier-free guidance (arXiv 2207.12598).

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    steps: int = 50
    """Denoising steps; the official configs use 50."""
    solver: Solver = field(default="ddim", metadata=_UNLESS_DEFAULT)
    """DDIM (arXiv 2010.02502), or DPM-Solver++(2M) (arXiv 2211.01095), which needs fewer steps and
    does not stand at the source's noise levels, as `keep_outside` asks."""
    guidance_scale: float = 12.5
    """Weight of the prompt against the negative prompt; 1 is no guidance and half the work."""
    guidance_interval: tuple[float, float] = field(default=(0.0, 1.0), metadata=_UNLESS_DEFAULT)
    """Parts of the steps between which there is guidance (arXiv 2404.07724); other steps are half
    the work."""
    negative_prompt: str = ""
    """What the guidance moves away from."""
    start: Literal["inversion", "noise"] = "inversion"
    """Start from the clip's inverted latents (keeps its motion) or from seeded Gaussian noise."""
    keep_outside: KeepOutside = field(default="nothing", metadata=_UNLESS_DEFAULT)
    """What stays as in the source: nothing by itself, or all that lies outside of a mask, where the
    inverted source's latents take the edit's place after every step, and its pixels at the end. It
    is the manifest's `mask`, `sam2`'s as `control.mask` says, or where `attention` to the words
    goes that the source's prompt has not (arXiv 2208.01626)."""
    mask_threshold: float = field(default=0.3, metadata=_UNLESS_DEFAULT)
    """Of `attention`: share of each frame's maximum that must be exceeded; Prompt-to-Prompt's own
    default."""
    prompts_per_batch: int | Literal["auto"] = field(default="auto", metadata=_NOT_KEY)
    """Edited prompts that go through the UNet together: faster on a GPU with memory to spare. Of
    `auto` a run's plan makes a number by the device's memory; without a plan it is 1."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(1 <= self.steps <= MAX_STEPS, "steps", self.steps, f"1 .. {MAX_STEPS}", "Use 50.")
        require(
            1 <= self.guidance_scale < float("inf"),
            "guidance_scale",
            self.guidance_scale,
            ">= 1 and finite",
            "Use 1 for no guidance.",
        )
        require(self.solver in _SOLVERS, "solver", self.solver, f"one of {_SOLVERS}", "Use ddim.")
        begin, end = self.guidance_interval
        require(
            0 <= begin < end <= 1,
            "guidance_interval",
            self.guidance_interval,
            "two parts of the steps, 0 <= begin < end <= 1",
            "Use guidance_scale 1 for no guidance.",
        )
        require(self.start in _STARTS, "start", self.start, f"one of {_STARTS}", "Use inversion.")
        require(
            self.keep_outside in _KEPT,
            "keep_outside",
            self.keep_outside,
            f"one of {_KEPT}",
            "mask needs the manifest's mask of each video.",
        )
        require(
            self.solver == "ddim" or self.keep_outside == "nothing",
            "solver",
            self.solver,
            f"ddim with keep_outside={self.keep_outside!r}",
            "What is kept comes from DDIM's inversion, at its noise levels.",
        )
        threshold = self.mask_threshold
        require(0 <= threshold < 1, "mask_threshold", threshold, "in [0, 1)", "Use 0.3.")
        require(
            self.prompts_per_batch == "auto" or self.prompts_per_batch >= 1,
            "prompts_per_batch",
            self.prompts_per_batch,
            ">= 1, or auto",
            "Use auto.",
        )

    @property
    def at_once(self) -> int:
        """Prompts that go through the UNet together."""
        return 1 if self.prompts_per_batch == "auto" else self.prompts_per_batch

    def guided(self, step: int) -> bool:
        """Whether there is guidance at a step, counted from 0."""
        begin, end = self.guidance_interval
        return self.guidance_scale > 1 and begin <= step / self.steps < end


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlConfig:
    """One ControlNet (arXiv 2302.05543) or T2I-Adapter (arXiv 2302.08453) that steers sampling.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: Literal["controlnet", "t2i_adapter"]
    """A ControlNet is asked at every step, a T2I-Adapter once a clip."""
    model: str
    """Folder in diffusers' layout, or a hub id such as `owner/name`."""
    map: str
    """What the model is shown of the source clip; see `components.controls`."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; a folder takes none."""
    weight: float = 1.0
    """What its features are multiplied by."""
    start: float = 0.0
    """Part of the steps after which it begins."""
    end: float = 1.0
    """Part of the steps after which it ends."""

    def __post_init__(self) -> None:
        """Check ranges."""
        kinds = ("controlnet", "t2i_adapter")
        require(self.kind in kinds, "kind", self.kind, f"one of {kinds}", "Set control's kind.")
        require(bool(self.model), "model", self.model, "a folder or a hub id", "Set its model.")
        require(
            0 <= self.weight < float("inf"),
            "weight",
            self.weight,
            ">= 0 and finite",
            "1 is as trained.",
        )
        require(
            0 <= self.start < self.end <= 1,
            "start, end",
            (self.start, self.end),
            "0 <= start < end <= 1",
            "0 and 1 steer every step.",
        )
