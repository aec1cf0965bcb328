"""The switch: where a step runs, and the settings of that place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from components.config import STRICT

MIN_TTL_S = 60
"""A finished RayJob must outlive a few polls of whoever follows it."""

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""Kubernetes' form of most names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """One place to run steps at; read from a document by ``components.config.parse``."""

    mode: Literal["local", "address", "kuberay"] = "local"
    """``local`` is this process, ``address`` an existing Ray cluster through its Jobs API,
    ``kuberay`` a cluster of the step's own, made by the KubeRay operator from a RayJob."""
    address: str = ""
    """Ray's dashboard, ``http://host:8265``; with ``address`` alone."""
    namespace: str = ""
    """Kubernetes namespace; empty takes that of the pod or of the kubeconfig's context."""
    template: str = "tav-step"
    """Suspended RayJob in that namespace whose spec is copied (manifests/kubernetes)."""
    queue: str = ""
    """Kueue LocalQueue that admits the RayJob; empty starts it at once."""
    suspend: bool = False
    """Create the RayJob suspended, to be released by whoever sets ``spec.suspend`` to false."""
    attempts: int = 1
    """How often the step is tried when the job itself was lost; failed items are no such loss."""
    deadline_s: int = 86_400
    """Seconds after which KubeRay ends the RayJob; time in a queue does not count."""
    ttl_s: int = 3_600
    """Seconds for which a finished RayJob's cluster is kept."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    def __post_init__(self) -> None:
        if (self.mode == "address") != bool(self.address):
            raise ValueError(
                f"mode is {self.mode!r} and address is {self.address!r}, but an address goes with "
                "mode 'address' and with no other: give both or neither"
            )
        if self.address:
            self._check_address()
        for name in ("namespace", "template", "queue"):
            value = getattr(self, name)
            if value and not LABEL.fullmatch(value):
                raise ValueError(
                    f"{name} is {value!r}, but a Kubernetes name has at most 63 lower-case "
                    "letters, digits and dashes, with a letter or digit at both ends"
                )
        for name, limit in (("attempts", 1), ("deadline_s", 1), ("ttl_s", MIN_TTL_S)):
            if getattr(self, name) < limit:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least {limit}")

    def _check_address(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(
                f"address is {self.address!r}, but must be the dashboard's, as http://host:8265"
            )
        if parts.username or parts.password:
            raise ValueError(
                "address holds a user or password, which logs would show: "
                "give Ray's token as RAY_AUTH_TOKEN"
            )
