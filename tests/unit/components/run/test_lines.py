"""What a user sees of Ray's lines and workers' lines: the regular expressions that Ray is given."""

from __future__ import annotations

import re

import pytest

from components.run.cluster import _line_settings

OURS = (
    "15:21:23 INFO step=ingest video=fish 8 of 24 frames",
    '{"time": "2026-11-28T15:21:23", "message": "core_worker.cc is no noise in ours"}',
    "15:21:23 WARNING step=tune video=fish failed: core_worker.cc",
)
NOISE = (
    "[2026-11-28 15:20:47,121 E 1 1] core_worker.cc:2465: Actor with class name: 'MapWorker'",
    "(RayTrainWorker pid=1) Reporting training result 3",
)


@pytest.mark.parametrize("in_colour", [True, False])
def test_all_of_ours_and_none_of_rays_own_doings_is_shown(*, in_colour: bool) -> None:
    found = _line_settings(in_colour=in_colour)
    allowed = re.compile(found["RAY_DEDUP_LOGS_ALLOW_REGEX"])
    skipped = re.compile(found["RAY_DEDUP_LOGS_SKIP_REGEX"])
    assert all(allowed.search(line) for line in OURS)
    for line in NOISE:
        assert not allowed.search(line)  # Ray asks this first
        assert skipped.search(line)


def test_without_a_terminal_no_line_is_merged_with_a_coloured_count() -> None:
    plain, coloured = (_line_settings(in_colour=colour) for colour in (False, True))
    assert plain["RAY_COLOR_PREFIX"] == "0"
    assert "RAY_COLOR_PREFIX" not in coloured
    other = "a library's own line"
    assert re.search(plain["RAY_DEDUP_LOGS_ALLOW_REGEX"], other)
    assert not re.search(coloured["RAY_DEDUP_LOGS_ALLOW_REGEX"], other)
