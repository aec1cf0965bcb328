"""Bad videos, one by one: each is one failure row with a clear message, and the rest is done."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.config import RunConfig, VideoConfig
from components.steps.ingest import IngestItem, IngestWorker
from components.steps.step import StepContext
from components.storage.tables import read_table
from tav_model.config import ModelConfig
from tests.sample_videos import write_folder, write_video

VIDEO = VideoConfig(num_frames=8, width=32, height=24)


def missing(folder: Path) -> Path:
    return folder / "missing.mp4"


def text_as_mp4(folder: Path) -> Path:
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    return folder / "text.mp4"


def playlist_as_mp4(folder: Path) -> Path:
    """FFmpeg would follow it to another file, were it not told what to expect."""
    secret = write_video(folder / "secret.mp4", 12)
    (folder / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n")
    return folder / "list.mp4"


def concat_as_webm(folder: Path) -> Path:
    write_video(folder / "secret.mp4", 12)
    (folder / "list.webm").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    return folder / "list.webm"


def empty_file(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def cut_after_the_index(folder: Path) -> Path:
    path = write_video(folder / "cut.mp4", 24, faststart=True)
    path.write_bytes(path.read_bytes()[:-40])
    return path


def cut_before_the_index(folder: Path) -> Path:
    path = write_video(folder / "cut.mp4", 24)
    path.write_bytes(path.read_bytes()[:-40])
    return path


def damaged_in_the_middle(folder: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3)).astype(np.uint8)
    path = write_video(folder / "damaged.mp4", noise)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    return path


def no_frames(folder: Path) -> Path:
    """An mp4 whose only stream is sound."""
    import av

    path = folder / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def too_few_frames(folder: Path) -> Path:
    return write_video(folder / "short.mp4", 7)


def unsupported_suffix(folder: Path) -> Path:
    return write_video(folder / "a.mp4", 12).rename(folder / "a.avi")


def wrong_suffix(folder: Path) -> Path:
    return write_video(folder / "a.webm", 12).rename(folder / "a.mp4")


def empty_folder(folder: Path) -> Path:
    (folder / "frames").mkdir()
    return folder / "frames"


def folder_with_a_bad_image(folder: Path) -> Path:
    frames = write_folder(folder / "frames", [f"{i}.png" for i in range(8)])
    (frames / "3.png").write_text("no image")
    return frames


def folder_of_two_sizes(folder: Path) -> Path:
    frames = write_folder(folder / "frames", [f"{i}.png" for i in range(8)])
    Image.new("RGB", (65, 48)).save(frames / "3.png")
    return frames


def folder_with_deep_images(folder: Path) -> Path:
    frames = write_folder(folder / "frames", [f"{i}.png" for i in range(8)])
    Image.fromarray(np.zeros((48, 64), np.uint16)).save(frames / "3.png")
    return frames


def folder_with_an_image_bomb(folder: Path) -> Path:
    """A small file that would fill memory."""
    frames = write_folder(folder / "frames", [f"{i}.png" for i in range(8)])
    Image.new("1", (30_000, 20_000)).save(frames / "0.png")
    return frames


def too_long_to_cover(folder: Path) -> Path:
    return write_folder(folder / "frames", [f"{i}.png" for i in range(8)], size=(65_000, 1))


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4"


def folder_as_mp4(folder: Path) -> Path:
    (folder / "folder.mp4").mkdir()
    return folder / "folder.mp4"


def name_that_is_no_unicode(folder: Path) -> Path:
    path = folder / os.fsdecode(b"fr\xff")
    write_folder(path, ["1.png"])
    (path / "1.png").write_text("no image")
    return path


CASES: list[tuple[Callable[[Path], Path], str]] = [
    (missing, r"missing\.mp4 does not exist: check the manifest's uri"),
    (text_as_mp4, r"text\.mp4 cannot be decoded \(Invalid data.*not what its suffix '\.mp4' says"),
    (playlist_as_mp4, r"list\.mp4 cannot be decoded"),
    (concat_as_webm, r"list\.webm (cannot be decoded|is truncated)"),
    (empty_file, r"empty\.mp4 cannot be decoded"),
    (cut_after_the_index, r"cut\.mp4 is truncated: it has \d+ bytes, but .* at least \d+; copy"),
    (cut_before_the_index, r"cut\.mp4 is truncated: it has \d+ bytes, but .* at least \d+; copy"),
    (damaged_in_the_middle, r"damaged\.mp4 cannot be decoded .*it is damaged"),
    (no_frames, r"sound\.mp4 holds 0 video streams, but 1 is needed"),
    (too_few_frames, r"short\.mp4 has 7 frames, but 8 are needed .*: lower video\.num_frames"),
    (unsupported_suffix, r"a\.avi has the suffix '\.avi', but supported are \.mp4, .*: convert it"),
    (wrong_suffix, r"a\.mp4 cannot be decoded"),
    (empty_folder, r"the folder 'frames' holds 0 frames: it needs images that end in \.png"),
    (folder_with_a_bad_image, r"frames/3\.png is no readable image: .*; save it again"),
    (folder_of_two_sizes, r"frames/3\.png is 65×48, but the frames before it are 64×48: give all"),
    (folder_with_deep_images, r"frames/3\.png has mode I;16: save it with 8 bits a channel"),
    (
        folder_with_an_image_bomb,
        r"frames/0\.png .*(600000000 pixels|bomb)",
    ),
    (too_long_to_cover, r"frames has \d+ pixels when scaled to cover, .* use video\.fit pad"),
    (pipe, r"pipe\.mp4 is no regular file: copy its content"),
    (folder_as_mp4, r"the folder 'folder\.mp4' holds 0 frames"),
    (name_that_is_no_unicode, r"1\.png is no readable image"),
]


@pytest.mark.parametrize(("make", "message"), CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_a_bad_video_is_one_clear_failure(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    config = RunConfig(run=str(tmp_path / "run"), manifest="-", model=ModelConfig(base="-"))
    context = StepContext(config=config, config_hash="c0ffee")
    (tmp_path / "bad").mkdir()
    good = write_video(tmp_path / "good.mp4", 12)
    items = [
        IngestItem(
            item_key=name,
            video_id=name,
            uri=str(path),
            source_version="-",
            video=dataclasses.asdict(VIDEO),
            attempt=1,
        )
        for name, path in [("bad", make(tmp_path / "bad")), ("good", good)]
    ]
    outcomes = IngestWorker(context)(items)
    assert [outcome.error is None for outcome in outcomes] == [False, True]
    store = context.store()
    assert [row["video_id"] for row in read_table(store, "videos")] == ["good"]
    (failure,) = read_table(store, "failures")
    assert (failure["video_id"], failure["error_type"]) == ("bad", "SourceError")
    assert re.search(message, failure["message"]), failure["message"]
    assert len(list(store.list("media"))) == 1, "nothing is left of the bad one"
