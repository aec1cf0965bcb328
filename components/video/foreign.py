"""Says what a file is that is no video: a web page, an archive, a picture, sound."""

from __future__ import annotations

import re

_AGAIN = "download it again"
_CONVERT = "convert it to mp4"
_UNPACK = "unpack it and name the videos in it"
_PICTURE = "put the pictures of one clip into a folder and name the folder"
_SOUND = "name a file with a video stream"

_BYTES = (
    # (offset, bytes, what they begin, remedy); no text, which is looked at as a whole
    (0, b"PK\x03\x04", "a ZIP archive", _UNPACK),
    (0, b"PK\x05\x06", "an empty ZIP archive", _AGAIN),
    (0, b"\x1f\x8b", "gzip data", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard data", _UNPACK),
    (0, b"\xfd7zXZ\0", "xz data", _UNPACK),
    (0, b"BZh", "bzip2 data", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"%PDF-", "a PDF document", _AGAIN),
    (0, b"\xff\xd8\xff", "a JPEG picture", _PICTURE),
    (0, b"\x89PNG\r\n\x1a\n", "a single PNG picture", _PICTURE),
    (8, b"WEBP", "a single WebP picture", _PICTURE),
    (0, b"BM", "a BMP picture", _PICTURE),
    (0, b"II*\0", "a TIFF picture", _PICTURE),
    (0, b"MM\0*", "a TIFF picture", _PICTURE),
    (0, b"8BPS", "a Photoshop picture", _PICTURE),
    (0, b"\xff\x0a", "a JPEG XL picture", _PICTURE),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture", _PICTURE),
    *(
        (8, brand, "a HEIF, AVIF or camera's raw picture", _PICTURE)
        for brand in (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"crx ")
    ),
    (8, b"WAVE", "WAV sound", _SOUND),
    (0, b"ID3", "MP3 sound", _SOUND),
    (0, b"\xff\xfb", "MP3 sound", _SOUND),
    (0, b"\xff\xf1", "AAC sound", _SOUND),
    (0, b"fLaC", "FLAC sound", _SOUND),
    (0, b".RMF", "RealMedia", _CONVERT),
    (0, b"\x06\x0e\x2b\x34", "MXF", _CONVERT),
    (0, b"DKIF", "IVF", _CONVERT),
    (0, b"nut/multimedia container", "NUT", _CONVERT),
    (0, b"FWS", "a Flash film", _CONVERT),
    (0, b"CWS", "a Flash film", _CONVERT),
    (0, b"\x8aMNG", "MNG", _CONVERT),
    (8, b"CDXA", "a Video CD's track", _CONVERT),
    (0, b"\0\0\x01\xb3", "a bare MPEG video stream without a container", _CONVERT),
    (0, b"\0\0\0\x01", "a bare H.264 or HEVC stream without a container", _CONVERT),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", "write its frames as a video"),
    (0, b"\x93NUMPY", "a NumPy array", "write its frames as a video"),
    (0, b"\x80\x04\x95", "a Python pickle, which is never read", "write its frames as a video"),
    (0, b"PAR1", "a Parquet file", "write its videos to files"),
    (0, b"SQLite format 3\0", "an SQLite database", "write its videos to files"),
    (0, b"\x7fELF", "a program", "name a video"),
    (0, b"MZ", "a program", "name a video"),
)
_TEXTS = (
    # (pattern at the beginning, what such a text is, remedy)
    (r"version https://git-lfs\.github\.com/spec/", "a Git LFS pointer", "run git lfs pull"),
    (r"#EXTM3U|\[playlist\]|ffconcat version|<asx|<smil|<\?wpl|\[Reference\]", "a playlist", ""),
    (r"(<\?xml[^>]*>\s*)?<MPD\b", "a playlist (DASH)", ""),
    (r"v=0\r?\no=", "a session description (SDP)", ""),
    (r"\[InternetShortcut\]", "a link to a web page", ""),
    (r"(<!--.*?-->\s*)?<(!doctype html|html|head|body)", "a web page (HTML)", _AGAIN),
    (r"<\?xml|<[a-z]+[ >]", "XML", _AGAIN),
    (r"[{\[]", "JSON", _AGAIN),
    (r"WEBVTT|1\r?\n\d\d:\d\d:\d\d[,.]", "subtitles", "name the video beside it"),
)
_VIDEO = "name the video file itself"
_ERROR_CODE = re.compile(r"<Code>(\w{1,40})</Code>")
_TEXT_BYTES = 4096


def foreign_content(head: bytes) -> tuple[str, str] | None:
    """What a file is that begins with these bytes, and what to do; none if that is not known.

    Args:
        head: The first bytes of a file; all of it, if it is short.
    """
    if not head:
        return "empty (0 bytes)", _AGAIN
    if not head.strip(b"\0"):
        return f"nothing but zeros in its first {len(head)} bytes", _AGAIN
    if text := foreign_text(head):
        return text
    for offset, magic, what, remedy in _BYTES:
        if head.startswith(magic, offset):
            return what, remedy
    return None


def foreign_text(head: bytes) -> tuple[str, str] | None:
    """As ``foreign_content``, of text alone."""
    head = head[:_TEXT_BYTES]
    encoding = "utf-16" if head[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8"
    text = head.decode(encoding, errors="replace").lstrip("\ufeff \t\r\n")
    readable = sum(character.isprintable() or character.isspace() for character in text)
    if not text or "\0" in text or "\ufffd" in text[:-1] or readable < len(text):
        return None
    for pattern, what, remedy in _TEXTS:
        if re.match(pattern, text, re.IGNORECASE | re.DOTALL):
            code = _ERROR_CODE.search(text) if what == "XML" else None
            kind = f"a store's error message ({code[1]})" if code else what
            return f"{kind}, which is text", remedy or _VIDEO
    return "text", _VIDEO
