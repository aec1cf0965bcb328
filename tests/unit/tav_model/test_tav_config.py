import subprocess
import sys
from dataclasses import FrozenInstanceError, fields

import pytest
from pydantic import TypeAdapter, ValidationError

from tav_model.config import InvertConfig, ModelConfig, SampleConfig, TuneConfig


def test_import_is_light() -> None:
    code = "import sys, tav_model.config, tav_model.identity; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("kind", "values", "told"),
    [
        (TuneConfig, {"steps": -1}, "steps=-1"),
        (TuneConfig, {"learning_rate": float("nan")}, "learning_rate=nan"),
        (TuneConfig, {"beta2": 1.0}, "beta2=1.0"),
        (TuneConfig, {"weight_decay": -1.0}, "weight_decay=-1.0"),
        (TuneConfig, {"checkpoint_every": -1}, "checkpoint_every=-1"),
        (InvertConfig, {"steps": 1001}, "1 .. 1000"),
        (SampleConfig, {"guidance_scale": 0.5}, "no guidance"),
        (SampleConfig, {"start": "middle"}, "middle"),
        (SampleConfig, {"prompts_per_batch": 0}, "prompts_per_batch=0"),
        (SampleConfig, {"solver": "euler"}, "solver='euler'"),
        (SampleConfig, {"solver": "dpmpp_2m", "keep_outside": "mask"}, "ddim with keep_outside"),
        (SampleConfig, {"guidance_interval": (0.5, 0.5)}, "guidance_interval=(0.5, 0.5)"),
        (SampleConfig, {"guidance_interval": (0.0, 1.1)}, "two parts of the steps"),
        (ModelConfig, {"base": ""}, "hub id"),
        (ModelConfig, {"base": "x", "dtype": "fp8"}, "fp8"),
        (ModelConfig, {"base": "x", "device": "tpu"}, "tpu"),
        (ModelConfig, {"base": "x", "device": "cpu:1"}, "cpu:1"),
        (ModelConfig, {"base": "x", "attention_mode": "dense"}, "sparse_causal"),
        (ModelConfig, {"base": "x", "init_seed": -1}, "init_seed=-1"),
    ],
)
def test_bad_values_are_named(kind: type, values: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        kind(**values)
    assert told in str(caught.value)


def test_pydantic_reads_and_forbids() -> None:
    adapter = TypeAdapter(TuneConfig)
    assert adapter.validate_python({"steps": 7}) == TuneConfig(steps=7)
    with pytest.raises(ValidationError, match="step_count"):
        adapter.validate_python({"step_count": 7})
    with pytest.raises(ValidationError, match="steps=-1"):
        adapter.validate_python({"steps": -1})


def test_configs_are_frozen_and_say_what_is_no_key() -> None:
    config = SampleConfig()
    with pytest.raises(FrozenInstanceError):
        config.steps = 3  # type: ignore[misc]
    not_key = {f.name for f in fields(config) if not f.metadata.get("key", True)}
    assert not_key == {"prompts_per_batch"}
