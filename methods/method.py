"""What a method is: a way of editing a clip, said in one class in a file of its own.

The driver makes a method to ask what it needs and what its results depend on; a worker makes one,
loads it once and edits clip after clip. docs/methods.md shows how to add one.
"""

from __future__ import annotations

import dataclasses
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

# Named so that methods of others may have them from here.
from methods.cost import ClipSize as ClipSize  # noqa: PLC0414
from methods.cost import Cost as Cost  # noqa: PLC0414
from methods.cost import Passes as Passes  # noqa: PLC0414
from tav_model.config import (
    AdapterConfig,
    ControlConfig,
    InvertConfig,
    ModelConfig,
    SampleConfig,
    TuneConfig,
)

Frames = NDArray[np.uint8]
"""(F, H, W, 3), RGB."""

Masks = NDArray[np.bool_]
"""(F, H, W), true where the object is."""

Prepared = Mapping[str, Any]
"""By kind of stage: the ``Path`` of the artefact's file; of ``latents`` the array itself, float16
(C, F, H, W)."""

ADAPTER = "adapter"
"""Kind of the stage whose artefact is tuned weights (table ``adapters``)."""
EXACT = "exact"
"""In ``Prepared``: the file of the first stage's artefact as it is without ``Stage.form``."""
LATENTS = "latents"
"""Kind of the stage whose artefact is inverted latents (table ``latents``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The sections of a run's configuration that a method may read."""

    own: Any
    """The method's own section, a ``Method.Config``."""
    model: ModelConfig
    """Of a hub model, ``revision`` is the commit that the run's keys hold."""
    base_revision: str = ""
    """What ``model.base`` is exactly: a hub commit or a folder's digest."""
    revisions: Mapping[str, str] = field(default_factory=dict)
    """Likewise of the models that ``own`` names, by field (see ``model_fields``). There, too, the
    field of a hub model's revision holds the commit."""
    control_tunes: bool = False
    """Whether what steers edits steers tuning, too (``control.tune``)."""
    tune: TuneConfig = field(default_factory=TuneConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    invert: InvertConfig = field(default_factory=InvertConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)


def model_fields(config: Any) -> dict[str, str]:
    """The fields of a method's section that name models, and those of their revisions.

    A field with ``metadata={"model": "revision"}`` holds a folder or a hub id, and the field
    ``revision`` beside it a branch, tag or commit of it, or None. With ``"shipped": part`` the
    name ``tinyworld`` stands for that model of tinyworld's.

    Args:
        config: A ``Method.Config``, or one's class.
    """
    found = {f.name: f.metadata.get("model") for f in dataclasses.fields(config)}
    return {name: revision for name, revision in found.items() if revision}


def without_places(own: Any) -> Any:
    """A method's section for keys: where its models lie does not matter, only what they are."""
    gone: dict[str, Any] = {}
    for name, revision in model_fields(own).items():
        gone |= {name: "-", revision: None}
    return dataclasses.replace(own, **gone) if gone else own


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """A net that steers the edits of a clip, with the clip's maps."""

    net: ControlConfig
    """Of a hub model, ``revision`` is the commit that the run's keys hold."""
    load: Callable[[], Frames]
    """Reads the maps, (F, H, W, 3) uint8, frame for frame those of the clip."""


class Source:
    """A clip that is edited."""

    def __init__(
        self,
        *,
        video_id: str,
        prompt: str,
        seed: int,
        load: Callable[[], Frames],
        load_mask: Callable[[], Masks | None] = lambda: None,
        controls: Sequence[Control] = (),
        others: Sequence[Source] = (),
    ) -> None:
        """Know a clip.

        Args:
            video_id: The manifest's id.
            prompt: What the clip shows.
            seed: Of every draw: 63 bits, from the content key of the clip's first stage, or of the
                clip where there is none. Use it with a CPU generator.
            load: Fetches and decodes the frames.
            load_mask: Likewise the mask; gives none where the manifest names none.
            controls: What steers the edits, or the preparation; only methods with ``uses_control``
                are given any.
            others: More clips of its subject (the manifest's ``group``), whose adapter is one with
                its own; only who tunes that is given any.
        """
        self.others = tuple(others)
        self.controls = tuple(controls)
        self.video_id = video_id
        self.prompt = prompt
        self.seed = seed
        self._load = load
        self._load_mask = load_mask

    @functools.cached_property
    def frames(self) -> Frames:
        """The clip, (F, H, W, 3) uint8 RGB; read from its source when first asked for."""
        return self._load()

    @functools.cached_property
    def mask(self) -> Masks | None:
        """Where the clip's object is, (F, H, W) bool; none where the manifest names no mask.

        With ``masks_by_sam2`` it is SAM 2's.
        Only methods with ``uses_mask``, or edits with ``edits_use_mask``, may ask.
        """
        return self._load_mask()


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """What is asked of a clip."""

    name: str
    """The edit's name in the manifest."""
    prompt: str
    given: Callable[[], Frames] | None = None
    """Reads the video at ``Method.address``, at the clip's size; none where that is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One thing that is prepared once per video and kept as a row, most with an object.

    Its content key is made of the clip, its prompt, the revisions of the base model where the
    method uses one and of the method's own, the run's seed, ``parts``, and the stage before it.
    """

    kind: str
    """``adapter``, ``latents``, or a name of the method's own; letters, digits and ``_``."""
    parts: Mapping[str, Any]
    """Settings that the content depends on: JSON values and config dataclasses."""
    form: Mapping[str, Any] = field(default_factory=dict)
    """Likewise those of the form in which it is kept, which change nothing of its making: they are
    in its key and in no seed. Where a run has the artefact without them, ``prepare`` is given that
    as ``EXACT``. Of the first stage alone."""
    long: bool = False
    """Whether it takes minutes or more: it then runs on Ray Train, with checkpoints."""
    kept: bool = True
    """False where there is nothing to keep, and the key alone goes into those after it."""
    uses_prompt: bool = True
    """Whether it depends on what the clip shows, as its prompt says; else that is not in its key.
    """
    uses_models: bool = True
    """Whether it depends on the models that the method's section names; else these are not in its
    key."""
    of: str = ""
    """The method whose stage it is, where it is not this one's: prepared in the same way from the
    same parts, it has that one's key and is shared with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Artefact:
    """What a stage gave."""

    kind: str
    path: Path | None = None
    """A safetensors file in the desk's folder; none for ``latents``."""
    latents: NDArray[np.floating[Any]] | None = None
    """(C, F, H, W), of ``latents`` alone; kept as float16."""
    facts: Mapping[str, float | int | None] = field(default_factory=dict)
    """Columns of the stage's table, such as ``final_loss`` of ``adapters``."""


class Checkpoint(Protocol):
    """Where a long stage keeps its state, so that another worker can go on."""

    def read(self, path: Path) -> bool:
        """Fetch the last state into a local file; false where there is none."""

    def write(self, path: Path) -> None:
        """Keep a local file's content in place of the last state; the file is moved away.

        It may raise what is no ``Exception``, to end a worker that was told to stop.
        """

    def due(self) -> bool:
        """Whether the state is wanted at once, as the worker was told to stop: ask after a step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """What a stage works with."""

    folder: Path
    """For files that are needed no longer than the artefact; empty."""
    checkpoint: Checkpoint
    progress: Callable[[int, int, float], None]
    """Told (steps done, steps in all, loss); most calls are dropped."""


class Method(ABC):
    """A way of editing a clip."""

    Config: ClassVar[type]
    """Frozen dataclass of the method's own section; its checks raise ValueError."""
    version: ClassVar[int] = 1
    """Raised whenever equal inputs give other results; part of every key but Tune-A-Video's."""
    uses_base: ClassVar[bool] = True
    """Whether ``model.base`` is loaded."""
    takes_windows: ClassVar[bool] = True
    """Whether the inflated UNet may divide a long clip (``model.window``)."""
    uses_mask: ClassVar[bool] = False
    """Whether ``Source.mask`` is asked for; where there is one, its content is part of the keys of
    edits and of the method's own stages."""
    uses_control: ClassVar[bool] = False
    """Whether edits are steered by ``Source.controls``, which are then part of their keys."""

    def __init__(self, settings: Settings) -> None:
        """Keep the settings. Nothing is loaded.

        Raises:
            ValueError: settings that the method cannot work with; the message names the remedy.
        """
        self.settings = settings

    # What the driver asks. None of these may load a model.

    @property
    def edits_use_mask(self) -> bool:
        """Whether edits ask for ``Source.mask``: as ``uses_mask`` says, or by the settings."""
        return self.uses_mask

    @property
    def masks_by_sam2(self) -> bool:
        """Whether ``Source.mask`` is SAM 2's (``control.mask``), and not the manifest's."""
        return False

    def stages(self) -> Sequence[Stage]:
        """What is prepared once per video, in order."""
        return ()

    def key_parts(self) -> Mapping[str, Any]:
        """Settings that an edit depends on, beside its stages, prompt, clip, seed and output."""
        return {"own": without_places(self.settings.own)}

    def schedule_steps(self) -> Mapping[str, int]:
        """Numbers of steps on the base's noise schedule, by the setting that gives each."""
        return {}

    def check_schedule(self, schedule: Mapping[str, Any]) -> None:  # noqa: B027 - most take any
        """Refuse what the base's noise schedule cannot do, beside the numbers of its steps.

        Args:
            schedule: What ``tav_model.schedule.schedule_settings`` made of the base's file.

        Raises:
            ValueError: names value, limit and remedy.
        """

    def check_own_models(self) -> None:  # noqa: B027 - most have none
        """Refuse models that the section names, by their configs alone.

        Raises:
            ValueError, OSError: names what is wrong and the remedy.
        """

    def weights(self) -> Mapping[str, Mapping[str, str]]:
        """What is loaded of the models that the section names.

        Returns:
            By the field that names a model: folders in it, and what the file of weights in each is
            called without its ending. They are looked through before any work.
        """
        return {}

    def least_bytes(self, numbers: Mapping[str, int]) -> float | None:  # noqa: ARG002 - for others
        """Memory of the device that weights alone take; none where it is not known.

        Args:
            numbers: How many there are, by folder of ``weights``.
        """
        return None

    def nearest(self, size: ClipSize) -> ClipSize:
        """The size that the method takes and that is nearest to this one: itself where it fits."""
        return size

    def cost(self) -> Cost | None:
        """What a clip takes; none where nobody has counted."""
        return None

    def address(self, video_id: str, edit: str) -> str | None:  # noqa: ARG002 - for others
        """Address of a finished video that an edit is read from; none where edits are made."""
        return None

    @property
    def batch(self) -> int:
        """Edits of one clip that ``edit`` is given at once."""
        return 1

    # What a worker does.

    def load(self) -> None:  # noqa: B027 - there may be nothing to load
        """Load what the method computes with. Called once, before anything below.

        Raises:
            ValueError, OSError: a model or device cannot be used. Whatever it raises stops the run
                with one message.
        """

    def check_prompt(self, prompt: str) -> None:  # noqa: B027 - any prompt may do
        """Refuse a prompt before it costs anything.

        Raises:
            TavModelError, ValueError: says why.
        """

    def prepare(
        self, source: Source, prepared: Prepared, wanted: Sequence[str], desk: Desk
    ) -> Iterator[Artefact]:
        """Make a clip's artefacts, each kept as soon as it is given.

        Args:
            source: The clip.
            prepared: Artefacts of earlier stages that are there.
            wanted: Kinds of the stages to do, in order.
            desk: Folder, checkpoint and progress. The folder is emptied after each artefact.
        """
        raise NotImplementedError

    @abstractmethod
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Frames]:
        """Make edits of a clip, in order; whatever one raises becomes a row of ``failures``.

        Args:
            source: The clip.
            edits: At most ``batch``.
            prepared: The clip's artefacts, those of all stages that are kept.

        Returns:
            For each edit its frames, uint8 RGB of the clip's shape (F, H, W, 3).
        """
