"""Which file a comparison is written to: the suffix says how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from components.results.comparison_files import csv_file, json_file, markdown_file
from components.results.comparison_latex import latex
from components.results.comparison_plot import plot
from components.results.export import chosen_writer, write_whole
from eval.compare import Comparison

WRITERS: Mapping[str, Callable[[Comparison], bytes]] = MappingProxyType(
    {".md": markdown_file, ".json": json_file, ".csv": csv_file, ".tex": latex, ".png": plot}
)
"""By suffix."""


def writer_of(target: str) -> Callable[[Comparison], bytes]:
    """What makes a file of that name.

    Raises:
        UserError: its suffix is none of ``WRITERS``.
    """
    return chosen_writer(WRITERS, target, "a comparison")


def write(found: Comparison, target: str) -> None:
    """Write a comparison; the suffix says how. The file appears whole or not at all.

    Args:
        found: From ``compare_runs``.
        target: A local path or ``s3://bucket/key`` that ends in .md, .json, .csv, .tex or .png.

    Raises:
        UserError: another suffix or scheme, or the target cannot be written.
    """
    write_whole(target, writer_of(target)(found))
