"""Reads one picture of a folder of frames: upright, opaque, sRGB, 8 bits a channel.

As browsers show it: ICC profiles are applied, and what is transparent lies on white. Opaque
pictures without a profile, or with one that means sRGB, keep their bytes.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.config import VideoLimits
from components.errors import SourceError
from components.video.limits import check_limit

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageCms import ImageCmsTransform

PICTURES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""File suffix → Pillow's name of the format."""

_FORMATS = tuple(dict.fromkeys(PICTURES.values()))
_GREY = ("1", "L", "LA", "La")
_MODES = (*_GREY, "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Colour space of an ICC profile → the mode that it is applied to."""
_SAME = 2
"""Levels by which a profile may be off sRGB and still mean it: files say sRGB in many roundings."""
_SRGB_GAMMA = 1 / 2.2
_SRGB_CHROMATICITY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
"""PNG's ``cHRM`` of sRGB: x and y of white, red, green and blue."""
_CLOSE = 0.02


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture's header says of it (its alpha channel, too, where it has one)."""

    size: tuple[int, int]
    """Width and height, upright."""
    reading: frozenset[str]
    """See ``Probe.reading``: ``alpha``, ``icc``."""
    remark: str | None
    """What of it is not honoured."""


def look_at_picture(file: Path, limits: VideoLimits) -> Look:
    """Judge a picture without decoding it, unless it may be transparent.

    Raises:
        SourceError: it is damaged, unsupported, or over a limit.
    """
    with _opened(file, limits) as image:
        width, height = image.size
        # 5 to 8 lie on their side. Of TIFF, Pillow says the upright size already.
        if image.format != "TIFF" and _orientation(image) in (5, 6, 7, 8):
            width, height = height, width
        transform, remark = _to_srgb(image)
        reading = {"icc"} if transform is not None else set()
        reading |= {"alpha"} if _alpha(image) is not None else set()
        return Look((width, height), frozenset(reading), remark or _gamma_remark(image))


def read_picture(file: Path, limits: VideoLimits) -> Image.Image:
    """Decode a picture into upright, opaque sRGB, of mode RGB.

    Raises:
        SourceError: it is damaged, unsupported, or over a limit.
    """
    from PIL import Image, ImageCms, ImageOps

    with _opened(file, limits) as image:
        upright = ImageOps.exif_transpose(image)
        alpha = _alpha(upright)
        transform, _ = _to_srgb(upright)
        # By way of RGBA the colours under the alpha are kept.
        colours = upright.convert("RGBA") if upright.has_transparency_data else upright
        if transform is None:
            opaque = colours.convert("RGB")
        else:
            found = ImageCms.applyTransform(colours.convert(transform.input_mode), transform)
            assert found is not None  # it is one only of transforms in place
            opaque = found
        if alpha is not None:
            opaque.putalpha(alpha)
            opaque = Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque)
        return opaque.convert("RGB")


def read_mask_picture(file: Path, limits: VideoLimits) -> Image.Image:
    """Decode a picture of a mask: as ``read_picture``, but of a palette the indices count.

    Masks with a palette number their objects and give them colours of any brightness: each index
    but 0 becomes white, and 0 black.

    Raises:
        SourceError: it is damaged, unsupported, or over a limit; or it cannot be known which index
            of its palette is the background.
    """
    from PIL import Image, ImageOps

    with _opened(file, limits) as image:
        if image.mode in ("P", "PA"):
            upright = ImageOps.exif_transpose(image)
            _check_background(upright, file)
            marked = Image.frombytes("L", upright.size, upright.getchannel("P").tobytes())
            return marked.point(lambda index: 255 if index else 0).convert("RGB")
    return read_picture(file, limits)


def _check_background(image: Image.Image, file: Path) -> None:
    """Raise a SourceError where index 0 is not black, or another index in use is."""
    colours = image.getpalette("RGB") or []
    for index in set(image.getchannel("P").tobytes()):
        colour = colours[3 * index : 3 * index + 3]
        if any(colour) != bool(index):
            raise SourceError(
                f"{file.parent.name}/{file.name} has a palette whose index {index} is "
                f"{tuple(colour)}, but index 0 alone is black in a mask's: save it as grey, 0 and "
                "255"
            )


@contextlib.contextmanager
def _opened(file: Path, limits: VideoLimits) -> Iterator[Image.Image]:
    """Open a picture of a supported kind; name it in whatever goes wrong."""
    from PIL import Image

    name = f"{file.parent.name}/{file.name}"
    try:
        # Formats are named, or PIL would also try its parsers of PostScript, icons and the like.
        with Image.open(file, formats=_FORMATS) as image:
            pixels = image.width * image.height
            check_limit(name, "pixels", pixels, limits.frame_pixels, "scale the frames down")
            if image.mode not in _MODES:
                raise SourceError(
                    f"{name} has mode {image.mode}: save it with 8 bits a channel, as grey or RGB"
                )
            key = image.info.get("transparency")
            if isinstance(key, tuple) and max(key) > 255:  # noqa: PLR2004 - Pillow reads 8 bits
                raise SourceError(
                    f"{name} has a transparent colour of 16 bits ({key}): save it with 8 bits a "
                    "channel"
                )
            # Of a JPEG with several pictures (MPO) the others are previews, depths and the like.
            if image.format != "MPO" and getattr(image, "is_animated", False):
                raise SourceError(
                    f"{name} is a {image.format} of several pictures, but a frame is one: save "
                    "each as a file of its own"
                )
            yield image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SourceError(f"{name} is no readable image: {error}; save it again") from error


def _orientation(image: Image.Image) -> Any:
    from PIL import ExifTags, Image

    # The class's own: PNG's would decode the whole picture to look for it behind the pixels.
    exif = Image.Image.getexif(image)
    return exif.get(ExifTags.Base.Orientation)


def _alpha(image: Image.Image) -> Image.Image | None:
    """The alpha channel (mode L), unless every pixel is opaque."""
    if not image.has_transparency_data:
        return None
    alpha = image.convert("RGBA").getchannel("A")
    lowest, _ = alpha.getextrema()
    return alpha if lowest != 255 else None  # noqa: PLR2004 - opaque


def _to_srgb(image: Image.Image) -> tuple[ImageCmsTransform | None, str | None]:
    """What turns the picture's colours into sRGB, if they are other; why a profile is not used."""
    profile = image.info.get("icc_profile")
    if not profile:
        return None, None
    kind = "CMYK" if image.mode == "CMYK" else "L" if image.mode in _GREY else "RGB"
    return _transform(bytes(profile), kind)


@functools.lru_cache(maxsize=16)  # the frames of a folder mostly have one
def _transform(profile: bytes, kind: str) -> tuple[ImageCmsTransform | None, str | None]:
    """See ``_to_srgb``; ``kind`` is the mode of the picture's colours: L, RGB or CMYK."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        mode = _SPACES.get(space)
        # As in browsers: grey is also taken for RGB, and no other profile for what it is not of.
        if mode is None or (mode != kind and (mode, kind) != ("RGB", "L")):
            return None, f"an ICC profile for {space}, which does not fit it, is not applied"
        target = ImageCms.createProfile("sRGB")
        intent = ImageCms.Intent.PERCEPTUAL
        transform = ImageCms.buildTransform(source, target, mode, "RGB", intent)
        return (None if mode != "CMYK" and _keeps(transform) else transform), None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        return None, f"an ICC profile that cannot be read is not applied ({error})"


def _keeps(transform: ImageCmsTransform) -> bool:
    """Whether colours come out as they are but for rounding: the profile means sRGB."""
    import numpy as np
    from PIL import Image, ImageCms

    ramp = np.arange(0, 256, 15, dtype=np.uint8)  # 18 levels, the darkest and the brightest too
    if transform.input_mode == "L":
        colours = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
        image = Image.fromarray(np.ascontiguousarray(colours[:, :, 0]))
    else:
        cube = np.stack(np.meshgrid(ramp, ramp, ramp, indexing="ij"), axis=-1)
        colours = cube.reshape(1, -1, 3)
        image = Image.fromarray(colours)
    found: Any = ImageCms.applyTransform(image, transform)
    off = np.abs(np.asarray(found).astype(int) - colours.astype(int))
    return bool(off.max() <= _SAME)


def _gamma_remark(image: Image.Image) -> str | None:
    """Whether a PNG without a profile states (``gAMA``, ``cHRM``) that it is not quite sRGB."""
    info = image.info
    if "icc_profile" in info or "srgb" in info:
        return None
    gamma = float(info.get("gamma", _SRGB_GAMMA))
    primaries = info.get("chromaticity", _SRGB_CHROMATICITY)
    pairs = zip((gamma, *primaries), (_SRGB_GAMMA, *_SRGB_CHROMATICITY), strict=True)
    if all(abs(found - usual) <= _CLOSE for found, usual in pairs):
        return None
    return (
        f"PNG's gAMA and cHRM are not applied (gamma {gamma:.4g}): save it as sRGB, or with an ICC "
        "profile"
    )
