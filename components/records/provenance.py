"""Where a row came from: code, libraries, device, time."""

from __future__ import annotations

import datetime as dt
import functools
import importlib.metadata
import json
import time

from components.storage.tables import Row

CODE_VERSION = importlib.metadata.version("tune-a-video-at-scale")

_LIBRARIES = ("torch", "diffusers", "transformers", "open_clip_torch", "ray", "av", "pyarrow")


@functools.cache
def library_versions() -> str:
    """Versions of the libraries that results depend on, as JSON."""
    return json.dumps({name: importlib.metadata.version(name) for name in _LIBRARIES})


def provenance(*, config_hash: str, device: str, started: float) -> Row:
    """The provenance columns of a row.

    Args:
        config_hash: Content key of the configuration that the row was computed with.
        device: Torch device, or ``cpu`` for work that needs none.
        started: ``time.perf_counter()`` at the start of the item's work.
    """
    return {
        "config_hash": config_hash,
        "code_version": CODE_VERSION,
        "library_versions": library_versions(),
        "device": device,
        "seconds": time.perf_counter() - started,
        "created_at": dt.datetime.now(dt.UTC),
    }


def model_columns(base_model: str, base_revision: str, seed: int) -> Row:
    """The columns that name the base model and the run's seed."""
    return {"base_model": base_model, "base_revision": base_revision, "seed": seed}
