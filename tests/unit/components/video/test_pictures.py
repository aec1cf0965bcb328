"""Single pictures: formats, modes, transparency, colour profiles and orientation."""

from __future__ import annotations

import contextlib
import functools
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from components.config import VideoLimits
from components.errors import SourceError
from components.video.pictures import look_at_picture, read_picture

LIMITS = VideoLimits()
WHITE, RED, GREEN = (255, 255, 255), (255, 0, 0), (0, 255, 0)


def read(file: Path) -> tuple[Any, set[str], str | None]:
    """The first pixel, what it made the reader do, and what is told."""
    image = read_picture(file, LIMITS)
    look = look_at_picture(file, LIMITS)
    assert image.mode == "RGB"
    assert image.size == look.size
    return image.getpixel((0, 0)), set(look.reading), look.remark


def noise(mode: str) -> Image.Image:
    shape = (6, 8, 4)[: 2 if mode in ("L", "1", "P") else 3]
    values = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    if mode in ("L", "RGB", "RGBA", "CMYK"):
        return Image.fromarray(values[..., :3] if mode == "RGB" else values, mode=mode)
    return noise("L").convert(mode) if mode == "1" else noise("RGB").convert("P")


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """sRGB with the tags of red and green exchanged: what is stored as red is green."""
    other = profile().replace(b"rXYZ", b"----").replace(b"gXYZ", b"rXYZ")
    return other.replace(b"----", b"gXYZ")


def tag_padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def make_profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile (version 2) of a printer or display with the given tags."""
    tags = {b"wtpt": xyz(0.9642, 1.0, 0.8249), **tags}
    header = struct.pack(
        ">I4sI4s4s4s12x4s", 0, b"lcms", 0x02400000, b"mntr", space, b"XYZ ", b"acsp"
    )
    if space == b"CMYK":
        header = header.replace(b"mntr", b"prtr").replace(b"XYZ ", b"Lab ")
    header = (header + bytes(28) + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)).ljust(128, b"\0")
    table, content = b"", b""
    start = 132 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name, start + len(content), len(data))
        content += tag_padded(data)
    found = header + struct.pack(">I", len(tags)) + table + content
    return struct.pack(">I", len(found)) + found[4:]


def xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in (x, y, z)))


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def cmyk_profile() -> bytes:
    """A press that prints every ink as a grey of the key's amount, and no other colour."""
    identity = bytes(range(256))
    lab = b"".join(
        bytes([0 if k else 255, 128, 128]) for _ in range(8) for k in (0, 1)
    )  # the last channel varies fastest
    matrix = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + identity * 4 + lab + identity * 3
    return make_profile(b"CMYK", {b"A2B0": table})


@pytest.mark.parametrize(
    ("suffix", "mode", "options"),
    [
        (".png", "RGB", {}),
        (".png", "L", {}),
        (".png", "P", {}),
        (".png", "1", {}),
        (".jpg", "RGB", {}),
        (".jpg", "L", {}),
        (".webp", "RGB", {"lossless": True}),
        (".bmp", "RGB", {}),
        (".bmp", "L", {}),
        (".bmp", "P", {}),
        (".bmp", "1", {}),
        (".tif", "RGB", {}),
        (".tiff", "L", {"compression": "tiff_lzw"}),
        (".tif", "P", {"compression": "packbits"}),
        (".tif", "1", {"compression": "group4"}),
        (".tif", "RGB", {"compression": "jpeg"}),
        (".tif", "CMYK", {}),
        (".jpg", "CMYK", {}),
    ],
)
@pytest.mark.parametrize("icc", [None, profile()])
def test_opaque_pictures_keep_their_bytes(
    tmp_path: Path, suffix: str, mode: str, options: dict[str, Any], icc: bytes | None
) -> None:
    """Without a profile, with sRGB's, and with one that does not fit: as version 1 read them."""
    file = tmp_path / f"0{suffix}"
    noise(mode).save(file, icc_profile=icc, **options)
    with Image.open(file) as stored:
        expected = np.asarray(stored.convert("RGB"))
    np.testing.assert_array_equal(np.asarray(read_picture(file, LIMITS)), expected)
    assert not look_at_picture(file, LIMITS).reading


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".png", {}), (".webp", {"lossless": True, "exact": True}), (".tif", {})],
)
@pytest.mark.parametrize(
    ("alpha", "expected"), [(0, WHITE), (128, (255, 127, 127)), (255, RED), (254, (255, 1, 1))]
)
def test_what_is_transparent_lies_on_white(
    tmp_path: Path, suffix: str, options: dict[str, Any], alpha: int, expected: Any
) -> None:
    file = tmp_path / f"0{suffix}"
    Image.new("RGBA", (8, 6), (*RED, alpha)).save(file, **options)
    reading = set() if alpha == 255 else {"alpha"}
    assert read(file) == (expected, reading, None)


def test_every_kind_of_transparency_lies_on_white(tmp_path: Path) -> None:
    found = {}
    grey = Image.new("LA", (8, 6), (30, 0))
    grey.save(tmp_path / "grey.png")
    palette = Image.new("P", (8, 6), 1)
    palette.putpalette([0, 0, 0, *RED])
    palette.save(tmp_path / "palette.png", transparency=1)
    palette.save(tmp_path / "half.png", transparency=bytes([255, 128]))
    palette.save(tmp_path / "unused.png", transparency=0)
    Image.new("RGB", (8, 6), RED).save(tmp_path / "key.png", transparency=RED)
    Image.new("RGB", (8, 6), RED).save(tmp_path / "otherkey.png", transparency=GREEN)
    Image.new("L", (8, 6), 30).save(tmp_path / "greykey.png", transparency=30)
    Image.new("1", (8, 6), 0).save(tmp_path / "bit.png", transparency=0)
    Image.new("LA", (8, 6), (30, 0)).save(tmp_path / "grey.tif")
    Image.new("RGBA", (8, 6), (*RED, 0)).save(tmp_path / "undefined.bmp")
    header = struct.pack("<IiiHHII", 108, 8, 6, 1, 32, 3, 192) + bytes(16)
    header += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    content = struct.pack("<2sIHHI", b"BM", 314, 0, 0, 122) + header
    (tmp_path / "defined.bmp").write_bytes(content + struct.pack("<I", 0x00FF0000) * 48)
    found = {file.name: read(file)[:2] for file in tmp_path.iterdir()}
    white = (WHITE, {"alpha"})
    assert found == {
        "grey.png": white,
        "palette.png": white,
        "half.png": ((255, 127, 127), {"alpha"}),
        "unused.png": (RED, set()),
        "key.png": white,
        "otherkey.png": (RED, set()),
        "greykey.png": white,
        "bit.png": white,
        "grey.tif": white,
        "undefined.bmp": (RED, set()),  # four bytes a pixel, of which the header names three
        "defined.bmp": white,
    }


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [(1, (128, 0, 0, 128), (255, 127, 127)), (2, (255, 0, 0, 128), (255, 127, 127))],
)
def test_tiff_says_whether_colours_are_multiplied_by_their_alpha(
    tmp_path: Path, kind: int, stored: Any, expected: Any
) -> None:
    file = tmp_path / "0.tif"
    Image.new("RGBA", (8, 6), stored).save(file)
    tag = struct.pack("<HHI", 338, 3, 1)  # ExtraSamples
    content = file.read_bytes()
    assert content.count(tag + b"\2") == 1
    file.write_bytes(content.replace(tag + b"\2", tag + bytes([kind])))
    assert read(file) == (expected, {"alpha"}, None)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", {}),
        (".tif", {}),
        (".webp", {"lossless": True}),
        (".jpg", {"quality": 100, "subsampling": 0}),
    ],
)
def test_profiles_are_applied(tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    file = tmp_path / f"0{suffix}"
    Image.new("RGB", (8, 6), RED).save(file, icc_profile=swapped_profile(), **options)
    pixel, reading, remark = read(file)
    np.testing.assert_allclose(pixel, GREEN, atol=4)
    assert (reading, remark) == ({"icc"}, None)


def test_colours_of_a_wide_gamut_come_out_as_computed(tmp_path: Path) -> None:
    """Adobe RGB's primaries (relative to D50) and a gamma of 2.2, against the arithmetic."""
    to_xyz = np.array(
        [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
    )
    columns = zip((b"rXYZ", b"gXYZ", b"bXYZ"), to_xyz.T, strict=True)
    tags = {name: xyz(*column) for name, column in columns}
    tags |= {name: gamma(2.2) for name in (b"rTRC", b"gTRC", b"bTRC")}
    stored = (200, 120, 60)
    picture = Image.new("RGB", (8, 6), stored)
    picture.save(tmp_path / "0.png", icc_profile=make_profile(b"RGB ", tags))
    from_xyz = np.linalg.inv(
        [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
    )
    light = from_xyz @ to_xyz @ (np.array(stored) / 255) ** 2.2
    expected = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
    pixel, reading, _ = read(tmp_path / "0.png")
    np.testing.assert_allclose(pixel, expected, atol=1.5)
    assert abs(pixel[0] - stored[0]) > 10
    assert reading == {"icc"}


def test_profiles_are_applied_before_the_background(tmp_path: Path) -> None:
    palette = Image.new("P", (8, 6), 0)
    palette.putpalette([*RED])
    palette.save(tmp_path / "p.png", icc_profile=swapped_profile())
    Image.new("RGBA", (8, 6), (*RED, 0)).save(tmp_path / "a.png", icc_profile=swapped_profile())
    Image.new("RGBA", (8, 6), (*RED, 128)).save(tmp_path / "b.png", icc_profile=swapped_profile())
    assert read(tmp_path / "p.png") == (GREEN, {"icc"}, None)
    assert read(tmp_path / "a.png") == (WHITE, {"alpha", "icc"}, None)
    assert read(tmp_path / "b.png") == ((127, 255, 127), {"alpha", "icc"}, None)


def test_grey_and_print_have_profiles_of_their_own(tmp_path: Path) -> None:
    linear = make_profile(b"GRAY", {b"kTRC": gamma(1.0)})
    Image.new("L", (8, 6), 128).save(tmp_path / "grey.png", icc_profile=linear)
    Image.new("LA", (8, 6), (128, 255)).save(tmp_path / "alpha.png", icc_profile=linear)
    Image.new("L", (8, 6), 200).save(tmp_path / "rgb.png", icc_profile=swapped_profile())
    for name in ("grey.png", "alpha.png"):
        pixel, reading, remark = read(tmp_path / name)
        np.testing.assert_allclose(pixel, (188, 188, 188), atol=1)  # sRGB of half the light
        assert (reading, remark) == ({"icc"}, None)
    pixel, _, remark = read(tmp_path / "rgb.png")
    np.testing.assert_allclose(pixel, (200, 200, 200), atol=60)
    assert remark is None
    for name in ("0.tif", "0.jpg"):
        print_ = Image.new("CMYK", (8, 6), (255, 0, 0, 0))
        print_.save(tmp_path / name, icc_profile=cmyk_profile())
        pixel, reading, remark = read(tmp_path / name)
        np.testing.assert_allclose(pixel, WHITE, atol=2)  # and not cyan
        assert (reading, remark) == ({"icc"}, None)


@pytest.mark.parametrize(
    ("mode", "icc", "message"),
    [
        ("RGB", b"no profile at all", "ICC profile that cannot be read is not applied"),
        ("RGB", profile()[:200], "ICC profile that cannot be read is not applied"),
        ("RGB", make_profile(b"GRAY", {b"kTRC": gamma(1.0)}), "profile for GRAY, which does not"),
        ("L", cmyk_profile(), "profile for CMYK, which does not fit"),
        ("RGB", make_profile(b"Lab ", {}), "profile for Lab, which does not fit"),
    ],
)
def test_profiles_that_cannot_be_meant_are_told(
    tmp_path: Path, mode: str, icc: bytes, message: str
) -> None:
    """As in browsers, the picture is then taken for sRGB."""
    file = tmp_path / "0.png"
    Image.new(mode, (8, 6), 40 if mode == "L" else RED).save(file, icc_profile=icc)
    pixel, reading, remark = read(file)
    assert pixel == ((40, 40, 40) if mode == "L" else RED)
    assert not reading
    assert message in str(remark)


def with_chunk(file: Path, name: bytes, data: bytes) -> Path:
    """Put a chunk behind a PNG's header."""
    content = file.read_bytes()
    file.write_bytes(content[:33] + chunk(name, data) + content[33:])
    return file


def chunk(name: bytes, data: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + crc


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        (b"gAMA", struct.pack(">I", 45455), False),
        (b"gAMA", struct.pack(">I", 100000), True),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000), False),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000), True),
    ],
)
def test_gamma_and_chromaticity_of_png_are_told(
    tmp_path: Path,
    name: bytes,
    data: bytes,
    told: bool,  # noqa: FBT001 - a column of the table
) -> None:
    Image.new("RGB", (8, 6), RED).save(tmp_path / "0.png")
    pixel, reading, remark = read(with_chunk(tmp_path / "0.png", name, data))
    assert (pixel, reading) == (RED, set())
    assert ("gAMA and cHRM are not applied" in str(remark)) == told
    assert "not applied" not in str(read(with_chunk(tmp_path / "0.png", b"sRGB", b"\0"))[2])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".png", {}), (".tif", {}), (".webp", {"lossless": True}), (".jpg", {"quality": 100})],
)
def test_pictures_are_upright(
    tmp_path: Path, orientation: int, suffix: str, options: dict[str, Any]
) -> None:
    """A picture whose upper left corner is white, stored as each orientation stores it."""
    upright = np.zeros((6, 8), np.uint8)
    upright[:3, :4] = 255
    upright[:3, 4:] = 128
    turns = [
        upright,
        upright[:, ::-1],
        upright[::-1, ::-1],
        upright[::-1],
        upright.T,
        np.rot90(upright),
        upright[::-1, ::-1].T,
        np.rot90(upright, -1),
    ]
    stored = Image.fromarray(np.ascontiguousarray(turns[orientation - 1])).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"0{suffix}", exif=exif, **options)
    image = read_picture(tmp_path / f"0{suffix}", LIMITS)
    assert look_at_picture(tmp_path / f"0{suffix}", LIMITS).size == image.size == (8, 6)
    np.testing.assert_allclose(np.asarray(image)[..., 0], upright, atol=3)


def save_pages(file: Path, **options: Any) -> None:
    pages = [Image.new("RGB", (8, 6), color) for color in (RED, GREEN)]
    pages[0].save(file, save_all=True, append_images=pages[1:], **options)


@pytest.mark.parametrize(
    ("name", "kind"), [("0.tif", "TIFF"), ("0.png", "PNG"), ("0.webp", "WEBP")]
)
def test_files_of_several_pictures_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    save_pages(tmp_path / name)
    message = rf"{name} is a {kind} of several pictures, but a frame is one: save each"
    for use in (read_picture, look_at_picture):
        with pytest.raises(SourceError, match=message):
            use(tmp_path / name, LIMITS)


def test_of_a_jpeg_with_previews_the_first_picture_counts(tmp_path: Path) -> None:
    save_pages(tmp_path / "0.mpo", format="MPO", quality=100)
    (tmp_path / "0.mpo").rename(tmp_path / "0.jpg")
    pixel, _, _ = read(tmp_path / "0.jpg")
    np.testing.assert_allclose(pixel, RED, atol=3)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_deep_pictures_are_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"0{suffix}"
    Image.fromarray(np.full((6, 8), 40_000, np.uint16)).save(file)
    with pytest.raises(SourceError, match=r"has mode I;16.*: save it with 8 bits a channel"):
        read_picture(file, LIMITS)
    Image.fromarray(np.full((6, 8), 0.5, np.float32)).save(tmp_path / "1.tif")
    with pytest.raises(SourceError, match="has mode F: save it"):
        look_at_picture(tmp_path / "1.tif", LIMITS)


def test_other_formats_are_refused_whatever_their_suffix(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "0.png", format="PPM")
    (tmp_path / "1.png").write_bytes(b"")
    for name in ("0.png", "1.png"):
        with pytest.raises(SourceError, match=rf"{name} is no readable image: .*save it again"):
            look_at_picture(tmp_path / name, LIMITS)


def test_a_transparent_colour_of_16_bits_is_refused(tmp_path: Path) -> None:
    """Pillow reads the pixels with 8 bits, and would never find the colour among them."""
    file = tmp_path / "0.png"
    Image.new("RGB", (1, 1), RED).save(file)
    deep = zlib.compress(b"\0" + struct.pack(">3H", 0xFFFF, 0x1234, 0))
    content = b"\x89PNG\r\n\x1a\n" + bytes(25)
    file.write_bytes(content + chunk(b"IDAT", deep) + chunk(b"IEND", b""))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    file.write_bytes(file.read_bytes().replace(bytes(25), header))
    with_chunk(file, b"tRNS", struct.pack(">3H", 0xFFFF, 0x1234, 0))
    with pytest.raises(SourceError, match=r"transparent colour of 16 bits .* save it with 8 bits"):
        read_picture(file, LIMITS)


@functools.cache
def stored(suffix: str, mode: str, compression: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, Any] = {"exif": exif}
    if mode != "CMYK" and suffix != ".bmp":
        options["icc_profile"] = swapped_profile()
    if compression:
        options["compression"] = compression
    with tempfile.TemporaryDirectory() as folder:
        noise(mode).save(Path(folder) / f"0{suffix}", **options)
        return (Path(folder) / f"0{suffix}").read_bytes()


@given(
    data=st.data(),
    kind=st.sampled_from(
        [
            (".png", "RGBA", ""),
            (".png", "P", ""),
            (".jpg", "RGB", ""),
            (".jpg", "CMYK", ""),
            (".webp", "RGBA", ""),
            (".bmp", "P", ""),
            (".tif", "RGBA", ""),
            (".tif", "RGB", "tiff_lzw"),
            (".tif", "RGB", "jpeg"),
            (".tif", "CMYK", ""),
        ]
    ),
)
@settings(max_examples=200, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of tags that it skips
def test_damaged_pictures_never_end_in_another_error(
    data: st.DataObject, kind: tuple[str, str, str]
) -> None:
    content = bytearray(stored(*kind))
    for _ in range(data.draw(st.integers(0, 6))):
        # Headers are where the parsers are: half of the hits go there.
        last = len(content) - 1 if data.draw(st.booleans()) else min(300, len(content) - 1)
        content[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    if data.draw(st.integers(0, 9)) == 0:
        del content[data.draw(st.integers(0, len(content))) :]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"0{kind[0]}"
        file.write_bytes(content)
        for use in (look_at_picture, read_picture):
            with contextlib.suppress(SourceError):
                use(file, LIMITS)
