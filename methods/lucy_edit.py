"""Lucy Edit (Decart): the clip beside the noise in a Wan 2.2 transformer, edited by instruction.

The prompt is read as an instruction, such as "turn the car blue".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from methods.method import Edit, Source
from methods.video_pipeline import PipelineConfig, pictures
from methods.wan_v2v import WanMethod, wan_parts


@dataclass(frozen=True, kw_only=True, slots=True)
class LucyEditConfig(PipelineConfig):
    """See ``PipelineConfig``."""

    base: str = field(default="decart-ai/Lucy-Edit-Dev", metadata={"model": "revision"})
    guidance_scale: float = 5.0


class LucyEdit(WanMethod):
    """Edits the clip as the prompt says."""

    Config = LucyEditConfig
    section = "lucy_edit"
    pipeline = "LucyEditPipeline"
    kinds = ("LucyEditPipeline",)
    parts = wan_parts("WanTransformer3DModel")
    options = ("expand_timesteps",)
    conditions = 1

    @override
    def arguments(self, source: Source, edit: Edit) -> Mapping[str, Any]:
        return {"video": pictures(source.frames), "num_frames": len(source.frames)}
