"""A whole plan: what is left, what it takes, and what is refused with which remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from components.cli.main import main
from components.config import load_run_config
from components.plan.shards import shard_size, with_shard_size
from components.run.estimate import plan_run
from components.steps.step import StepContext
from tests.sd14 import write_configs
from tests.unit.components.run.test_plan import Run
from tests.unit.components.steps.test_shards import stage, tune_item

HEAVY = ("torch", "ray", "transformers", "diffusers", "open_clip")


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """Three videos with two edits each, at the paper's sizes, and nothing computed."""
    edits = [{"id": name, "prompt": f"a {name}"} for name in ("cat", "dog")]
    videos = [
        {"id": name, "uri": f"{name}.mp4", "prompt": "a fish", "edits": edits} for name in "abc"
    ]
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"videos": videos}), encoding="utf-8")
    document = {
        "run": str(tmp_path / "run"),
        "manifest": str(tmp_path / "m.yaml"),
        "model": {
            "base": str(write_configs(tmp_path / "base")),
            "device": "cuda",
            "dtype": "bf16",
        },
        "video": {"num_frames": 32},
        "score": {"protocols": ["tinyworld_v2"]},
        "ray": {"gpus_per_worker": 1, "workers": 2},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def planned(config_file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["plan", "--config", str(config_file), *arguments])


def document(config_file: Path, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(planned(config_file, "--json", *arguments).stdout)
    return found


def test_a_plan_before_the_first_run(config_file: Path) -> None:
    found = document(config_file, "--device", "A100-80GB")
    todo = {name: step["todo"] for name, step in found["steps"].items()}
    assert todo == {"ingest": 3, "caption": 3, "control": 0, "tune": 3, "sample": 6, "score": 6}
    assert found["problems"] == []
    assert found["rates"]["measured"] is False
    # 132 s a video and 10.3 s an edit at the peak rate, of which 37 % is used.
    assert found["steps"]["tune"]["seconds"] == pytest.approx(3 * 132 / 0.37, rel=0.02)
    assert found["steps"]["sample"]["seconds"] == pytest.approx(6 * 10.3 / 0.37, rel=0.02)
    assert found["storage_bytes"] == pytest.approx(3 * 299e6 + 6 * 1.05e6, rel=0.01)
    assert found["shards"] == 0
    assert not Path(config_file.parent, "run").exists()


def test_variants_are_named_whole_on_a_narrow_terminal(config_file: Path) -> None:
    long = "as_" + "long_as_a_name_may_be_" * 2 + "x" * 17
    variants = {
        long: {},
        "pnp": {"method": "plug_and_play"},
        "frames": {"method": "frame_by_frame"},
        "none": {"method": "identity"},
    }
    said = planned(config_file, "--device", "H100", f"variants={json.dumps(variants)}")
    assert said.exit_code == 0, said.output
    assert "…" not in said.output
    table = [line for line in said.output.splitlines() if not line.startswith(("device", "rates"))]
    names = "".join(line.split()[0] for line in table if line.strip())
    assert long in names
    for name, method in (("pnp", "plug_and_play"), ("frames", "frame_by_frame")):
        assert any(line.split()[:2] == [name, method] for line in table), said.output
    narrowed = planned(config_file, f"variants={json.dumps(variants)}", "--variant", "none")
    assert "plug_and_play" not in narrowed.output


def test_the_words(config_file: Path) -> None:
    shown = planned(config_file, "--device", "A100-80GB")
    assert shown.exit_code == 0
    assert "3 video(s) with 6 edit(s)" in shown.output
    assert "estimated from the peak rate of one A100-80GB" in shown.output
    assert "not measured" in shown.output
    assert "0.90 GB more" in shown.output


def test_what_cannot_fit_is_refused_with_what_would(config_file: Path) -> None:
    fast = "tune.gradient_checkpointing=false"
    refused = planned(config_file, "--device", "L4", fast)
    assert refused.exit_code == 1
    assert "tuning 32 frames of 512x512 takes" in refused.stderr
    assert "but a worker has 25.8 GB" in refused.stderr
    assert (
        "set tune.gradient_checkpointing=true, or model.window=25 model.overlap=8, or video.num"
        in refused.stderr
    )
    assert ", or video.width=" in refused.stderr
    assert "Traceback" not in refused.output
    # Each remedy is one.
    remedies = refused.stderr.partition(": set ")[2].strip().split(", or ")
    assert len(remedies) == 4
    for remedy in remedies:
        done = planned(config_file, "--device", "L4", fast, *remedy.split())
        assert done.exit_code == 0, done.output


def test_half_a_gpu_has_half_its_memory(config_file: Path) -> None:
    arguments = ("--device", "A100-40GB", "tune.gradient_checkpointing=false")
    assert planned(config_file, *arguments).exit_code == 0
    refused = planned(config_file, *arguments, "ray.gpus_per_worker=0.5")
    assert refused.exit_code == 1
    assert "but a worker has 21.5 GB" in refused.stderr
    # Without a share Ray puts both workers on one.
    refused = planned(config_file, *arguments, "ray.gpus_per_worker=0")
    assert "but a worker has 21.5 GB" in refused.stderr


def test_what_is_auto_is_chosen_by_the_devices_memory(config_file: Path) -> None:
    small, large = (document(config_file, "--device", name) for name in ("L4", "H200"))
    assert not small["problems"]
    (told,) = [note for note in small["notes"] if "gradient_checkpointing" in note]
    assert told.startswith("tune_a_video: tune.gradient_checkpointing: auto is true, as tuning ")
    assert "of 25.8 GB" in told
    assert [note for note in large["notes"] if "auto is" in note] == [
        "tune_a_video: sample.prompts_per_batch: auto is 2, as memory allows it"
    ], "a video has two edits"
    assert small["steps"]["tune"]["peak_bytes"] < 25.8e9 < large["steps"]["tune"]["peak_bytes"]


def test_hours_by_the_clock_are_those_of_all_gpus(config_file: Path) -> None:
    whole = ("tune.gradient_checkpointing=false", "ray.videos_per_shard=1", "ray.flow=false")
    arguments = ("--device", "A100-80GB", *whole)
    two = document(config_file, *arguments, "ray.gpus_per_worker=1")
    halves = document(config_file, *arguments, "ray.gpus_per_worker=0.5", "ray.workers=4")
    one = document(config_file, *arguments, "ray.gpus_per_worker=0")
    assert two["seconds"] == halves["seconds"] == one["seconds"]
    assert two["wall_seconds"] == halves["wall_seconds"] == pytest.approx(two["seconds"] / 2)
    assert one["wall_seconds"] == one["seconds"]
    assert two["busy"] == one["busy"] == 1


def test_tunings_are_side_by_side_as_far_as_there_are_any(config_file: Path) -> None:
    """Three videos on four GPUs: one of them has no tuning."""
    arguments = ("--device", "A100-80GB", "ray.gpus_per_worker=1", "ray.workers=4")
    found = document(config_file, *arguments)
    tune, rest = found["steps"]["tune"]["seconds"], found["steps"]["sample"]["seconds"]
    assert found["wall_seconds"] == pytest.approx(tune / 3 + rest / 4)
    assert found["busy"] == pytest.approx((tune + rest) / (4 * (tune / 3 + rest / 4)))
    busy = f"{found['busy']:.0%} busy"
    assert busy in " ".join(planned(config_file, *arguments).output.split())


def test_a_gpu_that_nobody_named(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # so that there is no nvidia-smi
    shown = planned(config_file)
    assert shown.exit_code == 0
    assert "name one with --device" in shown.output
    assert document(config_file)["seconds"] is None


def test_a_broken_manifest_is_told_before_anything(config_file: Path) -> None:
    Path(config_file.parent, "m.yaml").write_text("videos: [{id: a}]\n", encoding="utf-8")
    refused = planned(config_file, "--device", "L4")
    assert refused.exit_code == 1
    assert "uri" in refused.output


def test_rows_that_are_there_are_not_planned_again(tmp_path: Path) -> None:
    base = {"base": str(write_configs(tmp_path / "base"))}
    run = Run(tmp_path / "run", model=base)
    run.ingest()
    run.caption()
    plan = plan_run(run.state)
    assert [step.todo for step in plan.steps.values()] == [0, 0, 0, 1, 1, 1]
    tuning = plan.steps["tune"].seconds
    run.commit("adapters", adapter_key=run.state.first.adapter_keys["v"])
    inversion = plan_run(run.state).steps["tune"].seconds
    assert inversion is not None
    assert tuning is not None
    assert 0 < inversion < tuning / 5
    run.tune()
    run.sample()
    plan = plan_run(run.state)
    assert [step.todo for step in plan.steps.values()] == [0, 0, 0, 0, 0, 1]
    assert [step.done for step in plan.steps.values()] == [1, 1, 0, 1, 1, 0]
    assert plan.storage_bytes == 0


def test_what_failed_is_planned_if_the_next_run_tries_it_again(tmp_path: Path) -> None:
    base = {"base": str(write_configs(tmp_path / "base"))}
    run = Run(tmp_path / "run", model=base)
    run.ingest()
    run.caption()
    key = run.state.first.adapter_keys["v"]
    run.fail("tune", key, retryable=True)
    assert plan_run(run.state).steps["tune"].todo == 1
    run.fail("tune", key, retryable=False)
    plan = plan_run(run.state)
    assert [step.todo for step in plan.steps.values()] == [0, 0, 0, 0, 0, 0]
    assert [step.failed for step in plan.steps.values()] == [0, 0, 0, 1, 1, 1]


def test_shards_last_about_twenty_minutes(config_file: Path) -> None:
    config = load_run_config(config_file)
    assert [shard_size(config, seconds) for seconds in (43, 357, 5000, None)] == [28, 3, 1, 8]
    fixed = load_run_config(config_file, ("ray.videos_per_shard=5",))
    assert shard_size(fixed, 43) == 5
    alone = ("ray.videos_per_shard=1", "ray.flow=false")
    assert document(config_file, "--device", "H100", *alone)["shards"] == 3


def test_the_runs_shards_are_sized_by_what_their_videos_cost(config_file: Path) -> None:
    arguments = ("model.device=cpu", "model.dtype=fp32", "ray.gpus_per_worker=0")
    config = load_run_config(config_file, arguments)
    context = StepContext(config=config, config_hash="h")

    def sized(frames: int, side: int, **changes: Any) -> int | None:
        row = {"num_frames": frames, "width": side, "height": side}
        return with_shard_size(
            context, [tune_item(0, video_row=row, **changes)]
        ).config.ray.videos_per_shard

    assert sized(32, 512) == 1  # a day each on this CPU
    small = sized(2, 16)
    assert small is not None
    assert 1 < small < 100
    # Where the adapter is there, only the inversion is left.
    inversion = [stage("latents", "k", "ddim")]
    assert (sized(2, 16, wanted=inversion) or 0) > 5 * small


def test_a_plan_loads_nothing_heavy(config_file: Path) -> None:
    code = (
        "import sys\nfrom components.cli.main import main\n"
        f"main(['plan', '--config', {str(config_file)!r}, '--device', 'H100'],"
        " standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_captioner_that_is_not_installed_is_refused_before_any_work(config_file: Path) -> None:
    lavis = ("caption.backend=lavis", "caption.lavis_python=none/python", "--device", "H100")
    assert planned(config_file, *lavis).exit_code == 0, "every video has a prompt"
    manifest = config_file.with_name("m.yaml")
    text = manifest.read_text(encoding="utf-8").replace("  prompt: a fish\n", "", 1)
    manifest.write_text(text, encoding="utf-8")
    result = planned(config_file, *lavis)
    assert result.exit_code == 1
    told = "none/python is missing: make it with `make lavis`"
    if sys.version_info[:2] > (3, 11):
        told = "needs Python 3.11 or earlier"
    assert told in result.output
