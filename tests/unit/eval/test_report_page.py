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
from eval.report.cards import cards
from eval.report.means import score_columns, variant_means
from eval.report.plot import scatter
from eval.report.prompts import MAX_WORDS, compare_prompts

NOW = dt.datetime(2026, 11, 21, 10, 0, tzinfo=dt.UTC)
SCORE = ReportScore(
    protocol="tav_paper_v1",
    score_model="models/clip",
    score_revision="sha256:0123456789abcdef",
    values={"frame_consistency": 91.25, "textual_alignment": 27.5},
)


def rescored(**values: float) -> ReportScore:
    return dataclasses.replace(SCORE, values={**SCORE.values, **values})


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
    def judged(protocol: str, model: str, name: str, reason: str) -> ReportScore:
        one = dataclasses.replace(SCORE, protocol=f"{protocol}_v9", score_model=model)
        return dataclasses.replace(one, values={f"{name}1": 0.5}, reasons={f"{name}1": reason})

    known = changed(scores=(judged("other", "m", "n", "why"),))
    plain = Elements(page(known, failures=(FAILURE,))).names()
    row = changed(
        video_id=first,
        edit_id=second,
        # One changed word each, so that as many spans are marked as in the plain page.
        prompt=ROW.prompt,
        base_model=first,
        device=second,
        config_hash=first,
        edit_key=second,
        scores=(judged(first, second, first, second),),
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
    text = page(changed(scores=(rescored(frame_consistency=math.nan),)), ROW)
    assert re.search(r"\bnan\b", Elements(text).text, re.IGNORECASE) is None
    assert "91.25" in text
    assert "1 missing" in text


def test_why_a_measure_has_no_value_is_told_where_its_dash_is() -> None:
    reasons = {"textual_alignment": 'reads 77: "shorten" <it>'}
    lacking = dataclasses.replace(SCORE, values={"frame_consistency": 91.25}, reasons=reasons)
    told = [
        (tag, attributes["title"])
        for tag, attributes in Elements(page(changed(scores=(lacking,)))).tags
        if tag in {"dd", "td"} and "title" in attributes
    ]
    assert told == [("dd", reasons["textual_alignment"]), ("td", reasons["textual_alignment"])]


def test_a_protocol_of_another_release_is_shown_by_its_bare_names() -> None:
    other = dataclasses.replace(SCORE, protocol="other_v7", values={"sharpness": 0.5})
    text = Elements(page(changed(scores=(other,)))).text
    assert "other_v7" in text
    assert "sharpness" in text


def test_two_models_of_one_protocol_are_never_averaged() -> None:
    other = dataclasses.replace(rescored(frame_consistency=10.0), score_revision="sha256:fedcba98")
    text = Elements(page(changed(scores=(SCORE, other)))).text
    assert "tav_paper_v1 · clip @ 01234567" in text
    assert "tav_paper_v1 · clip @ fedcba98" in text
    assert "50.6" not in text


def varied(*names: str, **scores: list[float | None]) -> ReportData:
    """One edit in each variant, with its scores."""

    def score(at: int) -> ReportScore:
        changes = {name: values[at] for name, values in scores.items()}
        found = {**SCORE.values, **changes}
        return dataclasses.replace(
            SCORE, values={name: value for name, value in found.items() if value is not None}
        )

    rows = tuple(
        changed(variant=name, edit_key=name, scores=(score(at),)) for at, name in enumerate(names)
    )
    return ReportData(title="demo", variants=names, rows=rows, failures=())


def test_the_best_of_each_measure_is_marked_by_what_is_better() -> None:
    data = varied("a", "b", "c", edited_right=[1.0, 3.0, None], flicker=[2.0, 5.0, 2.0])
    truth = [
        changed(row, scores=(dataclasses.replace(row.scores[0], protocol="tinyworld_v2"),))
        for row in data.rows
    ]
    data = dataclasses.replace(data, rows=tuple(truth))
    (key,) = columns = score_columns(data.rows)
    means = variant_means(data, columns)
    marked = [{name for _, name in one.best} for one in means]
    assert marked[0] >= {"flicker"}
    assert marked[1] >= {"edited_right"}
    assert "edited_right" not in marked[0] | marked[2]
    assert "flicker" in marked[2]
    assert means[2].means[key]["edited_right"].missing == 1


def test_one_variant_with_a_value_has_nothing_to_be_best_of() -> None:
    data = varied("a", "b", frame_consistency=[1.0, math.nan], textual_alignment=[None, None])
    assert all(not one.best for one in variant_means(data, score_columns(data.rows)))


def test_edits_that_differ_in_source_or_prompt_are_not_shown_as_one() -> None:
    data = varied("a", "b", "c")
    rows = (data.rows[0], changed(data.rows[1], prompt="another"), data.rows[2], data.rows[0])
    groups = cards(dataclasses.replace(data, rows=rows))
    assert [[tile.row.variant for tile in card.tiles] for card in groups] == [
        ["a", "c"],
        ["b"],
        ["a"],
    ]


def test_variants_share_a_card_and_means_are_never_over_two_of_them() -> None:
    data = varied("a", "b", frame_consistency=[80.0, 90.0])
    text = render(data, MEDIA, now=NOW)
    assert text.count("<article") == 1
    assert text.count("<video") == 3
    assert "85.00" not in text


def test_work_that_variants_share_is_counted_once() -> None:
    data = varied("a", "b")
    shared = tuple(changed(row, edit_key="e1") for row in data.rows)
    assert "11 min 02 s" in render(dataclasses.replace(data, rows=shared), MEDIA, now=NOW)
    assert "12 min 03 s" in render(data, MEDIA, now=NOW)
    own = (data.rows[0], changed(data.rows[1], adapter_key="a2"))
    assert "22 min 03 s" in render(dataclasses.replace(data, rows=own), MEDIA, now=NOW)


def test_a_raw_cosine_is_drawn_on_a_scale_of_its_own() -> None:
    values = {"frame_consistency": 0.93, "textual_alignment": 0.25}
    raw = dataclasses.replace(SCORE, protocol="rave_v1", values=values)
    fills = re.findall(r'class="fill" width="([0-9.]+)"', page(changed(scores=(raw,))))
    assert fills == ["93.0", "25.0"] * 2


@given(hostile, hostile)
def test_no_name_of_a_variant_or_method_becomes_markup(first: str, second: str) -> None:
    names = ("x", f"{first}1", f"{second}2")
    data = varied(*names)
    rows = tuple(changed(row, method=second) for row in data.rows)
    plain = tuple(changed(row, method="m") for row in varied("x", "y", "z").rows)
    found = render(dataclasses.replace(data, rows=rows), MEDIA, now=NOW)
    wanted = render(dataclasses.replace(varied("x", "y", "z"), rows=plain), MEDIA, now=NOW)
    assert Elements(found).names().count("script") == 1
    # Where the method has the variant's name it is not said again.
    small = {"small"}
    assert [one for one in Elements(found).names() if one not in small] == [
        one for one in Elements(wanted).names() if one not in small
    ]


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


@pytest.mark.parametrize("variants", [("",), ("plain", "steered")])
def test_maps_that_steered_an_edit_are_shown_once(variants: tuple[str, ...]) -> None:
    name, sha256 = '<i>"canny"', "d" * 64
    media = Media(uri="media/controls/v/x.mp4", sha256=sha256, width=64, height=64)
    rows = [dataclasses.replace(ROW, variant=one, maps=((name, media),)) for one in variants]
    text = render(
        ReportData(title="t", variants=variants, rows=tuple(rows), failures=()),
        {sha256: "media/map.mp4"},
        now=NOW,
    )
    assert text.count('src="media/map.mp4"') == 1
    assert "Control map: &lt;i&gt;&#34;canny&#34;" in text
