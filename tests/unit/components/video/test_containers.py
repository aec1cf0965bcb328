"""Which container a file is, by its content, and what is none."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from components.config import VideoConfig
from components.errors import SourceError
from components.video.containers import CODECS, CONTAINERS, SUPPORTED, WEBP, recognised
from components.video.io import decode_clip, probe
from tests.sample_videos import SUFFIXES, grey_frames, levels, write_video

CLIP = VideoConfig(selection="stride", start=1, stride=3, num_frames=4, width=32, height=24)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_container_gives_the_frames_asked_for(tmp_path: Path, suffix: str) -> None:
    clip = decode_clip(write_video(tmp_path / f"a clip{suffix}", 12, fps=12), CLIP)
    assert levels(clip.frames) == [1, 4, 7, 10]
    assert clip.source is not None
    assert (clip.source.num_frames, clip.source.width, clip.source.height) == (12, 64, 48)
    assert clip.source.reading == ()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["a", "a.MP4", "a.webm", "a.tar.avi", "a.dat"])
def test_the_content_decides_and_not_the_name(tmp_path: Path, suffix: str, name: str) -> None:
    path = write_video(tmp_path / f"made{suffix}", 12, fps=12).rename(tmp_path / name)
    clip = decode_clip(path, CLIP)
    assert levels(clip.frames) == [1, 4, 7, 10]
    named = CONTAINERS.get(Path(name).suffix.lower())
    assert clip.source is not None
    assert len(clip.source.remarks) == (named not in {None, recognised(path)})
    assert all(f"suffix {path.suffix!r} says" in remark for remark in clip.source.remarks)


def test_the_table_names_each_suffix_once() -> None:
    suffixes = [suffix for container in SUPPORTED for suffix in container.suffixes]
    assert sorted(suffixes) == sorted(CONTAINERS)
    assert {".mp4", ".webm", ".avi", ".ts", ".flv", ".wmv", ".y4m", ".gif"} <= set(CONTAINERS)
    assert all(suffix == suffix.lower() for suffix in CONTAINERS)


def _archive() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a.mp4", b"x")
    return data.getvalue()


def _picture(kind: str) -> bytes:
    data = io.BytesIO()
    Image.fromarray(grey_frames(1)[0]).save(data, kind)
    return data.getvalue()


DENIED = b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><HostId>hush</HostId></Error>'
FOREIGN = {
    "empty": (b"", r"empty \(0 bytes\).*download it again"),
    "zeros": (bytes(5000), "nothing but zeros.*download it again"),
    "html": (b"\n<!DOCTYPE html>\n<html>404</html>", r"a web page \(HTML\).*download it again"),
    "html-old": (b"<html><body>Sign in</body></html>", r"a web page \(HTML\)"),
    "html-bom": (b"\xef\xbb\xbf<HTML>", r"a web page \(HTML\)"),
    "html-comment": (b"<!-- saved from -->\n<html>", r"a web page \(HTML\)"),
    "s3": (DENIED, r"a store's error message \(AccessDenied\).*download it again"),
    "xml": (b"<rss version='2'>", "XML"),
    "json": (json.dumps({"title": "a"}).encode(), "JSON"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "LFS .*run git lfs pull"),
    "m3u8": (b"#EXTM3U\n#EXTINF:1,\na.ts\n", "a playlist.*name the video file itself"),
    "pls": (b"[playlist]\nFile1=a.mp4\n", "a playlist"),
    "concat": (b"ffconcat version 1.0\nfile a.mp4\n", "a playlist"),
    "asx": (b"<ASX version='3.0'><entry><ref href='a.wmv'/>", "a playlist"),
    "asf-link": (b"[Reference]\r\nRef1=a.wmv\r\n", "a playlist"),
    "dash": (b"<?xml version='1.0'?>\n<MPD xmlns='x'>", r"a playlist \(DASH\)"),
    "smil": (b"<smil><body><video src='a.mp4'/>", "a playlist"),
    "sdp": (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", r"a session description \(SDP\)"),
    "url": (b"[InternetShortcut]\r\nURL=x\r\n", "a link to a web page"),
    "vtt": (b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello", "subtitles"),
    "srt": (b"1\r\n00:00:00,000 --> 00:00:01,000\r\nhello", "subtitles"),
    "text": ("größer".encode(), "text.*name the video file itself"),
    "text-BM": (b"BM is how this text begins", "text"),
    "text-utf16": ("a text".encode("utf-16"), "text"),
    "text-G": (b"G" * 600, "text"),
    "zip": (_archive(), "a ZIP archive.*unpack it"),
    "gzip": (gzip.compress(b"x"), "gzip data.*unpack it"),
    "tar": (bytes(257) + b"ustar\0" + bytes(99), "a tar archive"),
    "pdf": (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3", "a PDF"),
    "jpeg": (_picture("JPEG"), "a JPEG picture.*into a folder"),
    "png": (_picture("PNG"), "a single PNG picture.*into a folder"),
    "webp": (_picture("WEBP"), "a single WebP picture.*into a folder"),
    "bmp": (_picture("BMP"), "a BMP picture"),
    "tiff": (_picture("TIFF"), "a TIFF picture"),
    "avif": (_picture("AVIF"), "a HEIF, AVIF"),
    "wav": (b"RIFF\x24\0\0\0WAVEfmt \0", "WAV sound.*video stream"),
    "mp3": (b"ID3\x04\0\0\0\0\0\0\xff\xfb", "MP3 sound"),
    "flac": (b"fLaC\0\0\0\x22", "FLAC sound"),
    "real": (b".RMF\0\0\0\x12", "RealMedia.*convert it to mp4"),
    "mxf": (b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "MXF.*convert it to mp4"),
    "ivf": (b"DKIF\0\0\x20\0VP80", "IVF.*convert it to mp4"),
    "mpeg": (b"\0\0\x01\xb3\x14\0\xf0", "a bare MPEG video stream.*convert it to mp4"),
    "h264": (b"\0\0\0\x01\x67\x42\0\x1e", "a bare H.264 or HEVC stream.*convert it to mp4"),
    "npy": (b"\x93NUMPY\x01\0v\0", "a NumPy array"),
    "pickle": (b"\x80\x04\x95\x10\0\0", "a Python pickle, which is never read"),
    "hdf5": (b"\x89HDF\r\n\x1a\n\0", "an HDF5 file"),
    "parquet": (b"PAR1\x15\x04\0", "a Parquet file"),
    "program": (b"\x7fELF\x02\x01\x01\0", "a program"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("name", ["a.mp4", "a.MKV", "a.avi", "a.gif", "a.ts", "a"])
def test_what_is_no_video_is_named(tmp_path: Path, kind: str, name: str) -> None:
    content, message = FOREIGN[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=f"(?s){name} is .*{message}") as caught:
        probe(tmp_path / name)
    assert "hush" not in str(caught.value)


def test_what_begins_like_nothing_is_told_what_is_supported(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\xf7\x02\x83\x92" * 99)
    with pytest.raises(SourceError, match=r"suffix '\.bin'; supported are MP4, .*APNG.*: convert"):
        probe(tmp_path / "a.bin")
    (tmp_path / "a.mp4").write_bytes(b"\xf7\x02\x83\x92" * 99)
    with pytest.raises(SourceError, match=r"not what its suffix '\.mp4' says.*copy or convert it"):
        probe(tmp_path / "a.mp4")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_sound_video_begins_like_something_else(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"a{suffix}", 2)
    assert recognised(path) is CONTAINERS.get(suffix, WEBP)


@pytest.mark.parametrize("size", [0, 1, 4, 8, 30])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_but_the_beginning_of_a_video_is_refused(
    tmp_path: Path, suffix: str, size: int
) -> None:
    path = write_video(tmp_path / f"a{suffix}", 2)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(SourceError, match=r"a\.\w+ "):
        probe(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    for suffix, codec in ((".mp4", "aac"), (".mkv", "aac"), (".ts", "mp2"), (".avi", "mp2")):
        path = tmp_path / f"sound{suffix}"
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(codec, rate=48_000)
            resampler = av.AudioResampler(stream.format, stream.layout, 48_000)
            samples = np.random.default_rng(0).normal(0, 0.1, (1, 48_000)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            frame.sample_rate = 48_000
            fifo = av.AudioFifo()
            for part in resampler.resample(frame):
                part.pts = None
                fifo.write(part)
            for part in fifo.read_many(stream.codec_context.frame_size or 1024):
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
        with pytest.raises(SourceError, match=rf"sound\{suffix} holds 0 video streams"):
            probe(path)


def test_rare_codecs_are_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w", format="avi") as container:
        stream: Any = container.add_stream("asv2", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in grey_frames(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match=r"a\.avi has the codec 'asv2', which is not read: conv"):
        probe(path)


def test_every_codec_is_one_of_ffmpeg() -> None:
    for name in CODECS:
        assert av.Codec(name, "r").type == "video"


def test_a_track_that_refers_to_another_file_is_never_followed(tmp_path: Path) -> None:
    secret = write_video(tmp_path / "secret.mov", 12)
    data = secret.read_bytes()
    old = data[(at := data.index(b"dref") - 4) : at + 28]
    assert old[16:] == struct.pack(">I4sI", 12, b"url ", 1)
    for kind, link in ((b"alis", _alias(b"secret.mov")), (b"url ", b"secret.mov\0")):
        entry = struct.pack(">I4sI", 12 + len(link), kind, 0) + link
        new = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
        path = tmp_path / "link.mov"
        path.write_bytes(_replaced(data, at, old, new))
        with pytest.raises(SourceError, match="its frames lie in another file, which is not open"):
            probe(path)


def _alias(name: bytes) -> bytes:
    """QuickTime's record of another file."""
    record = bytearray(150)
    record[6:8] = b"\0\2"
    record[50] = len(name)
    record[51 : 51 + len(name)] = name
    return bytes(record) + struct.pack(">hH", 2, len(name)) + name + b"\xff\xff\0\0"


def _replaced(data: bytes, at: int, old: bytes, new: bytes) -> bytes:
    """With another box in place of one, whose parents grow by the difference."""
    grown = bytearray(data)
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        place = data.rindex(parent, 0, at) - 4
        size = int.from_bytes(data[place : place + 4], "big") + len(new) - len(old)
        grown[place : place + 4] = size.to_bytes(4, "big")
    grown[at : at + len(old)] = new
    return bytes(grown)
