"""Decoded frames' colours as opaque RGB of standard range: BT.709's primaries, on white.

What is tagged counts. Where nothing is, a frame at least 1280 pixels wide or more than 576 high is
taken for BT.709 and any other for BT.601, as mpv does. HDR is reduced to standard range: linear up
to three quarters of the reference white of 203 nits (ITU-R BT.2408), above by the Möbius curve of
mpv and FFmpeg's ``tonemap``, on the largest of red, green and blue, so that hues stay.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from components.errors import SourceError

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    """(H, W, 3), uint8, RGB."""

HD_WIDTH, HD_HEIGHT = 1280, 577
"""A frame of either size and without a tag is BT.709."""
BACKGROUND = 255
"""Level of red, green and blue that shows through transparent pixels, as on a page: white."""
REFERENCE_WHITE = 203.0
"""Nits of HDR's diffuse white (ITU-R BT.2408), which is shown as 240 of 255."""
KNEE = 0.75
"""Share of the reference white up to which HDR is linear."""

# Numbers of matrices, transfer curves and primaries are ITU-T H.273's, as FFmpeg's are.
_RESERVED = 3
_UNTAGGED = {0, 2, _RESERVED}
"""Of matrices: RGB, which frames of luma and chroma cannot have, unspecified and reserved."""
_MATRICES = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "SMPTE170M", 7: "SMPTE240M", 9: "BT2020"}
_FOREIGN_MATRICES = {
    8: "YCgCo",
    10: "BT.2020 with constant luminance",
    11: "SMPTE ST 2085",
    12: "derived from chromaticities",
    13: "derived from chromaticities with constant luminance",
    14: "ICtCp",
    15: "IPT-C2, as in Dolby Vision of profile 5",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_FOREIGN_CURVES = {8: "linear", 9: "logarithmic", 10: "logarithmic", 17: "digital cinema"}
_PQ, _HLG = 16, 18
_PEAKS = {_PQ: 10_000.0, _HLG: 1000.0}
"""Nits of the brightest signal: of PQ by its definition, of HLG on the nominal display."""
_D65 = (0.3127, 0.3290)
_BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_UNSPECIFIED, _IS_BT2020 = 2, 9
_WIDE = {_IS_BT2020: _BT2020, 11: _P3, 12: _P3}
"""Chromaticities of red, green and blue. All others are near BT.709's, and taken for them."""
_BT2020_LUMA = (0.2627, 0.6780, 0.0593)
_LIMITED = 1
_FORMATS = {
    (False, False): "rgb24",
    (False, True): "rgba",
    (True, False): "gbrp16le",
    (True, True): "gbrap16le",
}
"""By whether there is more to a frame than 8 bits hold, and alpha. Planes, since swscale mixes up
the chroma of rgb48le with these flags."""
_PACKED = {
    "rgba": [0, 1, 2, 3],
    "bgra": [2, 1, 0, 3],
    "argb": [1, 2, 3, 0],
    "abgr": [3, 2, 1, 0],
}
"""Where red, green, blue and alpha are in the four bytes of a pixel."""
_STRIP_PIXELS = 1 << 20


def check_colours(image: av.VideoFrame, name: str) -> None:
    """Raise a SourceError that names colours which cannot be converted."""
    foreign = "" if _is_rgb(image) else _FOREIGN_MATRICES.get(image.colorspace, "")
    curve = _FOREIGN_CURVES.get(image.color_trc, "")
    if foreign or curve:
        what = (
            f"matrix {image.colorspace}, {foreign}"
            if foreign
            else f"transfer curve {image.color_trc}, {curve}"
        )
        raise SourceError(
            f"{name} has colours of the {what}, which cannot be converted: re-encode it as BT.709"
        )


def source_matrix(image: av.VideoFrame) -> str:
    """The matrix from luma and chroma to RGB, as swscale calls it."""
    if image.colorspace not in _UNTAGGED:
        return _MATRICES[image.colorspace]
    if _is_hdr(image) or image.color_primaries == _IS_BT2020:
        return "BT2020"
    return "ITU709" if image.width >= HD_WIDTH or image.height >= HD_HEIGHT else "ITU601"


def matrix_to_tell(image: av.VideoFrame) -> str | None:
    """The matrix, where swscale would take another or none."""
    return source_matrix(image) if untagged_hd(image) or image.colorspace == _RESERVED else None


def untagged_hd(image: av.VideoFrame) -> bool:
    """Whether a frame's matrix is not version 1's, which took BT.601 for all untagged frames."""
    coloured = not _is_rgb(image) and len(image.format.components) > 2  # noqa: PLR2004
    return coloured and image.colorspace in _UNTAGGED and source_matrix(image) != "ITU601"


def wide(image: av.VideoFrame) -> str:
    """What there is to reduce to BT.709's range and primaries: ``hdr``, ``gamut``, or nothing."""
    if _is_hdr(image):
        return "hdr"
    return "gamut" if image.color_primaries in _WIDE else ""


def has_alpha(image: av.VideoFrame) -> bool:
    """Whether a frame's format can hold transparent pixels."""
    pixel_format = image.format
    return pixel_format.has_palette or any(part.is_alpha for part in pixel_format.components)


def shows_through(image: av.VideoFrame) -> bool:
    """Whether a frame looks another way on the background than with its alpha left out."""
    if not has_alpha(image):
        return False
    order = _PACKED.get(image.format.name)
    rgba = _lines(image) if order else None  # where it lies: GIFs may be large
    if rgba is None or order is None:
        rgba, order = _converted(image, "rgba"), _PACKED["rgba"]
    rows = max(1, _STRIP_PIXELS // image.width)
    for first in range(0, image.height, rows):
        strip = rgba[first : first + rows].reshape(-1, 4)
        transparent = strip[strip[:, order[3]] < 255]  # noqa: PLR2004
        if (transparent[:, order[:3]] != BACKGROUND).any():
            return True
    return False


def limited_grey(image: av.VideoFrame) -> bool:
    """Whether a frame without chroma has levels of 16 to 235: swscale takes all for 0 to 255."""
    few = len(image.format.components) <= 2  # noqa: PLR2004 - luma, and perhaps alpha
    return few and not _is_rgb(image) and image.color_range == _LIMITED


def opaque_sdr(image: av.VideoFrame, size: tuple[int, int] | None = None) -> Pixels:
    """A frame as opaque RGB of standard range.

    Args:
        image: The frame.
        size: Width and height to scale it to, as signals; none for its own. Transparent frames
            want none: what their pixels hide would mix with what they show.

    Returns:
        (H, W, 3), uint8, RGB.
    """
    import numpy as np

    deep, alpha = bool(wide(image)), has_alpha(image)
    pixels = _converted(image, _FORMATS[deep, alpha], size)
    colours = pixels[..., :3]
    if limited_grey(image):
        most = np.iinfo(pixels.dtype).max
        stretched = (colours.astype(np.float32) / most * 255 - 16) / (235 - 16)
        colours = np.rint(np.clip(stretched, 0, 1) * most).astype(pixels.dtype)
    if deep:
        colours = _reduced(colours, image.color_trc, image.color_primaries)
    opaque: Pixels = over_background(colours, pixels[..., 3]) if alpha else colours
    return opaque


def over_background(colours: Any, alpha: Any) -> Pixels:
    """Lay straight, unassociated colours (H, W, 3) with an alpha (H, W) on the background."""
    import numpy as np

    most = np.iinfo(alpha.dtype).max
    part = (alpha.astype(np.float32) / most)[..., None]
    opaque: Pixels = np.rint(colours * part + BACKGROUND * (1 - part)).astype(np.uint8)
    return opaque


def _lines(image: av.VideoFrame) -> Any:
    """The rows of a frame of 32 bits a pixel where they lie; none where they are upside down."""
    import numpy as np

    plane = image.planes[0]
    if plane.line_size < 4 * image.width:
        return None
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
    return rows[: image.height, : 4 * image.width]


def _is_rgb(image: av.VideoFrame) -> bool:
    return image.format.is_rgb or image.format.has_palette


def _is_hdr(image: av.VideoFrame) -> bool:
    return image.color_trc in _PEAKS


def _converted(image: av.VideoFrame, pixel_format: str, size: tuple[int, int] | None = None) -> Any:
    from av.video.reformatter import Interpolation

    exact = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    width, height = size or (image.width, image.height)
    return image.reformat(
        width=width,
        height=height,
        format=pixel_format,
        src_colorspace=None if _is_rgb(image) else source_matrix(image),
        interpolation=exact,
        threads=1,
    ).to_ndarray()


def _reduced(pixels: Any, curve: int, primaries: int) -> Pixels:
    """Reduce (H, W, 3) uint16 to BT.709's primaries and range."""
    import numpy as np

    hdr = curve in _PEAKS
    given = _WIDE.get(primaries, _BT709)
    if hdr and primaries == _UNSPECIFIED:
        given = _BT2020
    to_bt709 = (np.linalg.inv(_to_xyz(_BT709)) @ _to_xyz(given)).T.astype(np.float32)
    decoded, encoded = _decoding(curve), _srgb_encoding()
    out = np.empty(pixels.shape, np.uint8)
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for first in range(0, len(pixels), rows):
        light = decoded[pixels[first : first + rows]]
        if curve == _HLG:
            luma = light @ np.array(_BT2020_LUMA, np.float32)
            light *= (_PEAKS[curve] / REFERENCE_WHITE * luma**0.2)[..., None]
        light = np.maximum(light @ to_bt709, 0)
        if hdr:
            brightest = np.maximum(light.max(axis=-1, keepdims=True), KNEE)
            light *= _rolled_off(brightest, _PEAKS[curve] / REFERENCE_WHITE) / brightest
        out[first : first + rows] = encoded[np.rint(np.minimum(light, 1) * 65535).astype(np.int32)]
    return out


def _rolled_off(light: Any, peak: float) -> Any:
    """The Möbius curve: of slope 1 at the knee, and 1 at the peak; both in reference whites."""
    a = -KNEE * KNEE * (peak - 1) / (KNEE * KNEE - 2 * KNEE + peak)
    b = (KNEE * KNEE - 2 * KNEE * peak + peak) / (peak - 1)
    return (b * b + 2 * b * KNEE + KNEE * KNEE) / (b - a) * (light + a) / (light + b)


@functools.cache
def _decoding(curve: int) -> Any:
    """Light of each 16-bit level: in reference whites, of HLG before the display's own curve."""
    import numpy as np

    level = np.arange(65536) / 65535
    if curve == _PQ:  # ITU-R BT.2100, table 4
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = level ** (1 / m2)
        light = (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
        light *= _PEAKS[_PQ] / REFERENCE_WHITE
    elif curve == _HLG:  # table 5
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(level <= 1 / 2, level**2 / 3, (np.exp((level - c) / a) + b) / 12)
    else:  # IEC 61966-2-1, and its inverse afterwards, so that greys stay
        light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004
    return light.astype(np.float32)


@functools.cache
def _srgb_encoding() -> Any:
    """The 8-bit level of each of 65536 lights (IEC 61966-2-1)."""
    import numpy as np

    light = np.arange(65536) / 65535
    level = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)  # noqa: PLR2004
    return np.rint(level * 255).astype(np.uint8)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> Any:
    """The matrix from linear RGB with a white of D65 to XYZ."""
    import numpy as np

    def xyz(x: float, y: float) -> Any:
        return np.array([x / y, 1, (1 - x - y) / y])

    columns = np.stack([xyz(*chromaticity) for chromaticity in primaries], axis=1)
    return columns * np.linalg.solve(columns, xyz(*_D65))
