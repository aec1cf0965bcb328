"""The method on duty: loaded once for all variants that load alike, one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.plain import PlainRunner
from components.config import RunConfig, parse, run_config
from components.errors import UserError
from components.steps.methods import Methods, make_method
from methods.tune_a_video import TuneAVideo
from tests.runs import tiny_document, tiny_videos, write_manifest


@pytest.fixture
def methods(tmp_path: Path, tiny_models: Path, tiny_clips: Path) -> Methods:
    document = tiny_document(tmp_path, tiny_models)
    frames = {"method": "frame_by_frame"}
    document["variants"] = {
        "full": {},
        "noise": {"sample": {"start": "noise"}, "tune": {"steps": 1}},
        "per_frame": {"model": {"attention_mode": "per_frame"}},
        "frames": frames,
        "more": frames | {"frame_by_frame": {"steps": 3}},
        "source": {"method": "identity"},
    }
    write_manifest(document, tiny_videos(tiny_clips))
    return Methods(PlainRunner(run_config(document, "test")).state().context())


def test_variants_that_load_alike_share_what_is_loaded(methods: Methods) -> None:
    full: Any = methods.of("full")
    base = full._base
    assert methods.of("full") is full
    noise = methods.of("noise")
    assert noise is full
    assert noise.settings.sample.start == "noise"
    assert noise.settings.tune.steps == 1
    full = methods.of("full")
    assert (full.settings.sample.start, full.settings.tune.steps) == ("inversion", 2)
    assert full._base is base


def test_others_take_its_place(methods: Methods) -> None:
    full: Any = methods.of("full")
    base = full._base
    other: Any = methods.of("per_frame")
    assert isinstance(other, TuneAVideo)
    assert other is not full
    assert other._base is not base
    frames: Any = methods.of("frames")
    assert type(frames).__name__ == "FrameByFrame"
    more = methods.of("more")
    assert more is not frames, "its own settings are read while it loads"
    assert more.settings.own.steps == 3
    assert type(methods.of("source")).__name__ == "Identity"
    assert methods.of("full") is not full


def test_a_method_that_does_not_load_is_not_on_duty(methods: Methods, tiny_models: Path) -> None:
    methods.of("full")
    gone = methods._context.variants["per_frame"].config.model
    object.__setattr__(gone, "base", str(tiny_models / "gone"))
    for _ in range(2):
        with pytest.raises(UserError, match=r"method 'tune_a_video': model\.base '.*gone' cannot"):
            methods.of("per_frame")
    assert methods.of("full").settings.model.base == str(tiny_models / "base")


def test_a_method_that_sees_clips_whole_takes_no_windows() -> None:
    document = {"run": "r", "manifest": "m", "model": {"base": "b", "window": 24}}
    assert make_method(parse(RunConfig, document, "test")).settings.model.window == 24
    config = parse(RunConfig, document | {"method": "fatezero"}, "test")
    with pytest.raises(UserError, match="method 'fatezero' sees a clip whole"):
        make_method(config)
