"""Manifests on disk, and what is said of those that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.manifest.load import ManifestError, load_manifest


def write(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def problems(uri: str) -> list[str]:
    """The lines of the error that a manifest is refused with."""
    with pytest.raises(ManifestError) as caught:
        load_manifest(uri)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith(uri)
    assert first.endswith("problem(s) in the manifest")
    return [line.strip() for line in lines]


def yaml_problems(folder: Path, text: str) -> list[str]:
    return problems(write(folder, "set.yaml", text))
