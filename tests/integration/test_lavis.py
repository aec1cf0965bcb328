"""LAVIS itself, in its own environment: equal captions for equal weights, and a death's cost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from components.captioning.blip2 import Blip2Captioner
from components.captioning.lavis.captioner import LavisCaptioner, _settings
from components.captioning.lavis.environment import PROJECT
from components.config import CaptionConfig
from components.errors import TransientError, UserError
from components.run.runner import Runner
from components.steps.caption import CaptionWorker
from components.storage.tables import read_table
from tests.integration.lavis_install import installed
from tests.runs import counts, run_config, tiny_document, write_manifest
from tinyworld.shipped import shipped_model

pytestmark = pytest.mark.soak

Images = list[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def lavis_python() -> str:
    return installed()


@pytest.fixture(scope="module")
def talkative(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random BLIP-2, but with punctuation in its captions, which end at any time; two files."""
    from safetensors.numpy import load_file, save_file
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("talkative")
    for file in (tiny_models / "blip2").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tokens = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(list("Ġ.,'!?stmĊ"))
    weights = load_file(folder / "model.safetensors")
    rows = weights["language_model.model.decoder.embed_tokens.weight"]
    rows[tokens] = np.random.default_rng(0).normal(0, 0.4, (len(tokens), rows.shape[1]))
    (folder / "model.safetensors").unlink()
    places = {name: f"model-{1 + name.startswith('v')}.safetensors" for name in weights}
    for file_name in set(places.values()):
        part = {name: value for name, value in weights.items() if places[name] == file_name}
        save_file(part, folder / file_name, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def images() -> Images:
    from PIL import Image

    rng = np.random.default_rng(1)
    coarse = [Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)) for _ in range(48)]
    sizes = [(480, 270), (64, 64), (33, 77)] * 16
    return [
        np.asarray(image.resize(size, Image.Resampling.BICUBIC))
        for image, size in zip(coarse, sizes, strict=True)
    ]


def _captions(config: CaptionConfig, images: Images, python: str) -> tuple[list[str], list[str]]:
    """By transformers and by LAVIS."""
    lavis = LavisCaptioner(replace(config, backend="lavis", lavis_python=python))
    try:
        return Blip2Captioner(config)(images), lavis(images)
    finally:
        lavis.close()


@pytest.mark.parametrize("which", ["random", "trained"])
@pytest.mark.parametrize(
    "settings",
    [
        {"num_beams": 1},
        {"length_penalty": 0.0, "prompt": "a photo of"},
        {"length_penalty": 0.0, "prompt": "a photo of ", "num_beams": 3, "max_new_tokens": 5},
    ],
)
def test_both_backends_give_the_same_captions(
    talkative: Path, images: Images, lavis_python: str, which: str, settings: dict[str, Any]
) -> None:
    model = talkative if which == "random" else shipped_model("blip2")
    config = CaptionConfig(model=str(model), **settings)
    expected, found = _captions(config, images, lavis_python)
    assert found == expected
    assert len(set(found)) >= 8, "this test needs captions that differ"
    if which == "random" and config.max_new_tokens > 5:
        assert any(mark in caption for caption in found for mark in ".,!?'")
        assert len({len(caption.split()) for caption in found}) > 3, "some end early"


TOKENIZE = """
import json, pathlib, sys, tempfile
sys.path.append(sys.argv[1])
from components.captioning.lavis.model import _tokenizer
document, texts = json.load(sys.stdin)
tokenizer = _tokenizer(document, pathlib.Path(tempfile.mkdtemp(dir=sys.argv[2])))
ids = [tokenizer(text).input_ids for text in texts]
print(json.dumps([ids, tokenizer.batch_decode(ids, skip_special_tokens=True)]))
"""


def test_both_backends_tokenize_alike(talkative: Path, lavis_python: str, tmp_path: Path) -> None:
    texts = ["", " ", "a photo of ", "a dog 's ball , red .", "it is n't ! ?", "Käse, 犬  \n\t<s>"]
    config = CaptionConfig(backend="lavis", model=str(talkative))
    request = json.dumps([_settings(config, None)["tokenizer"], texts])
    command = [lavis_python, "-I", "-W", "ignore", "-c", TOKENIZE, str(PROJECT), str(tmp_path)]
    done = subprocess.run(command, input=request, capture_output=True, text=True, check=True)
    ids, decoded = json.loads(done.stdout)
    captioner = Blip2Captioner(CaptionConfig(model=str(talkative)))
    assert ids == captioner.processor.tokenizer(texts).input_ids
    assert decoded == captioner.decode(ids)
    assert decoded[3] == "a dog's ball, red."


def test_beams_divided_by_their_length_mostly_agree(images: Images, lavis_python: str) -> None:
    """LAVIS counts the prompt's tokens too; docs/captioning.md says what that comes to."""
    config = CaptionConfig(model=str(shipped_model("blip2")), prompt="a photo of")
    expected, found = _captions(config, images, lavis_python)
    same = sum(a == b for a, b in zip(expected, found, strict=True))
    print(f"{same} of {len(images)} captions agree")
    assert same >= 0.7 * len(images)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_short_numbers_compute_too(images: Images, lavis_python: str, dtype: Any) -> None:
    config = CaptionConfig(model=str(shipped_model("blip2")), num_beams=1, dtype=dtype)
    expected, found = _captions(config, images, lavis_python)
    same = sum(a == b for a, b in zip(expected, found, strict=True))
    print(f"{dtype}: {same} of {len(images)} captions agree")
    assert all(found)
    assert same >= 0.7 * len(images)


def test_a_model_without_one_of_its_weights_is_refused(
    talkative: Path, tmp_path: Path, lavis_python: str
) -> None:
    from safetensors.numpy import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(talkative, broken)
    weights = load_file(broken / "model-1.safetensors")
    del weights["language_projection.bias"]
    save_file(weights, broken / "model-1.safetensors", metadata={"format": "pt"})
    config = CaptionConfig(backend="lavis", model=str(broken), lavis_python=lavis_python)
    with pytest.raises(UserError, match=r"weights are missing \(\['opt_proj.bias'\]\)"):
        LavisCaptioner(config)


@pytest.fixture
def captioner(talkative: Path, lavis_python: str) -> Iterator[LavisCaptioner]:
    found = LavisCaptioner(
        CaptionConfig(backend="lavis", model=str(talkative), num_beams=1, lavis_python=lavis_python)
    )
    yield found
    found.close()


def _kill_at_work(captioner: LavisCaptioner) -> threading.Thread:
    """Stop the process, so that the next request finds it alive, and kill it soon after that."""
    process = captioner._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)

    def kill() -> None:
        time.sleep(1)
        os.kill(process.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_a_death_fails_its_batch_for_a_passing_reason_and_another_process_follows(
    captioner: LavisCaptioner, images: Images
) -> None:
    before = captioner(images[:4])
    _kill_at_work(captioner)
    message = r"died \(SIGKILL\) with 3 images in a batch: .*lower caption.batch_size \(8\)"
    with pytest.raises(TransientError, match=message):
        captioner(images[:3])
    assert captioner(images[:4]) == before
    process = captioner._process
    assert process is not None
    process.kill()  # between two batches
    process.wait()
    assert captioner(images[:4]) == before
    assert captioner([]) == []


def test_the_process_ends_with_its_owner(talkative: Path, lavis_python: str) -> None:
    config = CaptionConfig(backend="lavis", model=str(talkative), lavis_python=lavis_python)
    captioner = LavisCaptioner(config)
    process = captioner._process
    assert process is not None
    del captioner
    assert process.poll() is not None


OWNER = """
import sys, time
from components.config import CaptionConfig
from components.captioning.lavis.captioner import LavisCaptioner
captioner = LavisCaptioner(
    CaptionConfig(backend="lavis", model=sys.argv[1], lavis_python=sys.argv[2])
)
print(captioner._process.pid, flush=True)
time.sleep(600)
"""


def test_the_process_ends_when_its_owner_is_killed(talkative: Path, lavis_python: str) -> None:
    import psutil

    command = [sys.executable, "-c", OWNER, str(talkative), lavis_python]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        process = psutil.Process(int(owner.stdout.readline()))
        assert process.is_running()
        owner.kill()
    psutil.wait_procs([process], timeout=30)
    assert not process.is_running()


def _lavis_document(folder: Path, models: Path, python: str) -> dict[str, Any]:
    document = tiny_document(folder, models)
    document["caption"] |= {"backend": "lavis", "lavis_python": python}
    return document


def test_a_dead_process_costs_one_video_at_most(
    tmp_path: Path, tiny_models: Path, tiny_clips: Path, lavis_python: str
) -> None:
    document = _lavis_document(tmp_path, tiny_models, lavis_python)
    names = ("fish", "car", "pair")
    videos: list[dict[str, Any]] = [
        {"id": name, "uri": str(tiny_clips / f"{name}.mp4"), "edits": []} for name in names
    ]
    write_manifest(document, videos)
    runner = Runner(run_config(document))
    from components.run.origins import source_versions
    from components.run.plan import Plan
    from components.steps.ingest import IngestWorker

    plan = Plan(runner.state().first)
    versions, _ = source_versions(runner.state(), "ingest", retry_failed=False)
    IngestWorker(runner._context)(plan.ingest_items(versions))
    items = Plan(runner.state().first).caption_items()
    worker = CaptionWorker(runner._context)
    assert isinstance(worker._captioner, LavisCaptioner)
    _kill_at_work(worker._captioner)
    (outcome,) = worker(items[:1])
    assert outcome.error is not None
    (failure,) = read_table(runner.store, "failures")
    assert (failure["retryable"], failure["error_type"]) == (True, "TransientError")
    # In a batch of three none is known to be to blame: each has another try, alone.
    worker._captioner([np.zeros((8, 8, 3), np.uint8)])  # starts another process
    _kill_at_work(worker._captioner)
    assert [outcome.error for outcome in worker(items)] == [None] * 3
    rows = {row["video_id"]: row["caption"] for row in read_table(runner.store, "captions")}
    assert set(rows) == set(names)


def test_a_run_captions_by_lavis_and_by_transformers_each_for_itself(
    tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path, lavis_python: str
) -> None:
    videos = [{"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "edits": []}]
    write_manifest(tiny_run, videos)
    steps = ("ingest", "caption")
    by_transformers = Runner(run_config(tiny_run))
    assert counts(by_transformers.run(steps)) == {"ingest": 1, "caption": 1}
    python, calls = tmp_path / "python", tmp_path / "calls"
    python.write_text(f'#!/bin/sh\necho "$@" >>{calls}\nexec {lavis_python} "$@"\n')
    python.chmod(0o755)
    tiny_run["caption"] |= {"backend": "lavis", "lavis_python": str(python)}
    by_lavis = Runner(run_config(tiny_run))
    assert "components.captioning.lavis.worker" not in calls.read_text()
    assert counts(by_lavis.run(steps)) == {"caption": 1}
    assert calls.read_text().count("components.captioning.lavis.worker") == 1
    assert counts(Runner(run_config(tiny_run)).run(steps)) == {}
    rows = read_table(by_lavis.store, "captions")
    assert len(rows) == len({row["captioner"] for row in rows}) == 2
    assert len({row["caption"] for row in rows}) == 1
