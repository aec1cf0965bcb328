"""What tests do with a method, as the engine does it."""

from pathlib import Path
from typing import Any, TypeVar

from methods.method import Desk, Edit, Frames, Masks, Method, Prepared, Settings, Source
from tav_model.config import ModelConfig, TuneConfig

M = TypeVar("M", bound=Method)


class _NoCheckpoint:
    def read(self, path: Path) -> bool:  # noqa: ARG002
        return False

    def write(self, path: Path) -> None:  # noqa: ARG002
        raise AssertionError("a short stage keeps no checkpoint")

    def due(self) -> bool:
        return False


def desk(folder: Path) -> Desk:
    """Make a desk whose files go into a folder."""
    return Desk(folder=folder, checkpoint=_NoCheckpoint(), progress=lambda *_: None)


def made(kind: type[M], base: Path, *, tuned: int = 0, **own: Any) -> M:
    """Make a method, with these settings of its own, and steps of tuning."""
    tune = TuneConfig(steps=tuned, checkpoint_every=0)
    model = ModelConfig(base=str(base))
    return kind(Settings(own=kind.Config(**own), model=model, tune=tune))


def loaded(kind: type[M], base: Path, *, tuned: int = 0, **own: Any) -> M:
    """Make a method and load its model."""
    method = made(kind, base, tuned=tuned, **own)
    method.load()
    return method


def clip(
    frames: Frames, *, prompt: str = "a red fish", seed: int = 7, mask: Masks | None = None
) -> Source:
    """Make a clip of frames, and perhaps of a mask."""
    return Source(
        video_id="clip", prompt=prompt, seed=seed, load=lambda: frames, load_mask=lambda: mask
    )


def prepare(method: Method, source: Source, folder: Path) -> Prepared:
    """Do all stages of a method, each in a folder of its own."""
    prepared: dict[str, Any] = {}
    for stage in method.stages():
        if not stage.kept:
            continue
        place = folder / stage.kind
        place.mkdir(parents=True)
        for artefact in method.prepare(source, prepared, [stage.kind], desk(place)):
            latents = artefact.latents
            prepared[artefact.kind] = artefact.path if latents is None else latents
    return prepared


def edited(method: Method, source: Source, prompt: str, prepared: Prepared) -> Frames:
    """Make one edit."""
    (out,) = method.edit(source, [Edit(name="edit", prompt=prompt)], prepared)
    return out
