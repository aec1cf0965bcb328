"""A compiled pipeline on this machine: its own components, each in a process of its own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import UserError
from pipelines.packages import package


def run_here(name: str, arguments: Mapping[str, Any], artifacts: Path) -> None:
    """Run a pipeline to its end, with Kubeflow's own local runner.

    A task is tried once: what passes by itself was waited for inside the step, and Kubeflow's
    retries are for pods that die. The same call again goes on where this one stopped. Limits,
    image and place of the pods mean nothing here.

    Args:
        name: One of ``PIPELINES``.
        arguments: The pipeline's parameters.
        artifacts: Folder for the tasks' artifacts, a subfolder for each execution.

    Raises:
        UserError: a task failed; the log above says which and why.
    """
    import yaml
    from kfp import components, local

    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(artifacts))
    document = next(yaml.safe_load_all(package(name).read_text("utf-8")))
    for dag in (document["root"], *document["components"].values()):
        for task in dag.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
    pipeline = components.load_component_from_text(yaml.safe_dump(document))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="kfp.local")  # that they mean nothing here
            pipeline(**arguments)
    except RuntimeError as error:
        raise UserError(f"pipeline {name} failed: {error}") from error
