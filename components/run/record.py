"""What a run keeps beside its tables: what it was asked for, and with which models."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.config import RunConfig, narrowed, parse_run, to_document, variant_configs
from components.controls.maker import net_name
from components.errors import UserError
from components.manifest.load import Manifest, from_document
from components.manifest.load import to_document as manifest_document
from components.records.models import part_config
from components.records.revisions import Named
from components.run.controlled import models_asked
from components.run.current import State
from components.run.view import Revisions
from components.steps.methods import own_section
from components.steps.score import check_judge, judge_model
from components.storage.open import open_store
from components.storage.store import Store
from eval.judges import JUDGES
from eval.protocols.evidence import CLIP, READER
from eval.protocols.registry import judges_of
from methods.method import model_fields
from methods.registry import find_method
from tav_model.config import ModelConfig
from tinyworld.shipped import shipped_model

logger = logging.getLogger(__name__)

RUN_FILE = "run.json"


def find_revisions(config: RunConfig, manifest: Manifest) -> dict[str, Revisions]:
    """Name the configured models exactly, by variant, those alone that the run asks for.

    Of a run that is narrowed these are its variants' and those of others that share their bases.
    BLIP-2 describes videos without a prompt; tinyworld's reader and CLIP judge under some protocols
    each; some methods use no base.

    Raises:
        UserError: a folder or hub model is not there.
    """
    from components.records.revisions import exact_revision, resolve_revision

    caption = ""
    if any(entry.prompt is None for entry in manifest.videos):
        caption = resolve_revision(config.caption.model, config.caption.revision)
    judges = {judge for name in config.score.protocols for judge in judges_of(name)}
    score = resolve_revision(config.score.model, None) if CLIP in judges else ""
    reader = resolve_revision(str(shipped_model("reader"))) if READER in judges else ""
    named = {judge: _judge_revision(config, judge) for judge in sorted(judges & JUDGES.keys())}
    variants = variant_configs(config, parse_run)
    used = {name: used_models(variant) for name, variant in variants.items()}
    steering = {name: models_asked(one, manifest.videos) for name, one in variants.items()}
    asked = [{*used[name].values(), *steering[name].values()} for name in config.only or variants]
    known = {model: exact_revision(model) for models in asked for model in models}
    shared = Revisions(base="", caption=caption, score=score, reader=reader, judges=named)
    found = {}
    for name, models in used.items():
        if known.keys() >= {*models.values(), *steering[name].values()}:
            own = {setting: known[model] for setting, model in models.items()}
            base = own.pop(BASE, "")
            schedule = _schedule(variants[name].model, base) if base else ""
            controls = {one: known[model] for one, model in steering[name].items()}
            found[name] = replace(
                shared, base=base, schedule=schedule, models=own, controls=controls
            )
    return found


def _judge_revision(config: RunConfig, judge: str) -> str:
    """What a judge is exactly; that it can be used is told before edits are made for it."""
    from components.records.revisions import resolve_revision

    one = judge_model(config.score, judge)
    try:
        exact = resolve_revision(one.model, one.revision)
        check_judge(one.model)
    except UserError as error:
        raise UserError(f"score.judges.{judge}: {error}") from error
    return exact


BASE = "model.base"
"""What ``used_models`` calls the base."""


def used_models(variant: RunConfig) -> dict[str, Named]:
    """The models that a variant's method uses, as they are configured.

    By field of its section, and the base as ``model.base``.
    """
    kind = find_method(variant.method)
    own = own_section(kind, variant)
    found: dict[str, Named] = {
        name: (getattr(own, name), getattr(own, revision))
        for name, revision in model_fields(own).items()
    }
    if kind.uses_base:
        found[BASE] = variant.model.source()
    return found


_Used = frozenset[tuple[str, Named]]


def _named(variant: RunConfig) -> _Used:
    """The same, to find what is known of exactly these models."""
    nets = {f"control {net_name(n)}": (n.model, n.revision) for n in variant.control.nets}
    return frozenset((used_models(variant) | nets).items())


def _schedule(model: ModelConfig, revision: str) -> str:
    """What ``Revisions.schedule`` says of a base; a schedule that cannot be used is told later."""
    from tav_model.base import base_config
    from tav_model.errors import BaseModelError
    from tav_model.schedule import schedule_settings

    try:
        if Path(model.base).exists():
            file = base_config(model, "scheduler")
        else:
            file = part_config(model, revision, "scheduler")
        return "set_alpha_to_one" if schedule_settings(file)["set_alpha_to_one"] else ""
    except BaseModelError:
        return ""


def save_run(
    store: Store, config: RunConfig, manifest: Manifest, revisions: Mapping[str, Revisions]
) -> bool:
    """Write what `tav status` and `tav export` need beside the tables; say whether it is new.

    Args:
        store: The run's store.
        config: Of the run. That it is narrowed is not kept.
        manifest: What to edit.
        revisions: From ``find_revisions``. Those of a base that it did not look at, as the run is
            narrowed, stay as the record has them.
    """
    former = store.read_bytes(RUN_FILE) if store.stat(RUN_FILE) is not None else b""
    every = _with_former(config, revisions, former)
    document = {
        "config": to_document(replace(config, only=())),
        "manifest": manifest_document(manifest),
        "revisions": _document(next(iter(every.values()))),
    }
    if config.variants:
        document["variants"] = {name: _document(one) for name, one in every.items()}
    # Variants keep their order. Indented it takes ten times as long.
    data = json.dumps(document).encode()
    if former == data:
        return False
    store.write_bytes(RUN_FILE, data)
    return True


def _with_former(
    config: RunConfig, revisions: Mapping[str, Revisions], record: bytes
) -> dict[str, Revisions]:
    """Revisions, and of variants that have none those that an earlier record has."""
    if len(revisions) == len(config.variants or [config.method]):
        return dict(revisions)
    shared, known = next(iter(revisions.values())), _former_models(record)
    found = {}
    for name, variant in variant_configs(config, parse_run).items():
        one = revisions.get(name) or known.get(_named(variant))
        if one is not None:
            of_variant = ("base", "schedule", "models", "controls")
            found[name] = replace(shared, **{field: getattr(one, field) for field in of_variant})
    return found


def _former_models(record: bytes) -> dict[_Used, Revisions]:
    """What an earlier record says of models."""
    if not record:
        return {}
    document = json.loads(record)
    try:
        variants = variant_configs(parse_run(document["config"], RUN_FILE), parse_run)
        named = _revisions(document, variants)
        return {
            _named(variants[name]): one for name, one in named.items() if one.base or one.models
        }
    except UserError as error:
        logger.warning("of the run's former models nothing is known any more: %s", error)
        return {}


def _revisions(document: Mapping[str, Any], names: Iterable[str]) -> dict[str, Revisions]:
    """Of each variant, as a record has them; without a base where no run has looked at it yet."""
    shared = Revisions(**document["revisions"])
    found = {name: Revisions(**one) for name, one in document.get("variants", {}).items()}
    usual = shared
    if "variants" in document:
        usual = replace(shared, base="", schedule="", models={}, controls={})
    return {name: found.get(name, usual) for name in names}


def _document(revisions: Revisions) -> dict[str, Any]:
    document = to_document(revisions)
    for name in ("judges", "schedule", "models", "controls"):
        if not document[name]:
            del document[name]  # as runs without it were written
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


def load_run(uri: str, only: Collection[str] = ()) -> State:
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
    revisions = _revisions(document, tuple(config.variants) or (config.method,))
    return State(config, from_document(document["manifest"]), store, revisions)
