"""Content keys: what a row is computed from, as a short hash.

Equal inputs give equal keys on any machine, so a rerun computes what changed and nothing else.
Parts are hashed as canonical JSON (sorted keys, no spaces, UTF-8), never as concatenated strings,
so that no two different inputs share an encoding.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

KEY_LENGTH = 32
"""Hex digits kept of a SHA-256: 128 bits."""

NUMERICS_VERSION = 2
"""Raised whenever the code changes what tuning, inversion or sampling compute from equal inputs."""


def content_key(**parts: Any) -> str:
    """Hash named parts into a key of ``KEY_LENGTH`` hex digits.

    Args:
        **parts: JSON values and dataclasses. Of a dataclass, fields whose metadata holds
            ``{"key": False}`` are left out: they cannot change the result. Fields with ``{"key":
            "unless default"}`` are left out at their default, so that they may be added later.

    Raises:
        TypeError: if a part is neither JSON nor a dataclass.
        ValueError: if a float is not finite.
    """
    return KeyMaker()(**parts)


class KeyMaker:
    """Makes many keys that share parts: those are encoded once."""

    def __init__(self, **shared: Any) -> None:
        """Encode the shared parts; see ``content_key``."""
        self._shared = {name: _encode(value) for name, value in shared.items()}
        self._layouts: dict[tuple[str, ...], tuple[list[str], str]] = {}

    def __call__(self, **parts: Any) -> str:
        """What ``content_key`` gives for these parts and the shared ones."""
        names = tuple(parts)
        if (layout := self._layouts.get(names)) is None:
            layout = self._layouts[names] = self._layout(names)
        order, text = layout
        canonical = text % tuple([_encode(parts[name]) for name in order])
        digest = hashlib.sha256(canonical.encode("utf-8", errors="surrogatepass"))
        return digest.hexdigest()[:KEY_LENGTH]

    def _layout(self, names: tuple[str, ...]) -> tuple[list[str], str]:
        """The canonical JSON with a ``%s`` for each part that is not shared, and their order."""
        pairs = []
        for name in sorted({*self._shared, *names}):
            text = "%s" if name in names else self._shared[name].replace("%", "%%")
            pairs.append(f"{_ENCODER.encode(name).replace('%', '%%')}:{text}")
        return sorted(names), "{" + ",".join(pairs) + "}"


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def _encode(value: Any) -> str:
    """Canonical JSON."""
    return _ENCODER.encode(value if isinstance(value, str) else _plain(value))


def item_seed(seed: int, key: str) -> int:
    """Derive an item's seed (63 bits) from the run's seed and the item's key.

    The order of work and the number of workers therefore never change a result.
    """
    return int(hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()[:16], 16) >> 1


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: _plain(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if _counts(f, getattr(value, f.name))
        }
    if isinstance(value, dict):
        if wrong := [name for name in value if not isinstance(name, str)]:
            raise TypeError(f"a key's part maps from {wrong[0]!r}, but JSON maps from text only")
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _counts(field: dataclasses.Field[Any], value: Any) -> bool:
    """Whether a field of this value is part of a key."""
    rule = field.metadata.get("key", True)
    if rule != "unless default":
        return bool(rule)
    if field.default_factory is not dataclasses.MISSING:
        return bool(value != field.default_factory())
    return bool(value != field.default)
