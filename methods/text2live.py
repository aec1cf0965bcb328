"""Text2LIVE (Bar-Tal et al., arXiv 2204.02491) on layered neural atlases (arXiv 2109.11418).

A clip becomes two pictures, its foreground's and its background's atlas, once. Each edit is a layer
of colours and coverage over one of them, which a generator learns under CLIP's eyes and which moves
as the atlas does. Needs the object's mask in every frame.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from typing_extensions import override

from methods.method import (
    Artefact,
    ClipSize,
    Desk,
    Edit,
    Frames,
    Masks,
    Method,
    Prepared,
    Source,
    Stage,
)
from methods.text2live_config import Text2LiveConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from methods.clip import Clip
    from methods.edit_training import Canvas, Target

logger = logging.getLogger(__name__)

ATLAS = "atlas"
"""Kind of the stage whose artefact is the weights of the atlas's networks."""
_SMALLEST = 16
"""The least side of a clip, for the optical flow."""
_FP32 = 4
"""Bytes of a number."""


class Text2Live(Method):
    """Trains a clip's atlas once, and a layer over it for each edit."""

    Config = Text2LiveConfig
    uses_base = False
    uses_mask = True

    _device: torch.device
    _clip: Clip

    @property
    @override
    def masks_by_sam2(self) -> bool:
        masks: str = self.settings.own.masks
        return masks == "sam2"

    @override
    def stages(self) -> Sequence[Stage]:
        parts = {"atlas": self.settings.own.atlas}
        atlas = Stage(kind=ATLAS, parts=parts, long=True, uses_prompt=False, uses_models=False)
        return (atlas,)

    @override
    def check_own_models(self) -> None:
        from methods.clip_config import check_config

        own = self.settings.own
        check_config("text2live.clip", own.clip, own.clip_revision)

    @override
    def weights(self) -> Mapping[str, Mapping[str, str]]:
        from methods.clip_config import STEM

        return {"clip": {"": STEM}}

    @override
    def least_bytes(self, numbers: Mapping[str, int]) -> float:
        return _FP32 * sum(numbers.values())

    @override
    def nearest(self, size: ClipSize) -> ClipSize:
        width, height = (max(side, _SMALLEST) for side in (size.width, size.height))
        return ClipSize(num_frames=size.num_frames, width=width, height=height)

    @override
    def load(self) -> None:
        from methods.clip import Clip
        from tav_model.identity import resolve_model
        from tav_model.load import checked_device

        own = self.settings.own
        self._device = checked_device(self.settings.model.device)
        self.check_own_models()
        folder = resolve_model(own.clip, own.clip_revision, self.weights()["clip"])
        self._clip = Clip(folder, self._device)

    @override
    def check_prompt(self, prompt: str) -> None:
        own = self.settings.own
        texts = [(prompt, own.templates)]
        if "{words}" not in own.layer_prompt:
            texts.append((own.layer_prompt.replace("{prompt}", prompt), own.screen_templates))
        for text, templates in texts:
            for template in templates:
                self._clip.check(template.replace("{}", text) if text.strip() else text)

    @override
    def prepare(
        self, source: Source, prepared: Prepared, wanted: Sequence[str], desk: Desk
    ) -> Iterator[Artefact]:
        from safetensors.torch import save_file

        from methods.atlas_losses import Footage
        from methods.atlas_training import train_atlas
        from methods.tuned import load_state
        from tav_model.state import TuneState

        mask = checked_mask(source)
        config, state_path = self.settings.own.atlas, desk.folder / "state.safetensors"

        def on_checkpoint(state: TuneState) -> None:
            state.save(state_path)
            desk.checkpoint.write(state_path)

        trained = train_atlas(
            Footage.of(source.frames, mask, self._device),
            config,
            seed=source.seed,
            on_step=desk.progress,
            on_checkpoint=on_checkpoint,
            checkpoint_due=desk.checkpoint.due,
            resume=load_state(desk, source.video_id),
        )
        path = desk.folder / "atlas.safetensors"
        save_file({k: t.cpu().contiguous() for k, t in trained.atlas.state_dict().items()}, path)
        facts = {
            "steps": config.steps,
            "final_loss": trained.loss,
            "psnr": trained.psnr,
        }
        yield Artefact(kind=ATLAS, path=path, facts=facts)

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Frames]:
        from methods.atlas import load_atlas
        from methods.edit_training import Canvas

        own = self.settings.own
        frames, height, width = source.frames.shape[:3]
        size = ClipSize(num_frames=frames, width=width, height=height)
        atlas = load_atlas(prepared[ATLAS], own.atlas, size, self._device)
        canvas = Canvas(atlas, self._frames(source), own)
        for edit in edits:
            yield self._made(canvas, source, edit)

    def _frames(self, source: Source) -> Tensor:
        """The clip on the device, (F, 3, H, W) in 0 to 1."""
        import torch

        frames = torch.from_numpy(source.frames).to(self._device)
        return frames.permute(0, 3, 1, 2).float() / 255

    def _made(self, canvas: Canvas, source: Source, edit: Edit) -> Frames:
        """Train an edit's layer and lay it on; draws depend on the video's seed alone."""
        import torch

        from methods.edit_training import EditTraining
        from tav_model.frames import to_uint8

        target = self._target(source.prompt, edit.prompt)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(source.seed)
            training = EditTraining(canvas, self._clip, target, self.settings.own)
            for step, loss in training.run():
                logger.info(
                    "video_id=%s edit=%s step %d of %d, loss %.3f",
                    source.video_id,
                    edit.name,
                    step,
                    self.settings.own.steps,
                    loss,
                )
        return to_uint8(training.frames())

    def _target(self, source_prompt: str, prompt: str) -> Target:
        from methods.edit_training import Target

        own, clip = self.settings.own, self._clip
        return Target(
            source=clip.texts(source_prompt, own.templates),
            composed=clip.texts(prompt, own.templates),
            layer=clip.texts(
                layer_prompt(own.layer_prompt, source_prompt, prompt), own.screen_templates
            ),
        )


def checked_mask(source: Source) -> Masks:
    """A clip's mask.

    Raises:
        MaskError: there is none, or it parts nothing from nothing.
    """
    from tav_model.errors import MaskError

    mask = source.mask
    if mask is None:
        raise MaskError(
            "text2live needs to know where the object is, but the video has no mask: give the "
            "manifest's `mask`, or set text2live.masks to sam2"
        )
    if not mask.any() or mask.all():
        seen = "everywhere" if mask.all() else "nowhere"
        raise MaskError(
            f"the mask has the object {seen} in all {len(mask)} frames, so there are no two "
            "layers: give a mask of the object alone"
        )
    return mask


def layer_prompt(template: str, source_prompt: str, prompt: str) -> str:
    """What an edit's layer alone shows.

    Args:
        template: With ``{prompt}``, ``{words}`` or both.
        source_prompt: The source's.
        prompt: The edit's.

    Raises:
        PromptError: ``{words}`` is asked for, and the edit has none that the source has not.
    """
    from tav_model.errors import PromptError

    words, others = prompt.split(), source_prompt.split()
    matcher = difflib.SequenceMatcher(None, others, words, autojunk=False)
    new = [w for tag, _, _, i, j in matcher.get_opcodes() if tag != "equal" for w in words[i:j]]
    if "{words}" in template and not new:
        raise PromptError(
            f"text2live.layer_prompt asks for {{words}}, but {prompt!r} has no word that the "
            f"source's {source_prompt!r} lacks: use {{prompt}}"
        )
    return template.replace("{prompt}", prompt).replace("{words}", " ".join(new))
