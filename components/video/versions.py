"""The versions of many sources: from listings where they lie together on S3, else one by one."""

from __future__ import annotations

import bisect
import itertools
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.config import VideoLimits
from components.errors import DeniedError, ItemError, RefusedError, UserError
from components.storage.address import parse_uri
from components.video.sources import SourceInfo, listed_source, stat_source

if TYPE_CHECKING:
    from components.storage.store import ObjectInfo

logger = logging.getLogger(__name__)

Answer = SourceInfo | ItemError
_THREADS = 16
_CHUNK = 50
LEAST = 20
"""Sources of one bucket from which on its listing is asked."""
_STRETCH = 5000
"""Sources, in order of their keys, whose listing one thread follows."""
_DENSE = 10
"""Sources on a page of 1,000 below which each is asked for by itself: a page is the dearer one."""


def stat_sources(uris: Sequence[str], limits: VideoLimits) -> list[Answer]:
    """``stat_source`` for many, several at a time; what it raises of one is returned.

    An address that is given twice is asked for once.

    Raises:
        RefusedError: S3 refuses the account or a bucket, or all the sources in one.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        known: dict[str, Answer] = {}
        for found in threads.map(lambda stretch: stretch.ask(limits), _stretches(uris)):
            known |= found
        left = [uri for uri in dict.fromkeys(uris) if uri not in known]
        # Many at once: handing one to a thread costs more than asking a local file system.
        chunks = [left[first : first + _CHUNK] for first in range(0, len(left), _CHUNK)]
        for found in threads.map(lambda some: {uri: _ask(uri, limits) for uri in some}, chunks):
            known |= found
    answers = [known[uri] for uri in uris]
    _check_denied(uris, answers)
    return answers


def _ask(uri: str, limits: VideoLimits) -> Answer:
    try:
        return stat_source(uri, limits)
    except ItemError as error:
        return error


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Sources that follow one another in a bucket's order."""

    bucket: str
    prefix: str
    """The folder that they have in common."""
    keys: list[str]
    uris: dict[str, str]
    """By key, of all sources of the bucket."""

    def ask(self, limits: VideoLimits) -> dict[str, Answer]:
        """The sources that a listing shows; what it does not show is to be asked for by itself.

        Each request begins at the next source, so there are never more than sources. Nothing is
        concluded from what a page lacks: a folder of frames has no object of its own, and not
        every store lists in order.
        """
        # To list is another right than to read: one is asked for as if there were no listing.
        first = self.uris[self.keys[0]]
        found = {first: _ask(first, limits)}
        if isinstance(getattr(found[first], "__cause__", None), DeniedError):
            return found
        try:
            for info in self._list():
                if uri := self.uris.get(info.path):
                    found[uri] = _listed(uri, info, limits)
        except RefusedError:
            raise
        except (UserError, ItemError, FileNotFoundError) as error:
            logger.info(
                "s3://%s/%s cannot be listed, so each source is asked for by itself: %s",
                *(self.bucket, self.prefix, error),
            )
        return found

    def _list(self) -> Iterator[ObjectInfo]:
        from components.storage.s3 import list_page

        order, at, end = [_place(key) for key in self.keys], 1, ""  # the first is known
        while at < len(order):
            # All but its last character sorts before a key, and little lies between.
            after = max(self.keys[at][:-1], end, key=_place)
            page, end = list_page(self.bucket, self.prefix, after)
            yield from page
            former, at = at, bisect.bisect_right(order, _place(end)) if end else len(order)
            if sum(info.path in self.uris for info in page) < _DENSE or at <= former:
                return


def _stretches(uris: Sequence[str]) -> Iterator[_Stretch]:
    buckets: dict[str, dict[str, str]] = {}
    for uri in uris:
        if uri[:5].lower() != "s3://":
            continue
        try:
            address = parse_uri(uri)
        except UserError:
            continue  # told when it is asked for by itself
        if (key := address.key) and not key.endswith("/"):
            buckets.setdefault(address.bucket, {}).setdefault(key, uri)
    for bucket, found in buckets.items():
        if len(found) < LEAST:
            continue
        keys = sorted(found, key=_place)
        prefix = _common_folder(keys[0], keys[-1])  # of texts in order they differ most
        for first in range(0, len(keys), _STRETCH):
            yield _Stretch(bucket, prefix, keys[first : first + _STRETCH], found)


def _common_folder(one: str, other: str) -> str:
    """The longest prefix of two keys that ends in a slash."""
    same = sum(
        1
        for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    )
    return one[: one.rfind("/", 0, same) + 1]


def _place(key: str) -> bytes:
    """S3 lists in order of UTF-8 bytes."""
    return key.encode("utf-8", errors="surrogatepass")


def _listed(uri: str, info: ObjectInfo, limits: VideoLimits) -> Answer:
    try:
        return listed_source(uri, info, limits)
    except ItemError as error:
        return error


def _check_denied(uris: Sequence[str], answers: Sequence[Answer]) -> None:
    """Stop where a bucket's sources are all denied: that is about the keys, not about one object.

    A source that is alone in its bucket is an object's own case if the bucket can be listed.
    """
    denied: dict[str, list[ItemError]] = {}
    readable: set[str] = set()
    for uri, answer in zip(uris, answers, strict=True):
        bucket = uri.partition("://")[2].partition("/")[0]
        if isinstance(answer, SourceInfo):
            readable.add(bucket)
        elif isinstance(answer.__cause__, DeniedError):
            denied.setdefault(bucket, []).append(answer)
    for bucket in denied.keys() - readable:
        first, *others = denied[bucket]
        if others or not _can_list(bucket):
            raise RefusedError(f"none of the sources in s3://{bucket} can be read: {first}")


def _can_list(bucket: str) -> bool:
    from components.storage.s3 import list_objects

    try:
        next(list_objects(bucket, ""), None)
    except DeniedError:
        return False
    return True
