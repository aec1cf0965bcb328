"""Content keys: equal for equal inputs, different for different ones, on every machine."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import CaptionConfig, OutputConfig, VideoConfig, VideoLimits
from components.records.keys import KEY_LENGTH, KeyMaker, content_key, item_seed

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def same(first: Any, second: Any) -> bool:
    """Equal as JSON: 1, 1.0 and true are three values."""
    if type(first) is not type(second):
        return False
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    return bool(first == second) and str(first) == str(second)


@given(values, values)
def test_keys_are_equal_exactly_when_the_inputs_are(first: Any, second: Any) -> None:
    assert (content_key(part=first) == content_key(part=second)) == same(first, second)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_the_order_of_a_mapping_does_not_count(part: dict[str, Any]) -> None:
    assert content_key(part=part) == content_key(part=dict(reversed(part.items())))


@given(st.lists(st.text(), min_size=2, max_size=4))
def test_text_never_flows_from_one_part_to_the_next(parts: list[str]) -> None:
    joined = ["".join(parts[:2]), *parts[2:]]
    assert content_key(parts=parts) != content_key(parts=joined)


def test_keys_are_the_hash_of_canonical_json() -> None:
    # A change here recomputes every run there is.
    canonical = '{"a":1,"b":["ä",null,0.5],"c":{"x":true,"y":{"num_beams":2}}}'
    expected = hashlib.sha256(canonical.encode()).hexdigest()[:KEY_LENGTH]
    found = content_key(c={"y": {"num_beams": 2}, "x": True}, b=("ä", None, 0.5), a=1)
    assert found == expected
    assert len(found) == 32


def test_keys_are_equal_in_another_process() -> None:
    code = (
        "from components.records.keys import content_key; "
        "print(content_key(a={'x': 'z', 'y': 1}, b=2))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert answers == {content_key(a={"y": 1, "x": "z"}, b=2)}


@pytest.mark.parametrize(
    "field_",
    [f.name for f in dataclasses.fields(VideoConfig) if f.name != "limits"],
)
def test_every_field_of_the_video_changes_the_key(field_: str) -> None:
    other: dict[str, Any] = {"selection": "stride", "fit": "pad", "width": 64, "height": 64}
    changed = dataclasses.replace(VideoConfig(), **{field_: other.get(field_, 7)})
    assert content_key(video=changed) != content_key(video=VideoConfig())


def test_fields_that_change_no_result_change_no_key() -> None:
    assert content_key(c=CaptionConfig(device="cuda")) == content_key(c=CaptionConfig())
    limited = VideoConfig(limits=VideoLimits(decode_seconds=5))
    assert content_key(video=limited) == content_key(video=VideoConfig())
    assert content_key(c=CaptionConfig(num_beams=2)) != content_key(c=CaptionConfig())


@pytest.mark.parametrize(
    ("default", "other"),
    [
        (VideoConfig(fps=None), VideoConfig(fps=24)),
        (OutputConfig(fps="source_speed"), OutputConfig(fps="source_rate")),
        (OutputConfig(), OutputConfig(fps=12)),
    ],
)
def test_fields_that_came_later_change_no_key_at_their_default(default: Any, other: Any) -> None:
    fields = dataclasses.asdict(default)
    before = {name: value for name, value in fields.items() if name not in ("fps", "limits")}
    assert content_key(c=default) == content_key(c=before) != content_key(c=other)


@dataclass
class Later:
    new: list[int] = field(default_factory=list, metadata={"key": "unless default"})


def test_a_default_that_is_made_is_left_out_too() -> None:
    assert content_key(x=Later([])) == content_key(x={}) != content_key(x=Later([1]))


@dataclass
class Inner:
    free: int = field(default=1, metadata={"key": False})


def test_nested_dataclasses_lose_their_free_fields_too() -> None:
    assert content_key(x=[Inner(1)]) == content_key(x=[Inner(2)]) == content_key(x=[{}])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_numbers_that_are_none_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        content_key(x=value)


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), {1: 2}, {None: 1}, VideoConfig])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        content_key(x=value)


@given(st.integers(), st.text())
def test_seeds_fit_into_63_bits_and_are_repeatable(seed: int, key: str) -> None:
    found = item_seed(seed, key)
    assert 0 <= found < 2**63
    assert found == item_seed(seed, key)


def test_seeds_differ_by_run_and_item() -> None:
    seeds = [item_seed(seed, key) for seed, key in itertools.product((1, 2, 12), ("a", "2a", ":a"))]
    assert len(set(seeds)) == len(seeds)


@given(
    shared=st.dictionaries(st.text(), values, max_size=3),
    parts=st.dictionaries(st.text(), values, max_size=3),
)
def test_shared_parts_are_parts_like_any_other(
    shared: dict[str, Any], parts: dict[str, Any]
) -> None:
    both = shared | parts
    canonical = json.dumps(
        both, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode(errors="surrogatepass")
    expected = hashlib.sha256(canonical).hexdigest()[:KEY_LENGTH]
    assert KeyMaker(**shared)(**parts) == content_key(**both) == expected
