"""From a benchmark's folder to a manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from components.errors import UserError
from components.layouts import folders, loveu, v2vbench
from components.layouts.collector import Collector
from components.layouts.layout import local_path
from components.manifest.lint import Linter
from components.manifest.read import read_tree
from components.results.export import write_whole
from components.syntax.document import YAML_SUFFIXES
from components.syntax.tree import Problems

READERS: Mapping[str, Callable[[Path], Collector]] = {
    "loveu": loveu.read,
    "v2vbench": v2vbench.read,
    "folders": folders.read,
}
_SHOWN = 5


def import_benchmark(name: str, folder: str, target: str, *, overwrite: bool = False) -> Collector:
    """Write a manifest of a benchmark's videos. The file appears whole or not at all.

    Addresses in it are relative to the benchmark's folder, so that one manifest serves every copy:
    ``manifest_root`` names the copy, unless the manifest lies in it.

    Args:
        name: One of ``READERS``.
        folder: The benchmark, a local folder.
        target: A local .yaml file.
        overwrite: Whether a file that is there is replaced.

    Returns:
        What was written, and what was left out.

    Raises:
        UserError: the folder or its index cannot be read, nothing in it can be taken, or the file
            cannot be written, or is there.
    """
    root = _folder(folder)
    path = local_path(target, "--to")
    if path.suffix.lower() not in YAML_SUFFIXES:
        raise UserError(
            f"the manifest is written as YAML, but {target!r} has the suffix {path.suffix!r}: end "
            "it in .yaml"
        )
    if os.path.lexists(path) and not overwrite:
        raise UserError(f"{target} is there: give another --to, or --overwrite to replace it")
    found = READERS[name](root)
    if not found.videos:
        why = "".join(f"\n  {line}" for line in found.left_out[:_SHOWN])
        raise UserError(f"{root} holds 0 videos that can be taken, but 1 is needed{why}")
    data = yaml.safe_dump({"videos": found.videos}, sort_keys=False, allow_unicode=True).encode()
    problems = Problems(target)
    Linter(problems, str(root)).videos(read_tree(data, ".yaml", problems))
    write_whole(str(path), data)
    return found


def _folder(address: str) -> Path:
    path = local_path(address, "--from")
    if not path.is_dir():
        raise UserError(f"--from is {address!r}, which is no folder: name the benchmark's")
    return path
