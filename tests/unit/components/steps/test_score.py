"""The score step on real mp4 files, a tiny real CLIP model and a local store."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from components.config import JudgeConfig, RunConfig, ScoreConfig
from components.errors import UserError
from components.steps.score import (
    ScoreItem,
    ScoreWorker,
    check_judge,
    check_protocols,
    judge_model,
    score_key,
)
from components.steps.step import StepContext
from components.storage.local import LocalStore
from components.storage.store import file_sha256
from components.storage.tables import read_table
from components.video.io import encode_mp4, read_mp4_frames
from eval.clip_encoder import ClipEncoder
from eval.protocols import registry
from eval.protocols.evidence import Clip, Evidence, Judges
from eval.protocols.protocol import score
from tav_model.config import ModelConfig
from tests.random_models import build_lpips, build_raft
from tinyworld.encode import write_clip
from tinyworld.scenes import FRAMES, single

REVISION = "sha256:" + "0" * 64


@pytest.fixture
def context(tmp_path: Path, tiny_models: Path) -> StepContext:
    config = RunConfig(
        run=str(tmp_path / "run"),
        manifest="unused",
        model=ModelConfig(base=str(tiny_models / "base")),
        score=ScoreConfig(model=str(tiny_models / "clip")),
    )
    return StepContext(config=config, config_hash="c0ffee", score_revision=REVISION)


def write_edit(store: LocalStore, folder: Path, name: str, frames: int = 4) -> tuple[str, str]:
    pixels = np.random.default_rng(len(name)).integers(0, 256, (frames, 32, 48, 3), dtype=np.uint8)
    path = folder / f"{name}.mp4"
    encode_mp4(path, pixels, fps=8, crf=12)
    store.write_file(f"edits/{name}.mp4", path)
    return f"edits/{name}.mp4", file_sha256(path)


def item(uri: str, sha256: str, **changes: Any) -> ScoreItem:
    edit_key = changes.pop("edit_key", "e1")
    protocol = changes.pop("protocol", "tav_paper_v1")
    columns = {
        "item_key": score_key(edit_key, protocol, REVISION),
        "video_id": "fish",
        "edit_id": "fish/red",
        "edit_key": edit_key,
        "method": "tune_a_video",
        "prompt": "a red fish",
        "category": "style",
        "video_uri": uri,
        "sha256": sha256,
        "protocol": protocol,
    }
    return ScoreItem(**{**columns, **changes})


def test_a_scored_edit_is_one_row_with_its_provenance(context: StepContext, tmp_path: Path) -> None:
    store = LocalStore(context.config.run)
    uri, sha256 = write_edit(store, tmp_path, "a")
    scored = item(uri, sha256)
    (outcome,) = ScoreWorker(context)([scored])
    assert (outcome.video_id, outcome.edit_id, outcome.error) == ("fish", "fish/red", None)
    (row,) = read_table(store, "scores")
    judges = Judges(ClipEncoder(context.config.score.model))
    edit = Clip(lambda: read_mp4_frames(tmp_path / "a.mp4"), judges)
    evidence = Evidence(judges=judges, edit=edit, prompt="a red fish")
    expected = score(registry.get_protocol("tav_paper_v1"), evidence)
    assert row["values"] == pytest.approx(dict(expected.values), abs=1e-5)
    assert row["values"].keys() == {"frame_consistency", "textual_alignment"}
    assert row["reasons"] == {}
    assert row["score_key"] == scored.item_key
    assert row["method"] == "tune_a_video"
    assert row["score_model"] == context.config.score.model
    assert row["score_revision"] == REVISION
    assert (row["config_hash"], row["device"], row["category"]) == ("c0ffee", "cpu", "style")
    assert row["seconds"] > 0


def test_one_bad_edit_leaves_the_others(context: StepContext, tmp_path: Path) -> None:
    store = LocalStore(context.config.run)
    uri, sha256 = write_edit(store, tmp_path, "a")
    still, still_sha256 = write_edit(store, tmp_path, "still", frames=1)
    store.write_bytes("edits/text.mp4", b"no video at all")
    text_sha256 = file_sha256(Path(store.root, "edits/text.mp4"))
    bad = [
        item("edits/gone.mp4", sha256, edit_id="fish/gone"),
        item(uri, "0" * 64, edit_id="fish/changed"),
        item(still, still_sha256, edit_id="fish/nothing", prompt=""),
        item("edits/text.mp4", text_sha256, edit_id="fish/text"),
    ]
    outcomes = ScoreWorker(context)([*bad, item(uri, sha256, edit_id="fish/good")])
    assert [outcome.error is None for outcome in outcomes] == [False] * 4 + [True]
    assert [row["edit_id"] for row in read_table(store, "scores")] == ["fish/good"]
    failures = {row["edit_id"]: row for row in read_table(store, "failures")}
    assert "is gone, but a row names it" in failures["fish/gone"]["message"]
    assert "its row says" in failures["fish/changed"]["message"]
    assert "at least 2" in failures["fish/nothing"]["message"]
    assert failures["fish/nothing"]["error_type"] == "ScoreError"
    assert "text.mp4 is text, and no video" in failures["fish/text"]["message"]
    assert {name for name, row in failures.items() if row["retryable"]} == {
        "fish/gone",
        "fish/changed",
    }
    assert all(row["step"] == "score" and row["item_key"] for row in failures.values())


def test_a_measure_that_cannot_be_computed_leaves_the_others(
    context: StepContext, tmp_path: Path
) -> None:
    store = LocalStore(context.config.run)
    uri, sha256 = write_edit(store, tmp_path, "a")
    still, still_sha256 = write_edit(store, tmp_path, "still", frames=1)
    asked = [
        item(uri, sha256, edit_id="fish/long", prompt="fish " * 90),
        item(uri, sha256, edit_id="fish/empty", prompt=""),
        item(still, still_sha256, edit_id="fish/still"),
    ]
    outcomes = ScoreWorker(context)(asked)
    assert [outcome.error for outcome in outcomes] == [None] * 3
    rows = {row["edit_id"]: row for row in read_table(store, "scores")}
    for name, lacking, reason in (
        ("fish/long", "textual_alignment", "reads 77: shorten the prompt"),
        ("fish/empty", "textual_alignment", "prompt is empty"),
        ("fish/still", "frame_consistency", "at least 2"),
    ):
        assert reason in rows[name]["reasons"].pop(lacking)
        assert rows[name]["reasons"] == {}
        assert len(rows[name]["values"]) == 1
        assert lacking not in rows[name]["values"]


def test_protocols_of_one_edit_embed_its_frames_once(
    context: StepContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = registry.get_protocol("tav_paper_v1")
    names = ("tav_paper_v1", "same_view_v1")
    both = {name: dataclasses.replace(paper, name=name) for name in names}
    monkeypatch.setattr(registry, "PROTOCOLS", both)
    seen: list[tuple[int, ...]] = []
    encode_frames = ClipEncoder.encode_frames

    def counting(encoder: ClipEncoder, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        seen.append(frames.shape)
        return encode_frames(encoder, frames)

    monkeypatch.setattr(ClipEncoder, "encode_frames", counting)
    store = LocalStore(context.config.run)
    uri, sha256 = write_edit(store, tmp_path, "a")
    other, other_sha256 = write_edit(store, tmp_path, "bb", frames=3)
    first = [item(uri, sha256, protocol=name) for name in names]
    second = item(other, other_sha256, edit_key="e2", edit_id="fish/blue")
    ScoreWorker(context)([*first, second])
    assert seen == [(4, 32, 48, 3), (3, 32, 48, 3)]
    rows = {(row["edit_id"], row["protocol"]): row for row in read_table(store, "scores")}
    paper_row, same = rows["fish/red", "tav_paper_v1"], rows["fish/red", "same_view_v1"]
    assert paper_row["values"] == same["values"]
    assert rows["fish/blue", "tav_paper_v1"]["values"] != same["values"]


def test_a_model_that_is_not_there_stops_the_step(tmp_path: Path, tiny_models: Path) -> None:
    config = RunConfig(
        run=str(tmp_path / "run"),
        manifest="unused",
        model=ModelConfig(base=str(tiny_models / "base")),
        score=ScoreConfig(model=str(tmp_path / "absent")),
    )
    context = StepContext(config=config, config_hash="c0ffee", score_revision=REVISION)
    with pytest.raises(UserError, match=r"the score step cannot start: .*no such folder"):
        ScoreWorker(context)


def test_the_key_tells_edits_protocols_and_models_apart() -> None:
    keys = {
        score_key("e1", "a_v1", "r1"),
        score_key("e2", "a_v1", "r1"),
        score_key("e1", "b_v1", "r1"),
        score_key("e1", "a_v1", "r2"),
    }
    assert len(keys) == 4
    assert score_key("e1", "a_v1", "r1") in keys


def test_a_mask_is_in_the_keys_of_protocols_that_read_masks_alone() -> None:
    for name, one in registry.PROTOCOLS.items():
        bare, masked = (score_key("e1", name, "r1", mask) for mask in (None, "5" * 64))
        assert (bare != masked) == one.reads_mask, name
        assert bare == score_key("e1", name, "r1")
    assert score_key("e1", "of_another_release_v1", "r1", "5" * 64) == score_key(
        "e1", "of_another_release_v1", "r1"
    )


def test_unknown_protocols_are_refused_before_any_work() -> None:
    check_protocols(["tav_paper_v1"])
    with pytest.raises(UserError, match=r"score\.protocols: unknown protocol 'tav_paper'.*did you"):
        check_protocols(["tav_paper_v1", "tav_paper"])


def values_but(row: dict[str, Any], name: str) -> set[str]:
    return set(row["values"]) - {name}


def test_ground_truth_compares_an_edit_with_its_source_clip(
    context: StepContext, tmp_path: Path
) -> None:
    store = LocalStore(context.config.run)
    source, edited = (
        single(color=color, shape="fish", background="sea", motion="rising", seed=2)
        for color in ("red", "blue")
    )
    reader_revision = "sha256:" + "1" * 64
    for name, scene in (("source", source), ("edited", edited)):
        write_clip(scene, tmp_path / f"{name}.mp4")
    store.write_file("edits/x.mp4", tmp_path / "edited.mp4")
    clip = {
        "uri": str(tmp_path / "source.mp4"),
        "sha256": file_sha256(tmp_path / "source.mp4"),
        "frame_indices": list(range(FRAMES)),
        "fps": 8.0,
        **dict.fromkeys(("width", "height"), 64),
        "fit": "crop",
        "source_prompt": source.caption(),
    }
    truth = item(
        "edits/x.mp4",
        file_sha256(tmp_path / "edited.mp4"),
        protocol="tinyworld_v2",
        prompt=edited.caption(),
        source=clip,
    )
    both = dataclasses.replace(context.config.score, protocols=("tav_paper_v1", "tinyworld_v2"))
    worker = ScoreWorker(
        dataclasses.replace(
            context,
            config=dataclasses.replace(context.config, score=both),
            reader_revision=reader_revision,
        )
    )
    alien = dataclasses.replace(truth, item_key="alien", prompt="a panda eats bamboo")
    same = dataclasses.replace(truth, item_key="same", prompt=source.caption())
    outcomes = worker([truth, alien, same])
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    row, unchanged = read_table(store, "scores")
    one = "the edit does not change one of two things"
    assert unchanged["reasons"] == {
        "edited_right": "the prompts differ in no word of the tiny world",
        "wrong_object_changed": one,
    }
    assert unchanged["values"].keys() == values_but(row, "edited_right")
    assert (row["score_model"], row["score_revision"]) == ("tinyworld/reader", reader_revision)
    values = row["values"]
    assert (values["edited_right"], values["unedited_kept"], values["flicker"]) == (100, 100, 0)
    assert values["motion_correlation"] == pytest.approx(1, abs=0.01)
    assert values["jitter"] < 1
    assert values["identity_kept"] > 90
    assert values["identity_drift"] < 10
    assert row["reasons"] == {"wrong_object_changed": one}
    (failure,) = read_table(store, "failures")
    assert "names nothing of the tiny world" in failure["message"]


def test_judges_of_benchmarks_are_those_that_the_configuration_names(
    context: StepContext, tmp_path: Path, tiny_judges: Path
) -> None:
    store = LocalStore(context.config.run)
    uri, sha256 = write_edit(store, tmp_path, "a")
    models = {
        "openai_clip": JudgeConfig(model=str(tiny_judges / "clip")),
        "pickscore": JudgeConfig(model=str(tiny_judges / "clip")),
        "dinov2": JudgeConfig(model=str(tiny_judges / "dinov2")),
    }
    settings = ScoreConfig(protocols=("v2vbench_v1", "loveu_tgve_v1"), judges=models)
    revisions = {name: f"sha256:{name}" for name in models}
    asked = dataclasses.replace(
        context,
        config=dataclasses.replace(context.config, score=settings),
        named_judges=revisions,
        score_revision="",
    )
    names = ("v2vbench_v1", "loveu_tgve_v1")
    outcomes = ScoreWorker(asked)([item(uri, sha256, protocol=name) for name in names])
    assert [outcome.error for outcome in outcomes] == [None, None]
    rows = {row["protocol"]: row for row in read_table(store, "scores")}
    assert len(rows["v2vbench_v1"]["values"]) == 4
    assert rows["loveu_tgve_v1"]["score_revision"] == "sha256:openai_clip+sha256:pickscore"
    clip, dino = (str(tiny_judges / name) for name in ("clip", "dinov2"))
    assert rows["v2vbench_v1"]["score_model"] == f"{clip}+{dino}+{clip}"


def test_a_judge_that_is_not_there_stops_the_step(context: StepContext, tmp_path: Path) -> None:
    models = {"pickscore": JudgeConfig(model=str(tmp_path))}
    settings = ScoreConfig(protocols=("loveu_tgve_v1",), judges=models)
    asked = dataclasses.replace(
        context,
        config=dataclasses.replace(context.config, score=settings),
        named_judges={"pickscore": REVISION, "openai_clip": REVISION},
    )
    with pytest.raises(UserError, match=r"the score step cannot start: .*"):
        ScoreWorker(asked)


def test_a_judge_that_the_configuration_has_to_name_is_asked_for() -> None:
    settings = ScoreConfig(protocols=("warp_error_v1", "warp_ssim_v1", "background_lpips_v1"))
    words = (
        r"no model for 'raft', which warp_error_v1, warp_ssim_v1 judges with .*judges\.raft\.model"
    )
    with pytest.raises(UserError, match=words):
        judge_model(settings, "raft")
    named = dataclasses.replace(settings, judges={"raft": JudgeConfig(model="models/raft")})
    assert judge_model(named, "raft").model == "models/raft"
    assert judge_model(settings, "dino_vitb8").model == "facebook/dino-vitb8"


def test_a_judges_folder_of_pickles_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "raft.pth").write_bytes(b"pickled")
    with pytest.raises(UserError, match="has no safetensors: pickled weights"):
        check_judge(str(tmp_path))
    check_judge("org/name")


def test_networks_on_pixels_judge_in_the_step(context: StepContext, tmp_path: Path) -> None:
    models = {
        "raft": JudgeConfig(model=str(build_raft(tmp_path / "raft"))),
        "lpips": JudgeConfig(model=str(build_lpips(tmp_path / "lpips"))),
    }
    names = ("warp_error_v1", "background_lpips_v1")
    asked = dataclasses.replace(
        context,
        config=dataclasses.replace(
            context.config, score=ScoreConfig(protocols=names, judges=models)
        ),
        named_judges={name: f"sha256:{name}" for name in models},
        score_revision="",
    )
    store = LocalStore(context.config.run)
    uri, sha256 = write_edit(store, tmp_path, "a")
    clip = {
        "uri": str(tmp_path / "a.mp4"),
        "sha256": sha256,
        "frame_indices": list(range(4)),
        "fps": 8.0,
        "width": 48,
        "height": 32,
        "fit": "crop",
        "source_prompt": "a fish",
        "mask_uri": None,
        "mask_sha256": None,
    }
    items = [item(uri, sha256, protocol=name, source=clip) for name in names]
    outcomes = ScoreWorker(asked)(items)
    assert [outcome.error for outcome in outcomes] == [None, None]
    rows = {row["protocol"]: row for row in read_table(store, "scores")}
    assert rows["warp_error_v1"]["score_revision"] == "sha256:raft"
    assert rows["warp_error_v1"]["score_model"] == models["raft"].model
    assert rows["warp_error_v1"]["values"].keys() | rows["warp_error_v1"]["reasons"].keys() == {
        "warp_error"
    }
    assert "no mask" in rows["background_lpips_v1"]["reasons"]["lpips"]
