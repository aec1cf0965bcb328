"""What windows do to long clips: what they take of memory, and whether their seams show.

    python -m benchmarks.long_clips --memory     # 96 frames in windows of 24, against 24
    python -m benchmarks.long_clips runs/long    # of a run (manifests/runs/long.yaml)

Memory: tuning, inverting and sampling the tiny world's model for a few steps, each length in a
process of its own, beyond what the process held with the model loaded; on CUDA what torch had
allocated. Seams: of each edit, drift and flicker of neighbouring frames (see eval/README.md) where
windows meet, against those inside of one window; the difference with its interval over videos.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eval.bootstrap import Interval, intervals
from eval.ground_truth import ground_truth
from tav_model.windows import Windows

if TYPE_CHECKING:
    from components.run.view import View
    from tinyworld.reader import Reader, Reading

PAIRED = ("identity_drift", "flicker")
"""Measures of neighbouring frames."""
_STEPS = 3
"""Of each kind, when memory is measured."""
_GOAL = 1.15
"""Of the short clip's peak."""
_SHORT, _LONG, _OVERLAP = 24, 96, 8


def at_seams(windows: Windows, frames: int) -> npt.NDArray[np.bool_]:
    """Which pairs of neighbouring frames are at a seam, (F - 1,).

    Inside are pairs of which one window alone sees both frames, and no other sees either; anywhere
    else what a frame shows is blended, or two windows say it.
    """
    seen_by = np.zeros((len(windows.starts(frames)), frames), dtype=bool)
    for number, start in enumerate(windows.starts(frames)):
        seen_by[number, start : start + windows.frames] = True
    alone = seen_by.sum(axis=0) == 1
    same = (seen_by[:, 1:] == seen_by[:, :-1]).all(axis=0)
    return np.asarray(~(alone[1:] & alone[:-1] & same))


def by_seam(
    edit: Reading, source: Reading, prompts: tuple[str, str], seams: npt.NDArray[np.bool_]
) -> dict[str, tuple[float, float]]:
    """An edit's means of `PAIRED` over pairs at seams and over those inside; NaN where none has it.

    Args:
        edit: its F frames, read.
        source: likewise.
        prompts: of the source and of the edit.
        seams: (F - 1,), see `at_seams`.
    """
    each: dict[str, list[float]] = defaultdict(list)
    for first in range(len(seams)):
        pair = slice(first, first + 2)
        found = ground_truth(edit.at(pair), source.at(pair), *prompts)
        for name in PAIRED:
            value = found[name]
            each[name].append(np.nan if value is None else value)
    return {
        name: (_mean(np.array(values)[seams]), _mean(np.array(values)[~seams]))
        for name, values in each.items()
    }


def _mean(values: npt.NDArray[np.float64]) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")


def measured(view: View, reader: Reader, store: Any) -> dict[str, Any]:
    """One variant: means at seams and inside, their paired difference, and how motion follows."""
    from components.steps.ingest import load_clip  # noqa: PLC0415 - seconds that --help need not pay
    from components.storage.scratch import scratch_folder  # noqa: PLC0415
    from components.video.io import read_mp4_frames  # noqa: PLC0415

    model = view.config.model
    windows = Windows(model.window or _SHORT, model.overlap)
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    sources: dict[str, Reading] = {}
    for row in view.edits.values():
        video = row["video_id"]
        if video not in sources:
            clip = load_clip(view.videos[video], view.config.video.limits)
            sources[video] = reader.read(clip.frames)
        with scratch_folder() as folder:
            target = folder / "edit.mp4"
            store.fetch_checked(row["video_uri"], target, row["sha256"])
            edit = reader.read(read_mp4_frames(target))
        prompts = (row["source_prompt"], row["prompt"])
        seams = at_seams(windows, len(edit.present))
        found: dict[str, float] = {}
        for name, (at, inside) in by_seam(edit, sources[video], prompts, seams).items():
            found |= {f"{name} at seams": at, f"{name} inside": inside}
            found[f"{name}, difference"] = at - inside
        motion = ground_truth(edit, sources[video], *prompts)["motion_correlation"]
        found["motion_correlation"] = float("nan") if motion is None else motion
        rows[video].append(found)
    return _summary(rows)


def _summary(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Interval | None]:
    """Means over videos of their means over edits, with intervals."""
    if not rows:
        return {}
    names = list(next(iter(rows.values()))[0])
    samples = []
    for name in names:
        means = np.array([_mean(np.array([one[name] for one in some])) for some in rows.values()])
        samples.append(means[~np.isnan(means)])
    return dict(zip(names, intervals(samples), strict=True))


def seams(run: str) -> dict[str, dict[str, Interval | None]]:
    """What `measured` finds of every variant of a run."""
    from components.run.record import load_run  # noqa: PLC0415
    from tinyworld.reader import Reader  # noqa: PLC0415

    state = load_run(run)
    reader = Reader.load()
    return {name: measured(view, reader, state.store) for name, view in state.views.items()}


def memory(device: str) -> dict[str, Any]:
    """Peaks of a clip of 24 frames, of 96 in windows of 24, and their ratio."""
    found = {}
    for frames in (_SHORT, _LONG):
        words = ["--child", str(frames), "--device", device]
        command = [sys.executable, "-m", "benchmarks.long_clips", "--memory", *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        found[str(frames)] = json.loads(done.stdout.splitlines()[-1])
    short, long = (found[str(frames)] for frames in (_SHORT, _LONG))
    ratios = {name: long[name] / short[name] for name in short}
    return {"bytes": found, "ratio": ratios, "goal": _GOAL, "met": ratios["beyond_model"] <= _GOAL}


def _child(frames: int, device: str) -> dict[str, int]:
    """Peak bytes of tuning, inverting and sampling one clip: in all, and beyond the model's own."""
    import torch  # noqa: PLC0415

    from tav_model.config import InvertConfig, ModelConfig, SampleConfig, TuneConfig  # noqa: PLC0415
    from tav_model.frames import to_model_range  # noqa: PLC0415
    from tav_model.invert import invert  # noqa: PLC0415
    from tav_model.load import load_base  # noqa: PLC0415
    from tav_model.memory import peak_bytes, reset_peak  # noqa: PLC0415
    from tav_model.sample import sample  # noqa: PLC0415
    from tav_model.tune import tune  # noqa: PLC0415
    from tav_model.vae import decode, encode_moments, mean_latents  # noqa: PLC0415
    from tinyworld.clips import CLIPS  # noqa: PLC0415
    from tinyworld.draw import render  # noqa: PLC0415
    from tinyworld.shipped import shipped_model  # noqa: PLC0415

    scene = CLIPS["fish"]
    where = {"base": str(shipped_model("base")), "device": device}
    base = load_base(ModelConfig(**where, window=_SHORT, overlap=_OVERLAP))  # type: ignore[arg-type]
    clip = render(scene, frames).frames
    reset_peak(device)
    held, peaks = peak_bytes(device), []
    moments = encode_moments(base, to_model_range(clip))
    peaks.append(peak_bytes(device))
    peaks.append(tune(base, moments, scene.caption(), TuneConfig(steps=_STEPS), seed=1).peak_bytes)
    with torch.no_grad():
        latents = invert(base, mean_latents(moments), InvertConfig(steps=_STEPS))
        prompts = [scene.caption(motion=False)]
        (edit,) = sample(base, latents, prompts, SampleConfig(steps=_STEPS, guidance_scale=2))
        decode(base, edit)
    peaks.append(peak_bytes(device))
    return {"in_all": max(peaks), "beyond_model": max(peaks) - held}


def main() -> None:
    """Measure what the command line names and print it."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.long_clips",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", nargs="?", help="address of a finished run")
    parser.add_argument("--memory", action="store_true", help="measure memory in place of a run")
    parser.add_argument("--device", default="cpu", help="where memory is measured")
    parser.add_argument("--child", type=int, metavar="FRAMES", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        print(json.dumps(_child(args.child, args.device)))
    elif args.memory:
        print(json.dumps(memory(args.device), indent=2))
    elif args.run:
        for line in _lines(seams(args.run)):
            print(line)
    else:
        parser.error("name a run, or --memory")


def _lines(found: Mapping[str, Mapping[str, Interval | None]]) -> Iterator[str]:
    for variant, summary in found.items():
        for name, one in summary.items():
            if one is None:
                continue
            ends = "" if one.low is None else f"  [{one.low:.3f}, {one.high:.3f}]"
            yield f"{variant:12}{name:30}{one.mean:9.3f}{ends}"


if __name__ == "__main__":
    main()
