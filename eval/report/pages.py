"""Files and templates that come with a package, for pages whose every value is hostile."""

from __future__ import annotations

import functools
import importlib.resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def own_file(package: str, name: str) -> str:
    """The text of a file of a package."""
    return importlib.resources.files(package).joinpath(name).read_text(encoding="utf-8")


def environment(package: str) -> jinja2.Environment:
    """Templates of a package: values are escaped, and one that is not given is an error."""
    import jinja2  # noqa: PLC0415 - only a page needs it

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(functools.partial(own_file, package)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
