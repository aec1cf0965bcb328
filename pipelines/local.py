"""A compiled pipeline on this machine: its own components, each in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import UserError
from pipelines.packages import package


def run_here(name: str, arguments: Mapping[str, Any], artifacts: Path) -> None:
    """Run a pipeline to its end, with Kubeflow's own local runner.

    Args:
        name: One of ``PIPELINES``.
        arguments: The pipeline's parameters.
        artifacts: Folder for the tasks' artifacts, a subfolder for each execution.

    Raises:
        UserError: a task failed; the log above says which and why.
    """
    from kfp import components, local

    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(artifacts))
    pipeline = components.load_component_from_file(str(package(name)))
    try:
        pipeline(**arguments)
    except RuntimeError as error:
        raise UserError(f"pipeline {name} failed: {error}") from error
