"""Every edit of a report too large for one page, as pages of a plain table."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from eval.report.cards import cards
from eval.report.data import ReportData
from eval.report.means import score_columns
from eval.report.pages import environment, own_file
from eval.report.render import csp_hash, with_filters

if TYPE_CHECKING:
    import jinja2

_PACKAGE = "eval.report"


def table_pages(data: ReportData, names: Sequence[str], size: int) -> Iterator[str]:
    """Render the pages one by one; they need no script and show no video.

    Args:
        data: What to show.
        names: File names of the pages, which lie in one folder beside the report's own page.
        size: Edits of a page.
    """
    from markupsafe import Markup  # noqa: PLC0415

    style = own_file(_PACKAGE, "base.css") + own_file(_PACKAGE, "style.css")
    every, columns = cards(data), score_columns(data.rows)
    for number in range(len(names)):
        yield _template().render(
            data=data,
            cards=every[number * size : (number + 1) * size],
            columns=columns,
            variants=data.variants,
            several=len(data.variants) > 1,
            names=names,
            number=number,
            media={},
            # Our own file, and its hash: nothing here comes from a row.
            style=Markup(style),  # noqa: S704
            style_hash=csp_hash(style),
        )


@functools.cache
def _template() -> jinja2.Template:
    return with_filters(environment(_PACKAGE)).get_template("table.html.jinja")
