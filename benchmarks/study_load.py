"""How a study's server answers many raters at once, and whether it loses an answer.

    python -m benchmarks.study_load RUN --pairs full,sdedit            # 50 raters, all pairs
    python -m benchmarks.study_load RUN --pairs full,sdedit --json

RUN is a finished run with two variants. Each rater is a client of its own with a browser's
requests: a page's state, its two clips, the answers; in between they think. As often as answers,
each asks for a static file of the same server: what a request costs here, client and all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx

from benchmarks.study_server import database, serving
from components.study.record import Record

STATIC = "static file"


@dataclass
class Load:
    """What the raters saw."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By kind of request."""
    acknowledged: dict[tuple[int, int], dict[str, str]] = field(default_factory=dict)
    """Answers that the server took, by rater and place."""
    wall: float = 0.0

    async def timed(self, kind: str, request: Any) -> httpx.Response:
        """Send a request and note how long it took, with all of its content."""
        started = time.perf_counter()
        found: httpx.Response = await request
        self.seconds[kind].append(time.perf_counter() - started)
        found.raise_for_status()
        return found


async def rate(load: Load, base: str, invitation: str, rater: int, think: float) -> None:
    """Be one rater, from the invitation to the end."""
    draw = random.Random(rater)  # noqa: S311 - the draws need a seed, not secrecy
    async with httpx.AsyncClient(base_url=base, timeout=60) as client:
        entered = await client.get(invitation)
        client.cookies.update(entered.cookies)
        page = (await load.timed("state", client.get("/state"))).json()
        while "clips" in page:
            for clip in page["clips"].values():
                await load.timed("clip", client.get(f"/clip/{clip['name']}"))
            await asyncio.sleep(draw.uniform(0, 2 * think))
            await load.timed(STATIC, client.get("/study.js"))
            answers = {one["id"]: draw.choice(("left", "right")) for one in page["questions"]}
            sent = {"place": page["place"], "key": page["key"], "answers": answers}
            post = client.post("/answers", json=sent, headers={"origin": base})
            found = await load.timed("answers", post)
            load.acknowledged[rater, page["place"]] = answers
            page = found.json()


async def everyone(base: str, invitations: list[str], think: float) -> Load:
    """All raters at once."""
    load = Load()
    started = time.perf_counter()
    await asyncio.gather(
        *(rate(load, base, one, rater, think) for rater, one in enumerate(invitations))
    )
    load.wall = time.perf_counter() - started
    return load


def lost(load: Load, record: Record) -> int:
    """Answers that the server took and the database has not, or has otherwise."""
    kept = {rater: record.answered(rater) for rater in range(record.design.plan.raters)}
    return sum(
        kept[rater].get(place, {}).get(question) != choice
        for (rater, place), answers in load.acknowledged.items()
        for question, choice in answers.items()
    )


def measure(uri: str, pairs: str, raters: int, think: float) -> dict[str, Any]:
    """Serve a new study to that many raters and say what came of it."""
    with tempfile.TemporaryDirectory(prefix="tav-load-") as name:
        folder = Path(name)
        options = ("--pairs", pairs, "--raters-per-pair", str(raters))
        with serving(uri, folder, *options) as server:
            load = asyncio.run(everyone(server.base, server.invitations, think))
        record = Record.open(database(folder))
        return {
            "raters": raters,
            "pages": len(load.acknowledged),
            "answers": sum(map(len, load.acknowledged.values())),
            "lost": lost(load, record),
            "wall_s": round(load.wall, 2),
            "requests_per_s": round(sum(map(len, load.seconds.values())) / load.wall, 1),
            "milliseconds": {kind: _spread(found) for kind, found in sorted(load.seconds.items())},
        }


def _spread(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=20, method="inclusive")
    found = {"median": statistics.median(seconds), "p95": cuts[-1], "max": max(seconds)}
    return {name: round(1000 * value, 1) for name, value in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("run", help="a finished run with two variants")
    parser.add_argument("--pairs", required=True, help="two variants, such as full,sdedit")
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--think", type=float, default=2.0, help="mean seconds before an answer")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.run, options.pairs, options.raters, options.think)
    if options.json:
        print(json.dumps(found))
        return
    times = found.pop("milliseconds")
    print(", ".join(f"{name} {value}" for name, value in found.items()))
    for kind, spread in times.items():
        print(f"{kind:12} " + ", ".join(f"{name} {value} ms" for name, value in spread.items()))


if __name__ == "__main__":
    main()
