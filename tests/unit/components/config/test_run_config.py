"""The run's configuration: typos never become defaults, and problems are told at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.config import (
    FPS_RANGE,
    OutputConfig,
    RunConfig,
    VideoConfig,
    load_run_config,
    parse,
    run_config,
    to_document,
    variant_configs,
)
from components.config.load import parse_run
from components.errors import UserError
from components.records.keys import content_key
from tav_model.config import SampleConfig
from tinyworld.shipped import shipped_model

MINIMAL: dict[str, Any] = {"run": "runs/a", "manifest": "set.yaml", "model": {"base": "org/name"}}


def write(folder: Path, document: Any) -> Path:
    path = folder / "run.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return path


def problems(document: dict[str, Any]) -> list[str]:
    with pytest.raises(UserError) as caught:
        parse(RunConfig, MINIMAL | document, "run.yaml")
    first, *lines = str(caught.value).splitlines()
    assert first == f"run.yaml: {len(lines)} problem(s)"
    return [line.strip() for line in lines]


def test_what_is_not_given_is_the_papers_setting(tmp_path: Path) -> None:
    config = load_run_config(write(tmp_path, MINIMAL))
    assert (config.video.num_frames, config.video.width, config.tune.steps) == (24, 512, 500)
    assert (config.tune.learning_rate, config.sample.guidance_scale) == (3e-5, 12.5)
    assert config.seed == 33


def test_local_paths_become_whole_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "base").mkdir(parents=True)
    document = MINIMAL | {"run": "s3://bucket/run", "model": {"base": "models/base"}}
    config = load_run_config(write(tmp_path, document))
    assert config.run == "s3://bucket/run"
    assert config.manifest == f"{tmp_path}/set.yaml"
    assert config.model.base == f"{tmp_path}/models/base"
    assert config.manifest_root is None
    assert "manifest_root" not in to_document(config)
    rooted = load_run_config(write(tmp_path, document), ("manifest_root=DAVIS",))
    assert rooted.manifest_root == f"{tmp_path}/DAVIS"
    assert content_key(config=rooted) == content_key(config=config)
    assert load_run_config(write(tmp_path, MINIMAL)).model.base == "org/name"
    lavis = MINIMAL | {"caption": {"backend": "lavis", "lavis_python": "env/bin/python"}}
    config = load_run_config(write(tmp_path, lavis))
    assert config.caption.lavis_python == f"{tmp_path}/env/bin/python"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"vidoe": {}}, "vidoe: unknown key; did you mean 'video'?"),
        ({"tune": {"step": 3}}, "tune.step: unknown key; did you mean 'steps'?"),
        ({"ray": {"zzz": 3}}, "ray.zzz: unknown key; known keys: address, num_cpus"),
        ({"video": {"num_frames": 0}}, "video: num_frames is 0, but must be at least 1"),
        ({"video": {"width": 500}}, "video: width is 500, but must be a multiple of 8"),
        ({"video": {"fit": "zoom"}}, "video.fit: Input should be 'crop', 'pad' or 'stretch'"),
        (
            {"caption": {"backend": "lavsi"}},
            "caption.backend: Input should be 'transformers' or 'lavis' (got 'lavsi'); did you m",
        ),
        ({"caption": {"lavis_pyton": "x"}}, "caption.lavis_pyton: unknown key; did you mean"),
        (
            {"caption": {"lavis_python": "x"}},
            "caption: lavis_python is 'x', but backend is 'transformers': set backend to lavis",
        ),
        ({"caption": {"length_penalty": -1}}, "caption: length_penalty is -1.0, but must be at"),
        ({"video": {"start": 1.5}}, "video.start: "),
        ({"video": {"start": "many"}}, "video.start: "),
        (
            {"video": {"limits": {"frame": 1}}},
            "video.limits.frame: unknown key; did you mean 'frames'",
        ),
        ({"video": {"limits": {"decode_gib": 0}}}, "video.limits: decode_gib is 0.0, but must"),
        ({"video": None}, "video: "),
        ({"video": [1]}, "video: "),
        ({"output": {"crf": 52}}, "output: crf is 52, but x264 takes 0 to 51"),
        (
            {"output": {"fps": "sourcespeed"}},
            "output.fps: Input should be 'source_speed' or 'source_rate' or a number (got",
        ),
        ({"output": {"fps": "source"}}, "output.fps: Input should be 'source_speed' or"),
        ({"output": {"fps": None}}, "output.fps: Input should be 'source_speed' or"),
        ({"output": {"fps": 0}}, "output: fps is 0.0, but must be 0.0001 to 10000 frames per"),
        ({"output": {"fps": float("inf")}}, "output: fps is inf, but must be"),
        ({"video": {"fps": -24}}, "video: fps is -24.0, but must be 0.0001 to 10000 frames per"),
        ({"video": {"fps": 90_000}}, "video: fps is 90000.0, but must be"),
        ({"video": {"fps": float("nan")}}, "video: fps is nan, but must be"),
        ({"video": {"fps": "fast"}}, "video.fps: Input should be a valid number"),
        ({"max_failed_fraction": 1.1}, "document: max_failed_fraction is 1.1"),
        ({"max_failed_fraction": float("nan")}, "document: max_failed_fraction is nan"),
        ({"ray": {"cpus_per_worker": float("nan")}}, "ray: cpus_per_worker is nan"),
        ({"ray": {"gpus_per_worker": float("inf")}}, "ray: gpus_per_worker is inf"),
        ({"score": {"protocols": []}}, "score: protocols is empty"),
        ({"run": None}, "run: "),
        ({"model": {}}, "model.base: is required, but not given"),
    ],
)
def test_each_problem_is_named_by_its_key(document: dict[str, Any], message: str) -> None:
    (line,) = problems(document)
    assert line.startswith(message)


def test_all_problems_are_told_at_once() -> None:
    lines = problems({"tune": {"step": 3}, "video": {"width": 9}, "seed": "x"})
    assert [line.split(":")[0] for line in lines] == ["seed", "video", "tune.step"]


def test_overrides_are_yaml_by_path(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL | {"video": {"num_frames": 8}})
    config = load_run_config(
        path, ("tune.steps=20", "video.fit=pad", "score.protocols=[a, b]", "ray.address=null")
    )
    assert (config.tune.steps, config.video.fit, config.video.num_frames) == (20, "pad", 8)
    assert config.score.protocols == ("a", "b")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tune.steps", "is not of the form key=value"),
        ("=3", "is not of the form key=value"),
        ("seed.x=3", "'seed' holds a value, not a section"),
        ("tune.steps=[", "is no YAML"),
        (
            "tune={steps: 1, steps: 2}",
            "(?s)override 'tune=.*the key 'steps' is given twice: keep one",
        ),
        ("tune.stepz=3", "tune.stepz: unknown key; did you mean 'steps'"),
        ("tune..steps=3", "unknown key"),
    ],
)
def test_wrong_overrides_are_named(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_run_config(write(tmp_path, MINIMAL | {"seed": 1}), (override,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds NoneType, but a mapping"),
        ("a: [", "line 2: is no YAML"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: is no YAML: the tag 'tag:.*remove"),
        ("tune:\n  steps: 1\n  steps: 2", "line 3: the key 'steps' is given twice: keep one"),
        ("a: &a {x: 1}\nb:\n  <<: *a", "line 3: merges with << are not read: write the values"),
        (f"a: {'[' * 500}{']' * 500}", "line 1: is nested deeper than 12 levels: use fewer"),
        (f"a: {'9' * 5000}", "line 1: holds no usable value"),
        ("1: 2", "problem"),
    ],
)
def test_files_that_are_no_configuration_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_run_config(write(tmp_path, text))


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*gone\.yaml: No such file"):
        load_run_config(tmp_path / "gone.yaml")
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(
        UserError, match=r"x\.yaml: 1 problem.* in the configuration\n  line 1: is not UTF-8"
    ):
        load_run_config(tmp_path / "x.yaml")


configs = st.builds(
    VideoConfig,
    num_frames=st.integers(1, 999),
    selection=st.sampled_from(["uniform", "stride"]),
    start=st.integers(0, 999),
    stride=st.integers(1, 99),
    width=st.integers(1, 200).map(lambda n: 8 * n),
    height=st.integers(1, 200).map(lambda n: 8 * n),
    fit=st.sampled_from(["crop", "pad", "stretch"]),
    fps=st.none() | st.floats(*FPS_RANGE),
)


@given(
    video=configs,
    seed=st.integers(),
    output=st.builds(
        OutputConfig,
        crf=st.integers(0, 51),
        fps=st.sampled_from(["source_speed", "source_rate"]) | st.floats(*FPS_RANGE),
    ),
)
def test_a_saved_configuration_is_read_back_equal(
    video: VideoConfig, seed: int, output: OutputConfig
) -> None:
    config = parse(RunConfig, MINIMAL, "x")
    document = to_document(config) | {
        "video": to_document(video),
        "seed": seed,
        "output": to_document(output),
    }
    again = parse(RunConfig, json.loads(json.dumps(document)), "x")
    assert (again.video, again.seed, again.output) == (video, seed, output)
    assert parse(RunConfig, json.loads(json.dumps(to_document(again))), "x") == again


def test_a_saved_configuration_is_read_back_to_the_same_text() -> None:
    """A whole number as the default of a fraction would make it another configuration's text."""
    config = parse(RunConfig, MINIMAL, "test")
    again = parse(RunConfig, json.loads(json.dumps(to_document(config))), "again")
    assert json.dumps(to_document(again)) == json.dumps(to_document(config))


def test_a_method_s_section_is_read_back_to_the_same_text() -> None:
    config = parse_run(MINIMAL | {"method": "text2live", "text2live": {}}, "test")
    text = json.dumps(to_document(config))
    assert json.dumps(to_document(parse_run(json.loads(text), "again"))) == text


def test_a_method_s_own_model_may_be_tinyworld_s_where_its_field_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sections = {"text2live": {"clip": "tinyworld"}, "wan_v2v": {"base": "tinyworld"}}
    own = load_run_config(write(tmp_path, MINIMAL | sections)).own
    assert own["text2live"].clip == str(shipped_model("clip"))
    assert own["wan_v2v"].base == "tinyworld"
    other = {"text2live": {"clip": str(tmp_path / "gone")}}
    own = load_run_config(write(tmp_path, MINIMAL | other)).own
    assert own["text2live"].clip == str(tmp_path / "gone")


def test_a_net_may_be_tinyworld_s_where_it_has_one_for_that_map(tmp_path: Path) -> None:
    def nets(*pairs: tuple[str, str]) -> dict[str, Any]:
        own = [{"kind": kind, "model": "tinyworld", "map": shown} for kind, shown in pairs]
        return MINIMAL | {"control": {"nets": own}}

    pairs = (("controlnet", "files"), ("controlnet", "canny"), ("t2i_adapter", "canny"))
    found = load_run_config(write(tmp_path, nets(*pairs))).control.nets
    folders = ("controlnet_depth", "controlnet_canny", "t2i_adapter_canny")
    assert [net.model for net in found] == [str(shipped_model(name)) for name in folders]  # type: ignore[arg-type]
    with pytest.raises(UserError, match="has no controlnet for the map pose: it has controlnet_d"):
        load_run_config(write(tmp_path, nets(("controlnet", "pose"))))


def test_judges_have_names_and_leave_the_keys_of_others_as_they_were() -> None:
    document = {"run": "r", "manifest": "m", "model": {"base": "x"}}
    plain = parse(RunConfig, document, "test")
    named = parse(
        RunConfig,
        document | {"score": {"judges": {"dinov2": {"model": "org/dino", "revision": "v1"}}}},
        "test",
    )
    assert named.score.judges["dinov2"].revision == "v1"
    assert content_key(config=plain) != content_key(config=named)
    for judges, said in (
        ({"dino": {"model": "a/b"}}, "no judge is called 'dino': did you mean 'dinov2'"),
        ({"dinov2": {"modle": "a/b"}}, "unknown key"),
    ):
        with pytest.raises(UserError, match=said):
            parse(RunConfig, document | {"score": {"judges": judges}}, "test")


def test_a_profile_is_settings_beneath_the_users_own(tmp_path: Path) -> None:
    document = MINIMAL | {"profile": "fast", "sample": {"steps": 30}}
    config = load_run_config(write(tmp_path, document), ("sample.guidance_scale=7",))
    assert (config.sample.steps, config.sample.solver, config.invert.steps) == (30, "dpmpp_2m", 20)
    assert config.sample.guidance_scale == 7
    assert config.sample.guidance_interval == (0.0, 0.8)
    assert "profile" not in to_document(config)
    overridden = load_run_config(write(tmp_path, MINIMAL), ("profile=fast",))
    assert overridden.sample.solver == "dpmpp_2m"


def test_a_variant_may_have_a_profile(tmp_path: Path) -> None:
    variants = {"full": {}, "fast": {"profile": "fast", "sample": {"guidance_scale": 9}}}
    config = load_run_config(write(tmp_path, MINIMAL | {"variants": variants}))
    found = variant_configs(config, run_config)
    assert found["full"].sample == SampleConfig()
    assert found["fast"].sample == SampleConfig(
        steps=20, solver="dpmpp_2m", guidance_interval=(0.0, 0.8), guidance_scale=9
    )
    assert "profile" not in json.dumps(config.variants)
    back = {"full": {"profile": "paper"}}
    config = load_run_config(write(tmp_path, MINIMAL | {"profile": "fast", "variants": back}))
    assert variant_configs(config, run_config)["full"].sample == SampleConfig()


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"profile": "fats"}, "profile 'fats' is unknown; did you mean 'fast'?"),
        ({"profile": ["fast"]}, "profile ['fast'] is unknown; there are fast, paper"),
        ({"variants": {"a": {"profile": "slow"}}}, "variants.a: profile 'slow' is unknown"),
        ({"profile": "fast", "method": "sdedit"}, "has settings of tune_a_video alone"),
        ({"variants": {"a": {"profile": "fast", "method": "identity"}}}, "method 'identity'"),
        ({"profil": "fast"}, "profil: unknown key; did you mean 'profile'?"),
    ],
)
def test_a_wrong_profile_is_told(tmp_path: Path, document: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        load_run_config(write(tmp_path, MINIMAL | document))
    assert told in str(caught.value)


def test_a_value_that_may_be_a_name_has_one_problem() -> None:
    found = problems(
        {"tune": {"gradient_checkpointing": "maybe"}, "sample": {"prompts_per_batch": "many"}}
    )
    assert found == [
        "tune.gradient_checkpointing: Input should be 'auto' or true or false (got 'maybe')",
        "sample.prompts_per_batch: Input should be 'auto' or a whole number (got 'many')",
    ]
