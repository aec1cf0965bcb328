"""What the pipelines' tasks do. Configurations are JSON text: KFP makes every number a float."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from components.config import RunConfig, parse, parse_run, variant_configs
from components.config import run_config as read_config
from components.errors import ItemError, UserError
from components.launch import Where, launch_step
from components.results.compare import RunScores, run_scores
from components.results.compare import compare_runs as compare_with
from components.results.comparison_files import markdown
from components.results.export import export
from components.results.report import collect, gallery
from components.results.values import score_values
from components.run.current import State
from components.run.record import load_run
from components.storage.open import open_store
from components.storage.tables import Row
from eval.compare import Comparison
from eval.values import means
from pipelines.carried import original_text

PACKAGE = "tune-a-video-at-scale"
OUTCOMES = "outcomes"
"""Folder of a run with one JSON object for each execution of a pipeline."""

_QUANTITY = re.compile(r"\d+(\.\d+)?(m|[KMGT]i?)?")
_RESOURCE = re.compile(r"[a-z0-9.-]+/[A-Za-z0-9._-]+")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")


def run_config(config: str, evaluation: str = "") -> RunConfig:
    """Read a task's configuration.

    Args:
        config: The run's configuration as JSON.
        evaluation: Name of this execution, whose run is then a folder of its own below
            ``config.run``; empty for ``config.run`` itself.

    Raises:
        UserError: the configuration or the name is wrong.
    """
    whole = read_config(json.loads(config), "config")
    if not evaluation:
        return whole
    if not _NAME.fullmatch(evaluation):
        raise UserError(
            f"evaluation is {evaluation!r}, but names a folder: use at most 128 lower-case "
            "letters, digits and dashes"
        )
    return dataclasses.replace(whole, run=f"{whole.run.rstrip('/')}/{evaluation}")


def check(config: str, where: str, quantities: Mapping[str, str], accelerator: str) -> None:
    """Refuse what would else fail hours later.

    Args:
        config: The run's configuration as JSON.
        where: A ``components.launch.Where`` as JSON.
        quantities: Kubernetes quantities by parameter, such as ``32G``.
        accelerator: Kubernetes' resource name of a GPU.

    Raises:
        UserError: one of them is wrong.
    """
    run_config(config)
    parse(Where, json.loads(where), "where")
    for name, text in quantities.items():
        if not _QUANTITY.fullmatch(text):
            raise UserError(
                f"{name} is {text!r}, but must be a Kubernetes quantity: a number, with m, K, M, "
                "G, T, Ki, Mi, Gi or Ti after it where needed"
            )
    if not _RESOURCE.fullmatch(accelerator):
        raise UserError(
            f"accelerator is {accelerator!r}, but must be Kubernetes' resource name of a GPU, such "
            "as nvidia.com/gpu"
        )


def check_pins(config: str, pipeline_version: str) -> None:
    """Refuse an evaluation whose figures could move for reasons that no table names.

    Args:
        config: The benchmark's configuration as JSON.
        pipeline_version: Version of this project that must be installed; empty for any.

    Raises:
        UserError: another version is installed, or the base model is one of the hub's without a
            revision.
    """
    held = version(PACKAGE)
    if pipeline_version and held != pipeline_version:
        raise UserError(
            f"this image holds version {held}, but pipeline_version asks for {pipeline_version}: "
            "give the image of that version, or another pipeline_version and a baseline made by it"
        )
    whole = run_config(config)
    for name, one in variant_configs(whole, parse_run).items():
        if whole.only and name not in whole.only:
            continue
        model, where = one.model, f"variants.{name}: " if whole.variants else ""
        if model.revision is None and "/" in model.base and not Path(model.base).exists():
            raise UserError(
                f"{where}model.base {model.base!r} has no model.revision: give the commit of the "
                "hub's repository, or the model of a benchmark may change under it"
            )


def run_step(step: str, config: RunConfig, where: str, *, retry_failed: bool) -> dict[str, float]:
    """Run one step where it shall run, and count what its tables then hold.

    Args:
        step: One of ingest, caption, tune, sample, score, report.
        config: The run's configuration.
        where: A ``components.launch.Where`` as JSON.
        retry_failed: Also try what failed for good.

    Raises:
        UserError: the step failed, or too many of its items did.
    """
    place = parse(Where, json.loads(where), "where")
    launch_step(step, config, place, retry_failed=retry_failed)
    status = load_run(config.run, config.only).status()
    found = {"failed_fraction": status.failed_fraction}
    if step in status.steps:
        counts = status.steps[step]
        found |= {"total": counts.total, "done": counts.done, "failed": counts.failed}
    return {name: float(value) for name, value in found.items()}


def publish_scores(config: RunConfig, table: Path, summary: Path) -> dict[str, float]:
    """Write the run's scored edits as Parquet, and their means as Markdown.

    Returns:
        The mean of every measure over all edits, as ``protocol.measure``; of a run with several
        variants as ``variant.protocol.measure``, also where it is narrowed to one of them.
    """
    scores = _scored(load_run(config.run, config.only))
    _exported(scores.rows, table, ".parquet")
    found = _means(scores, named=len(config.variants) > 1)
    lines = ["| measure | mean |", "|---|---|", *(f"| {n} | {v:.2f} |" for n, v in found.items())]
    summary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return found


def write_gallery(config: RunConfig, page: Path) -> None:
    """Write the gallery as one file that needs no other, with as many videos as it bears."""
    state = load_run(config.run, config.only)
    chosen = state.selection()
    data = collect(state.store, chosen, failures=state.open_failures)
    page.write_text(gallery(state.store, data), "utf-8")


def compare_runs(config: RunConfig, baseline: str, bounds: str, summary: Path) -> Comparison:
    """Compare a run's scores with those of a baseline run and write the outcome as Markdown.

    Args:
        config: The run's configuration.
        baseline: Address of the baseline run, perhaps as JSON (see ``carried``).
        bounds: JSON: by ``protocol.measure``, how much worse the mean may be.
        summary: Where to write.

    Raises:
        UserError: no run lies at the baseline, one of them has no score that counts, a bound is no
            number of 0 or more or names no measure of the baseline, or the run lacks a variant of
            the baseline's.
    """
    first = original_text(baseline)
    if first.rstrip("/") == config.run.rstrip("/"):
        raise UserError(f"the baseline is the run itself, {config.run}: give an earlier run")
    runs = {one: _scored(load_run(one)) for one in (first, config.run)}
    found = compare_with(runs, _bounds(bounds), config.only)
    summary.write_text(markdown(found), encoding="utf-8")
    return found


def _bounds(text: str) -> dict[str, float]:
    try:
        return {str(name): float(bound) for name, bound in json.loads(text).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"bounds is {text!r}, but must be a JSON object of numbers by protocol.measure, such "
            'as {"tav_paper_v1.textual_alignment": 0.5}'
        ) from error


def record_outcome(config: RunConfig, execution: str, outcome: Mapping[str, Any]) -> str:
    """Write how an execution of a pipeline ended beside the run's tables, and return its address.

    Kubeflow does not say which step failed, so the counts of ``tav status`` go with it, or why
    there are none.

    Args:
        config: The run's configuration.
        execution: Kubeflow's name of the execution.
        outcome: State, failed task and message, from ``PipelineTaskFinalStatus``.
    """
    store = open_store(config.run)
    name = re.sub(r"[^A-Za-z0-9-]", "_", execution)[:128].lstrip("-") or "unnamed"
    document = {"execution": execution, "at": dt.datetime.now(dt.UTC).isoformat(), **outcome}
    document["code_version"] = version(PACKAGE)
    try:
        document["status"] = load_run(config.run, config.only).status().document()
    except (UserError, ItemError) as error:
        document["status"] = str(error)
    path = f"{OUTCOMES}/{name}.json"
    store.write_bytes(path, json.dumps(document, indent=1, sort_keys=True).encode())
    return f"{store.root}/{path}"


def _scored(state: State) -> RunScores:
    return run_scores(state.store, state.selection())


def _exported(rows: Sequence[Row], target: Path, suffix: str) -> None:
    """Export to a file whose name, which Kubeflow chose, has no suffix to say how."""
    named = target.with_name(target.name + suffix)
    export(rows, str(named))
    named.replace(target)


def _means(scores: RunScores, *, named: bool) -> dict[str, float]:
    """Means over all edits by ``protocol.measure``, if asked with the variant's name before it."""
    found = means(score_values(scores.rows), ("variant", "protocol", "measure"))
    return {
        f"{variant}.{protocol}.{measure}" if named else f"{protocol}.{measure}": mean.value
        for (variant, protocol, measure), mean in found.items()
        if mean.value is not None
    }
