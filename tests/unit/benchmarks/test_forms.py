"""Forms of the same steps side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.forms import table


def write(folder: Path, name: str, **medians: float) -> None:
    parts = {
        part: {
            "median_s": median,
            "peak_rss_bytes": 1e9,
            "peak_cuda_bytes": 4e9 * median,
            "flops": 2e12,
            "matmul_flops": [8e12, 1e13],
            "machine": "A GPU",
            "torch": "2.15",
        }
        for part, median in medians.items()
    }
    found = {"date": "2026-11-29", "settings": {"config": "sd14", "dtype": "bf16"}, "parts": parts}
    (folder / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")


def test_each_form_is_told_beside_the_first(tmp_path: Path) -> None:
    write(tmp_path, "eager", train_step=0.5, guided_step=0.4)
    write(tmp_path, "compile", train_step=0.25)
    assert table(tmp_path).splitlines() == [
        "A GPU, torch 2.15, 2026-11-29, sd14, bf16",
        "",
        "| part | eager | compile | of the peak rate |",
        "|---|---|---|---|",
        "| `train_step` | 0.500 s, 2.00 GB | 0.50×, 0.50× | 40% |",
        "| `guided_step` | 0.400 s, 1.60 GB |  | 50% |",
    ]


def test_without_the_first_form_there_is_nothing_to_compare(tmp_path: Path) -> None:
    write(tmp_path, "compile", train_step=0.25)
    with pytest.raises(FileNotFoundError, match=r"no eager\.json"):
        table(tmp_path)
