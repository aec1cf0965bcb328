"""One run of so many videos with stubs instead of models, timed step by step.

Everything lies in one folder, so a run that was cut off goes on there.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from typing_extensions import override

from benchmarks.scale_stubs import stub_workers
from components.config import RunConfig, load_run_config
from components.run.cluster import Cluster
from components.run.lease import Lease
from components.run.record import load_run
from components.run.runner import WINDOW, Runner
from components.steps import STEPS
from components.steps.packed import Packed
from components.steps.spread import deal

if TYPE_CHECKING:
    from components.run.flow.flow import Flow
    from components.steps.step import Outcome

FIGURES = "figures.jsonl"
FLOW = "flow"
"""What stands for all steps where each video goes at its own pace."""
_FOLDER_SIZE = 1000
"""Sources in one folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """How large a run is, and how it is spread."""

    rows: int
    """Videos."""
    edits: int = 1
    """Of each video."""
    workers: int = 2
    items_per_task: int = 500
    ray: bool = True
    """Without it, this process does all the work itself."""
    flow: bool = False
    """Each video at its own pace, as `tav run` does, in place of a step after the other."""


@dataclass(kw_only=True, slots=True)
class StepTimes:
    """What one step took in one process; seconds."""

    step: str
    began: float
    """Since the epoch."""
    planned: float = 0.0
    """When the items were known, since the epoch."""
    ended: float = 0.0
    computed: int = 0
    driver_cpu: float = 0.0
    marks: list[dict[str, Any]] = field(default_factory=list)
    """See ``scale_stubs.Marked``."""


def prepare(folder: Path, shape: Shape) -> RunConfig:
    """Write sources, manifest and configuration, unless they are there."""
    document = {
        "run": str(folder / "run"),
        "manifest": str(folder / "manifest.jsonl"),
        "model": {"base": "tinyworld"},
        "caption": {"model": "tinyworld"},
        "score": {"model": "tinyworld"},
        "video": {"num_frames": 2, "width": 8, "height": 8},
        "ray": {
            "num_cpus": 2,
            "workers": shape.workers,
            "flow": shape.flow,
            "items_per_task": shape.items_per_task,
            # A TorchTrainer.fit() starts and stops in about a minute: one for each worker.
            "videos_per_shard": -(-shape.rows // shape.workers),
        },
    }
    config = folder / "run.yaml"
    if not config.exists():
        _write_sources(folder, shape)
        config.write_text(yaml.safe_dump(document), encoding="utf-8")
    return load_run_config(config)


def _write_sources(folder: Path, shape: Shape) -> None:
    edits = [
        {"id": f"edit-{number}", "category": "style", "prompt": f"{{caption}}, in style {number}"}
        for number in range(shape.edits)
    ]
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for number in range(shape.rows):
            name = f"sources/{number // _FOLDER_SIZE:03d}/video-{number:06d}.mp4"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"no video {number}", encoding="utf-8")
            entry = {"id": f"video-{number:06d}", "uri": name, "edits": edits}
            manifest.write(json.dumps(entry) + "\n")


class _TimedRunner(Runner):
    """Notes what each step took."""

    def __init__(self, config: RunConfig, folder: Path, *, ray: bool) -> None:
        self._ray = ray
        self._folder = folder
        self._marks = folder / "marks"
        shutil.rmtree(self._marks, ignore_errors=True)
        self._marks.mkdir()
        self.times: list[StepTimes] = []
        self.ray_start = 0.0
        super().__init__(config, workers=stub_workers(self._marks))

    @override
    def _run_step(
        self, steps: Sequence[str], cluster: Cluster, lease: Lease, *, retry_failed: bool
    ) -> dict[str, int]:
        compute = partial(super()._run_step, steps, cluster, lease, retry_failed=retry_failed)
        return self._timed(steps[0], compute, cluster)

    @override
    def _run_flow(
        self, steps: Sequence[str], cluster: Cluster, lease: Lease, *, retry_failed: bool
    ) -> dict[str, int]:
        compute = partial(super()._run_flow, steps, cluster, lease, retry_failed=retry_failed)
        return self._timed(FLOW, compute, cluster)

    def _timed(
        self, name: str, compute: Callable[[], dict[str, int]], cluster: Cluster
    ) -> dict[str, int]:
        started = time.time()
        if self._ray:
            cluster.start(train=name != FLOW)
        self.ray_start += time.time() - started
        times = StepTimes(step=name, began=time.time())
        self.times.append(times)
        before = time.process_time()
        computed = compute()
        times.computed = sum(computed.values())
        times.driver_cpu = time.process_time() - before
        times.ended = time.time()
        for path in self._marks.glob("*.json" if name == FLOW else f"{name}-*.json"):
            times.marks.append(json.loads(path.read_text(encoding="utf-8")))
        note(
            self._folder, {"step": _step_figures(times, ray=self._ray)}
        )  # at once: a kill may follow
        return computed

    @override
    def _flow_outcomes(self, flow: Flow, cluster: Cluster) -> Iterator[tuple[str, Outcome]]:
        self.times[-1].planned = time.time()
        yield from super()._flow_outcomes(flow, cluster)

    @override
    def _outcomes(self, step: str, items: Packed, cluster: Cluster) -> Iterator[Outcome]:
        self.times[-1].planned = time.time()
        if self._ray:
            yield from super()._outcomes(step, items, cluster)
            return
        worker = self._worker(step)(self._context)
        for some in items.windows(WINDOW):
            for task in deal([[item] for item in some], 1, self.config.ray.items_per_task):
                yield from worker(task)


def compute(folder: Path, shape: Shape, steps: Sequence[str] = STEPS) -> dict[str, Any]:
    """Run steps in this process and return their figures, which are also noted in the folder."""
    config = prepare(folder, shape)
    started = time.time()
    runner = _TimedRunner(config, folder, ray=shape.ray)
    loaded = time.time() - started
    started = time.time()
    result = runner.run(steps)
    wall = time.time() - started
    in_steps = sum(times.ended - times.began for times in runner.times)
    figures = {
        **{name: getattr(shape, name) for name in Shape.__slots__},
        "load_manifest_s": loaded,
        "wall_s": wall,
        "ray_start_s": runner.ray_start,
        "compact_s": wall - runner.ray_start - in_steps,
        "peak_driver_bytes": peak_bytes(),
        "left": sum(step.left + step.failed for step in result.status.steps.values()),
    }
    note(folder, {"process": figures})
    return figures


def note(folder: Path, figures: dict[str, Any]) -> None:
    """Add a line to the run's figures."""
    with (folder / FIGURES).open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(figures) + "\n")


def noted(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The figures of a run's ``step`` or ``process`` so far, the oldest first."""
    lines = map(json.loads, (folder / FIGURES).read_text(encoding="utf-8").splitlines())
    return [line[kind] for line in lines if kind in line]


def _step_figures(times: StepTimes, *, ray: bool) -> dict[str, Any]:
    processes: dict[int, list[dict[str, Any]]] = {}
    for mark in times.marks:  # one process may have done several steps, two of them in turn
        processes.setdefault(mark["pid"], []).append(mark)
    worker_cpu = sum(
        max(mark["cpu_ended"] for mark in mine) - min(mark["cpu_ready"] for mark in mine)
        for mine in processes.values()
    )
    ready = min((mark["ready"] for mark in times.marks), default=times.planned)
    worked = max((mark["ended"] for mark in times.marks), default=times.planned)
    return {
        "step": times.step,
        "computed": times.computed,
        "plan_s": (times.planned or times.ended) - times.began,
        "start_s": ready - times.planned,
        "work_s": worked - ready,
        "stop_s": times.ended - (worked or times.ended),
        "driver_cpu_s": times.driver_cpu - (0 if ray else worker_cpu),
        "worker_cpu_s": worker_cpu,
    }


def scan(folder: Path, shape: Shape) -> dict[str, Any]:
    """Run a finished run again in this process: everything is read, and nothing is computed.

    Raises:
        RuntimeError: something is left to compute, or was computed again.
    """
    if left := noted(folder, "process")[-1]["left"]:
        raise RuntimeError(f"the run in {folder} has {left} items left: compute them first")
    config = prepare(folder, shape)
    started = time.time()
    runner = Runner(config)
    loaded = time.time() - started
    started, cpu = time.time(), time.process_time()
    result = runner.run()
    scanned, cpu = time.time() - started, time.process_time() - cpu
    if any(result.computed.values()) or result.used_ray:
        raise RuntimeError(f"a finished run was computed again: {result.computed}")
    peak = peak_bytes()
    started = time.time()
    load_run(config.run).status()
    return {
        "load_manifest_s": loaded,
        "scan_s": scanned,
        "scan_cpu_s": cpu,
        "status_s": time.time() - started,
        "peak_driver_bytes": peak,
    }


def peak_bytes() -> int:
    """The largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
