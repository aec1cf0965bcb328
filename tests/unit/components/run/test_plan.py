"""What is missing, worked out from tables that the tests fill in row by row."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.config import parse_run, variant_configs
from components.manifest.edits import EditEntry, VideoEntry
from components.manifest.load import Manifest
from components.records.keys import content_key
from components.run.current import State
from components.run.plan import Plan
from components.run.view import Revisions, View
from components.steps.caption import captioner_name
from components.storage.latents import LatentsReader, latents_columns
from components.storage.local import LocalStore
from components.storage.tables import Row, append_rows
from tests.unit.components.storage.test_tables import make_row

REVISIONS = Revisions(base="b", caption="c", score="s")
SHA256 = "0" * 64


class Run:
    """One video with one edit, whose rows are committed one after the other."""

    def __init__(self, root: Path, **changes: Any) -> None:
        document = {"run": str(root), "manifest": "m", "model": {"base": "x"}} | changes
        self.config = parse_run(document, "test")
        self.store = LocalStore(root)
        edit = EditEntry(name="e", category="style", prompt="{caption}, cartoon style")
        self.entry = VideoEntry(video_id="v", uri="/v.mp4", prompt="a fish", edits=(edit,))

    @property
    def state(self) -> State:
        manifest = Manifest(name="m", videos=(self.entry,))
        revisions = dict.fromkeys(variant_configs(self.config, parse_run), REVISIONS)
        return State(self.config, manifest, self.store, revisions)

    @property
    def view(self) -> View:
        return self.state.first

    def plan(self, **options: bool) -> Plan:
        return Plan(self.view, **options)

    def commit(self, table: str, **columns: Any) -> None:
        append_rows(self.store, table, [make_row(table, video_id="v", **columns)])

    def ingest(self) -> None:
        self.read("1", SHA256)

    def read(self, version: str, sha256: str) -> None:
        key = content_key(sha256=sha256, video=self.config.video)
        self.commit("videos", video_key=key, uri="/v.mp4", sha256=sha256, source_version=version)

    def caption(self) -> None:
        key = self.view.videos["v"]["video_key"]
        self.commit("captions", video_key=key, captioner="manifest", caption="a fish")

    def tune(self) -> None:
        key = self.view.adapter_keys["v"]
        self.commit("adapters", adapter_key=key)
        self.commit("latents", adapter_key=key, inversion=self.view.inversion)

    def sample(self) -> None:
        key = self.view.planned_edits["v/e"].edit_key
        self.commit("edits", edit_id="v/e", edit_key=key)

    def fail(self, step: str, key: str, **columns: Any) -> None:
        row: Row = {"step": step, "item_key": key, "edit_id": None, "attempt": 1}
        self.commit("failures", **(row | columns))


@pytest.fixture
def a_run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_each_row_makes_the_next_step_possible(a_run: Run) -> None:
    (item,) = a_run.plan().ingest_items({"/v.mp4": "1"})
    assert item.video["num_frames"] == a_run.config.video.num_frames
    assert a_run.plan().tune_items() == []
    a_run.ingest()
    assert a_run.plan().ingest_items({"/v.mp4": "1"}) == []
    assert a_run.plan().caption_items() == []  # the manifest gives the prompt
    assert [prompt for _, prompt in a_run.plan().manifest_captions()] == ["a fish"]
    a_run.caption()
    assert a_run.plan().manifest_captions() == []
    (tune,) = a_run.plan().tune_items()
    assert (tune.source_prompt, tune.made) == ("a fish", [])
    assert [row["kind"] for row in tune.wanted] == ["adapter", "latents"]
    a_run.tune()
    assert a_run.plan().tune_items() == []
    (sample,) = a_run.plan().sample_items({})
    assert [edit["prompt"] for edit in sample.edits] == ["a fish, cartoon style"]
    a_run.sample()
    assert a_run.plan().sample_items({}) == []
    (score,) = a_run.plan().score_items()
    assert score.edit_id == "v/e"
    status = a_run.state.status()
    assert [step.left for step in status.steps.values()] == [0, 0, 0, 0, 0, 1]


def test_nothing_is_tuned_on_a_caption_of_an_older_release_that_says_nothing(a_run: Run) -> None:
    a_run.entry = dataclasses.replace(a_run.entry, prompt=None)
    a_run.ingest()
    key, name = a_run.view.videos["v"]["video_key"], captioner_name(a_run.config.caption, "c")
    for caption in ("bald bald bald bald", "a photo of", "..."):
        a_run.commit("captions", video_key=key, captioner=name, caption=caption)
        (item,) = a_run.plan().caption_items()
        assert a_run.plan().tune_items() == []
        assert a_run.state.status().steps["caption"].left == 1
    a_run.fail("caption", item.item_key, retryable=False)
    assert a_run.plan().caption_items() == []
    assert [row["step"] for row in a_run.state.open_failures] == ["caption"]
    a_run.commit("captions", video_key=key, captioner=name, caption="a dog")
    (tune,) = a_run.plan().tune_items()
    assert tune.source_prompt == "a dog"


def test_a_prompt_of_the_manifest_is_the_users_word(a_run: Run) -> None:
    a_run.entry = dataclasses.replace(a_run.entry, prompt="a photo of")
    a_run.ingest()
    key = a_run.view.videos["v"]["video_key"]
    a_run.commit("captions", video_key=key, captioner="manifest", caption="a photo of")
    assert [item.source_prompt for item in a_run.plan().tune_items()] == ["a photo of"]


def test_a_changed_source_is_read_again(a_run: Run) -> None:
    a_run.ingest()
    assert len(a_run.plan().ingest_items({"/v.mp4": "2"})) == 1
    a_run.read("2", "1" * 64)
    assert a_run.plan().ingest_items({"/v.mp4": "2"}) == []
    # Back again: read once more, and then it is what it was.
    assert len(a_run.plan().ingest_items({"/v.mp4": "3"})) == 1
    a_run.read("3", SHA256)
    assert a_run.plan().ingest_items({"/v.mp4": "3"}) == []
    assert a_run.view.videos["v"]["sha256"] == SHA256


def test_only_the_inversion_is_missing(a_run: Run) -> None:
    a_run.ingest()
    a_run.caption()
    a_run.commit("adapters", adapter_key=a_run.view.adapter_keys["v"], uri="a", sha256=SHA256)
    (item,) = a_run.plan().tune_items()
    (adapter,) = item.made
    assert (adapter["kind"], adapter["uri"], adapter["sha256"]) == ("adapter", "a", SHA256)
    assert [row["kind"] for row in item.wanted] == ["latents"]


@pytest.mark.parametrize(
    ("changes", "retunes"),
    [
        ({"tune": {"steps": 3}}, True),
        ({"seed": 4}, True),
        ({"model": {"base": "x", "attention_mode": "full"}}, True),
        ({"model": {"base": "moved", "device": "cuda"}}, False),
        ({"tune": {"gradient_checkpointing": True, "checkpoint_every": 7}}, False),
        ({"sample": {"guidance_scale": 7.5}, "invert": {"steps": 3}}, False),
        ({"ray": {"workers": 3}}, False),
    ],
)
def test_keys_hold_what_can_change_the_result(
    tmp_path: Path,
    changes: dict[str, Any],
    retunes: bool,  # noqa: FBT001
) -> None:
    keys = []
    for run in (Run(tmp_path), Run(tmp_path, **changes)):
        run.ingest()
        run.caption()
        keys.append(run.view.adapter_keys["v"])
    assert (keys[0] != keys[1]) == retunes


def test_what_failed_for_good_waits_for_the_user(a_run: Run) -> None:
    a_run.ingest()
    a_run.caption()
    key = a_run.view.adapter_keys["v"]
    a_run.fail("tune", key, retryable=False)
    assert a_run.plan().tune_items() == []
    assert [item.attempt for item in a_run.plan(retry_failed=True).tune_items()] == [2]
    status = a_run.state.status()
    assert status.steps["tune"].failed == 1
    assert status.steps["score"].failed == 1  # its edit waits for the tuning
    assert status.failed_fraction == 1
    a_run.tune()
    assert a_run.state.open_failures == []


def test_what_may_pass_is_tried_up_to_the_bound(a_run: Run) -> None:
    a_run.ingest()
    a_run.caption()
    key = a_run.view.adapter_keys["v"]
    for attempt in range(1, a_run.config.max_attempts + 1):
        assert [item.attempt for item in a_run.plan().tune_items()] == [attempt]
        assert a_run.plan().retries("tune") == (attempt > 1)
        a_run.fail("tune", key, attempt=attempt, retryable=True)
    assert a_run.plan().tune_items() == []
    assert a_run.plan().retries("tune") == 0


def test_latents_are_read_back_in_their_shape(a_run: Run) -> None:
    latents = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    a_run.commit("latents", adapter_key="a", inversion="i", **latents_columns(latents))
    (part,) = [info.path for info in a_run.store.list("tables/latents")]
    assert np.array_equal(
        LatentsReader(a_run.store).read(part, "v", "a", "i"), latents.astype(np.float16)
    )


def test_each_adapter_is_sampled_at_once_in_the_order_of_the_latents(tmp_path: Path) -> None:
    run = Run(tmp_path)
    edits = tuple(
        EditEntry(name=name, category="style", prompt=f"{{caption}}, {name} style")
        for name in ("cartoon", "oil", "ink")
    )
    entries = [
        VideoEntry(video_id=name, uri=f"/{name}.mp4", prompt="a fish", edits=edits)
        for name in "abcd"
    ]
    key = content_key(sha256=SHA256, video=run.config.video)
    for entry in entries:
        video = {"video_id": entry.video_id, "uri": entry.uri, "sha256": SHA256}
        append_rows(run.store, "videos", [make_row("videos", video_key=key, **video)])
        caption = {"video_id": entry.video_id, "captioner": "manifest", "caption": "a fish"}
        append_rows(run.store, "captions", [make_row("captions", video_key=key, **caption)])
    manifest = Manifest(name="m", videos=tuple(entries))

    def view() -> View:
        return State(run.config, manifest, run.store, {"tune_a_video": REVISIONS}).first

    keys, inversion = view().adapter_keys, view().inversion
    for names in ("d", "ca", "b"):  # a part each
        rows: dict[str, list[Row]] = {"adapters": [], "latents": []}
        for name in names:
            columns = {"video_id": name, "adapter_key": keys[name]}
            rows["adapters"].append(make_row("adapters", **columns))
            rows["latents"].append(make_row("latents", inversion=inversion, **columns))
        for table, committed in rows.items():
            append_rows(run.store, table, committed)
    items = Plan(view()).sample_items()
    assert [item.video_id for item in items] == ["d", "a", "c", "b"]
    assert [len(item.edits) for item in items] == [3] * 4


def test_a_schedule_that_is_honoured_now_gives_new_inversions_and_edits_and_no_new_adapters(
    a_run: Run,
) -> None:
    a_run.ingest()
    a_run.caption()
    a_run.tune()
    a_run.sample()
    assert a_run.view.inversion == "ddim-50-69617e9e"  # as before there was such a thing
    named = dataclasses.replace(REVISIONS, schedule="set_alpha_to_one")
    revisions = {"tune_a_video": named}
    view = State(a_run.config, a_run.state.manifest, a_run.store, revisions).first
    assert [row["kind"] for row in view.made("v")] == ["adapter"]
    assert [key.kind for key, _ in view.wanted("v")] == ["latents"]
    assert not view.edits
    assert view.inversion != a_run.view.inversion
