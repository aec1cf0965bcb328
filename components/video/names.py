"""Names that look the same and are not: Unicode has several forms of one text.

macOS writes é as two code points and most other programs as one. File systems and S3 keep what they
are given, so a manifest may name what a folder's listing seems to hold, and still miss it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from components.storage.address import Address

_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")


def missing(address: Address) -> str:
    """What to tell of a source that does not exist.

    Args:
        address: The source's.

    Raises:
        TransientError: S3 did not answer.
    """
    uri, location = address.uri, address.location
    other = _on_s3(location) if address.on_s3 else _local(location)
    if other is None:
        return f"{uri} does not exist: check the manifest's uri"
    return (
        f"{uri} does not exist, but a name that looks the same does: {other!a} in "
        f"place of {location!a}: write it in that Unicode form, or rename it"
    )


def _forms(text: str) -> Iterator[str]:
    """The text as it is and, where they differ, composed and decomposed."""
    yield from dict.fromkeys([text, *(unicodedata.normalize(form, text) for form in _FORMS)])


def _local(location: str) -> str | None:
    """The path in another form, which may be each folder's own."""
    if location.isascii():
        return None
    found = [Path()]
    for part in Path(location).parts:
        found = [path / form for path in found for form in _forms(part) if (path / form).exists()]
    return next(map(str, found), None)


def _on_s3(location: str) -> str | None:
    """The key in another form, of the whole or of its last part alone."""
    bucket, _, key = location.partition("/")
    folder, slash, name = key.rstrip("/").rpartition("/")
    forms = [*_forms(key), *(f"{folder}{slash}{form}" for form in _forms(name))]
    others = (form for form in dict.fromkeys(forms) if form.rstrip("/") != key.rstrip("/"))
    return next((f"{bucket}/{other}" for other in others if _is_there(bucket, other)), None)


def _is_there(bucket: str, key: str) -> bool:
    """Whether a key names an object or a folder of them."""
    from components.storage.s3 import list_objects, stat_object

    return stat_object(bucket, key) is not None or any(
        True for _ in list_objects(bucket, f"{key.rstrip('/')}/")
    )
