"""A comparison as LaTeX: it compiles to what was meant, whatever variants are called."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.results.compare import RunScores, compare_runs
from components.results.comparison_files import markdown
from components.results.comparison_latex import latex
from components.results.comparison_writers import write
from eval.protocols.registry import PROTOCOLS
from tests.finished_run import exported_row


def table(*names: str, protocol: str = "tav_paper_v1") -> str:
    rows = [
        exported_row(
            video_id=video, edit_id=f"{video}/e", variant=name, protocol=protocol, category="style"
        )
        for video in "ab"
        for name in names
    ]
    return latex(compare_runs({"run": RunScores(variants=names, rows=rows)})).decode()


def test_means_stand_above_published_figures_which_are_marked() -> None:
    text = table("full", "no_tuning")
    assert r"Variant & Frame consistency $\uparrow$ & Textual alignment $\uparrow$ \\" in text
    ours = (
        r"no\_tuning & 91.25 {\scriptsize [91.25, 91.25]} & -1.50 {\scriptsize [-1.50, -1.50]} \\"
    )
    theirs = r"\textit{Tune-A-Video} (published) & \textit{92.40} & \textit{27.58} \\"
    assert text.index(ours) < text.index(theirs)
    assert "Published figures: arXiv 2212.11565, of other clips." in text
    assert "published" not in table("full", protocol="rave_v1").lower()
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2  # and seconds


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        (r"a}\write18{rm}", r"a\}\textbackslash{}write18\{rm\}"),
        ("50 % & $x_1^2$ ~#", r"50 \% \& \$x\_1\textasciicircum{}2\$ \textasciitilde{}\#"),
        ("two\nlines\x07", "two lines "),
    ],
)
def test_no_name_is_obeyed(name: str, shown: str) -> None:
    lines = table("full", name).splitlines()
    assert f"{shown} & 91.25 {{\\scriptsize [91.25, 91.25]}} & " in "\n".join(lines)
    assert all(line.isprintable() for line in lines)


def test_it_is_written_by_its_suffix_and_markdown_has_published_figures(tmp_path: Path) -> None:
    rows = [exported_row(variant="full")]
    found = compare_runs({"run": RunScores(variants=("full",), rows=rows)})
    write(found, str(tmp_path / "c.tex"))
    assert (tmp_path / "c.tex").read_bytes() == latex(found)
    told = markdown(found)
    assert "| Tune-A-Video | 92.40 | 27.58 | arXiv 2212.11565 |" in told
    assert "not to be ranked among these" in told


def test_published_figures_have_the_decimals_of_their_source() -> None:
    values = {"frame_consistency": None} | dict.fromkeys(PROTOCOLS["v2vbench_v1"].measures, 0.5)
    rows = [exported_row(variant="full", protocol="v2vbench_v1", values=values)]
    found = compare_runs({"run": RunScores(variants=("full",), rows=rows)})
    markdown_row = r"\| Tune-A-Video \| 0\.934 \| 0\.917 \| 27\.513 \| 20\.701 \|"
    assert re.search(markdown_row, markdown(found))
    figures = (rf"\textit{{{figure}}}" for figure in ("0.934", "0.917", "27.513", "20.701"))
    assert " & ".join(figures) in latex(found).decode()
