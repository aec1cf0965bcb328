"""What a run keeps beside its tables: what it was asked for, and with which models."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.config import RunConfig, narrowed, parse_run, to_document, variant_configs
from components.errors import UserError
from components.manifest.load import Manifest, from_document
from components.manifest.load import to_document as manifest_document
from components.records.models import model_config
from components.run.current import State
from components.run.view import Revisions
from components.storage.open import open_store
from components.storage.store import Store
from eval.protocols import reads_frames
from methods.registry import find_method
from tinyworld.shipped import shipped_model

RUN_FILE = "run.json"


def find_revisions(config: RunConfig, manifest: Manifest) -> dict[str, Revisions]:
    """Name the configured models exactly, by variant, those alone that the run asks for.

    BLIP-2 describes videos without a prompt; tinyworld's reader and CLIP judge under some protocols
    each; some methods use no base.

    Raises:
        UserError: a folder or hub model is not there.
    """
    from components.records.revisions import resolve_revision

    caption = ""
    if any(entry.prompt is None for entry in manifest.videos):
        caption = resolve_revision(config.caption.model, config.caption.revision)
    reads = {reads_frames(name) for name in config.score.protocols}
    score = resolve_revision(config.score.model, None) if False in reads else ""
    reader = resolve_revision(str(shipped_model("reader"))) if True in reads else ""
    found = {}
    for name, variant in variant_configs(config, parse_run).items():
        base, model = "", variant.model
        if find_method(variant.method).uses_base:
            base = resolve_revision(model.base, model.revision)
        schedule = _schedule(model.base, base) if base else ""
        found[name] = Revisions(
            base=base, schedule=schedule, caption=caption, score=score, reader=reader
        )
    return found


def _schedule(base: str, revision: str) -> str:
    """What ``Revisions.schedule`` says of a base; a schedule that cannot be used is told later."""
    from tav_model.errors import BaseModelError
    from tav_model.parts import read_config
    from tav_model.schedule import SCHEDULER_FILE, schedule_settings

    try:
        if Path(base).is_dir():
            file = read_config(Path(base, SCHEDULER_FILE))
        else:
            file = model_config("model.base", base, revision, SCHEDULER_FILE)
        return "set_alpha_to_one" if schedule_settings(file)["set_alpha_to_one"] else ""
    except BaseModelError:
        return ""


def save_run(
    store: Store, config: RunConfig, manifest: Manifest, revisions: Mapping[str, Revisions]
) -> bool:
    """Write what `tav status` and `tav export` need beside the tables; say whether it is new."""
    first = next(iter(revisions.values()))
    document = {
        "config": to_document(dataclasses.replace(config, only=())),
        "manifest": manifest_document(manifest),
        "revisions": _document(first),
    }
    if config.variants:
        document["variants"] = {name: _document(one) for name, one in revisions.items()}
    data = json.dumps(document, sort_keys=True).encode()  # indented it takes ten times as long
    if store.stat(RUN_FILE) is not None and store.read_bytes(RUN_FILE) == data:
        return False
    store.write_bytes(RUN_FILE, data)
    return True


def _document(revisions: Revisions) -> dict[str, Any]:
    document = to_document(revisions)
    if not revisions.schedule:
        del document["schedule"]  # as runs without it were written
    return document


def open_run(uri: str) -> Store:
    """Open the store of a run that is there.

    Raises:
        UserError: no run lies there.
    """
    store = open_store(uri)
    if store.stat(RUN_FILE) is None:
        raise UserError(f"{uri} holds no {RUN_FILE}: it is no run's root")
    return store


def load_run(uri: str, only: tuple[str, ...] = ()) -> State:
    """Read a run's own record of what it was asked for, and its tables.

    Args:
        uri: The run's root.
        only: Variants to look at; none is all.

    Raises:
        UserError: no run lies there, or it has no such variant.
    """
    store = open_run(uri)
    document = json.loads(store.read_bytes(RUN_FILE))
    config = narrowed(parse_run(document["config"], RUN_FILE), only)
    shared = document["revisions"]
    variants = document.get("variants") or {config.method: shared}
    revisions = {name: Revisions(**one) for name, one in variants.items()}
    return State(config, from_document(document["manifest"]), store, revisions)
