"""What is asked of a Kubeflow server: a pipeline, its parameters, and what its pods are given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from components.errors import UserError
from components.launch.where import LABEL
from components.storage.scratch import scratch_folder
from pipelines.packages import package


@dataclass(frozen=True, slots=True)
class Volume:
    """A PersistentVolumeClaim, mounted into the pod of every task.

    KFP takes a claim's name as a parameter, but no path and no empty name, so it cannot be one of
    the pipeline's: it is written into the compiled pipeline.
    """

    claim: str
    path: str
    """Where it is mounted: absolute."""

    def __post_init__(self) -> None:
        """Raise UserError if Kubernetes would not take it."""
        # Kubeflow names the pod's volume after the claim, so the claim's name must be a label.
        if not LABEL.fullmatch(self.claim):
            raise UserError(
                f"volume claim is {self.claim!r}, but Kubeflow takes at most 63 lower-case "
                "letters, digits and dashes, with a letter or digit at both ends"
            )
        path = PurePosixPath(self.path)
        if not path.is_absolute() or ".." in path.parts or ":" in self.path or len(path.parts) == 1:
            raise UserError(
                f"volume is mounted at {self.path!r}, but needs an absolute path below /, without "
                "'..' and ':', such as /data"
            )

    @classmethod
    def parse(cls, text: str) -> Volume:
        """Read ``CLAIM:/PATH``.

        Raises:
            UserError: the text is not of that form.
        """
        claim, _, path = text.partition(":")
        return cls(claim, path)

    def holds(self, path: str) -> bool:
        """Whether a path lies on the volume."""
        whole = PurePosixPath(path)
        return ".." not in whole.parts and whole.is_relative_to(self.path)

    def mounted(self, text: str) -> str:
        """A compiled pipeline's YAML with the volume in every pod."""
        pipeline, platform = yaml.safe_load_all(text)
        mount = {
            "mountPath": self.path,
            "pvcNameParameter": {"runtimeValue": {"constant": self.claim}},
        }
        for pod in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
            pod["pvcMount"] = [mount]
        return yaml.safe_dump_all([pipeline, platform], sort_keys=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What an execution consists of."""

    pipeline: str
    """One of ``PIPELINES``."""
    arguments: Mapping[str, Any]
    """The pipeline's parameters."""
    service_account: str = ""
    """Kubernetes account of the pods; empty for Kubeflow's own."""
    volume: Volume | None = None

    @property
    def text(self) -> str:
        """The compiled pipeline."""
        text = package(self.pipeline).read_text("utf-8")
        return self.volume.mounted(text) if self.volume else text

    @contextlib.contextmanager
    def package(self) -> Iterator[str]:
        """The compiled pipeline as a file, which is what kfp's client takes."""
        with scratch_folder() as folder:
            path = folder / f"{self.pipeline}.yaml"
            path.write_text(self.text, encoding="utf-8")
            yield str(path)
