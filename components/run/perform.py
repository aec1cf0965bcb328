"""Performs a step of a run: the one way in for command line, jobs, Kubeflow's tasks and Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.config import RunConfig
from components.results.report import INDEX, collect, write_report
from components.run import check_step
from components.run.current import State
from components.run.record import load_run
from components.run.runner import Runner
from components.run.status import Status
from components.steps import STEPS


@dataclass(frozen=True, kw_only=True, slots=True)
class Performed:
    """What a step, or all of them, came to. What was computed is in the run's tables."""

    state: State
    """The tables as they are now."""
    status: Status
    computed: Mapping[str, int]
    """Items that each step computed this time, failed ones included."""
    used_ray: bool
    report: str | None
    """Address of the gallery's page, if there is one."""

    @property
    def problem(self) -> str | None:
        """That more items failed than ``max_failed_fraction`` allows; none where it is so."""
        run, bound = self.state.config.run, self.state.config.max_failed_fraction
        if not self.computed or self.status.failed_fraction <= bound:
            return None
        return (
            f"{self.status.failed_fraction:.1%} of the items failed, but max_failed_fraction "
            f"allows {bound:.1%}: see `tav failures {run}`"
        )

    def document(self) -> dict[str, Any]:
        """The same as JSON values."""
        return self.status.document() | {
            "computed": dict(self.computed),
            "used_ray": self.used_ray,
            "report": self.report,
        }


def perform(step: str, config: RunConfig, *, retry_failed: bool = False) -> Performed:
    """Compute what a step lacks, starting Ray only where something is missing.

    Args:
        step: One of ``PERFORMED``: ``run`` is every step in order and then the gallery.
        config: The run's (``load_run_config`` reads one).
        retry_failed: Also try what failed for good.

    Returns:
        What it came to. Failed items are rows of ``failures`` and no exception; ``problem`` says
        whether they are too many.

    Raises:
        UserError: the step is unknown, or the run cannot go as asked; nothing was computed, or what
            was is committed.
        LeaseHeldError: another driver is at work on the run.
    """
    check_step(step)
    runner = Runner(config, retry_failed=retry_failed)
    if step == "report":
        state = runner.state()
        return Performed(
            state=state,
            status=state.status(),
            computed={},
            used_ray=False,
            report=_write_report(state),
        )
    done = runner.run(STEPS if step == "run" else [step])
    report = f"{runner.store.root}/{INDEX}" if runner.store.stat(INDEX) is not None else None
    if step == "run" and (done.changed or any(done.computed.values()) or report is None):
        report = _write_report(done.state, others=True)
    return Performed(
        state=done.state,
        status=done.status,
        computed=done.computed,
        used_ray=done.used_ray,
        report=report,
    )


def _write_report(state: State, *, others: bool = False) -> str:
    """Write the gallery of the state's variants, or of others that have edits too."""
    chosen, failures = state.selection(), state.open_failures
    if others and state.config.only:
        whole = load_run(state.config.run)
        chosen = {
            name: one
            for name, one in whole.selection().items()
            if one.edit_ids or name in state.config.only
        }
        failures = [row for row, names in whole.failures if chosen.keys() & names]
    return write_report(state.store, collect(state.store, chosen, failures=failures))
