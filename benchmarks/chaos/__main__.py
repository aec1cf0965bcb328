"""Run a batch on a real S3 server while its processes are killed at random, then judge it.

``python -m benchmarks.chaos --kills 50 --seed 1`` kills Ray workers, actors, the raylet, the
driver (which is started again) and the S3 gateway (which comes back) at drawn moments, and compares
what comes out with an undisturbed run. Exit code 0 when nothing was lost, doubled or spoiled.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from benchmarks.chaos import kills
from benchmarks.chaos.scene import Scene
from benchmarks.chaos.tally import Tally
from tests.integration.s3_server import S3Server, unpacked

FINISHED, FAILED_ITEMS = 0, 3
_TICK_SECONDS = 0.1
_LINES_KEPT = 12


def main() -> None:
    """Parse the command line, run, print and exit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--videos", type=int, default=24, help="with two edits each")
    parser.add_argument("--captioned", type=int, default=3, help="of these, by BLIP-2")
    parser.add_argument("--workers", type=int, default=2, help="of each step")
    parser.add_argument("--stepwise", action="store_true", help="a step after the other")
    parser.add_argument("--variants", action="store_true", help="four ways of editing at once")
    parser.add_argument("--limit", type=float, default=3600, help="seconds until it is a hang")
    parser.add_argument("--plain", action="store_true", help="compare with a run without Ray")
    parser.add_argument("--logs", type=Path, help="folder for the drivers' output")
    parser.add_argument("--json", action="store_true", help="print the verdict alone, as JSON")
    arguments = parser.parse_args()
    kills.adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and all processes with it
    with tempfile.TemporaryDirectory(prefix="tav-chaos-") as folder:
        server = S3Server(unpacked(), Path(folder) / "s3")
        with contextlib.ExitStack() as stack:
            stack.callback(server.stop)
            server.start()
            scene = Scene(
                folder=Path(folder),
                server=server,
                videos=arguments.videos,
                captioned=arguments.captioned,
                workers=arguments.workers,
                flow=not arguments.stepwise,
                variants=arguments.variants,
            )
            document = perform(scene, arguments)
    if not arguments.json:
        print(kills.table([kills.Kill(**one) for one in document["kills"]]))
        document["kills"] = dict(Counter(one["target"] for one in document["kills"]))
    print(json.dumps(document, indent=None if arguments.json else 1))
    sys.exit(not document["verdict"]["ok"])


def perform(scene: Scene, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run in peace, run in chaos, and judge."""
    scene.prepare()
    os.environ.update(scene.server.environment)  # for the judge
    os.environ["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
    logs = arguments.logs or scene.folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + arguments.limit
    nobody = kills.Reaper(0, 0, 0, scene.server)
    peace = Battle(scene, "peace", nobody, logs, scene.driver("peace", plain=arguments.plain))
    peace.fight(until)
    reaper = kills.Reaper(
        arguments.kills, arguments.seed, scene.done, scene.server, flow=not arguments.stepwise
    )
    chaos = Battle(scene, "chaos", reaper, logs, scene.driver("chaos"))
    chaos.fight(until)

    from benchmarks.chaos.verdict import judge
    from components.run.record import load_run

    verdict = judge(load_run(scene.uri("chaos")), load_run(scene.uri("peace")))
    verdict["processes_left"] = _survivors()
    verdict["kills_not_made"] = len(reaper.due)
    verdict["unfinished"] = chaos.problem or peace.problem
    verdict["ok"] &= not (
        verdict["processes_left"] or verdict["kills_not_made"] or verdict["unfinished"]
    )
    return {
        "seed": arguments.seed,
        "videos": scene.videos + 1,
        "kills": [dataclasses.asdict(kill) for kill in reaper.made],
        "seconds": {"undisturbed": peace.seconds, "chaos": chaos.seconds},
        "driver_starts": chaos.starts,
        "driver_exits": chaos.exits,
        "verdict": verdict,
    }


class Battle:
    """One run, whose driver is started again until the run is complete."""

    def __init__(
        self, scene: Scene, name: str, reaper: kills.Reaper, logs: Path, command: list[str]
    ) -> None:
        self._scene, self._name, self._reaper, self._command = scene, name, reaper, command
        self._log = logs / f"{name}.log"
        self._driver: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._tally = Tally(scene.uri(name))
        self._done = 0
        self._counted = 0.0
        self.starts = 0
        self.exits: list[dict[str, Any]] = []
        """Code and last lines of drivers that nobody killed and that left the run incomplete."""
        self.problem: str | None = None
        self.seconds = 0.0

    def fight(self, until: float) -> None:
        """Return when the run is complete, or hopeless; then its driver is gone.

        Args:
            until: When ``time.monotonic`` reads this, it hangs.
        """
        began = time.monotonic()
        try:
            while not self._is_over():
                self._reaper.turn(self._count_done(), self._kill_driver)
                if time.monotonic() > until:
                    seconds = time.monotonic() - began
                    self.problem = f"not complete after {seconds:.0f} s: see {self._log}"
                    break
                time.sleep(_TICK_SECONDS)
        finally:
            self.seconds = round(time.monotonic() - began, 1)
            self._reaper.wait_for_gateway()
            if self._driver is not None and self._driver.poll() is None:
                self._driver.kill()
                self._driver.wait()

    def _is_over(self) -> bool:
        if self._driver is None:
            self._start()
            return False
        code = self._driver.poll()
        if code is None:
            return False
        if code == FINISHED:
            return True
        if not self._killed:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
            self.exits.append({"code": code, "last_lines": lines[-_LINES_KEPT:]})
            if len(self.exits) > 5 + len(self._reaper.made):
                codes = [one["code"] for one in self.exits]
                self.problem = f"drivers ended by themselves with {codes}: see {self._log}"
                return True
        self._start()
        return False

    def _start(self) -> None:
        self.starts += 1
        self._killed = False
        with self._log.open("ab") as log:
            log.write(f"=== start {self.starts}\n".encode())
            log.flush()
            self._driver = subprocess.Popen(
                self._command,
                env=self._scene.environment,
                cwd=self._scene.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _kill_driver(self) -> None:
        assert self._driver is not None
        self._killed = True
        self._driver.kill()
        self._driver.wait()

    def _count_done(self) -> int:
        """What the run has come to; the last known number while the gateway is away."""
        from components.errors import TransientError

        if self._reaper.due and self._reaper.gateway_is_up and time.monotonic() > self._counted:
            with contextlib.suppress(TransientError):
                self._done = self._tally.count()
            self._counted = time.monotonic() + 0.3
        return self._done


def _survivors(patience: float = 60.0) -> list[str]:
    """Processes of the runs that are still there some time after their drivers."""
    until = time.monotonic() + patience
    while True:
        left = []
        for process in kills.descendants():
            with contextlib.suppress(psutil.Error):
                title = " ".join(process.cmdline())
                if "ceph" not in title and "radosgw" not in title:
                    left.append(f"{process.pid} {title[:80]}")
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.5)


if __name__ == "__main__":
    main()
