"""The page's own files: one page, one script, one style for a server and for a bundle."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from eval.report.pages import environment, own_file

if TYPE_CHECKING:
    import jinja2

_PACKAGE = "components.study"
POLICY = (
    "default-src 'none'; script-src 'self'{0}; style-src 'self'{0}; media-src 'self'{0}; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)


def page(*, root: str = "", policy: str = "", sequence: str = "") -> str:
    """The page's HTML.

    Args:
        root: Before the addresses of its script and style.
        policy: Its content security policy, where no server sends one.
        sequence: A rater's whole sequence as JSON; none asks the server.
    """
    from markupsafe import Markup

    # In a script element nothing is an entity, and no text may hold its end.
    data = Markup(sequence.replace("<", "\\u003c"))  # noqa: S704
    return _template().render(root=root, policy=policy, sequence=data, message="")


def message(title: str, remedy: str) -> str:
    """The page with a message alone."""
    return _template().render(root="/", policy="", sequence="", message=title, remedy=remedy)


def style() -> str:
    """The page's style: the report's colours and type, and its own."""
    return own_file("eval.report", "base.css") + own_file(_PACKAGE, "study.css")


def script() -> str:
    """The page's script."""
    return own_file(_PACKAGE, "study.js")


@functools.cache
def _template() -> jinja2.Template:
    return environment(_PACKAGE).get_template("page.html.jinja")
