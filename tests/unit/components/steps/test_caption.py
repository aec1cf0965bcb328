"""The caption step: rows for what could be described, failure rows for the rest."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from components.captioning.blip2 import Blip2Captioner
from components.config import CaptionConfig, RunConfig
from components.records.keys import content_key
from components.records.revisions import resolve_revision
from components.steps.caption import (
    CaptionItem,
    CaptionWorker,
    captioner_name,
    commit_manifest_captions,
)
from components.steps.step import StepContext
from components.storage.store import file_sha256
from components.storage.tables import Row, read_table
from tav_model.config import ModelConfig


@pytest.fixture
def context(tiny_models: Path, tmp_path: Path) -> StepContext:
    blip2 = str(tiny_models / "blip2")
    return StepContext(
        config=RunConfig(
            run=str(tmp_path / "run"),
            manifest="none.yaml",
            model=ModelConfig(base=str(tiny_models / "base")),
            caption=CaptionConfig(model=blip2, max_new_tokens=12, num_beams=1),
        ),
        config_hash="c0ffee",
        caption_revision=resolve_revision(blip2),
    )


def _video_row(clip: Path, video_id: str) -> Row:
    return {
        "video_id": video_id,
        "video_key": content_key(clip=clip.name, video_id=video_id),
        "uri": str(clip),
        "sha256": file_sha256(clip),
        "num_frames": 4,
        "frame_indices": [0, 6, 12, 18],
        "width": 64,
        "height": 64,
        "fit": "crop",
        "fps": 8.0,
    }


def _item(context: StepContext, clip: Path, video_id: str) -> CaptionItem:
    row = _video_row(clip, video_id)
    name = captioner_name(context.config.caption, context.caption_revision)
    return CaptionItem(
        item_key=content_key(video_key=row["video_key"], captioner=name),
        video_id=video_id,
        video_key=row["video_key"],
        video_row=row,
        captioner=name,
    )


def test_a_batch_commits_one_row_a_video(context: StepContext, tiny_clips: Path) -> None:
    items = [_item(context, tiny_clips / f"{name}.mp4", name) for name in ("fish", "car", "pair")]
    outcomes = CaptionWorker(context)(items)
    assert [(outcome.video_id, outcome.error) for outcome in outcomes] == [
        ("fish", None),
        ("car", None),
        ("pair", None),
    ]
    rows = {row["video_id"]: row for row in read_table(context.store(), "captions")}
    assert set(rows) == {"fish", "car", "pair"}
    assert len({row["caption"] for row in rows.values()}) == 3
    for item in items:
        row = rows[item.video_id]
        assert (row["source"], row["captioner"]) == ("blip2", item.captioner)
        assert (row["video_key"], row["config_hash"]) == (item.video_key, "c0ffee")
        assert row["caption"].isprintable()
        assert row["seconds"] > 0
    assert len(list(context.store().list("tables/captions"))) == 1, "one part for one batch"
    assert read_table(context.store(), "failures") == []


def test_the_middle_frame_is_what_is_described(context: StepContext, tiny_clips: Path) -> None:
    from components.steps.ingest import load_clip

    item = _item(context, tiny_clips / "fish.mp4", "fish")
    worker = CaptionWorker(context)
    worker([item])
    frames = load_clip(item.video_row, context.config.video.limits).frames
    texts = worker._captioner(list(frames))
    (row,) = read_table(context.store(), "captions")
    assert row["caption"] == texts[2]
    assert len(set(texts)) > 1, "this test needs a clip whose frames differ in caption"


def test_a_bad_video_is_a_failure_row_and_the_others_go_on(
    context: StepContext, tiny_clips: Path, tmp_path: Path
) -> None:
    gone, changed = tmp_path / "gone.mp4", tmp_path / "changed.mp4"
    for clip in (gone, changed):
        shutil.copy(tiny_clips / "car.mp4", clip)
    items = [
        _item(context, gone, "gone"),
        _item(context, tiny_clips / "fish.mp4", "fish"),
        replace(_item(context, changed, "changed"), attempt=2),
    ]
    gone.unlink()
    changed.write_bytes(b"no video at all")
    outcomes = CaptionWorker(context)(items)
    assert [outcome.error is None for outcome in outcomes] == [False, True, False]
    assert [row["video_id"] for row in read_table(context.store(), "captions")] == ["fish"]
    failures = {row["video_id"]: row for row in read_table(context.store(), "failures")}
    assert set(failures) == {"gone", "changed"}
    assert {row["step"] for row in failures.values()} == {"caption"}
    assert failures["gone"]["item_key"] == items[0].item_key
    assert failures["changed"]["attempt"] == 2


def test_an_empty_caption_is_a_failure_with_a_remedy(
    context: StepContext, tiny_clips: Path
) -> None:
    worker = CaptionWorker(context)
    captioner = worker._captioner
    assert isinstance(captioner, Blip2Captioner)
    newline = captioner.processor.tokenizer("\n", add_special_tokens=False).input_ids[0]
    # A real BLIP-2 that ends every caption at once: the newline's score is 32, all others are 0.
    captioner.model.language_model.model.decoder.final_layer_norm.bias.data[:] = 1
    scores = captioner.model.get_output_embeddings().weight.data
    scores[:] = 0
    scores[newline] = 1
    (outcome,) = worker([_item(context, tiny_clips / "fish.mp4", "fish")])
    (failure,) = read_table(context.store(), "failures")
    assert outcome.error is not None
    assert "the caption '' for the clip's middle frame, which is empty" in failure["message"]
    assert "give the video a prompt in the manifest" in failure["message"]
    assert not failure["retryable"]
    assert read_table(context.store(), "captions") == []


def test_a_caption_that_says_nothing_fails_with_its_text(
    context: StepContext, tiny_clips: Path
) -> None:
    worker = CaptionWorker(context)
    captioner = worker._captioner
    assert isinstance(captioner, Blip2Captioner)
    word = captioner.processor.tokenizer(" fish", add_special_tokens=False).input_ids[0]
    # A real BLIP-2 that finds one word the likeliest, whatever came before.
    captioner.model.language_model.model.decoder.final_layer_norm.bias.data[:] = 1
    scores = captioner.model.get_output_embeddings().weight.data
    scores[:] = 0
    scores[word] = 1
    outcomes = worker(
        [_item(context, tiny_clips / f"{name}.mp4", name) for name in ("fish", "car")]
    )
    assert all(outcome.error is not None for outcome in outcomes)
    failures = read_table(context.store(), "failures")
    assert {row["video_id"] for row in failures} == {"fish", "car"}
    text = " ".join(["fish"] * 12)
    for row in failures:
        assert (
            f"the caption {text!r} for the clip's middle frame, which only repeats itself: give "
            "the video a prompt in the manifest, or set another caption.prompt or caption.model"
        ) in row["message"]
        assert not row["retryable"]
    assert read_table(context.store(), "captions") == []


def test_the_manifests_prompts_are_rows_and_the_last_one_counts(
    context: StepContext, tiny_clips: Path
) -> None:
    store = context.store()
    commit_manifest_captions(store, [], context)
    assert list(store.list()) == []
    fish, car = (_video_row(tiny_clips / f"{name}.mp4", name) for name in ("fish", "car"))
    commit_manifest_captions(store, [(fish, "a fish"), (car, "a car")], context)
    commit_manifest_captions(store, [(fish, "a red fish")], context)
    rows = {row["video_id"]: row for row in read_table(store, "captions")}
    assert rows["fish"]["caption"] == "a red fish"
    assert rows["car"]["caption"] == "a car"
    for row in rows.values():
        assert (row["source"], row["captioner"]) == ("manifest", "manifest")


def test_a_captioner_is_named_by_content_and_settings() -> None:
    config = CaptionConfig(model="somewhere")
    name = captioner_name(config, "sha256:1")
    assert name.startswith("blip2:")
    assert len(name) == 18
    for same in (
        replace(config, model="elsewhere"),
        replace(config, revision="main"),
        replace(config, device="cuda"),
        replace(config, batch_size=1),
    ):
        assert captioner_name(same, "sha256:1") == name
    others = [
        captioner_name(config, "sha256:2"),
        captioner_name(replace(config, prompt="a photo of"), "sha256:1"),
        captioner_name(replace(config, num_beams=1), "sha256:1"),
        captioner_name(replace(config, max_new_tokens=9), "sha256:1"),
        captioner_name(replace(config, dtype="bf16"), "sha256:1"),
        captioner_name(replace(config, length_penalty=0.0), "sha256:1"),
    ]
    lavis = replace(config, backend="lavis")
    others.append(captioner_name(lavis, "sha256:1"))
    assert captioner_name(replace(lavis, lavis_python="/x"), "sha256:1") == others[-1]
    assert len({name, *others}) == 8
