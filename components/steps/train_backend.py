"""Ray Train's torch backend, whose workers take SIGTERM for a notice (see ``notice``).

The training function runs in a thread, and only a process's main thread may set signal handlers:
that is where a backend's own functions run. Importing this takes seconds, as Ray Train does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ray.train.torch.config import TorchConfig, _TorchBackend
from typing_extensions import override

from components.steps.notice import heed_sigterm


class _NoticingBackend(_TorchBackend):  # type: ignore[misc]  # of a module without types
    @override
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        super().on_start(worker_group, backend_config)
        worker_group.execute(heed_sigterm)


@dataclass
class NoticingConfig(TorchConfig):  # type: ignore[misc]  # likewise
    """Ray Train's ``TorchConfig``."""

    @property
    @override
    def backend_cls(self) -> type[_TorchBackend]:
        return _NoticingBackend
