"""What a cheaper setting costs, measured on drawn clips whose truth is known.

    python -m benchmarks.quality adapters --clips 10    # encodings of one and the same tuning
    python -m benchmarks.quality stop --clips 30        # tuning that stops by itself
    python -m benchmarks.quality profile --clips 30     # the fast profile, and what it is made of

Runs the demo's configuration with a variant for each setting over so many clips, three edits each,
and prints for each variant its cost, the PSNR of its edits against the first variant's, and how
every measure changes with a 95 % bootstrap interval over videos (paired; `tav compare`'s). Run it
again to go on, or with more clips; what is there is not computed again.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml
from PIL import Image

from benchmarks.encoded_sizes import SD14_MATRICES, encoded_bytes, rank_of_same_share
from components.results.compare import compare_runs, run_scores
from components.run.current import State
from components.run.record import load_run
from components.storage.tables import read_table
from eval.compare import Cell
from methods.method import LATENTS
from methods.tune_a_video import psnr
from tav_model.config import ModelConfig
from tav_model.load import load_base
from tinyworld.shipped import shipped_model

CONFIG = Path("manifests/runs/demo.yaml")
Overrides = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Variants that are compared with the first of them, which is computed first."""

    variants: Mapping[str, Overrides]
    cost: str
    """Heading of the column that says what a variant costs."""


def adapters() -> Question:
    """Every encoding; of the low rank that share of bytes that it has at SD 1.4's sizes."""
    base = load_base(ModelConfig(base=str(shipped_model("base"))))
    matrices = {name: tuple(tensor.shape) for name, tensor in base.initial.items()}
    forms: dict[str, Overrides] = {
        form: {"adapter": {"encoding": form}} for form in ("fp32", "fp16", "int4", "sign")
    }
    forms["low_rank"] = {
        "adapter": {"encoding": "low_rank", "rank": rank_of_same_share(matrices, 64)}
    }
    return Question(variants=forms, cost="MB at SD 1.4")


def stop() -> Question:
    """All steps, and no more than it takes."""
    found: dict[str, Overrides] = {"all": {}}
    for patience in (3, 5, 8):
        found[f"patience_{patience}"] = {"tune": {"stop": {"patience": patience}}}
    return Question(variants=found, cost="steps, mean")


def profile() -> Question:
    """The paper's steps, the same at 20, then with each part of `fast` that is added."""
    few: Overrides = {"steps": 20}
    return Question(
        variants={
            "paper": {"profile": "paper"},
            "ddim_20": {"invert": few, "sample": few},
            "dpmpp_20": {"invert": few, "sample": {**few, "solver": "dpmpp_2m"}},
            "fast": {"profile": "fast"},
        },
        cost="UNet evaluations, of a video + of each edit",
    )


QUESTIONS: Mapping[str, Callable[[], Question]] = MappingProxyType(
    {"adapters": adapters, "stop": stop, "profile": profile}
)


def main() -> None:
    """Compute what is missing, then print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("question", choices=list(QUESTIONS))
    parser.add_argument("--clips", type=int, default=10, help="drawn clips, three edits of each")
    parser.add_argument("--seed", type=int, default=1, help="of the clips")
    parser.add_argument("--folder", type=Path, default=Path("runs"))
    parser.add_argument("overrides", nargs="*", help="settings, such as tune.steps=20")
    options = parser.parse_args()
    question = QUESTIONS[options.question]()
    place = options.folder / f"quality-{options.question}"
    clips = place.with_name(f"{place.name}-clips") / f"{options.clips}-{options.seed}"
    _draw(clips, options.clips, options.seed)
    config = _write_config(place, clips, question)
    first = next(iter(question.variants))
    for narrowed in (["--variant", first], []):  # what the others are made of comes first
        _python("components.cli", "run", "--config", str(config), *options.overrides, *narrowed)
    print(report(place, question))


def _draw(folder: Path, count: int, seed: int) -> None:
    if not (folder / "manifest.yaml").exists():
        arguments = [str(folder), "--random", str(count), "--seed", str(seed)]
        _python("tinyworld.clips", *arguments)


def _write_config(place: Path, clips: Path, question: Question) -> Path:
    document = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    document |= {
        "run": str(place),
        "manifest": str(clips / "manifest.yaml"),
        "variants": {name: dict(one) for name, one in question.variants.items()},
        "output": {"frames": True},
    }
    path = place.with_suffix(".yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def _python(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True)  # noqa: S603 - our own


def report(place: Path, question: Question) -> str:
    """Two tables in Markdown: what each variant costs, and how every measure changes."""
    state = load_run(str(place))
    found = compare_runs({str(place): run_scores(state.store, state.selection())})
    cells = [cell for cell in found.cells if cell.category is None]
    names = list(dict.fromkeys(cell.name for cell in cells))
    near = _psnr(state, list(question.variants))
    lines = [
        f"| | {question.cost} | PSNR of edits, mean | least | edits |",
        "|---|---|---|---|---|",
    ]
    for name, overrides in question.variants.items():
        values = near.get(name, [])
        pair = [f"{np.mean(values):.1f}", f"{min(values):.1f}"] if values else ["", ""]
        cost = _cost(state, name, overrides)
        lines.append(f"| {name} | {cost} | {' | '.join(pair)} | {len(state.views[name].edits)} |")
    lines += ["", f"| difference | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for name in list(question.variants)[1:]:
        by_measure = {cell.name: cell for cell in cells if cell.variant == name}
        row = [_difference(by_measure.get(measure)) for measure in names]
        lines.append(f"| {name} | {' | '.join(row)} |")
    return "\n".join(lines)


def _difference(cell: Cell | None) -> str:
    """This variant minus the first; marked where the interval leaves out zero."""
    if cell is None or cell.difference is None:
        return ""
    one = cell.difference
    if one.low is None or one.high is None:  # of one video there is no interval
        return f"{-one.mean:+.3f}"
    mark = " *" if one.excludes_zero else ""
    return f"{-one.mean:+.3f} ({-one.high:+.3f} to {-one.low:+.3f}){mark}"


def _cost(state: State, variant: str, overrides: Overrides) -> str:
    """What the variant's question is about."""
    if "adapter" in overrides:
        # At these sizes low_rank is what its default says.
        encoding = overrides["adapter"]["encoding"]
        return f"{encoded_bytes(SD14_MATRICES, encoding, 64) / 1e6:.1f}"
    if "profile" in overrides or "sample" in overrides:
        cost = state.views[variant].method.cost()
        assert cost is not None
        passes = cost.edit.guided + cost.edit.inversion
        return f"{cost.stages[LATENTS].inversion:.0f} + {passes:.0f}"
    return _steps(state, variant)


def _steps(state: State, variant: str) -> str:
    rows = {row["adapter_key"]: row["steps"] for row in read_table(state.store, "adapters")}
    keys = state.views[variant].adapter_keys.values()
    steps = [rows[key] for key in keys if key in rows]
    return f"{np.mean(steps):.0f} ({min(steps)} to {max(steps)})" if steps else ""


def _psnr(state: State, variants: Sequence[str]) -> dict[str, list[float]]:
    """Of each variant's edits against the first variant's, in dB over all frames of a clip."""
    places = {row["edit_key"]: row["frames_uri"] for row in read_table(state.store, "edits")}
    first, *others = [state.views[name].edits for name in variants]
    found: dict[str, list[float]] = {name: [] for name in variants[1:]}
    for edit_id, row in first.items():
        frames = _frames(state, places[row["edit_key"]])
        for name, edits in zip(variants[1:], others, strict=True):
            if edit_id in edits:
                other = _frames(state, places[edits[edit_id]["edit_key"]])
                found[name].append(psnr(other, frames))
    return found


def _frames(state: State, folder: str) -> np.ndarray[Any, Any]:

    pictures = [state.store.read_bytes(one.path) for one in state.store.list(folder)]
    return np.stack([np.asarray(Image.open(io.BytesIO(data))) for data in pictures])


if __name__ == "__main__":
    main()
