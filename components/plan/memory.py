"""What is chosen by a device's memory: settings that are `auto`, which change at most rounding."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from components.config import RunConfig, VideoConfig
from components.controls.maker import net_name
from components.plan.devices import find_device
from components.plan.fit import task_memory
from components.plan.video import BaseConfigs, VideoCost, base_configs
from components.records.models import model_config
from components.steps.editing import SampleItem
from components.steps.preparation import PrepareItem
from components.steps.step import StepContext

logger = logging.getLogger(__name__)

_PART = 0.9
"""Of a worker's memory that a choice may fill, as the plan may be 7 % below what is taken."""
_PROMPTS = (8, 4, 2)
"""At once, where memory allows: beyond 8 clips at once a GPU gains nothing more."""


def chosen(
    config: RunConfig,
    base: BaseConfigs | None,
    sizes: Iterable[VideoConfig],
    limit: float | None,
    edits: int,
) -> tuple[RunConfig, list[str]]:
    """The configuration with numbers in place of `auto`, and what was chosen for which reason.

    Checkpointing is off and prompts go one by one where memory or cost are not known, and on a
    CPU, which gains nothing from more at once.

    Args:
        config: Of one variant.
        base: Of its base model with all nets; none where the method uses none.
        sizes: Of the clips, the largest of which decides.
        limit: Bytes that a worker may take; none where nobody knows.
        edits: Most edits of one video.
    """
    costs = [VideoCost(_plain(config), base, size) for size in set(sizes)]
    allowed = None if limit is None else _PART * limit
    notes = []
    tune, sample = config.tune, config.sample
    if tune.gradient_checkpointing == "auto":
        most = max((cost.tune_bytes() or 0.0 for cost in costs), default=0.0)
        needed = allowed is not None and most > allowed
        tune = dataclasses.replace(tune, gradient_checkpointing=needed)
        if needed:
            notes.append(
                f"tune.gradient_checkpointing: auto is true, as tuning would take "
                f"{most / 1e9:.1f} GB without, of {(limit or 0) / 1e9:.1f} GB"
            )
    if sample.prompts_per_batch == "auto":
        count = next(_fitting(config, base, sizes, allowed, edits), 1)
        sample = dataclasses.replace(sample, prompts_per_batch=count)
        if count > 1:
            notes.append(f"sample.prompts_per_batch: auto is {count}, as memory allows it")
    return dataclasses.replace(config, tune=tune, sample=sample), notes


def with_memory(
    context: StepContext, items: Sequence[PrepareItem] | Sequence[SampleItem]
) -> StepContext:
    """The context with its variants' `auto` chosen for some items, which the log tells.

    Args:
        context: Of the tune or the sample step.
        items: What is to be done.

    Raises:
        UserError: configs of the models are missing.
    """
    limit = task_memory(context.config, find_device(context.config, None))
    found = {}
    for variant in dict.fromkeys(item.variant for item in items):
        own = [item for item in items if item.variant == variant]
        of = context.of(variant)
        sizes = {clip_size(of.config, item) for item in own}
        edits = max((len(item.edits) for item in own if isinstance(item, SampleItem)), default=1)
        config, notes = chosen(of.config, _models(of), sizes, limit, edits)
        found[variant] = dataclasses.replace(of, config=config)
        for note in notes:
            logger.info("%s: %s", variant, note)
    if not context.variants:
        return next(iter(found.values()), context)
    return dataclasses.replace(context, variants={**context.variants, **found})


def clip_size(config: RunConfig, item: PrepareItem | SampleItem) -> VideoConfig:
    """The size of an item's clip."""
    sizes = {name: item.video_row[name] for name in ("num_frames", "width", "height")}
    return dataclasses.replace(config.video, **sizes)


def _plain(config: RunConfig) -> RunConfig:
    """Without what costs time and spares memory, and one prompt at a time."""
    tune, sample = config.tune, config.sample
    if tune.gradient_checkpointing == "auto":
        tune = dataclasses.replace(tune, gradient_checkpointing=False)
    return dataclasses.replace(
        config, tune=tune, sample=dataclasses.replace(sample, prompts_per_batch=sample.at_once)
    )


def _fitting(
    config: RunConfig,
    base: BaseConfigs | None,
    sizes: Iterable[VideoConfig],
    allowed: float | None,
    edits: int,
) -> Iterator[int]:
    """Prompts at once that fit, most first."""
    if allowed is None or not config.model.device.startswith("cuda"):
        return
    for count in _PROMPTS:
        sample = dataclasses.replace(config.sample, prompts_per_batch=count)
        more = dataclasses.replace(_plain(config), sample=sample)
        takes = [VideoCost(more, base, size).sample_bytes() for size in set(sizes)]
        if count <= edits and all(one is not None and one <= allowed for one in takes):
            yield count


def _models(context: StepContext) -> BaseConfigs | None:
    from components.steps.methods import make_method

    if not make_method(context.config).uses_base:
        return None
    nets: list[tuple[Any, Any]] = [
        (
            net,
            model_config(
                "control.nets", net.model, context.control_revisions[net_name(net)], "config.json"
            ),
        )
        for net in context.nets
    ]
    base = base_configs(context.config.model, context.base_revision)
    return dataclasses.replace(base, nets=tuple(nets))
