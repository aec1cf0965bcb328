"""Time, memory and storage of one video, against what was measured and counted elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.config import RunConfig, parse
from components.errors import UserError
from components.plan.devices import GPUS, find_device
from components.plan.rates import SHIPPED, Rates, find_rates, read_calibration
from components.plan.video import BaseConfigs, VideoCost, base_configs, text_parameters
from tav_model.config import ModelConfig
from tests.sd14 import TEXT, UNET, VAE

SD14 = BaseConfigs(unet=UNET, vae=VAE, text=TEXT)
MEDIUM = BaseConfigs(
    unet=UNET | {"block_out_channels": [64, 128, 256, 256], "cross_attention_dim": 256},
    vae=VAE | {"block_out_channels": [32, 64, 128, 128]},
    # The benchmark's: one small layer and the tiny world's few words.
    text={
        "hidden_size": 256,
        "intermediate_size": 256,
        "num_hidden_layers": 1,
        "vocab_size": 100,
        "max_position_embeddings": 77,
    },
)


def run_config(**changes: object) -> RunConfig:
    document = {"run": "/r", "manifest": "m", "model": {"base": "b"}} | changes
    return parse(RunConfig, document, "test")


def paper(**tune: object) -> VideoCost:
    config = run_config(
        model={"base": "b", "device": "cuda", "dtype": "bf16"},
        video={"num_frames": 32},
        tune=tune,
    )
    return VideoCost(config, SD14, config.video)


def medium() -> tuple[RunConfig, VideoCost]:
    config = run_config(
        video={"num_frames": 8, "width": 256, "height": 256}, ray={"cpus_per_worker": 2}
    )
    return config, VideoCost(config, MEDIUM, config.video)


def test_the_floor_of_the_papers_setting() -> None:
    peak = GPUS["A100-40GB"].peak_flops["bf16"]
    floor = Rates(
        source="", measured=False, train=peak, guided=peak, inversion=peak, encode=peak, decode=peak
    )
    cost = paper()
    # 500 steps: 122 s; inversion 5.1 s, and back for the reconstruction; 10.3 s an edit.
    assert cost.tune_seconds(floor) == pytest.approx(122 + 2 * 5.1, rel=0.02)
    assert cost.tune_seconds(floor, ["latents"]) == pytest.approx(2 * 5.1, rel=0.06)
    assert cost.sample_seconds(floor) == pytest.approx(10.3, rel=0.02)


def test_a_calibration_gives_back_what_was_measured() -> None:
    config, cost = medium()
    given = SHIPPED / "cpu-amd-epyc-medium.json"
    rates = find_rates(config, None, cost.train_flops, given)
    assert rates is not None
    assert rates.source == "measured on AMD EPYC, 2 cores, 2026-11-21"
    assert cost.train_flops / rates.train == pytest.approx(3.07)
    assert 2 * cost.unet.forward / rates.guided == pytest.approx(1.89)
    assert cost.vae.decode / rates.decode == pytest.approx(2.84)


def test_peak_memory_is_what_was_measured() -> None:
    _, cost = medium()
    measured = {part: 1e9 * gb for part, gb in (("train", 2.04), ("decode", 1.56))}
    # A sixth of a GB that kernels take whatever the size is not counted.
    assert cost.tune_bytes() == pytest.approx(measured["train"], rel=0.11)
    # Decoding needs more than a guided step does.
    assert cost.sample_bytes() == pytest.approx(measured["decode"], rel=0.07)


def test_checkpointing_trades_memory_for_flops() -> None:
    plain, checkpointed = paper(), paper(gradient_checkpointing=True)
    less, more = checkpointed.tune_bytes(), plain.tune_bytes()
    assert less is not None
    assert more is not None
    assert less < more / 3
    assert checkpointed.train_flops == pytest.approx(plain.train_flops * 99.1 / 76.4, rel=0.01)


def test_peak_memory_at_real_channels() -> None:
    config = run_config(video={"num_frames": 8, "width": 256, "height": 256})
    # Measured with `benchmarks.train_step --config sd14 --frames 8 --latent-size 32`.
    measured = VideoCost(config, SD14, config.video).tune_bytes()
    assert measured == pytest.approx(9.7e9, rel=0.03)


def test_storage() -> None:
    cost = paper()
    assert cost.adapter_bytes() == pytest.approx(297e6, rel=0.005)
    for encoding, megabytes in (("fp16", 148.8), ("low_rank", 9.8), ("sign", 9.7), ("int4", 39.6)):
        config = run_config(video={"num_frames": 32}, adapter={"encoding": encoding})
        stored = VideoCost(config, SD14, config.video).adapter_bytes()
        assert stored == pytest.approx(megabytes * 1e6, rel=0.03), encoding
    # 1 MB of latents and 1 MB of preview beside the adapter.
    assert cost.video_bytes() == pytest.approx(297e6 + 1.05e6 + 1.05e6, rel=0.005)


def test_clips_text_encoder_has_123_million_numbers() -> None:
    assert text_parameters(TEXT) == 123_060_480


def test_an_uncalibrated_gpu_says_so() -> None:
    config = run_config(model={"base": "b", "device": "cuda", "dtype": "bf16"})
    rates = find_rates(config, find_device(config, "a100-40gb"), 7e13)
    assert rates is not None
    assert not rates.measured
    assert "estimated from the peak rate of one A100-40GB" in rates.source
    assert rates.source.endswith("not measured")
    # The T4 knows no bf16, so there is no rate to name.
    assert find_rates(config, find_device(config, "T4"), 7e13) is None


def test_the_nearest_size_counts() -> None:
    config = run_config()
    device = find_device(config, None)
    sizes = sorted(
        (read_calibration(path).train_flops, read_calibration(path))
        for path in SHIPPED.glob("*.json")
    )
    assert len(sizes) > 1
    for flops, calibration in sizes:
        rates = find_rates(config, device, flops * 1.2)
        assert rates is not None
        assert rates.train == pytest.approx(calibration.per_second["train_step"])


def test_what_is_no_calibration_is_refused(tmp_path: Path) -> None:
    config, cost = medium()
    file = tmp_path / "bench.json"
    for text in ("", "[]", '{"date": "2026-11-21", "settings": {}, "parts": {}}'):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match="is no output of"):
            find_rates(config, None, cost.train_flops, file)
    other = run_config(model={"base": "b", "dtype": "bf16"})
    with pytest.raises(UserError, match="cpu in fp32, but the run computes on cpu in bf16"):
        find_rates(other, None, 1.0, SHIPPED / "cpu-amd-epyc-medium.json")


def test_devices_that_are_not_meant_are_refused() -> None:
    with pytest.raises(UserError, match=r"model\.device=cuda"):
        find_device(run_config(), "H100")
    with pytest.raises(UserError, match="data sheets known are H200, H100"):
        find_device(run_config(model={"base": "b", "device": "cuda"}), "H1000")


def test_rays_name_of_a_gpu_is_enough() -> None:
    model = {"base": "b", "device": "cuda"}
    for kind, name in (("A100", "A100-40GB"), ("H100", "H100"), ("V100", "V100-16GB")):
        config = run_config(model=model, ray={"gpus_per_worker": 1, "accelerator_type": kind})
        assert find_device(config, None) is GPUS[name]
    other = run_config(model=model, ray={"gpus_per_worker": 1, "accelerator_type": "TPU-V6E"})
    assert find_device(other, None) is None


def test_a_base_without_configs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unet/config\.json of model\.base"):
        base_configs(ModelConfig(base=str(tmp_path)), "sha256:0")


def test_a_long_clip_takes_the_memory_of_a_window_and_the_time_of_all_of_them() -> None:
    """Of 96 frames in windows of 24 that share 8: six windows, 25 frames at once."""

    def counted(frames: int, **model: object) -> VideoCost:
        config = run_config(model={"base": "b"} | model, video={"num_frames": frames})
        return VideoCost(config, SD14, config.video)

    long, window, whole = counted(96, window=24), counted(25), counted(96)
    assert long.unet == window.unet
    pixels = 1.1 * 12 * (96 - 25) * 512 * 512  # the clip's own frames
    for name in ("tune_bytes", "sample_bytes"):
        of_long, of_window, of_whole = (getattr(c, name)() for c in (long, window, whole))
        assert of_window <= of_long <= of_window + pixels
        assert of_whole > 1.5 * of_long
    peak = GPUS["A100-40GB"].peak_flops["bf16"]
    rates = Rates(
        source="", measured=False, train=peak, guided=peak, inversion=peak, encode=peak, decode=1e30
    )
    assert long.sample_seconds(rates) == pytest.approx(6 * (window.sample_seconds(rates) or 0))
