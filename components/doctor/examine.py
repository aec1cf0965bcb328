"""All checks of a run's configuration, in order; what one finds wrong leaves out those after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from components.config import RunConfig, parse_run, variant_configs
from components.doctor.clips import TrialSource, chosen_clip
from components.doctor.controls import controls
from components.doctor.finding import Finding, failed
from components.doctor.machine import attention, devices, disks, dtype, versions
from components.doctor.meaning import meaning
from components.doctor.models import base, control_revisions, judges, resolved, wanted
from components.doctor.place import place
from components.doctor.trial import drawn_clip, trial
from components.errors import ItemError, UserError
from components.manifest.load import Manifest, load_manifest
from components.records.failures import expected_errors
from components.records.revisions import Named, pinned
from components.run.estimate import RunPlan, plan_run
from components.run.record import BASE
from components.run.runner import Runner
from methods.registry import find_method

_STATE = 4
"""Copies of an adapter that a tuning keeps in temporary files: itself, and its state of three."""


def examine(config: RunConfig, source: TrialSource | None = None) -> Iterator[Finding]:
    """Look at everything that a run of this configuration needs, and try the base for real.

    Nothing of it stays: not in the run, and of temporary files none.

    Args:
        config: Of the run; ``only`` narrows it to some variants.
        source: A clip to try in place of a drawn one.
    """
    yield from versions()
    variants = _distinct(config)
    for variant in variants.values():
        yield from _labelled(devices(variant), variant, variants)
        yield from _labelled([dtype(variant), attention(variant)], variant, variants)
    yield from place(config)
    manifest, told = _manifest(config)
    yield told
    sound: dict[str, dict[str, str]] = {}
    seen: dict[Named, str | None] = {}
    for name, variant in variants.items():
        revisions: dict[str, str] = {}
        asked = wanted(variant, manifest)
        for setting, model in asked.items():
            if model not in seen:
                finding, seen[model] = resolved(model, setting)
                yield finding
            if (exact := seen[model]) is not None:
                revisions[setting] = exact
        if {k for k in asked if not _shared(k)} <= revisions.keys():
            sound[name] = {k: v for k, v in revisions.items() if not _shared(k)}
    judged = list(judges(config))
    yield from judged
    plan = None
    whole = None not in seen.values() and all(one.level != "fail" for one in judged)
    if manifest is not None and whole:
        plan, told = _plan(config)
        yield told
    yield from disks(config, _needed(config, plan))
    for name, variant in variants.items():
        if name in sound:
            found = _tried(variant, sound[name], source, manifest)
            yield from _labelled(found, variant, variants)
        else:
            why = "not tried: see above for the model that is missing"
            yield from _labelled([Finding("trial", "base", why, "warn")], variant, variants)


def _shared(setting: str) -> bool:
    """Whether it is a model of captions or scores, which the trial does not load."""
    return setting in ("caption.model", "score.model")


def _distinct(config: RunConfig) -> dict[str, RunConfig]:
    """Variants by name, of those with equal models and tuning the first."""
    every = variant_configs(config, parse_run)
    found: dict[object, str] = {}
    for name, one in every.items():
        if not config.only or name in config.only:
            own = one.method if not find_method(one.method).uses_base else ""
            tuned = (one.tune.parameters, one.tune.learning_rate)
            nets = (one.control.nets, one.control.depth, one.control.mask, one.control.pose)
            kept = one.sample.keep_outside  # it may want a model of its own
            found.setdefault((own, one.model, tuned, one.invert, nets, kept), name)
    return {name: every[name] for name in found.values()}


def _labelled(
    findings: Iterator[Finding] | list[Finding], variant: RunConfig, variants: dict[str, RunConfig]
) -> Iterator[Finding]:
    """Say which variant a finding is of, where there are several."""
    name = next(name for name, one in variants.items() if one is variant)
    for finding in findings:
        more = len(variants) > 1
        yield replace(finding, check=f"{name}: {finding.check}") if more else finding


def _manifest(config: RunConfig) -> tuple[Manifest | None, Finding]:
    try:
        manifest = load_manifest(config.manifest, config.manifest_root)
    except (UserError, ItemError) as error:
        return None, failed("manifest", "videos", error)
    edits = sum(len(entry.edits) for entry in manifest.videos)
    found = f"{len(manifest.videos)} video(s) with {edits} edit(s)"
    return manifest, Finding("manifest", "videos", found)


def _plan(config: RunConfig) -> tuple[RunPlan | None, Finding]:
    try:
        found = plan_run(Runner(config).state())
    except (UserError, ItemError) as error:
        return None, failed("plan", "memory", error)
    if found.problems:
        return found, Finding("plan", "memory", "; ".join(found.problems), "fail")
    left = sum(step.todo for step in found.steps.values())
    return found, Finding("plan", "memory", f"{left} item(s) to do; they fit a worker's memory")


def _needed(config: RunConfig, plan: RunPlan | None) -> dict[str, float] | None:
    """Bytes by what they are for: those of the run, and what workers have in temporary files."""
    if plan is None:
        return None
    videos = max(plan.steps["tune"].todo, 1)
    each = _STATE * plan.storage_bytes / videos if plan.steps["tune"].todo else 0.0
    state = each * min(config.ray.workers_here, videos)
    return {"the run": plan.storage_bytes + state, "temporary files": state}


def _tried(
    variant: RunConfig,
    revisions: dict[str, str],
    source: TrialSource | None,
    manifest: Manifest | None,
) -> Iterator[Finding]:
    """Load the base of a variant and compute with it; an error ends it with a finding."""
    sound = True
    for finding in base(variant, revisions, manifest):
        sound = sound and finding.level != "fail"
        yield finding
    if not sound or BASE not in revisions:
        return
    try:
        with expected_errors():
            yield from _computed(variant, revisions, source, manifest)
    except (UserError, ItemError, ValueError, RuntimeError, ImportError) as error:
        yield failed("trial", "base", error)


def _computed(
    variant: RunConfig,
    revisions: dict[str, str],
    source: TrialSource | None,
    manifest: Manifest | None,
) -> Iterator[Finding]:
    from tav_model.load import load_base

    loaded = load_base(pinned(variant.model, revisions[BASE]), variant.tune.parameters)
    yield from meaning(loaded, variant)
    clip = drawn_clip(variant) if source is None else chosen_clip(source, variant, manifest)
    yield from controls(loaded, variant, clip.frames, manifest, control_revisions(revisions))
    yield from trial(loaded, variant, clip)
