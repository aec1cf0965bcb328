"""What both ends of a job must agree on: they are to be of one image."""

from __future__ import annotations

import platform
from importlib import metadata

from components.errors import UserError

PACKAGE = "tune-a-video-at-scale"


def installed() -> dict[str, str]:
    """Versions here of this package, of Ray, and of Python as ``3.11``."""
    return {
        PACKAGE: metadata.version(PACKAGE),
        "ray": metadata.version("ray"),
        "python": ".".join(platform.python_version_tuple()[:2]),
    }


def check(made_with: dict[str, str]) -> None:
    """Raise UserError if a job was made with other versions than those it would run with."""
    here = installed()
    other = [
        f"{name} {made_with.get(name)} there, {version} here"
        for name, version in here.items()
        if made_with.get(name) != version
    ]
    if other:
        raise UserError(
            f"the job's sender has another environment than this cluster ({'; '.join(other)}): "
            "use one image for both"
        )
