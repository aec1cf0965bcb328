"""The decoding process: it gives what decoding here gives, and dies alone."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from components.config import RunConfig, VideoConfig, VideoLimits
from components.errors import SourceError, TransientError
from components.steps.ingest import IngestItem, IngestWorker
from components.steps.step import StepContext
from components.storage.tables import read_table
from components.video.io import decode_clip, decode_frames
from components.video.isolated import Decoder
from tav_model.config import ModelConfig
from tests import hostile_decoder
from tests.hostile_files import endless_gif, index_bomb
from tests.sample_videos import write_folder, write_video

VIDEO = VideoConfig(num_frames=4, width=32, height=24)
TIGHT = dataclasses.replace(VIDEO, limits=VideoLimits(decode_seconds=4, decode_gib=0.5))


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    made = Decoder()
    yield made
    made.close()


@pytest.fixture
def hostile() -> Iterator[Decoder]:
    made = Decoder(hostile_decoder.COMMAND)
    yield made
    made.close()


def process_of(decoder: Decoder) -> int:
    assert decoder._process is not None
    return decoder._process.pid


@pytest.mark.parametrize("kind", ["mp4", "webm", "gif", "folder"])
def test_the_same_clip_comes_back(decoder: Decoder, tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        path = write_folder(tmp_path / os.fsdecode(b"fr\xff"), [f"{i}.png" for i in range(12)])
    else:
        path = write_video(tmp_path / f"ä b\n.{kind}", 12)
    found, expected = decoder.clip(path, VIDEO), decode_clip(path, VIDEO)
    assert np.array_equal(found.frames, expected.frames)
    assert dataclasses.asdict(found) | {"frames": 0} == dataclasses.asdict(expected) | {"frames": 0}
    some = decoder.frames(path, [1, 2, 7], VIDEO)
    assert np.array_equal(some, decode_frames(path, [1, 2, 7], VIDEO))


def test_one_process_serves_many_videos(decoder: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 12)
    decoder.clip(path, VIDEO)
    first = process_of(decoder)
    with pytest.raises(SourceError, match=r"gone\.mp4 does not exist: check the manifest's uri"):
        decoder.clip(tmp_path / "gone.mp4", VIDEO)
    with pytest.raises(SourceError, match="the clip has 5000000000 pixels, but the limit is"):
        decoder.clip(path, VideoConfig(num_frames=5000, width=1000, height=1000))
    decoder.clip(path, VIDEO)
    assert process_of(decoder) == first


def test_the_process_sees_no_credentials(
    decoder: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    decoder.close()
    decoder.clip(write_video(tmp_path / "a.mp4", 12), VIDEO)
    environment = Path(f"/proc/{process_of(decoder)}/environ").read_bytes()
    assert b"PYTHONPATH" in environment
    assert b"AWS" not in environment
    assert b"hidden" not in environment


def test_the_process_ends_with_its_worker(tmp_path: Path) -> None:
    decoder = Decoder()
    decoder.clip(write_video(tmp_path / "a.mp4", 12), VIDEO)
    process = psutil.Process(process_of(decoder))
    assert decoder._process is not None
    assert decoder._process.stdin is not None
    decoder._process.stdin.close()  # as the kernel does when the worker is killed
    process.wait(10)
    decoder.close()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("sigsegv", SourceError, r"sigsegv\.mp4 crashed its decoder \(SIGSEGV; 0 .*re-encode"),
        ("sigabrt", SourceError, r"sigabrt\.mp4 crashed its decoder \(SIGABRT; 0 .*leave it out"),
        ("exits", SourceError, r"exits\.mp4 crashed its decoder \(exit code 0; 0 "),
        (
            "sigkill",
            TransientError,
            r"of sigkill\.mp4 was killed \(SIGKILL\).*limit of 0\.5 GiB .*: lower",
        ),
        ("sleeps", TransientError, r"sleeps\.mp4 .* after 4 s, which is the limit .*: cut or re-"),
        ("loops", TransientError, r"loops\.mp4 was still being decoded after 4 s.*raise the limit"),
        ("eats", SourceError, r"eats\.mp4 needs more than 0\.5 GiB .*decode_gib\), or is damaged"),
    ],
)
def test_a_dead_decoder_is_one_error_and_the_next_video_is_read(
    hostile: Decoder, tmp_path: Path, name: str, error: type[Exception], message: str
) -> None:
    bad = write_video(tmp_path / f"{name}.mp4", 12)
    good = write_video(tmp_path / "good.mp4", 12)
    hostile.clip(good, TIGHT)
    first = process_of(hostile)
    started = time.monotonic()
    with pytest.raises(error) as caught:
        hostile.clip(bad, TIGHT)
    assert type(caught.value) is error
    assert re.search(message, str(caught.value)), str(caught.value)
    assert time.monotonic() - started < 20
    assert np.array_equal(hostile.clip(good, TIGHT).frames, decode_clip(good, VIDEO).frames)
    assert process_of(hostile) != first
    assert not psutil.pid_exists(first)


def test_what_a_library_prints_is_no_answer(hostile: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "prints.mp4", 12)
    assert np.array_equal(hostile.clip(path, VIDEO).frames, decode_clip(path, VIDEO).frames)


def test_a_defect_of_the_program_is_no_failure_of_the_video(
    hostile: Decoder, tmp_path: Path
) -> None:
    path = write_video(tmp_path / "defect.mp4", 12)
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*KeyError: 'a defect of the program'"):
        hostile.clip(path, VIDEO)


def test_a_process_that_does_not_start_is_no_failure_of_the_video(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="does not start"):
        Decoder(["false"]).clip(tmp_path / "a.mp4", VIDEO)


def test_an_interruption_leaves_no_answer_for_the_next_video(
    decoder: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_video(tmp_path / f"{count}.mp4", count) for count in (12, 30)]

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("components.video.isolated._clip", interrupted)
        with pytest.raises(KeyboardInterrupt):
            decoder.clip(paths[0], VIDEO)
    assert np.array_equal(decoder.clip(paths[1], VIDEO).frames, decode_clip(paths[1], VIDEO).frames)


def test_real_files_that_ask_for_much_are_stopped(decoder: Decoder, tmp_path: Path) -> None:
    gif = endless_gif(tmp_path / "endless.gif", 4000)
    assert gif.stat().st_size < 100_000
    slow = dataclasses.replace(VIDEO, limits=VideoLimits(decode_seconds=4))
    with pytest.raises(TransientError, match=r"endless\.gif was still being decoded after 4 s"):
        decoder.clip(gif, slow)
    narrow = dataclasses.replace(VIDEO, limits=VideoLimits(decode_gib=0.25))
    with pytest.raises(SourceError, match=r"endless\.gif needs more than 0\.25 GiB to be decoded"):
        decoder.clip(gif, narrow)


def test_a_real_index_bomb_takes_no_more_memory_than_it_may(
    decoder: Decoder, tmp_path: Path
) -> None:
    """FFmpeg unpacks the index before anyone can ask how many frames there are."""
    bomb = index_bomb(tmp_path / "bomb.mp4", 60_000_000)
    assert bomb.stat().st_size < 1000
    with pytest.raises(
        SourceError, match=r"bomb\.mp4 has 60000000 frames, but the limit is 100000"
    ):
        decoder.clip(bomb, TIGHT)
    status = Path(f"/proc/{process_of(decoder)}/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])  # type: ignore[index]
    assert peak < 0.75 * 2**20, "it would be 3 GB without the limit"


def test_the_shards_other_videos_go_on(
    hostile: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.steps.ingest.decoder", lambda: hostile)
    config = RunConfig(
        run=str(tmp_path / "run"), manifest="-", model=ModelConfig(base="-"), video=TIGHT
    )
    context = StepContext(config=config, config_hash="c0ffee")
    names = ["good1", "sigsegv", "good2", "loops", "eats", "good3"]
    items = [
        IngestItem(
            item_key=name,
            video_id=name,
            uri=str(write_video(tmp_path / f"{name}.mp4", 12)),
            source_version="-",
            video=dataclasses.asdict(TIGHT),
            attempt=1,
        )
        for name in names
    ]
    outcomes = IngestWorker(context)(items)
    assert [outcome.error is None for outcome in outcomes] == [
        True,
        False,
        True,
        False,
        False,
        True,
    ]
    assert [row["video_id"] for row in read_table(context.store(), "videos")] == [
        "good1",
        "good2",
        "good3",
    ]
    failures = read_table(context.store(), "failures")
    kinds = [(row["video_id"], row["error_type"], row["retryable"]) for row in failures]
    assert kinds == [
        ("sigsegv", "SourceError", False),
        ("loops", "TransientError", True),
        ("eats", "SourceError", False),
    ]
