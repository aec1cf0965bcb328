"""Loads a run's configuration: a YAML file and ``key=value`` overrides, or a document."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

from components.config.document import parse, read_document
from components.config.settings import RunConfig
from tinyworld import shipped


def load_run_config(path: Path, overrides: tuple[str, ...] = ()) -> RunConfig:
    """Read a run's YAML and apply overrides such as ``tune.steps=20``.

    Raises:
        UserError: the file is missing or no mapping, or any key or value is wrong; all problems
            are listed at once, each with the key's path, the value and the remedy.
    """
    return run_config(read_document(path, overrides), str(path))


def run_config(document: Any, where: str) -> RunConfig:
    """Validate a document, such as a job carries, and resolve its names on this machine.

    Local paths become absolute, as a worker's working folder is not the user's, and ``tinyworld``
    becomes the folder of its models here.

    Args:
        document: What ``to_document`` gives, or a part of it.
        where: Names the document in messages.

    Raises:
        UserError: any key or value is wrong; all problems are listed at once.
    """
    return _with_absolute_paths(parse(RunConfig, document, where))


def _with_absolute_paths(config: RunConfig) -> RunConfig:
    def whole(name: str) -> str:
        local = "://" not in name and not name.startswith(("local-dir:", "hf-hub:"))
        return str(Path(name).expanduser().absolute()) if local else name

    def model(name: str, part: Literal["base", "blip2", "clip"]) -> str:
        if name == shipped.NAME:
            return str(shipped.shipped_model(part))
        # What is no folder here is a hub id.
        return whole(name) if Path(name).expanduser().is_dir() else name

    python = config.caption.lavis_python
    return dataclasses.replace(
        config,
        run=whole(config.run),
        manifest=whole(config.manifest),
        model=dataclasses.replace(config.model, base=model(config.model.base, "base")),
        caption=dataclasses.replace(
            config.caption,
            model=model(config.caption.model, "blip2"),
            lavis_python=python and whole(python),
        ),
        score=dataclasses.replace(config.score, model=model(config.score.model, "clip")),
    )
