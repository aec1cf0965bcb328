"""What the diaries of a cluster's processes say: utilisation, tails, work done twice, a picture."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STEPS = ("caption", "tune", "sample", "score")
"""Those that hold a GPU."""
_COLOURS = {"caption": "#8a6bbe", "tune": "#2f6db5", "sample": "#3f9a5a", "score": "#d98b2b"}
_IDLE = {"load": "#c9c9c9", "fetch": "#7f7f7f"}

Note = dict[str, Any]


def notes_of(folder: Path) -> list[Note]:
    """All that processes noted, by time; a line that a kill cut off is left out."""
    notes = []
    for path in folder.glob("*.jsonl"):
        lines = path.read_text(encoding="utf-8").splitlines()
        notes += [json.loads(line) for line in lines if line.endswith("}")]
    return sorted(notes, key=lambda note: float(note["began"]))


def figures(notes: Sequence[Note], gpus: int, began: float, ended: float) -> dict[str, Any]:
    """What a run came to.

    Args:
        notes: Of its processes.
        gpus: How many GPUs there were.
        began: When the run began, in seconds since the epoch.
        ended: Likewise.
    """
    on_gpu = [note for note in notes if note["gpu"]]
    wall = ended - began
    times = Counter((note["step"], note["item"]) for note in notes if note["kind"] == "work")
    work = [note for note in on_gpu if note["kind"] == "work"]
    useful = sum(_seconds(note) for note in _once(work))
    return {
        "wall_s": wall,
        "utilisation": useful / (gpus * wall),
        "useful_gpu_s": useful,
        "twice": sum(count - 1 for count in times.values()),
        "twice_gpu_s": sum(map(_seconds, work)) - useful,
        "load_gpu_s": sum(_seconds(note) for note in on_gpu if note["kind"] == "load"),
        "fetch_gpu_s": sum(_seconds(note) for note in on_gpu if note["kind"] == "fetch"),
        "fetches": sum(note["kind"] == "fetch" for note in on_gpu),
        "until_first_s": min((note["began"] for note in work), default=ended) - began,
        "idle_gpu_s": _idle(on_gpu, gpus, began, ended),
        "steps": {step: _step(work, step) for step in STEPS},
    }


def _idle(on_gpu: Sequence[Note], gpus: int, began: float, ended: float) -> dict[str, float]:
    """GPU seconds in which nothing was noted: before a GPU's first note, after its last, between.

    With `twice`, `load` and `fetch` that is all that work which counts does not fill, but for what
    a kill cut off.
    """
    spans: dict[str, list[Note]] = {}
    for note in on_gpu:
        spans.setdefault(note["gpu"], []).append(note)
    never = (gpus - len(spans)) * (ended - began)
    return {
        "start": never + sum(min(n["began"] for n in mine) - began for mine in spans.values()),
        "between": sum(
            max(n["ended"] for n in mine) - min(n["began"] for n in mine) - sum(map(_seconds, mine))
            for mine in spans.values()
        ),
        "end": sum(ended - max(n["ended"] for n in mine) for mine in spans.values()),
    }


def _once(work: Sequence[Note]) -> list[Note]:
    """Each item's last try alone."""
    return list({(note["step"], note["item"]): note for note in work}.values())


def _step(work: Sequence[Note], step: str) -> dict[str, float]:
    mine = [note for note in work if note["step"] == step]
    if not mine:
        return {"items": 0, "gpu_s": 0.0, "wall_s": 0.0, "tail_s": 0.0}
    last = Counter[str]()
    for note in mine:
        last[note["gpu"]] = max(last[note["gpu"]], note["ended"])
    end = max(last.values())
    return {
        "items": len(mine),
        "gpu_s": sum(map(_seconds, mine)),
        "wall_s": end - min(note["began"] for note in mine),
        # How long the GPUs that were done first wait for the last one, on average.
        "tail_s": sum(end - one for one in last.values()) / len(last),
    }


def _seconds(note: Note) -> float:
    return float(note["ended"]) - float(note["began"])


def table(document: Mapping[str, Any]) -> str:
    """The figures as Markdown; seconds are simulated ones."""
    scale = document["scale"]
    every = document["gpus"] * document["wall_s"]
    idle = ", ".join(f"{s / every:.1%} {name}" for name, s in document["idle_gpu_s"].items())
    lines = [
        (
            f"{document['videos']} videos x {document['edits']} edits on {document['gpus']} GPUs, "
            f"1:{scale:g}, {document['lost_nodes']} nodes lost: busy "
            f"**{document['utilisation']:.1%}** of {document['wall_s'] * scale / 60:.0f} minutes "
            f"({document['wall_s']:.0f} s here); first work after "
            f"{document['until_first_s']:.1f} s here; "
            f"{document['twice']} pieces of work done twice "
            f"({document['twice_gpu_s'] * scale / 60:.1f} GPU minutes); loading "
            f"{document['load_gpu_s'] * scale / 60:.0f}, fetching "
            f"{document['fetch_gpu_s'] * scale / 60:.0f} GPU minutes "
            f"({document['fetches']} adapters); idle: {idle}"
        ),
        "",
        "| step | items | GPU minutes | from first to last, minutes | tail, minutes |",
        "|---|---|---|---|---|",
    ]
    for step, one in document["steps"].items():
        minutes = [one[name] * scale / 60 for name in ("gpu_s", "wall_s", "tail_s")]
        lines.append(
            f"| {step} | {one['items']} | " + " | ".join(f"{m:.1f}" for m in minutes) + " |"
        )
    if document["left"]:
        lines.append(f"\nNot done: {document['left']}")
    return "\n".join(lines)


def draw(notes: Sequence[Note], document: Mapping[str, Any], path: Path) -> None:
    """A row for each GPU: what it was at, and white where it waited."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Rectangle

    on_gpu = [note for note in notes if note["gpu"]]
    rows = {gpu: row for row, gpu in enumerate(sorted({note["gpu"] for note in on_gpu}))}
    began = min(note["began"] for note in notes)
    figure, axes = plt.subplots(figsize=(10, 1 + 0.12 * len(rows)), layout="constrained")
    minute = 60 / document["scale"]
    for note in on_gpu:
        colour = _IDLE.get(note["kind"]) or _COLOURS[note["step"]]
        left = (note["began"] - began) / minute
        axes.barh(rows[note["gpu"]], _seconds(note) / minute, left=left, color=colour, height=0.85)
    names = {**_COLOURS, **{f"{kind}ing": colour for kind, colour in _IDLE.items()}}
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in names.values()]
    figure.legend(handles, names, ncols=6, loc="outside upper center", frameon=False)
    axes.set(xlabel="minutes", ylabel="GPU", yticks=[], xlim=(0, None))
    axes.invert_yaxis()
    figure.savefig(path, dpi=110)
    plt.close(figure)
