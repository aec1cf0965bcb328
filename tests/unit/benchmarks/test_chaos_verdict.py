"""The judge of the chaos benchmark notices each thing that it is there for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from benchmarks.chaos.verdict import judge
from components.storage.tables import append_rows, read_table
from tests.unit.components.run.test_plan import SHA256, Run


class SoundRun(Run):
    """One video with one edit; objects are there, and rows tell their digests."""

    def make(self) -> SoundRun:
        video_key = self._ingest()
        self.commit("captions", video_key=video_key, captioner="manifest", caption="a fish")
        adapter_key = self.state.first.adapter_keys["v"]
        self.adapter = self.named("adapters", save({"a": np.ones(3, np.float32)}), "uri")
        self.commit("adapters", adapter_key=adapter_key, **self.adapter)
        inversion = self.state.first.inversion
        self.commit("latents", adapter_key=adapter_key, inversion=inversion)
        edit_key = self.state.first.planned_edits["v/e"].edit_key
        self.edit = self.named("edits", b"an edit", "video_uri")
        keys = {"edit_id": "v/e", "edit_key": edit_key}
        self.commit("edits", **keys, **self.edit, frames_uri=None)
        score_key = self.state.first.score_key(edit_key, "tav_paper_v1")
        self.score = {**keys, "protocol": "tav_paper_v1", "score_key": score_key}
        self.commit("scores", **self.score)
        return self

    def _ingest(self) -> str:
        from components.records.keys import content_key

        key = content_key(sha256=SHA256, video=self.config.video)
        clip = self.named("sources", b"a clip", "clip_uri")
        self.commit(
            "videos",
            video_key=key,
            uri="/v.mp4",
            sha256=SHA256,
            source_version="1",
            clip_uri=clip["clip_uri"],
            clip_sha256=clip["sha256"],
        )
        return key

    def named(self, folder: str, data: bytes, column: str) -> dict[str, Any]:
        names = {
            "adapters": "adapters/0123456789abcdef0123456789abcdef.safetensors",
            "sources": "media/sources/v-0123456789ab.mp4",
            "edits": "media/edits/v/0123456789abcdef0123456789abcdef.mp4",
        }
        self.store.write_bytes(names[folder], data)
        return {column: names[folder], "sha256": hashlib.sha256(data).hexdigest()}

    def without(self, table: str) -> None:
        for info in list(self.store.list(f"tables/{table}")):
            self.store.delete(info.path)

    def again(self, table: str, **changes: Any) -> None:
        (row,) = read_table(self.store, table)
        append_rows(self.store, table, [row | changes])


@pytest.fixture
def peace(tmp_path: Path) -> SoundRun:
    return SoundRun(tmp_path / "peace").make()


@pytest.fixture
def chaos(tmp_path: Path) -> SoundRun:
    return SoundRun(tmp_path / "chaos").make()


def test_a_sound_run_is_fine(chaos: SoundRun, peace: SoundRun) -> None:
    chaos.again("edits")  # computed twice, counted once
    verdict = judge(chaos.state, peace.state)
    assert verdict["ok"], verdict
    assert (verdict["edits"], verdict["scored_once"], verdict["failed_once"]) == (1, 1, 0)
    assert verdict["recomputed_rows"] == {"edits": 1}


def test_a_failure_with_its_reason_is_fine(chaos: SoundRun, peace: SoundRun) -> None:
    for run in (chaos, peace):
        run.without("scores")
        run.fail("score", run.score["score_key"], edit_id="v/e", message="why", error_type="E")
    verdict = judge(chaos.state, peace.state)
    assert verdict["ok"], verdict
    assert (verdict["scored_once"], verdict["failed_once"]) == (0, 1)


def drop_object(run: SoundRun) -> None:
    run.store.delete(run.edit["video_uri"])


def spoil_adapter(run: SoundRun) -> None:
    run.store.write_bytes(run.adapter["uri"], save({"a": np.zeros(3, np.float32)}))


def fail_without_reason(run: SoundRun) -> None:
    run.without("scores")
    run.fail("score", run.score["score_key"], edit_id="v/e", message="")


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (lambda run: run.without("scores"), {"lost", "unlike_undisturbed"}),
        (drop_object, {"dangling", "wrong_sha256"}),
        (spoil_adapter, {"wrong_sha256", "unlike_undisturbed"}),
        (fail_without_reason, {"without_reason", "unlike_undisturbed"}),
        (
            lambda run: run.again("scores", values={"frame_consistency": 1.0}),
            {"unlike_undisturbed"},
        ),
        (lambda run: run.again("adapters", final_loss=9.0), {"unlike_undisturbed"}),
        (lambda run: run.again("latents", latents=[9.0]), {"unlike_undisturbed"}),
        (lambda run: run.again("edits", sha256="1" * 64), {"wrong_sha256", "unlike_undisturbed"}),
        (lambda run: run.store.write_bytes("half/written", b""), {"unknown_files"}),
    ],
)
def test_whatever_is_wrong_is_found(
    chaos: SoundRun, peace: SoundRun, spoil: Callable[[SoundRun], None], where: set[str]
) -> None:
    spoil(chaos)
    verdict = judge(chaos.state, peace.state)
    assert not verdict["ok"]
    lists = ("lost", "doubled", "without_reason", "dangling", "wrong_sha256")
    found = {name for name in (*lists, "unlike_undisturbed", "unknown_files") if verdict[name]}
    assert found == where
