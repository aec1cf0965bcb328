"""The report: one HTML page that opens from a folder, offline, beside a folder of mp4 files."""

from __future__ import annotations

from eval.report.data import Media, ReportData, ReportFailure, ReportRow, ReportScore
from eval.report.render import render
from eval.report.tables import table_pages

__all__ = [
    "Media",
    "ReportData",
    "ReportFailure",
    "ReportRow",
    "ReportScore",
    "render",
    "table_pages",
]
