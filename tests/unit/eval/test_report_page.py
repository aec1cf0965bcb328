"""The page as text: escaping, policy, words that changed, plot, names of score columns."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import html.parser
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.report import Media, ReportData, ReportFailure, ReportRow, ReportScore, render
from eval.report.plot import scatter
from eval.report.prompts import MAX_WORDS, compare_prompts

NOW = dt.datetime(2026, 11, 21, 10, 0, tzinfo=dt.UTC)
SCORE = ReportScore(
    protocol="tav_paper_v1",
    score_model="models/clip",
    score_revision="sha256:0123456789abcdef",
    frame_consistency=91.25,
    textual_alignment=27.5,
)
ROW = ReportRow(
    variant="",
    method="tune_a_video",
    video_id="car",
    edit_id="car/snow",
    edit_key="e1",
    category="background",
    source_prompt="a jeep is moving on the road",
    prompt="a jeep is moving on the snow",
    source=Media(uri="clips/car.mp4", sha256="a" * 64, width=64, height=48),
    edit=Media(uri="edits/e1.mp4", sha256="b" * 64),
    scores=(SCORE,),
    seconds=61.5,
    adapter_key="a1",
    tune_seconds=600.0,
    tune_steps=500,
    num_frames=8,
    fps=8.0,
    seed=33,
    base_model="org/base",
    base_revision="abc",
    config_hash="c0ffee",
    code_version="0.1.0",
    library_versions='{"torch": "2.15.0"}',
    device="cpu",
    created_at=NOW,
)
FAILURE = ReportFailure(
    step="ingest",
    video_id="broken",
    edit_id=None,
    error_type="SourceError",
    message="broken.mp4 cannot be decoded",
    traceback="Traceback …",
    attempt=1,
    retryable=False,
    at=NOW,
)
MEDIA = {"a" * 64: "media/a.mp4", "b" * 64: "media/b.mp4"}


def page(*rows: ReportRow, failures: tuple[ReportFailure, ...] = ()) -> str:
    return render(
        ReportData(title="demo", variants=("",), rows=rows, failures=failures), MEDIA, now=NOW
    )


def changed(row: ReportRow = ROW, **changes: Any) -> ReportRow:
    return dataclasses.replace(row, **changes)


class Elements(html.parser.HTMLParser):
    """Every tag with its attributes, and the text outside of style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._raw: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._raw = tag if tag in {"style", "script"} else None

    def handle_endtag(self, tag: str) -> None:
        self._raw = None if tag == self._raw else self._raw

    def handle_data(self, data: str) -> None:
        if self._raw is None:
            self.text += data

    def names(self) -> list[str]:
        return [tag for tag, _ in self.tags]


def test_a_row_shows_prompts_scores_and_both_videos() -> None:
    elements = Elements(page(ROW))
    sources = [attributes["src"] for tag, attributes in elements.tags if tag == "video"]
    assert sources == ["media/a.mp4", "media/b.mp4"]
    for expected in ("91.25", "27.50", "61.5", "car/snow", "11 min 02 s", "500 steps"):
        assert expected in elements.text
    assert "<del>road</del>" in page(ROW)
    assert "<ins>snow</ins>" in page(ROW)


hostile = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            '"><img src=x onerror=alert(1)>',
            "</title><script>alert(1)</script>",
            "{{7*7}}{% for x in y %}",
            "javascript:alert(1)",
            "' onload='alert(1)",
            "<!-- ",
            "</style><script>",
        ]
    ),
)


@given(hostile, hostile)
def test_no_text_becomes_markup(first: str, second: str) -> None:
    plain = Elements(page(ROW, failures=(FAILURE,))).names()
    row = changed(
        video_id=first,
        edit_id=second,
        # One changed word each, so that as many spans are marked as in the plain page.
        prompt=ROW.prompt,
        base_model=first,
        device=second,
        config_hash=first,
        edit_key=second,
        scores=(dataclasses.replace(SCORE, protocol=first, score_model=second),),
    )
    failure = dataclasses.replace(
        FAILURE, step=first, video_id=second, message=first, traceback=second, error_type=first
    )
    elements = Elements(page(row, failures=(failure,)))
    assert elements.names() == plain
    assert not [name for _, attributes in elements.tags for name in attributes if name[:2] == "on"]


@pytest.mark.parametrize("prompt", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_a_hostile_prompt_or_category_is_text(prompt: str) -> None:
    elements = Elements(page(changed(prompt=prompt, source_prompt=prompt, category=prompt)))
    assert elements.names().count("script") == 1
    assert "img" not in elements.names()
    assert elements.text.count(prompt) >= 3


def test_the_policy_allows_the_pages_own_style_and_script_alone() -> None:
    text = page(ROW)
    found = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert found is not None
    policy = found.group(1)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        content = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert content is not None
        digest = base64.b64encode(hashlib.sha256(content.group(1).encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy.replace("&#39;", "'")
    assert " style=" not in text


def test_nothing_is_fetched_from_elsewhere() -> None:
    addresses = [
        value or ""
        for _, attributes in Elements(page(ROW)).tags
        for name, value in attributes.items()
        if name in {"src", "href", "poster", "action", "srcset"}
    ]
    assert addresses
    assert all(address.startswith(("#", "media/")) for address in addresses)


def test_a_missing_score_is_a_dash_and_no_zero() -> None:
    text = page(changed(scores=(dataclasses.replace(SCORE, frame_consistency=math.nan),)), ROW)
    assert re.search(r"\bnan\b", Elements(text).text, re.IGNORECASE) is None
    assert "91.25" in text
    assert "1 missing" in text


def test_two_models_of_one_protocol_are_never_averaged() -> None:
    other = dataclasses.replace(SCORE, score_revision="sha256:fedcba98", frame_consistency=10.0)
    text = Elements(page(changed(scores=(SCORE, other)))).text
    assert "tav_paper_v1 · clip @ 01234567" in text
    assert "tav_paper_v1 · clip @ fedcba98" in text
    assert "50.6" not in text


def test_a_video_that_is_missing_is_said_to_be() -> None:
    text = page(changed(edit=Media(uri="edits/gone.mp4", sha256="c" * 64), source=None))
    assert text.count("This video is missing") == 2
    assert "edits/gone.mp4" in text


def test_a_page_without_rows_says_so() -> None:
    text = Elements(page()).text
    assert "No edit was sampled yet" in text
    assert "None: every item" in text


def test_failures_fold_their_traceback() -> None:
    text = page(ROW, failures=(FAILURE,))
    assert re.search(r"<details><summary>Traceback</summary><pre[^>]*>Traceback …</pre>", text)
    assert "fails again unless its input changes" in text


@given(st.text(max_size=80), st.text(max_size=80))
def test_marked_prompts_join_to_the_prompts(source: str, edited: str) -> None:
    before, after = compare_prompts(source, edited)
    assert "".join(span.text for span in before) == source
    assert "".join(span.text for span in after) == edited


def test_only_words_that_changed_are_marked() -> None:
    before, after = compare_prompts("A rabbit eats", "a puppy eats, cartoon style")
    assert [span.text for span in before if span.changed] == ["rabbit"]
    assert [span.text for span in after if span.changed] == ["puppy", ", cartoon style"]


def test_a_very_long_prompt_is_not_compared() -> None:
    long = "word " * (MAX_WORDS + 1)
    assert [span.changed for span in compare_prompts(long, "other " * 9)[0]] == [False]


pairs = st.tuples(st.floats(-100, 100), st.floats(-100, 100))


@given(st.lists(pairs, min_size=1, max_size=20))
def test_points_lie_within_the_plot(values: list[tuple[float, float]]) -> None:
    plot = scatter(values)
    assert all(plot.left <= x <= plot.right for x, _ in plot.points)
    assert all(plot.top <= y <= plot.bottom for _, y in plot.points)
    for ticks in (plot.x_ticks, plot.y_ticks):
        assert 2 <= len(ticks) <= 8
        assert len({tick.label for tick in ticks}) == len(ticks)
