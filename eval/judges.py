"""The models that protocols of published benchmarks judge with, by name.

Each has the hub's model that the benchmark used, or none where that is on no hub as safetensors;
``score.judges`` of a run's configuration names a folder, another model or another revision. Weights
are read from safetensors only.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

OPENAI_CLIP, PICKSCORE, DINOV2 = "openai_clip", "pickscore", "dinov2"
DINO_VITB8, LPIPS, RAFT = "dino_vitb8", "lpips", "raft"


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeKind:
    """One judge: what it is by default, and how a model of its kind is loaded."""

    model: str | None
    """Hub id; none where the configuration has to name it."""
    load: Callable[[str, str | None, str, int], Any]
    """Takes folder or hub id, revision, device and how many frames are embedded at once."""


def _clip(model: str, revision: str | None, device: str, batch_size: int) -> Any:
    from eval.vision_models import ClipModel  # noqa: PLC0415 - seconds that only a scorer pays

    return ClipModel(model, revision=revision, device=device, batch_size=batch_size)


def _dinov2(model: str, revision: str | None, device: str, batch_size: int) -> Any:
    from eval.vision_models import DinoModel  # noqa: PLC0415

    return DinoModel(model, revision=revision, device=device, batch_size=batch_size)


def _vit(model: str, revision: str | None, device: str, batch_size: int) -> Any:
    from eval.vision_models import ViTKeys  # noqa: PLC0415

    return ViTKeys(model, revision=revision, device=device, batch_size=batch_size)


def _lpips(model: str, revision: str | None, device: str, batch_size: int) -> Any:
    from eval.pixel_models import Lpips  # noqa: PLC0415

    return Lpips(model, revision=revision, device=device, batch_size=batch_size)


def _raft(model: str, revision: str | None, device: str, _batch_size: int) -> Any:
    from eval.pixel_models import Raft  # noqa: PLC0415

    return Raft(model, revision=revision, device=device)


JUDGES: Mapping[str, JudgeKind] = MappingProxyType(
    {
        OPENAI_CLIP: JudgeKind(model="openai/clip-vit-large-patch14", load=_clip),
        PICKSCORE: JudgeKind(model="yuvalkirstain/PickScore_v1", load=_clip),
        DINOV2: JudgeKind(model="facebook/dinov2-base", load=_dinov2),
        DINO_VITB8: JudgeKind(model="facebook/dino-vitb8", load=_vit),
        LPIPS: JudgeKind(model=None, load=_lpips),
        RAFT: JudgeKind(model=None, load=_raft),
    }
)
"""By name. CLIP of ``score.model`` and tinyworld's reader (``protocols.evidence``) are apart."""


def check_names(names: Iterable[str]) -> None:
    """Refuse names of judges that there are not.

    Raises:
        ValueError: with the nearest name, or all.
    """
    for name in names:
        if name not in JUDGES:
            near = difflib.get_close_matches(name, JUDGES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(JUDGES)}"
            raise ValueError(f"no judge is called {name!r}: {hint}")
