"""Published figures: each of a protocol and measures that there are, with source and caveat."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from eval.protocols.registry import PROTOCOLS
from eval.published import published

FILE = Path(__file__).parents[3] / "eval/published.yaml"


def test_every_figure_is_of_a_measure_of_its_protocol_and_says_where_it_is_from() -> None:
    entries = yaml.safe_load(FILE.read_text("utf-8"))
    assert sum(len(published(name)) for name in PROTOCOLS) == len(entries)
    for name, protocol in PROTOCOLS.items():
        for one in published(name):
            assert one.values.keys() <= protocol.measures.keys()
            assert all(re.fullmatch(r"\d+\.\d{2,3}", text) for text in one.values.values())
            assert one.source.startswith(("arXiv ", "LOVEU-TGVE", "V2VBench"))
            assert one.differs


def test_the_papers_table_is_there() -> None:
    first, *_ = published("tav_paper_v1")
    assert first.method == "Tune-A-Video"
    assert first.values == {"frame_consistency": "92.40", "textual_alignment": "27.58"}
    assert published("nobody_v1") == []
