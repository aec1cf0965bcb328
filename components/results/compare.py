"""Variants and runs against each other: which is compared with which, and under what name."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from components.errors import UserError
from components.results.export import score_table
from components.results.scored import UNNAMED, Selection, Variants, by_variant
from components.results.values import sampling_seconds, score_values, variant_of
from components.storage.store import Store
from components.storage.tables import Row
from eval.compare import Comparison, compare
from eval.correlation import correlations
from eval.errors import EvalError
from eval.values import Value


@dataclass(frozen=True, kw_only=True, slots=True)
class RunScores:
    """One run, as it is compared."""

    variants: Sequence[str]
    """In the order of its configuration; of a run that has none, its method."""
    rows: Sequence[Row]
    """From ``score_table``."""


Runs = Mapping[str, RunScores]
"""By address; what the others are compared with is first."""


def run_scores(store: Store, chosen: Selection | Variants) -> RunScores:
    """Read what is compared of one run.

    Args:
        store: The run's store.
        chosen: What counts, of a run without variants or of each variant.
    """
    rows = score_table(store, chosen)
    named = [name for name in by_variant(chosen) if name != UNNAMED]
    return RunScores(variants=named or list(dict.fromkeys(map(variant_of, rows))), rows=rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Column:
    """One variant of one run."""

    run: str
    variant: str
    label: str


def compare_runs(
    runs: Runs,
    bounds: Mapping[str, float] | None = None,
    chosen: Sequence[str] = (),
    trusted: str | None = None,
) -> Comparison:
    """Compare the variants of a run, or of several.

    A later run's variant is compared with its namesake in the first run; every other one with the
    first variant of the first run. Edits are paired by video and id.

    Args:
        runs: Of each what ``run_scores`` read.
        bounds: By ``protocol.measure``: how much worse a mean may be, in the measure's unit. Of
            several runs they hold for the later ones, of one for its later variants.
        chosen: The variants to compare, in this order; none means all.
        trusted: A protocol whose measures all others are correlated with over the variants.

    Raises:
        UserError: a run without a score that counts, a variant that no run has, bounds that nothing
            is held to, or that name what the first run has not.
    """
    columns = _columns(runs, chosen)
    first, *rest = columns
    namesakes = {one.variant: one.label for one in columns if one.run == first.run}
    against = {first.label: None} | {
        one.label: first.label if one.run == first.run else namesakes.get(one.variant, first.label)
        for one in rest
    }
    bounded = [one.label for one in rest if len(runs) == 1 or one.run != first.run]
    if bounds:
        _check_bounded(columns, against)
    try:
        found = compare(_values(runs, columns), against, bounds, bounded)
        if trusted is None:
            return found
        return replace(found, correlations=correlations(_values(runs, columns), trusted))
    except EvalError as error:
        raise UserError(str(error)) from error


def _check_bounded(columns: Sequence[_Column], against: Mapping[str, str | None]) -> None:
    """Refuse bounds that nothing, or not all that was asked for, is held to."""
    first, *rest = columns
    if not rest:
        raise UserError(
            f"a bound is given, but {first.run} has the one variant {first.variant!r} and nothing "
            "is compared with it: name another run after it"
        )
    for run in dict.fromkeys(one.run for one in rest if one.run != first.run):
        met = {against[one.label] for one in rest if one.run == run}
        lone = [one.variant for one in columns if one.run == first.run and one.label not in met]
        if lone:
            raise UserError(
                f"a bound is given, but {run} has no variant {', '.join(map(repr, lone))}, which "
                f"{first.run} has: compute it, or compare what both have"
            )


def _columns(runs: Runs, chosen: Sequence[str]) -> list[_Column]:
    held = {run: _variants(run, one) for run, one in runs.items()}
    every = list(dict.fromkeys(name for names in held.values() for name in names))
    for name in chosen:
        if name not in every:
            near = difflib.get_close_matches(name, every, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UserError(f"no variant {name!r}: {hint}there are {', '.join(every)}")
    wanted = list(dict.fromkeys(chosen)) or every
    pairs = []
    for run, names in held.items():
        found = [(run, name) for name in wanted if name in names]
        if not found:
            raise UserError(
                f"{run} has none of the variants {', '.join(wanted)}: it has {', '.join(names)}"
            )
        pairs += found
    return [_Column(run=run, variant=name, label=label) for (run, name), label in _labels(pairs)]


def _variants(address: str, run: RunScores) -> Sequence[str]:
    if not any(row["protocol"] is not None for row in run.rows):
        raise UserError(
            f"{address} has no score that counts under its own configuration, so there is nothing "
            f"to compare: `tav status {address}` says what is missing; what another release made "
            "may have to be computed anew"
        )
    return run.variants


def _labels(pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], str]]:
    """Each variant's own name; with its run's where another run has one of that name."""
    runs = list(dict.fromkeys(run for run, _ in pairs))
    short = {run: run.rstrip("/").rpartition("/")[2] for run in runs}
    if len(set(short.values())) < len(runs):
        short = {run: run for run in runs}
    times = Counter(name for _, name in pairs)
    for run, name in pairs:
        yield (run, name), name if times[name] == 1 else f"{name} ({short[run]})"


def _values(runs: Runs, columns: Sequence[_Column]) -> Iterator[Value]:
    labels = {(one.run, one.variant): one.label for one in columns}
    for address, run in runs.items():
        for value in chain(score_values(run.rows), sampling_seconds(run.rows)):
            label = labels.get((address, value.variant))
            if label is not None:
                yield value._replace(variant=label)
