"""Configurations and manifests of the integration tests' runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from components.config import RunConfig, parse


def run_config(document: dict[str, Any]) -> RunConfig:
    return parse(RunConfig, document, "test")


def write_manifest(document: dict[str, Any], videos: list[dict[str, Any]]) -> None:
    text = yaml.safe_dump({"videos": videos}, sort_keys=False)
    Path(document["manifest"]).write_text(text, encoding="utf-8")
