"""Loads a run's configuration: a YAML file and ``key=value`` overrides, or a document."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from components.config.control import shipped_nets
from components.config.document import parse, read_document
from components.config.profiles import with_profiles
from components.config.settings import RunConfig
from components.config.variants import narrowed, variant_configs, whole_variants
from components.errors import UserError
from methods.registry import UnknownMethodError, find_method, method_names
from tav_model.config import ModelConfig
from tinyworld import shipped


def load_run_config(
    path: Path, overrides: tuple[str, ...] = (), variants: Collection[str] = ()
) -> RunConfig:
    """Read a run's YAML and apply overrides such as ``tune.steps=20``.

    Args:
        path: The file.
        overrides: ``key=value``, in order.
        variants: To narrow the configuration to; none leaves it as it says itself.

    Raises:
        UserError: the file is missing or no mapping, or any key or value is wrong; all problems
            are listed at once, each with the key's path, the value and the remedy.
    """
    config = run_config(read_document(path, overrides), str(path))
    return narrowed(config, variants) if variants else config


def run_config(document: Any, where: str) -> RunConfig:
    """Validate a document, such as a job carries, and resolve its names on this machine.

    Local paths become absolute, as a worker's working folder is not the user's, and ``tinyworld``
    becomes the folder of its models here. Every variant is resolved and checked.

    Args:
        document: What ``to_document`` gives, or a part of it.
        where: Names the document in messages.

    Raises:
        UserError: any key or value is wrong; all problems are listed at once.
    """
    config = _with_absolute_paths(parse_run(document, where))
    variants = whole_variants(config.variants, variant_configs(config, run_config))
    return narrowed(dataclasses.replace(config, variants=variants), config.only)


def parse_run(document: Any, where: str) -> RunConfig:
    """Validate a document and resolve nothing, as of a run of another machine.

    Raises:
        UserError: any key or value is wrong.
    """
    if not isinstance(document, dict):
        return parse(RunConfig, document, where)
    document = with_profiles(document, where)
    names = [name for name in method_names() if name not in _FIELDS]
    plain = {key: value for key, value in document.items() if key not in names}
    if "own" in plain:
        raise UserError(f"{where}: unknown key 'own': a method's section stands by its own name")
    config = parse(RunConfig, plain, where, known=[*names, "profile"])
    try:
        usual = find_method(config.method).Config
        own: dict[str, Any] = {
            name: parse(find_method(name).Config, document[name] or {}, f"{where}: {name}")
            for name in names
            if name in document
        }
    except UnknownMethodError as error:
        raise UserError(f"{where}: {error}") from error
    if config.method not in own and not config.variants:  # each variant looks to its own
        parse(usual, {}, f"{where}: {config.method}")  # something may have no default
    return dataclasses.replace(config, own=own)


_FIELDS = {field.name for field in dataclasses.fields(RunConfig)}


def _with_absolute_paths(config: RunConfig) -> RunConfig:
    from methods.method import model_fields  # with NumPy, which names need not wait for

    def whole(name: str) -> str:
        local = "://" not in name and not name.startswith(("local-dir:", "hf-hub:"))
        return str(Path(name).expanduser().absolute()) if local else name

    def model(name: str, part: Literal["base", "blip2", "clip"] | None) -> str:
        if part and name == shipped.NAME:
            return str(shipped.shipped_model(part))
        return folder(name)

    def folder(name: str) -> str:
        # What is neither folder nor file here is a hub id.
        return whole(name) if Path(name).expanduser().exists() else name

    def base(model_: ModelConfig) -> ModelConfig:
        return dataclasses.replace(
            model_,
            base=model(model_.base, "base"),
            config=model_.config and folder(model_.config),
            vae=model_.vae and folder(model_.vae),
            loras=tuple(dataclasses.replace(one, path=whole(one.path)) for one in model_.loras),
        )

    def section(own: Any) -> Any:
        """A method's section: its fields say which of them are addresses, and which models."""
        names = [f.name for f in dataclasses.fields(own) if f.metadata.get("address")]
        paths = {name: whole(getattr(own, name)) for name in names}
        parts = {f.name: f.metadata.get("shipped") for f in dataclasses.fields(own)}
        models = {name: model(getattr(own, name), parts[name]) for name in model_fields(own)}
        return dataclasses.replace(own, **paths, **models)

    python = config.caption.lavis_python
    return dataclasses.replace(
        config,
        run=whole(config.run),
        manifest=whole(config.manifest),
        manifest_root=config.manifest_root and whole(config.manifest_root),
        model=base(config.model),
        own={name: section(own) for name, own in config.own.items()},
        caption=dataclasses.replace(
            config.caption,
            model=model(config.caption.model, "blip2"),
            lavis_python=python and whole(python),
        ),
        control=dataclasses.replace(
            config.control,
            nets=tuple(
                dataclasses.replace(net, model=folder(net.model))
                for net in shipped_nets(config.control.nets)
            ),
            depth=dataclasses.replace(
                config.control.depth, model=folder(config.control.depth.model)
            ),
            mask=dataclasses.replace(config.control.mask, model=folder(config.control.mask.model)),
            pose=dataclasses.replace(
                config.control.pose,
                detector=config.control.pose.detector and whole(config.control.pose.detector),
                estimator=config.control.pose.estimator and whole(config.control.pose.estimator),
            ),
        ),
        score=dataclasses.replace(
            config.score,
            model=model(config.score.model, "clip"),
            judges={
                name: dataclasses.replace(one, model=folder(one.model))
                for name, one in config.score.judges.items()
            },
        ),
    )
