"""Configurations and manifests of tiny runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from components.config import RunConfig, parse_run
from components.run.runner import RunResult


def run_config(document: dict[str, Any]) -> RunConfig:
    return parse_run(document, "test")


def write_manifest(document: dict[str, Any], videos: list[dict[str, Any]]) -> None:
    text = yaml.safe_dump({"videos": videos}, sort_keys=False)
    Path(document["manifest"]).write_text(text, encoding="utf-8")


def tiny_document(folder: Path, models: Path) -> dict[str, Any]:
    """A run that takes seconds: tiny models, 4 frames, 2 steps of everything."""
    return {
        "run": str(folder / "run"),
        "manifest": str(folder / "manifest.yaml"),
        "model": {"base": str(models / "base")},
        "video": {"num_frames": 4, "width": 64, "height": 64},
        "caption": {"model": str(models / "blip2"), "max_new_tokens": 8},
        "tune": {"steps": 2},
        "invert": {"steps": 2},
        "sample": {"steps": 2},
        "score": {"model": str(models / "clip")},
    }


def tiny_videos(clips: Path) -> list[dict[str, Any]]:
    """Two videos with three edits; one of them has no prompt."""
    return [
        {
            "id": "fish",
            "uri": str(clips / "fish.mp4"),
            "prompt": "a red fish is swimming over the sea",
            "edits": [
                {"id": "shark", "category": "object", "replace": {"red fish": "grey shark"}},
                {"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"},
            ],
        },
        {
            "id": "pair",
            "uri": str(clips / "pair.mp4"),
            "edits": [{"id": "city", "category": "background", "prompt": "{caption}, in the city"}],
        },
    ]


def counts(result: RunResult) -> dict[str, int]:
    """What each step computed, steps with nothing to do left out."""
    return {step: count for step, count in result.computed.items() if count}
