"""A finished run whose objects are there, and files as crashes and people leave them."""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path

from components.records.keys import content_key
from components.storage.garbage import Findings
from tests.unit.components.run.test_plan import SHA256, Run

HOUR = dt.timedelta(hours=1)
NOW = dt.timedelta(0)
KEY = "0123456789abcdef" * 2


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and time of change."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    }


def set_age(root: Path, hours: float, pattern: str = "*") -> None:
    then = time.time() - hours * 3600
    for path in root.rglob(pattern):
        if path.is_file():
            os.utime(path, (then, then))


def place(root: Path, path: str, hours: float = 2) -> Path:
    """Write a file by another way than the store, as someone else would."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.encode())
    then = time.time() - hours * 3600
    os.utime(target, (then, then))
    return target


def paths(found: Findings) -> list[str]:
    return [orphan.found.path for orphan in found.orphans]


class WholeRun(Run):
    """A run of one video with one edit whose objects are there, as the steps write them."""

    def ingest(self) -> None:
        key = content_key(sha256=SHA256, video=self.config.video)
        self.clip = self._object(f"media/sources/v-{key[:12]}.mp4")
        row = {"video_key": key, "uri": "/v.mp4", "sha256": SHA256, "source_version": "1"}
        self.commit("videos", **row, clip_uri=self.clip)

    def tune(self) -> None:
        key = self.state.first.adapter_keys["v"]
        self.adapter = self._object(f"adapters/{key}.safetensors")
        self.commit("adapters", adapter_key=key, uri=self.adapter)
        self.commit("latents", adapter_key=key, inversion=self.state.first.inversion)

    def sample(self) -> None:
        key = self.state.first.planned_edits["v/e"].edit_key
        self.edit = self._object(f"media/edits/v/{key}.mp4")
        self.frames = f"media/edits/v/{key}-frames"
        for number in range(3):
            self._object(f"{self.frames}/{number}.png")
        columns = {"video_uri": self.edit, "frames_uri": self.frames, "num_frames": 3}
        self.commit("edits", edit_id="v/e", edit_key=key, **columns)

    def score(self) -> None:
        edit_key = self.state.first.planned_edits["v/e"].edit_key
        for protocol in self.config.score.protocols:
            key = self.state.first.score_key(edit_key, protocol)
            columns = {"edit_id": "v/e", "edit_key": edit_key, "protocol": protocol}
            self.commit("scores", **columns, score_key=key)

    def _object(self, path: str) -> str:
        self.store.write_bytes(path, path.encode())
        return path

    @property
    def left(self) -> list[int]:
        return [step.left for step in self.state.status().steps.values()]


def whole_run(root: Path) -> WholeRun:
    """Make a finished run, two hours old."""
    run = WholeRun(root)
    run.ingest()
    run.caption()
    run.tune()
    run.sample()
    run.score()
    run.store.write_bytes("run.json", b"{}")
    set_age(root, 2)
    return run


ORPHANS = [
    f"adapters/{KEY}.safetensors",
    f"adapters/{KEY}-{KEY[:12]}.safetensors",
    f"artefacts/{KEY}-{KEY[:12]}.safetensors",
    f"media/sources/v-{KEY[:12]}.mp4",
    f"media/edits/v/{KEY}.mp4",
    f"media/edits/v/{KEY}-{KEY[:12]}.mp4",
    f"media/edits/another/{KEY}-frames/0001.png",
    "media/edits/v/.tmp-0a1b2c",
    "tables/edits/.tmp-0a1b2c",
]


UNKNOWN = [
    "notes.txt",
    "adapters/mine.safetensors",
    f"adapters/{KEY}.safetensors.bak",
    f"adapters/{KEY}-{KEY[:11]}.safetensors",
    f"artefacts/{KEY}.safetensors",
    f"artefacts/{KEY}-{KEY[:12]}.pt",
    f"lease-{KEY}/00000001.json",
    f"adapters/old/{KEY}.safetensors",
    f"media/{KEY}.mp4",
    f"media/edits/{KEY}.mp4",
    f"media/edits/ä/{KEY}.mp4",
    f"media/edits/.hidden/{KEY}.mp4",
    "media/edits/.hidden/.tmp-0a1b2c",
    f"media/edits/v/{KEY}-frames/a/1.png",
    f"checkpoints/{KEY}.pt",
    "tables/edits/notes.txt",
    "tables/others/part-1.parquet",
    "backup/adapters/0.safetensors",
]
KEPT = [
    "lease/00000001.json",
    "report/index.html",
    f"report/media/{KEY}{KEY}.mp4",
    "report/.tmp-0a1b2c",
    ".tmp-0a1b2c",
    "logs/ä.log",
    "ray-train/a/b",
    f"checkpoints/{KEY}.safetensors",
]


ODD = [
    "../outside.txt",
    "adapters/../../outside.txt",
    "/etc/passwd",
    "",
    ".",
    "file:///etc/passwd",
    "media//edits",
    "ä",
    "a\0b",
    "run.json/x",
    "*",
]
