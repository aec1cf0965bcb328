"""A finished run's tables and clips, as the steps write them: rows with real mp4 objects."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.results.export import columns
from components.results.scored import Selection
from components.storage.store import Store, file_sha256
from components.storage.tables import Row, append_rows
from components.video.io import encode_mp4
from components.video.read import READING_VERSION

AT = dt.datetime(2026, 11, 20, 9, 30, tzinfo=dt.UTC)
PROMPTS = {
    "surfer": ("a man is surfing", ("Iron Man is surfing in the desert", "object")),
    "rabbit": ("a rabbit eats a watermelon", ("a puppy eats a cheeseburger", "object")),
    "car": ("a jeep is moving on the road", ("a jeep is moving on the snow", "background")),
}
"""By video: the source prompt, and one edit's prompt and category."""


def drawn_clip(
    hue: float, frames: int = 12, width: int = 96, height: int = 64
) -> npt.NDArray[np.uint8]:
    """A disc that crosses a shaded field: (F, H, W, 3), uint8."""
    y, x = np.mgrid[0:height, 0:width]
    clip = np.empty((frames, height, width, 3), np.uint8)
    for index in range(frames):
        centre = width * (0.15 + 0.7 * index / max(1, frames - 1))
        disc = (x - centre) ** 2 + (y - height * 0.55) ** 2 < (height * 0.22) ** 2
        field = np.stack([x / width, y / height, np.full(x.shape, 1 - hue)], axis=-1)
        colour = np.array([hue, 0.35 + hue / 2, 1 - hue])
        clip[index] = (np.where(disc[..., None], colour, field * 0.6 + 0.15) * 255).astype(np.uint8)
    return clip


def provenance(seconds: float, at: dt.datetime = AT) -> Row:
    return {
        "config_hash": "c0ffee00c0ffee00c0ffee00c0ffee00",
        "code_version": "0.1.0",
        "library_versions": json.dumps({"torch": "2.15.0", "diffusers": "0.42.1"}),
        "device": "cpu",
        "seconds": seconds,
        "created_at": at,
    }


def model() -> Row:
    return {"base_model": "CompVis/stable-diffusion-v1-4", "base_revision": "133a221b", "seed": 33}


def write_clip(store: Store, path: str, frames: npt.NDArray[np.uint8], fps: float = 12) -> str:
    """Write an mp4 object and return its SHA-256."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "clip.mp4")
        encode_mp4(local, frames, fps=fps, crf=20)
        store.write_file(path, local)
        return file_sha256(local)


def write_video(store: Store, video_id: str, frames: npt.NDArray[np.uint8]) -> Row:
    """Commit a video and its adapter and inversion."""
    sha256 = write_clip(store, f"clips/v-{video_id}.mp4", frames)
    count, height, width, _ = frames.shape
    size = {"width": width, "height": height}
    video = {
        "video_key": f"v-{video_id}",
        "video_id": video_id,
        "uri": f"{video_id}.mp4",
        "source_version": "1",
        "sha256": "0" * 64,
        "num_frames": count,
        "fps": 12.0,
        "source_frames": count,
        "source_width": width,
        "source_height": height,
        **size,
        "frame_indices": list(range(count)),
        "fit": "crop",
        "reading_version": READING_VERSION,
        "reading": [],
        "true_fps": 12.0,
        **dict.fromkeys(("mask_uri", "mask_version", "mask_sha256")),
        "clip_uri": f"clips/v-{video_id}.mp4",
        "clip_sha256": sha256,
        "clip_fps": 12.0,
        **provenance(0.2),
    }
    append_rows(store, "videos", [video])
    adapter = {
        "adapter_key": f"a-{video_id}",
        "video_id": video_id,
        "video_key": f"v-{video_id}",
        "source_prompt": PROMPTS.get(video_id, ("a clip",))[0],
        "uri": "a.safetensors",
        "sha256": "0" * 64,
        "nbytes": 1,
        "num_params": 1,
        "steps": 500,
        "final_loss": 0.1,
        "peak_bytes": 1,
        "encoding": "fp32",
        **dict.fromkeys(("group_videos", "decoded_sha256", "stopped")),
        **model(),
        **provenance(600.0),
    }
    append_rows(store, "adapters", [adapter])
    return video


def write_edit(
    store: Store,
    video_id: str,
    name: str,
    prompt: str,
    frames: npt.NDArray[np.uint8],
    **changes: Any,
) -> Row:
    """Commit one edit."""
    edit_key = changes.pop("edit_key", f"e-{video_id}-{name}")
    sha256 = write_clip(store, f"edits/{edit_key}.mp4", frames, changes.get("fps", 12))
    row = {
        "edit_key": edit_key,
        "edit_id": f"{video_id}/{name}",
        "video_id": video_id,
        "video_key": f"v-{video_id}",
        "method": "tune_a_video",
        "adapter_key": f"a-{video_id}",
        "inversion": "ddim-50",
        **dict.fromkeys(("artefact_key", "control_keys")),
        **dict.fromkeys(("given_uri", "given_version", "given_sha256")),
        "source_prompt": PROMPTS.get(video_id, ("a clip",))[0],
        "prompt": prompt,
        "category": "style",
        "video_uri": f"edits/{edit_key}.mp4",
        "sha256": sha256,
        "frames_uri": None,
        "num_frames": len(frames),
        "fps": 12.0,
        "peak_bytes": 1,
        **model(),
        **provenance(61.5),
        **changes,
    }
    append_rows(store, "edits", [row])
    return row


def write_score(
    store: Store, edit: Row, consistency: float | None, alignment: float | None, **changes: Any
) -> Row:
    """Commit one edit's scores."""
    row = {
        **{name: edit[name] for name in ("edit_key", "edit_id", "video_id", "prompt", "category")},
        "protocol": "tav_paper_v1",
        "method": "tune_a_video",
        **scored(frame_consistency=consistency, textual_alignment=alignment),
        "score_model": "clip",
        "score_revision": "sha256:0123456789abcdef",
        **provenance(1.5),
        **changes,
    }
    row.setdefault("score_key", f"s-{row['edit_key']}-{row['protocol']}-{row['score_revision']}")
    append_rows(store, "scores", [row])
    return row


def scored(**measures: float | None) -> Row:
    """The columns of values and reasons; a measure that is none is one without a value."""
    values = {name: value for name, value in measures.items() if value is not None}
    return {"values": values, "reasons": dict.fromkeys(measures.keys() - values.keys(), "none")}


def write_failure(store: Store, step: str, video_id: str, message: str, **changes: Any) -> Row:
    """Commit one failure."""
    row = {
        "step": step,
        "item_key": f"f-{step}-{video_id}",
        "video_id": video_id,
        "edit_id": None,
        "error_type": "SourceError",
        "message": message,
        "traceback": f"Traceback (most recent call last):\n  ...\nSourceError: {message}\n",
        "attempt": 1,
        "retryable": False,
        "at": AT,
        "config_hash": "c0ffee",
        "code_version": "0.1.0",
        **changes,
    }
    append_rows(store, "failures", [row])
    return row


def write_run(store: Store) -> list[Row]:
    """Commit three videos with two edits each, scored, and one failure; returns the edits."""
    edits = []
    for index, (video_id, (source, (prompt, category))) in enumerate(PROMPTS.items()):
        write_video(store, video_id, drawn_clip(0.3 * index))
        wanted = ((prompt, category, "swap"), (f"{source}, cartoon style", "style", "cartoon"))
        for number, (text, kind, name) in enumerate(wanted):
            hue = 0.25 + 0.2 * index + 0.11 * number
            edit = write_edit(store, video_id, name, text, drawn_clip(hue), category=kind)
            write_score(store, edit, 90 + index + number / 3, 24 + 2 * index + number)
            edits.append(edit)
    write_failure(
        store,
        "ingest",
        "broken",
        "broken.mp4 cannot be decoded: it is damaged, truncated or no video; play it, then copy it",
    )
    return edits


def write_variants(store: Store, names: Sequence[str]) -> dict[str, Selection]:
    """Commit ``write_run``'s edits in several variants, and select them by name.

    The last shares the first's rows; of the last but one ``car/swap`` is not scored. An edit's
    frame consistency falls from variant to variant.
    """
    found = {names[0]: write_run(store)}
    for index, name in enumerate(names[1:-1], start=1):
        found[name] = []
        for number, edit in enumerate(found[names[0]]):
            video_id, _, what = edit["edit_id"].partition("/")
            frames = drawn_clip(0.1 * index + 0.07 * number)
            same = {"category": edit["category"], "edit_key": f"e{index}-{video_id}-{what}"}
            made = write_edit(store, video_id, what, edit["prompt"], frames, **same)
            if (index, made["edit_id"]) != (len(names) - 2, "car/swap"):
                write_score(store, made, 89 - index - number / 3, 24.5 + index)
            found[name].append(made)
    found[names[-1]] = found[names[0]]
    return {
        name: Selection(edit_keys={edit["edit_key"] for edit in edits})
        for name, edits in found.items()
    }


def exported_row(**changes: Any) -> Row:
    """A row of the joined table that `tav export` writes; ``values`` replaces some of them."""
    full = dict.fromkeys(columns([])) | {
        "video_id": "car",
        "edit_id": "car/snow",
        "category": "background",
        "prompt": "a jeep",
        "variant": "",
        "method": "tune_a_video",
        "protocol": "tav_paper_v1",
        "reasons": {},
        "seconds": 61.5,
        "seed": 33,
        "created_at": AT,
    }
    measures = {"frame_consistency": 91.25, "textual_alignment": -1.5} | changes.pop("values", {})
    values = {name: value for name, value in measures.items() if value is not None}
    return full | {"values": values} | changes
