"""Protocols, on a real encoder and against values of a published evaluation script."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from components.results.export import columns
from eval.clip_encoder import ClipEncoder
from eval.errors import EvalError, UndefinedError, UnknownProtocolError
from eval.protocols.evidence import Clip, Evidence, Judges
from eval.protocols.protocol import Metric, Protocol, Scores, score
from eval.protocols.registry import PROTOCOLS, get_protocol


@pytest.fixture(scope="module")
def encoder(tiny_models: Path) -> ClipEncoder:
    return ClipEncoder(str(tiny_models / "clip"))


def random_frames(count: int = 5) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (count, 40, 56, 3), dtype=np.uint8)


def scored(encoder: ClipEncoder, frames: Any, prompt: str = "a red car") -> Scores:
    judges = Judges(encoder)
    evidence = Evidence(judges=judges, edit=Clip(lambda: frames, judges), prompt=prompt)
    return score(get_protocol("tav_paper_v1"), evidence)


def test_the_papers_protocol_is_all_pairs_and_mean_alignment(encoder: ClipEncoder) -> None:
    frames = random_frames()
    embedded = encoder.encode_frames(frames).astype(np.float64)
    pairs = [embedded[i] @ embedded[j] for i in range(5) for j in range(5) if i < j]
    text = encoder.encode_text("a red car").astype(np.float64)
    assert scored(encoder, frames).values == {
        "frame_consistency": pytest.approx(100 * np.mean(pairs), abs=1e-4),
        "textual_alignment": pytest.approx(100 * np.mean(embedded @ text), abs=1e-4),
    }


def test_a_still_clip_is_fully_consistent(encoder: ClipEncoder) -> None:
    still = np.repeat(random_frames(1), 4, axis=0)
    assert scored(encoder, still).values["frame_consistency"] == pytest.approx(100, abs=1e-4)


def test_one_frame_has_an_alignment_and_no_consistency(encoder: ClipEncoder) -> None:
    found = scored(encoder, random_frames(1))
    assert found.values.keys() == {"textual_alignment"}
    assert "at least 2" in found.reasons["frame_consistency"]


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8)]
)
def test_what_is_no_clip_is_refused(encoder: ClipEncoder, frames: Any) -> None:
    with pytest.raises(EvalError, match="uint8 of shape"):
        scored(encoder, frames)


def raising(error: Exception) -> Metric:
    def of(evidence: Evidence) -> float:
        raise error

    return Metric(label="", short="", of=of)


def test_what_has_no_meaning_is_no_failure_and_a_fault_is_one_where_nothing_is_left() -> None:
    judges = Judges()
    evidence = Evidence(judges=judges, edit=Clip(random_frames, judges), prompt="")
    senseless, faulty = raising(UndefinedError("no word")), raising(EvalError("too short"))
    endless = Metric(label="", short="", of=lambda _: float("nan"))
    fine = Metric(label="", short="", of=lambda _: 0.5)

    def found(**measures: Metric) -> Scores:
        return score(Protocol(name="a_v1", source="", measures=measures), evidence)

    assert found(a=senseless) == Scores({}, {"a": "no word"})
    assert found(a=faulty, b=fine) == Scores({"b": 0.5}, {"a": "too short"})
    assert "no number" in found(a=endless, b=fine).reasons["a"]
    for measures in ({"a": faulty}, {"a": senseless, "b": faulty}):
        with pytest.raises(EvalError, match="too short"):
            found(**measures)


def test_an_unknown_protocol_names_the_nearest_and_all() -> None:
    with pytest.raises(UnknownProtocolError, match=r"did you mean 'tav_paper_v1'\? known"):
        get_protocol("tav_papr_v1")
    with pytest.raises(UnknownProtocolError, match="unknown protocol 'fvd': known protocols: "):
        get_protocol("fvd")


def test_every_protocol_is_versioned_and_says_what_its_numbers_depend_on() -> None:
    assert {"tav_paper_v1", "rave_v1", "tinyworld_v2"} <= PROTOCOLS.keys()
    told = [
        "Source",
        "Model",
        "Resizing",
        "Frames",
        "Pairs",
        "Aggregation",
        "Range",
        "Direction",
        "Null",
    ]
    for name, protocol in PROTOCOLS.items():
        assert name == protocol.name
        assert name.rpartition("_v")[2].isdigit()
        assert protocol.source
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", one) for one in protocol.measures)
        assert protocol.measures.keys().isdisjoint(columns([]))
        text = importlib.import_module(f"eval.protocols.{name}").__doc__ or ""
        assert re.findall(r"^([A-Z][a-z]+): ", text, re.MULTILINE) == told, name


def test_names_of_protocols_cost_no_heavy_import() -> None:
    program = "import sys, eval.protocols.registry; print({'torch', 'PIL'} & sys.modules.keys())"
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout == "set()\n"
