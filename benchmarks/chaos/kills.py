"""Who is killed and when: processes of one driver's own cluster, and the S3 gateway."""

from __future__ import annotations

import contextlib
import ctypes
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from tests.integration.s3_server import S3Server

TARGETS = ("worker", "actor", "raylet", "driver", "gateway")
WEIGHTS = (4, 4, 1, 1, 2)
"""A killed raylet or driver costs a start of Ray, half a minute."""
OUTAGE_SECONDS = (1.0, 8.0)
ACTORS = (
    "ActorLocationTracker",
    "DatasetManager",
    "PlacementGroupCleaner",
    "PreemptionWatcher",
    "TrainController",
    "_AutoscalingCoordinatorActor",
    "_StatsActor",
)
"""That look after the work; those that do it (MapWorker, RayTrainWorker) and tasks are workers."""
SPARED = ("DashboardAgent", "IDLE", "RuntimeEnvAgent")
"""Processes without work, and parts of the raylet, which dies with them."""
_PATIENCE_SECONDS = 5.0
"""How long one waits for a process of the kind that is due before another kind is."""
_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Kill:
    """One process that was killed."""

    seconds: float
    """Since the run began."""
    target: str
    what: str
    """The process's own title."""
    done: int
    """Rows and objects that were there."""


def adopt_orphans() -> None:
    """Let processes whose parent dies become this process's children, so that none is lost."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[psutil.Process]:
    """All processes below this one that live; those that ended are buried."""
    alive = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_ZOMBIE:
                with contextlib.suppress(psutil.Error, ChildProcessError):
                    process.wait(0)
            else:
                alive.append(process)
    return alive


def kind(process: psutil.Process) -> str | None:
    """Which of the targets a process of Ray is; none of what is left alone."""
    try:
        command = process.cmdline() or [""]
    except psutil.Error:
        return None
    title = " ".join(command)
    if command[0].endswith("/raylet"):
        return "raylet"
    if not title.startswith("ray::"):
        return None
    name = title.removeprefix("ray::").partition("(")[0].partition(".")[0].strip()
    if name in SPARED:
        return None
    return "actor" if name in ACTORS else "worker"


class Reaper:
    """Kills what is due."""

    def __init__(
        self, kills: int, seed: int, done: int, server: S3Server, *, flow: bool = False
    ) -> None:
        """Draw the moments and the targets.

        Args:
            kills: How many.
            seed: Of all draws.
            done: What the run makes about; the kills spread over most of it.
            server: Whose gateway is killed and brought back.
            flow: Whether there are no actors beside those that do the work.
        """
        self._random = random.Random(seed)
        moments = sorted(self._random.uniform(0, 0.85 * done) for _ in range(kills))
        kinds = {t: w for t, w in zip(TARGETS, WEIGHTS, strict=True) if not (flow and t == "actor")}
        drawn = self._random.choices([*kinds], [*kinds.values()], k=kills)
        targets = [*list(kinds)[:kills], *drawn][:kills]
        self._random.shuffle(targets)
        self.due = list(zip(moments, targets, strict=True))
        self.made: list[Kill] = []
        self._server = server
        self._gateway_back: threading.Thread | None = None
        self._began = time.monotonic()
        self._since = self._began

    @property
    def gateway_is_up(self) -> bool:
        """Whether nobody waits for the gateway."""
        return self._gateway_back is None or not self._gateway_back.is_alive()

    def turn(self, done: int, kill_driver: Callable[[], None]) -> None:
        """Kill one process if its moment has come; call this again and again.

        Args:
            done: Rows and objects that are there.
            kill_driver: Kills the driver.
        """
        if not self.due or done < self.due[0][0]:
            self._since = time.monotonic()
            return
        wanted = self.due[0][1]
        if (what := self._strike(wanted, kill_driver)) is not None:
            self.due.pop(0)
            since = time.monotonic() - self._began
            self.made.append(Kill(round(since, 1), wanted, what, done))
            print(line(self.made[-1]), file=sys.stderr, flush=True)
            self._since = time.monotonic()
        elif time.monotonic() - self._since > _PATIENCE_SECONDS:
            self._let_another_go_first()
            self._since = time.monotonic()

    def _strike(self, target: str, kill_driver: Callable[[], None]) -> str | None:
        if target == "driver":
            kill_driver()
            return "tav run"
        if target == "gateway":
            return self._strike_gateway()
        candidates = [process for process in descendants() if kind(process) == target]
        if not candidates:
            return None
        chosen = self._random.choice(sorted(candidates, key=lambda process: process.pid))
        with contextlib.suppress(psutil.NoSuchProcess):
            title = " ".join(chosen.cmdline())[:60]
            chosen.kill()
            return "raylet" if target == "raylet" else title
        return None

    def _strike_gateway(self) -> str | None:
        if not self.gateway_is_up:
            return None
        self._server.kill_gateway()
        seconds = self._random.uniform(*OUTAGE_SECONDS)

        def come_back() -> None:
            time.sleep(seconds)
            self._server.start_gateway()

        self._gateway_back = threading.Thread(target=come_back)
        self._gateway_back.start()
        return f"radosgw, for {seconds:.1f} s"

    def _let_another_go_first(self) -> None:
        moments, targets = zip(*self.due, strict=True)
        other = next((n for n, name in enumerate(targets) if name != targets[0]), None)
        if other is not None:
            swapped = list(targets)
            swapped[0], swapped[other] = swapped[other], swapped[0]
            self.due = list(zip(moments, swapped, strict=True))

    def wait_for_gateway(self) -> None:
        """Return when the gateway is up."""
        if self._gateway_back is not None:
            self._gateway_back.join()


def table(kills: Sequence[Kill]) -> str:
    """The kills as lines of text."""
    return "\n".join([f"{'s':>7} {'target':8} {'done':>5}  process", *map(line, kills)])


def line(kill: Kill) -> str:
    """One kill as a line of that table."""
    return f"{kill.seconds:7.1f} {kill.target:8} {kill.done:5}  {kill.what}"
