"""The sections of a run's configuration: frozen dataclasses, whose values are checked when made.

``tav_model.config`` holds the model's own part.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from components.config.control import ControlsConfig
from eval.judges import check_names
from tav_model.config import AdapterConfig, InvertConfig, ModelConfig, SampleConfig, TuneConfig

STRICT = {"extra": "forbid"}
"""Read by pydantic: an unknown key is an error."""

NOT_KEYED = {"key": False}
"""Field metadata: this field cannot change a result, so it is no part of a content key."""
KEYED_UNLESS_DEFAULT = {"key": "unless default"}
"""Field metadata: at its default the field is no part of a content key, so that keys from before it
was there hold."""

FPS_RANGE = (1e-4, 1e4)
"""Frames per second that a video may play at: from one frame in three hours to slow-motion cameras'
rates. What is outside is taken for a broken clock."""


def _at_least(name: str, value: float, limit: float, remedy: str) -> None:
    if not limit <= value < math.inf:  # NaN compares as false
        raise ValueError(f"{name} is {value}, but must be at least {limit}: {remedy}")


def _check_fps(value: float) -> None:
    lowest, highest = FPS_RANGE
    if not lowest <= value <= highest:
        raise ValueError(
            f"fps is {value}, but must be {lowest:g} to {highest:g} frames per second: 24 is film's"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoLimits:
    """What reading one source may cost; over a limit the video is a row of ``failures``.

    Videos are decoded in a process of their own, which the kernel holds to time and memory.
    """

    file_gib: float = 8.0
    """Size of a video file, or of all images of a folder of frames."""
    frame_pixels: int = 8192 * 4320
    """Pixels of one frame (8K)."""
    frames: int = 100_000
    """Frames of the whole source, of which a clip takes a few."""
    duration: float = 3600.0
    """Seconds that the source plays."""
    decode_seconds: float = 900.0
    """Seconds for decoding one source, which is read twice: to count its frames, and to keep some.
    """
    decode_gib: float = 4.0
    """Memory for decoding one source, the clip itself not counted."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    def __post_init__(self) -> None:
        _at_least("file_gib", self.file_gib, 0, "8 is the default")
        _at_least("frame_pixels", self.frame_pixels, 1, "35389440 (8K) is the default")
        _at_least("frames", self.frames, 1, "100000 is the default")
        _at_least("duration", self.duration, 0, "3600 (an hour) is the default")
        _at_least("decode_seconds", self.decode_seconds, 1, "900 is the default")
        _at_least("decode_gib", self.decode_gib, 0.25, "4 is the default")

    @property
    def file_bytes(self) -> int:
        """``file_gib`` in bytes."""
        return int(self.file_gib * GIB)


GIB = 1 << 30
"""Bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoConfig:
    """Which frames of a video become the clip, and at what size; a manifest may override it."""

    num_frames: int = 24
    """Frames of the clip. A video with fewer frames than asked is a failure, never padded."""
    selection: Literal["uniform", "stride"] = "uniform"
    """``uniform`` spreads the frames over the video; ``stride`` takes ``start + i * stride``."""
    start: int = 0
    """First frame considered (0-based)."""
    stride: int = 1
    """Step between frames when ``selection`` is ``stride``."""
    width: int = 512
    """Pixels; a multiple of 8, the factor of Stable Diffusion's VAE."""
    height: int = 512
    """Pixels; a multiple of 8."""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """How another aspect ratio is met: centre crop, black bars, or squashing (the paper's)."""
    fps: float | None = field(default=None, metadata=KEYED_UNLESS_DEFAULT)
    """Frames per second of the source, whatever it says itself: of a folder of frames, which says
    nothing (none is 24), or of a file whose clock is wrong. Its frames then count as evenly spaced.
    """
    limits: VideoLimits = field(default_factory=VideoLimits, metadata=NOT_KEYED)

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    def __post_init__(self) -> None:
        _at_least("num_frames", self.num_frames, 1, "a clip has one frame or more")
        _at_least("start", self.start, 0, "frames are counted from 0")
        _at_least("stride", self.stride, 1, "use 1 for consecutive frames")
        for name, value in (("width", self.width), ("height", self.height)):
            _at_least(name, value, 8, "the VAE works on multiples of 8 pixels")
            if value % 8:
                raise ValueError(
                    f"{name} is {value}, but must be a multiple of 8 (the VAE's factor): "
                    f"try {value // 8 * 8} or {value // 8 * 8 + 8}"
                )
        if self.fps is not None:
            _check_fps(self.fps)


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionConfig:
    """BLIP-2, for videos whose manifest entry gives no source prompt."""

    backend: Literal["transformers", "lavis"] = "transformers"
    """The library that computes: transformers, or LAVIS in an environment of its own."""
    lavis_python: str | None = field(default=None, metadata=NOT_KEYED)
    """Interpreter of LAVIS's environment, none for that of ``make lavis`` and the image."""
    model: str = "Salesforce/blip2-opt-2.7b"
    """``tinyworld``, or folder or hub id of a Blip2ForConditionalGeneration."""
    revision: str | None = None
    """Hub revision (commit) of the model."""
    device: str = field(default="cpu", metadata=NOT_KEYED)
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    prompt: str = ""
    """Text that the caption continues; empty for a free caption."""
    num_beams: int = 5
    length_penalty: float = 1.0
    """What beams' scores are divided by: their length to this power."""
    max_new_tokens: int = 30
    batch_size: int = field(default=8, metadata=NOT_KEYED)
    """Videos captioned at once by one worker."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    def __post_init__(self) -> None:
        if self.lavis_python is not None and self.backend != "lavis":
            raise ValueError(
                f"lavis_python is {self.lavis_python!r}, but backend is {self.backend!r}: "
                "set backend to lavis, or leave lavis_python out"
            )
        _at_least("num_beams", self.num_beams, 1, "1 is greedy decoding")
        _at_least("length_penalty", self.length_penalty, 0, "LAVIS uses 1, and 0 divides by 1")
        _at_least("max_new_tokens", self.max_new_tokens, 1, "LAVIS uses 30")
        _at_least("batch_size", self.batch_size, 1, "1 captions one video at a time")


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeConfig:
    """A model that protocols of a published benchmark judge with."""

    model: str
    """A folder, or a hub id: what transformers saved of model and processor, or of ``lpips`` and
    ``raft`` one safetensors file."""
    revision: str | None = None
    """Of a hub id."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreConfig:
    """Which metric protocols score the edits, and with which open_clip model."""

    protocols: tuple[str, ...] = ("tav_paper_v1",)
    model: str = "hf-hub:laion/CLIP-ViT-L-14-laion2B-s32B-b82K"
    """``tinyworld``, ``hf-hub:org/name``, or a folder of open_clip_config.json and
    open_clip_model.safetensors."""
    judges: Mapping[str, JudgeConfig] = field(
        default_factory=dict, hash=False, metadata=KEYED_UNLESS_DEFAULT
    )
    """Judges of benchmarks' protocols that are other than the hub's models which the benchmarks
    used, by name (see ``eval.judges``)."""
    device: str = field(default="cpu", metadata=NOT_KEYED)
    batch_size: int = field(default=32, metadata=NOT_KEYED)
    """Frames embedded at once."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    def __post_init__(self) -> None:
        _at_least("batch_size", self.batch_size, 1, "1 embeds one frame at a time")
        if not self.protocols:
            raise ValueError("protocols is empty, but at least 1 is needed: try [tav_paper_v1]")
        check_names(self.judges)


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputConfig:
    """What is written beside the tables."""

    frames: bool = False
    """Also write every edit's frames as lossless PNG."""
    crf: int = 12
    """x264 quality of the mp4 files, 0 (lossless) to 51."""
    fps: Literal["source_speed", "source_rate"] | float = field(
        default="source_speed", metadata=KEYED_UNLESS_DEFAULT
    )
    """At what rate edits and previews of clips play: ``source_speed`` as fast as the source moves,
    ``source_rate`` with as many frames per second as it has, or a number. Frames do not change."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= 51:  # noqa: PLR2004 - x264's own range
            raise ValueError(f"crf is {self.crf}, but x264 takes 0 to 51: 12 is near-lossless")
        if not isinstance(self.fps, str):
            _check_fps(self.fps)


@dataclass(frozen=True, kw_only=True, slots=True)
class RayConfig:
    """Where the work runs and how it is spread."""

    address: str | None = None
    """An existing cluster (``auto`` or ``ray://host:10001``); none starts a local instance."""
    num_cpus: int | None = None
    """CPUs of the local instance; none takes what the machine has."""
    workers: int | Literal["auto"] = 1
    """Processes at work side by side: of `tav run`, or of a step alone the actors of its pool and
    the tuning shards that run at once. `auto` is as many as Ray has CPUs and GPUs for just now."""
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    """GPUs of a tune, sample, caption or score worker; a fraction shares one GPU."""
    videos_per_shard: int | None = None
    """Videos that one Ray Train worker tunes in turn, loading the base model once; none takes as
    many as last about 20 minutes (see ``plan.shards``)."""
    accelerator_type: str | None = None
    """Ray's name of the GPU that workers with a GPU need, such as ``A100`` or ``L4``, where a
    cluster has several kinds."""
    request_resources: bool = False
    """Ask Ray's autoscaler for all workers at once, instead of as their work becomes due."""
    flow: bool = field(default=True, metadata=NOT_KEYED)
    """`tav run` takes each video on to its next step as soon as its rows are there, with workers
    that do every step; false ends each step before it begins the next."""
    items_per_task: int = 16
    """Videos (score: edits × protocols) that a worker is given at once, at most; fewer towards a
    step's end. With items of well under a second, 500 spares Ray most of its own work."""
    max_restarts: int = 2
    """How often a video's tuning is taken up again after a worker died at it."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    def __post_init__(self) -> None:
        if self.workers != "auto":
            _at_least("workers", self.workers, 1, "one worker does the work alone")
        elif self.request_resources:
            raise ValueError(
                "request_resources asks for all workers, but workers is auto: say how many"
            )
        _at_least("cpus_per_worker", self.cpus_per_worker, 0, "0 reserves no CPU")
        _at_least("gpus_per_worker", self.gpus_per_worker, 0, "0 reserves no GPU")
        if self.videos_per_shard is not None:
            _at_least("videos_per_shard", self.videos_per_shard, 1, "one fit() per video is least")
        if self.accelerator_type is not None and not self.gpus_per_worker:
            raise ValueError(
                f"accelerator_type is {self.accelerator_type!r}, but gpus_per_worker is 0: "
                "give the workers a GPU, or a fraction of one"
            )
        _at_least("items_per_task", self.items_per_task, 1, "1 spreads items most evenly")
        _at_least("max_restarts", self.max_restarts, 0, "0 gives a video one try")

    @property
    def workers_here(self) -> int:
        """Workers, for estimates: where that is `auto`, as many as this machine has CPUs for."""
        if self.workers != "auto":
            return self.workers
        return max(int((os.cpu_count() or 1) / (self.cpus_per_worker or 1)), 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """One run: a manifest, a place for its tables and objects, and how to compute them."""

    run: str
    """The run's root: a local folder or ``s3://bucket/prefix``."""
    manifest: str
    """The dataset manifest, or a folder or bucket prefix of videos."""
    model: ModelConfig
    manifest_root: str | None = field(default=None, metadata=NOT_KEYED)
    """Where the manifest's relative addresses begin, a folder or bucket prefix; none is the
    manifest's own folder."""
    method: str = field(default="tune_a_video", metadata=KEYED_UNLESS_DEFAULT)
    """How edits are made: a method of docs/methods.md, or one that another package adds."""
    own: Mapping[str, Any] = field(default_factory=dict, hash=False, metadata=KEYED_UNLESS_DEFAULT)
    """Sections of methods by name, as ``Method.Config``; in a file each is a section of its own."""
    variants: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict, hash=False, metadata=NOT_KEYED
    )
    """Named sets of overrides of this very configuration, whose edits stand beside each other; none
    is one variant, named as its method. See ``variant_configs``."""
    only: tuple[str, ...] = field(default=(), metadata=NOT_KEYED)
    """Variants that a command is narrowed to; none is all. The run's record does not keep it."""
    seed: int = 33
    max_failed_fraction: float = 0.0
    """The exit code is 0 only while failed items / all items stays within this bound."""
    max_attempts: int = 3
    """How often an item that failed for a passing reason is tried over all runs."""
    lease_seconds: float = field(default=60.0, metadata=NOT_KEYED)
    """How long after a driver's last sign of life another one may take over its run."""
    retry_seconds: float = field(default=10.0, metadata=NOT_KEYED)
    """What a run waits before it tries such items again, at the end of a step; twice as long before
    each further try, and 5 minutes at most."""
    video: VideoConfig = VideoConfig()
    caption: CaptionConfig = CaptionConfig()
    tune: TuneConfig = TuneConfig()
    adapter: AdapterConfig = field(default=AdapterConfig(), metadata=KEYED_UNLESS_DEFAULT)
    invert: InvertConfig = InvertConfig()
    sample: SampleConfig = SampleConfig()
    control: ControlsConfig = field(default=ControlsConfig(), metadata=KEYED_UNLESS_DEFAULT)
    score: ScoreConfig = ScoreConfig()
    output: OutputConfig = OutputConfig()
    ray: RayConfig = RayConfig()
    log_format: Literal["text", "json"] = field(default="text", metadata=NOT_KEYED)
    """How driver and workers write their records: for people, or one JSON object a line."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    def __post_init__(self) -> None:
        if not 0 <= self.max_failed_fraction <= 1:
            raise ValueError(
                f"max_failed_fraction is {self.max_failed_fraction}, but is a fraction: give 0 to 1"
            )
        _at_least("max_attempts", self.max_attempts, 1, "1 never tries again")
        _at_least("lease_seconds", self.lease_seconds, 1, "60 rides out a short outage of S3")
        _at_least("retry_seconds", self.retry_seconds, 0, "0 tries again at once")
