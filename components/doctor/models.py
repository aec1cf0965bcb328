"""What is checked of the models without computing with them: where they are, and their configs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.config import RunConfig
from components.doctor.finding import Finding, failed
from components.errors import UserError
from components.manifest.load import Manifest
from components.records.models import model_config, part_config
from components.records.revisions import Named, exact_revision
from components.run.controlled import kinds_asked, models_asked, nets_asked
from components.run.record import BASE, used_models
from components.steps.models import check_models
from components.steps.score import check_judge, judge_model
from components.steps.step import StepContext
from eval.judges import JUDGES
from eval.protocols.evidence import CLIP
from eval.protocols.registry import judges_of
from tav_model.config import ModelConfig
from tav_model.schedule import DEFAULTS, SCHEDULER_FILE, schedule_settings
from tinyworld.shipped import public_name

STABLE_DIFFUSION: Mapping[str, Any] = {
    **DEFAULTS,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
"""The schedule that Stable Diffusion 1.x was trained with, in the words of its own file."""
_SHOWN = 12
"""Digits of a revision."""


def wanted(config: RunConfig, manifest: Manifest | None) -> dict[str, Named]:
    """The models that a variant's run loads, by setting.

    Args:
        config: Of the variant.
        manifest: What to edit; none where it cannot be read.
    """
    found = {
        name if name == BASE else f"{config.method}.{name}": model
        for name, model in used_models(config).items()
    }
    entries = () if manifest is None else manifest.videos
    for name, one in models_asked(config, entries).items():
        found[f"control {name}"] = one
    if manifest is not None and any(entry.prompt is None for entry in manifest.videos):
        found["caption.model"] = config.caption.model, config.caption.revision
    if any(CLIP in judges_of(name) for name in config.score.protocols):
        found["score.model"] = config.score.model, None
    return found


def control_revisions(revisions: Mapping[str, str]) -> dict[str, str]:
    """Those of ``wanted`` that steer, or make what steers, by ``controls.maker.model_name``."""
    before = "control "
    found = {name: exact for name, exact in revisions.items() if name.startswith(before)}
    return {name.removeprefix(before): exact for name, exact in found.items()}


def judges(config: RunConfig) -> Iterator[Finding]:
    """The models of ``eval.judges`` that the run's protocols ask for."""
    asked = {judge for name in config.score.protocols for judge in judges_of(name)}
    for judge in sorted(asked & JUDGES.keys()):
        setting = f"score.judges.{judge}"
        try:
            one = judge_model(config.score, judge)
            finding, exact = resolved((one.model, one.revision), setting)
            if exact is not None:
                check_judge(one.model)
            yield finding
        except UserError as error:
            yield failed("models", setting, error)


def resolved(model: Named, setting: str) -> tuple[Finding, str | None]:
    """Where a model is and which one exactly; of a hub model also whether the hub is there.

    Args:
        model: Folder or hub id with its revision, or a base.
        setting: What the configuration calls it.

    Returns:
        What was found, and the revision, none where there is none.
    """
    from huggingface_hub import constants

    name = model.base if isinstance(model, ModelConfig) else model[0]
    folder = Path(name.removeprefix("local-dir:"))
    local = not name.startswith("hf-hub:") and (folder.exists() or name.startswith("local-dir:"))
    try:
        exact = exact_revision(model)
    except UserError as error:
        told = failed("models" if local else "hub", f"{setting} {name}", error)
        return told, None
    own, *more = exact.split("+")
    above = "".join(f"; {one}" for one in _put_on(model, more))
    if local:
        kind = "a folder" if folder.is_dir() else "a file"
        found = f"{public_name(name)}, {kind}, digest {_cut(own)}{above}"
        return Finding("models", setting, found), exact
    how = "in the cache; HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the hub answers"
    return Finding("hub", f"{setting} {name}", f"commit {_cut(own)}, {how}{above}"), exact


def _cut(exact: str) -> str:
    return exact if len(exact) <= _SHOWN else f"{exact.removeprefix('sha256:')[:_SHOWN]}…"


def _put_on(model: Named, parts: Sequence[str]) -> Iterator[str]:
    """What lies on a base, by the rest of its revision."""
    if not isinstance(model, ModelConfig):
        return
    found = {part.partition(":")[0]: part.partition(":")[2] for part in parts}
    if "config" in found:
        yield f"configs {model.config or 'as the file calls for'}"
    if "vae" in found:
        yield f"VAE {model.vae}, {_cut(found['vae'])}"
    for lora in model.loras:
        yield f"LoRA {lora.path} at {float(lora.weight):g}"


def base(
    config: RunConfig, revisions: Mapping[str, str], manifest: Manifest | None = None
) -> Iterator[Finding]:
    """The base of a variant, its method's own models and its nets: configs, weights, schedule.

    Args:
        config: Of the variant.
        manifest: What to edit, whose videos may have nets of their own.
        revisions: Of the models that it wants, by setting.
    """
    entries = () if manifest is None else manifest.videos
    context = StepContext(
        config=config,
        config_hash="",
        base_revision=revisions.get(BASE, ""),
        own_revisions={
            name.partition(".")[2]: exact
            for name, exact in revisions.items()
            if name != BASE and not name.startswith("control ")
        },
        control_revisions=control_revisions(revisions),
        nets=nets_asked(config, entries),
        maps=kinds_asked(config, entries),
    )
    try:
        check_models(context, ("control", "tune", "sample"))
    except UserError as error:
        yield failed("base", "configs and weights", error)
        return
    if BASE not in revisions:
        own = ", ".join(revisions) or "none"
        yield Finding("base", "configs and weights", f"{config.method} uses no base; models: {own}")
        return
    model, exact = config.model, revisions[BASE]
    unet = part_config(model, exact, "unet")
    kind = "Tune-A-Video (3D)" if "3D" in str(unet.get("_class_name")) else "Stable Diffusion (2D)"
    text = part_config(model, exact, "text_encoder")["hidden_size"]
    yield Finding("base", "configs and weights", f"{kind}, text width {text}, whole and finite")
    yield from _schedule(part_config(model, exact, "scheduler"), _named_scheduler(model, exact))


def _schedule(file: Mapping[str, Any], named: str | None) -> Iterator[Finding]:
    """What the base's own schedule says, beside what Stable Diffusion's does."""
    settings = schedule_settings(file)
    kind = file.get("_class_name", "DDIMScheduler")
    words = ", ".join(f"{key}={_short(settings[key])}" for key in _TOLD)
    strange = {k: v for k, v in settings.items() if v != STABLE_DIFFUSION.get(k, v)}
    if strange.get("prediction_type") == "v_prediction":
        del strange["prediction_type"]  # as Stable Diffusion 2.x; the trial sees if it is so
    if not strange:
        yield Finding("base", f"scheduler {kind}", f"{words}: as Stable Diffusion's")
    else:
        told = ", ".join(
            f"{k}={_short(v)} (there {_short(STABLE_DIFFUSION[k])})" for k, v in strange.items()
        )
        yield Finding(
            *("base", f"scheduler {kind}", f"other than Stable Diffusion's: {told}", "warn"),
            f"if the base was not trained so, {SCHEDULER_FILE} was overridden: copy the original's",
        )
    if named is not None and named != kind:
        yield Finding(
            *("base", "scheduler's class", f"model_index.json names {named}, the file {kind}"),
            *("warn", f"the scheduler was overridden: copy the original's {SCHEDULER_FILE}"),
        )


_TOLD = ("prediction_type", "beta_schedule", "beta_start", "beta_end")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text.strip('"') if len(text) <= 40 else f"{len(value)} numbers"  # noqa: PLR2004


def _named_scheduler(model: ModelConfig, exact: str) -> str | None:
    """The scheduler's class by model_index.json, which not every base has."""
    try:
        entry = model_config(BASE, model.base, exact, "model_index.json").get("scheduler")
    except UserError:
        return None
    return str(entry[1]) if isinstance(entry, list) and len(entry) == 2 else None  # noqa: PLR2004
