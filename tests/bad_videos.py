"""Videos that cannot be used, each made for the purpose."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.hostile_files import endless_gif, index_bomb
from tests.marked_videos import clap, dovi, insert_box, turned
from tests.sample_videos import grey_frames, write_folder, write_streams, write_video


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


def only_a_cover(folder: Path) -> Path:
    """What is left of a song with its picture, seen as a video."""
    frames = np.zeros((1, 48, 64, 3), np.uint8)
    cover = {"frames": frames, "codec": "mjpeg", "pix_fmt": "yuvj420p", "disposition": 1 << 10}
    return write_streams(folder / "song.mp4", "mp4", [cover])


def at_an_angle(folder: Path) -> Path:
    return turned(write_video(folder / "tilted.mp4", 12), (46341, 46341, -46341, 46341))


def cropped_beyond_its_edges(folder: Path) -> Path:
    return insert_box(write_video(folder / "cropped.mp4", 12), clap((70, 1), (48, 1)))


def dolby_vision_alone(folder: Path) -> Path:
    return insert_box(write_video(folder / "dolby.mp4", 12), dovi(5, 0))


def colours_without_a_conversion(folder: Path) -> Path:
    return _coded(folder / "ictcp.mp4", "libx264", {"colormatrix": "ictcp"})


def fields_as_frames(folder: Path) -> Path:
    return _coded(folder / "fields.mp4", "libx265", {"interlace": "tff", "log-level": "none"})


def _coded(path: Path, codec: str, parameters: dict[str, str]) -> Path:
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        told = ":".join(f"{name}={value}" for name, value in parameters.items())
        stream.options = {f"{codec.removeprefix('lib')}-params": told}
        for frame in grey_frames(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    return path


def web_page_as_mp4(folder: Path) -> Path:
    """What a server sent with its 404."""
    (folder / "page.mp4").write_text("<!DOCTYPE html>\n<html><body>Not Found</body></html>")
    return folder / "page.mp4"


def refusal_of_a_store_as_mp4(folder: Path) -> Path:
    text = '<?xml version="1.0"?><Error><Code>AccessDenied</Code><HostId>x</HostId></Error>'
    (folder / "denied.mp4").write_text(text)
    return folder / "denied.mp4"


def git_lfs_pointer(folder: Path) -> Path:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    (folder / "pointer.webm").write_text(text)
    return folder / "pointer.webm"


def archive_as_avi(folder: Path) -> Path:
    (folder / "clips.avi").write_bytes(b"PK\x03\x04" + bytes(range(200)))
    return folder / "clips.avi"


def picture_as_mp4(folder: Path) -> Path:
    Image.new("RGB", (64, 48)).save(folder / "picture.mp4", "JPEG")
    return folder / "picture.mp4"


def unsupported_container(folder: Path) -> Path:
    (folder / "a.rm").write_bytes(b".RMF" + bytes(range(200)))
    return folder / "a.rm"


def rare_codec(folder: Path) -> Path:
    return write_video(folder / "a.avi", 12, codec="asv2")


def transport_stream_cut_in_a_packet(folder: Path) -> Path:
    return _cut(write_video(folder / "cut.ts", 12), 100)


def gif_cut_in_a_picture(folder: Path) -> Path:
    return _cut(write_video(folder / "cut.gif", 12), 20)


def animation_cut(folder: Path) -> Path:
    return _cut(write_video(folder / "cut.webp", 12), 20)


def avi_cut(folder: Path) -> Path:
    return _cut(write_video(folder / "cut.avi", 12), 20)


def vp9_with_other_bytes_in_the_middle(folder: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3)).astype(np.uint8)
    return _overwritten(write_video(folder / "damaged.webm", noise))


def ogg_with_other_bytes_in_the_middle(folder: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3)).astype(np.uint8)
    return _overwritten(write_video(folder / "damaged.ogv", noise))


def _cut(path: Path, count: int) -> Path:
    path.write_bytes(path.read_bytes()[:-count])
    return path


def _overwritten(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = np.random.default_rng(1).bytes(200)
    path.write_bytes(data)
    return path


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


def folder_of_two_sets(folder: Path) -> Path:
    names = [f"{side}_{i}.png" for side in ("left", "right") for i in range(8)]
    return write_folder(folder / "frames", names)


def folder_of_two_cameras(folder: Path) -> Path:
    names = [f"cam{camera}_{i}.png" for camera in (0, 1) for i in range(8)]
    return write_folder(folder / "frames", names)


def folder_with_a_number_twice(folder: Path) -> Path:
    return write_folder(folder / "frames", [f"{i}.jpg" for i in range(8)] + ["03.jpeg"])


def folder_of_pages(folder: Path) -> Path:
    frames = write_folder(folder / "frames", [f"{i}.tif" for i in range(8)])
    page = Image.new("RGB", (64, 48))
    page.save(frames / "3.tif", save_all=True, append_images=[Image.new("RGB", (64, 48), "red")])
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


def endless(folder: Path) -> Path:
    return endless_gif(folder / "endless.gif", 4000)


def too_many_frames(folder: Path) -> Path:
    return index_bomb(folder / "bomb.mp4", 1_000_000)


def too_large_a_frame(folder: Path) -> Path:
    path = write_video(folder / "large.gif", 12)
    data = path.read_bytes()
    path.write_bytes(data[:6] + struct.pack("<HH", 8000, 5000) + data[10:])
    return path


def too_long(folder: Path) -> Path:
    return write_video(folder / "long.mp4", 12, times=[500 * i for i in range(12)], fps=1)


def a_rate_of_no_video(folder: Path) -> Path:
    return write_video(folder / "rate.mp4", 12, fps=90_000)


def too_large_a_file(folder: Path) -> Path:
    path = folder / "sparse.mp4"
    with path.open("wb") as handle:
        handle.truncate(9 << 30)
    return path


def unknown_codec(folder: Path) -> Path:
    path = write_video(folder / "codec.mp4", 4)
    path.write_bytes(path.read_bytes().replace(b"avc1\0\0\0\0", b"zzzz\0\0\0\0"))
    return path


def linked_to_itself(folder: Path) -> Path:
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    return folder / "loop.mp4"


def name_too_long(folder: Path) -> Path:
    return folder / ("x" * 300 + ".mp4")
