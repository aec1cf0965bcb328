"""Protocols, on a real encoder and against values of a published evaluation script."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from eval.clip_encoder import ClipEncoder
from eval.errors import EvalError, UnknownProtocolError
from eval.metrics import frame_consistency, textual_alignment
from eval.protocols.protocol import (
    ClipEmbeddings,
    ClipProtocol,
    embed_frames,
    score_clip,
    score_embeddings,
)
from eval.protocols.registry import PROTOCOLS, get_protocol

GOLDEN = Path(__file__).parents[4] / "shared" / "golden" / "metrics"


@pytest.fixture(scope="module")
def encoder(tiny_models: Path) -> ClipEncoder:
    return ClipEncoder(str(tiny_models / "clip"))


def paper() -> ClipProtocol:
    protocol = get_protocol("tav_paper_v1")
    assert isinstance(protocol, ClipProtocol)
    return protocol


def random_frames(count: int = 5) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (count, 40, 56, 3), dtype=np.uint8)


def test_the_papers_protocol_is_all_pairs_and_mean_alignment(encoder: ClipEncoder) -> None:
    frames = random_frames()
    scores = score_clip(paper(), encoder, frames, "a red car")
    embedded = encoder.encode_frames(frames).astype(np.float64)
    pairs = [embedded[i] @ embedded[j] for i in range(5) for j in range(5) if i < j]
    text = encoder.encode_text("a red car").astype(np.float64)
    assert scores == {
        "frame_consistency": pytest.approx(100 * np.mean(pairs), abs=1e-4),
        "textual_alignment": pytest.approx(100 * np.mean(embedded @ text), abs=1e-4),
    }


def test_a_still_clip_is_fully_consistent(encoder: ClipEncoder) -> None:
    still = np.repeat(random_frames(1), 4, axis=0)
    scores = score_clip(paper(), encoder, still, "a red car")
    assert scores["frame_consistency"] == pytest.approx(100, abs=1e-4)


def test_one_frame_cannot_be_scored(encoder: ClipEncoder) -> None:
    with pytest.raises(EvalError, match="at least 2"):
        score_clip(paper(), encoder, random_frames(1), "a red car")


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8)]
)
def test_what_is_no_clip_is_refused(encoder: ClipEncoder, frames: Any) -> None:
    with pytest.raises(EvalError, match="uint8 of shape"):
        score_clip(paper(), encoder, frames, "a red car")


def test_an_unknown_protocol_names_the_nearest_and_all() -> None:
    with pytest.raises(UnknownProtocolError, match=r"did you mean 'tav_paper_v1'\? known"):
        get_protocol("tav_papr_v1")
    with pytest.raises(UnknownProtocolError, match="unknown protocol 'fvd': known protocols: "):
        get_protocol("fvd")


def test_every_protocol_is_versioned_and_says_what_its_numbers_depend_on() -> None:
    assert {"tav_paper_v1", "rave_v1", "tinyworld_v1"} <= PROTOCOLS.keys()
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
        text = importlib.import_module(f"eval.protocols.{name}").__doc__ or ""
        assert re.findall(r"^([A-Z][a-z]+): ", text, re.MULTILINE) == told, name


def test_names_of_protocols_cost_no_heavy_import() -> None:
    program = "import sys, eval.protocols.registry; print({'torch', 'PIL'} & sys.modules.keys())"
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout == "set()\n"


class TransformersClip:
    """The golden values' model: a transformers CLIPModel folder."""

    def __init__(self, folder: Path) -> None:
        from transformers import CLIPModel, CLIPProcessor

        self.model = CLIPModel.from_pretrained(folder).eval()
        self.processor = CLIPProcessor.from_pretrained(folder, use_fast=False)
        self.logit_scale = float(self.model.logit_scale.detach().exp())

    def encode_frames(self, frames_FHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        import torch

        with torch.no_grad():
            pixels = self.processor(images=list(frames_FHWC), return_tensors="pt")
            seen = self.model.vision_model(**pixels).pooler_output
            projected: npt.NDArray[np.float32] = self.model.visual_projection(seen).numpy()
        return projected

    def encode_text(self, prompt: str) -> npt.NDArray[np.float32]:
        import torch

        with torch.no_grad():
            read = self.model.text_model(**self.processor(text=[prompt], return_tensors="pt"))
            projected: npt.NDArray[np.float32] = self.model.text_projection(read.pooler_output)[
                0
            ].numpy()
        return projected


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="golden metric values are not beside this checkout")
def test_metrics_agree_with_the_loveu_tgve_2023_evaluation() -> None:
    from PIL import Image

    clip = TransformersClip(GOLDEN / "clip")

    def metrics(embeddings: ClipEmbeddings) -> dict[str, float]:
        alignment = textual_alignment(embeddings.frames_FD, embeddings.text_D)
        return {
            "frame_consistency": frame_consistency(embeddings.frames_FD),
            "textual_alignment": alignment / 100 * clip.logit_scale,
        }

    protocol = ClipProtocol(name="golden_v1", source="", metrics=metrics, frame_size=(480, 480))
    for expected in json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))["values"]:
        paths = sorted((GOLDEN / "frames" / expected["video"]).glob("*.png"))
        frames = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
        embedded = embed_frames(protocol, clip, frames)
        scores = score_embeddings(protocol, embedded, clip.encode_text(expected["prompt"]))
        for metric, value in scores.items():
            assert value == pytest.approx(expected[metric], abs=1e-3), (expected, metric)
