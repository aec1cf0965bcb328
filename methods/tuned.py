"""What the methods on top of a tuned model have in common: the adapter, tuned once for all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from methods.method import (
    ADAPTER,
    EXACT,
    Artefact,
    Desk,
    Method,
    Passes,
    Prepared,
    Source,
    Stage,
)
from methods.steered import Nets

if TYPE_CHECKING:
    from tav_model.control import Steering
    from tav_model.load import BaseModel
    from tav_model.state import TuneState
    from tav_model.vae import Moments

logger = logging.getLogger(__name__)


class TunedMethod(Method):
    """A method that inflates the base to video and tunes it on each clip (arXiv 2212.11565).

    The settings of tuning are ``model`` and ``tune``, whichever the method.
    """

    adapter_of: ClassVar[str] = "tune_a_video"
    """The method whose adapter it is, and with whose it is shared."""

    _base: BaseModel
    _nets: Nets
    _adapted: Path | None = None
    """The adapter that is in the model; each is loaded once for all edits of a video."""

    def adapter_stage(self) -> Stage:
        """The stage that tunes; without tuning it keeps nothing."""
        settings = self.settings
        # Where the base lies does not matter, only what it is: its revision is in every key.
        tuned = settings.tune.steps > 0
        parts = {"model": settings.model.use(), "tune": settings.tune}
        exact = settings.adapter.encoding == "fp32"
        return Stage(
            kind=ADAPTER,
            parts=parts,
            form={} if exact or not tuned else {"adapter": settings.adapter},
            long=tuned,
            kept=tuned,
            of=self.adapter_of,
        )

    def adapter_passes(self) -> Passes:
        """The cost of that stage."""
        return Passes(train=self.settings.tune.steps)

    @override
    def load(self) -> None:
        from tav_model.load import load_base

        self._base = load_base(self.settings.model, self.settings.tune.parameters)
        self._nets = Nets()

    @override
    def check_prompt(self, prompt: str) -> None:
        from tav_model.text import check_prompt

        check_prompt(self._base.tokenizer, prompt)

    def moments(self, source: Source) -> Moments:
        """The VAE's posterior of a clip."""
        from tav_model.frames import to_model_range
        from tav_model.vae import encode_moments

        return encode_moments(self._base, to_model_range(source.frames))

    def adapt(self, prepared: Prepared) -> None:
        """Put the video's adapter into the model; without tuning, the model's initial weights."""
        from tav_model.adapter import load_adapter, reset_adapter

        path: Path | None = prepared.get(ADAPTER)
        if path is None:
            reset_adapter(self._base)
        elif path != self._adapted:
            load_adapter(self._base, path)
        self._adapted = path

    def tune(self, source: Source, moments: Moments, desk: Desk, prepared: Prepared) -> Artefact:
        """Tune the model on a clip, and on others of its subject.

        It keeps the tuned weights, as they will be read.
        """
        from tav_model.adapter import save_encoded
        from tav_model.tune import TunedClip, tune

        self._adapted = None
        if EXACT in prepared:
            return self._encode(prepared[EXACT], desk)
        config = self.settings.tune
        state_path = desk.folder / "state.safetensors"

        def on_checkpoint(state: TuneState) -> None:
            state.save(state_path)
            desk.checkpoint.write(state_path)

        def steering(one: Source) -> Steering | None:
            return self._nets.steering(self._base, one) if self.settings.control_tunes else None

        others = [
            TunedClip(clip=self.moments(one), prompt=one.prompt, steering=steering(one))
            for one in source.others
        ]
        result = tune(
            self._base,
            moments,
            source.prompt,
            config,
            seed=source.seed,
            on_step=lambda step, loss: desk.progress(step, config.steps, loss),
            on_checkpoint=on_checkpoint,
            checkpoint_due=desk.checkpoint.due,
            resume=load_state(desk, source.video_id),
            steering=steering(source),
            others=others,
        )
        path = desk.folder / "adapter.safetensors"
        revision = {"base_revision": self.settings.base_revision}
        metadata = {**result.metadata, **revision}
        save_encoded(path, self._base, result.adapter, metadata, self.settings.adapter)
        return Artefact(
            kind=ADAPTER,
            path=path,
            facts={
                "steps": len(result.losses),
                "num_params": result.num_params,
                "final_loss": result.losses[-1] if result.losses else None,
            },
        )

    def _encode(self, exact: Path, desk: Desk) -> Artefact:
        """Encode a tuning that is there in fp32, in place of doing it again."""
        from tav_model.adapter import adapter_of, load_adapter, save_encoded

        metadata = load_adapter(self._base, exact)
        adapter = adapter_of(self._base)
        path = desk.folder / "adapter.safetensors"
        kept = {name: value for name, value in metadata.items() if name != "format"}
        save_encoded(path, self._base, adapter, kept, self.settings.adapter)
        numbers = sum(tensor.numel() for tensor in adapter.values())
        steps = int(metadata.get("stopped_at", self.settings.tune.steps))
        facts = {"steps": steps, "num_params": numbers}
        return Artefact(kind=ADAPTER, path=path, facts=facts)


def load_state(desk: Desk, video_id: str) -> TuneState | None:
    """Fetch where a former worker left a long stage; none where it has to begin."""
    from tav_model.errors import CheckpointError
    from tav_model.state import TuneState

    path = desk.folder / "resume.safetensors"
    if not desk.checkpoint.read(path):
        return None
    try:
        state = TuneState.load(path)
    except CheckpointError as error:
        # Only time is lost by starting over, and the same bytes come out.
        logger.warning("video_id=%s checkpoint unusable, training from step 0: %s", video_id, error)
        return None
    logger.info("video_id=%s resuming at step %d", video_id, state.step)
    return state
