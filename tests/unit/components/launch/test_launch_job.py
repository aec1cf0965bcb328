"""What is sent to a cluster: it survives shells, keeps its name, and carries no secret."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import RunConfig, load_run_config, narrowed, parse_run, run_config
from components.errors import UserError
from components.launch.__main__ import main
from components.launch.job import decode, encode, make_job
from components.launch.versions import installed
from components.run import PERFORMED
from tinyworld.shipped import shipped_model

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def config(**changes: Any) -> RunConfig:
    document = {"run": "s3://b/run", "manifest": "s3://b/m.yaml", "model": {"base": "tinyworld"}}
    return parse_run(document | changes, "test")


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_any_document_arrives_as_it_was(document: dict[str, Any]) -> None:
    text = encode(document)
    assert decode(text) == document
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", text)


def shell(words: str, folder: Path) -> list[str]:
    """The words that a shell makes of them."""
    command = ["sh", "-c", f"printf '%s\\n' {words}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    return done.stdout.splitlines()


def test_shells_on_the_way_change_nothing(tmp_path: Path) -> None:
    run = f"s3://b/$(touch {tmp_path}/pwned)`touch {tmp_path}/pwned`'\"; touch pwned; # \\ %\n|&>x"
    job = make_job("tune", config(run=run))
    # As KubeRay does it: a shell, `ray job submit` with list2cmdline, and a shell again.
    once = shell(job.entrypoint, tmp_path)
    twice = shell(subprocess.list2cmdline(once), tmp_path)
    assert twice == job.entrypoint.split(" ")
    assert decode(twice[4])["config"]["run"] == run
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", PERFORMED)
def test_names_are_dns_labels_that_kuberay_takes(step: str) -> None:
    job = make_job(step, config())
    for attempt in (0, 9999):
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", job.name(attempt))
        assert len(job.name(attempt)) <= 47
    assert make_job(step, config()).base_name == job.base_name
    others = [
        make_job(step, config(seed=34)),
        make_job(step, config(run="s3://b/other")),
        make_job(step, config(), retry_failed=True),
    ]
    assert len({job.base_name, *(other.base_name for other in others)}) == 4


def test_the_clusters_own_ray_and_models_are_used(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "{run: out, manifest: m.yaml, model: {base: tinyworld}, score: {model: tinyworld},"
        " ray: {address: 'ray://elsewhere:10001', workers: 3}}",
        encoding="utf-8",
    )
    made = make_job("run", load_run_config(tmp_path / "run.yaml"))
    sent = decode(made.text)["config"]
    assert sent["model"]["base"] == "tinyworld"
    assert sent["score"]["model"] == "tinyworld"
    assert sent["ray"]["address"] == "auto"
    assert sent["ray"]["workers"] == 3
    assert sent["run"] == str(Path.cwd() / "out")


VARIANTS = {"slow": {}, "fast": {"tune": {"steps": 0}}, "none": {"method": "identity"}}


def test_jobs_of_other_variants_are_other_jobs() -> None:
    whole = config(variants=VARIANTS)
    names = [(), ("slow",), ("fast",), ("slow", "fast")]
    jobs = {only: make_job("sample", narrowed(whole, only)) for only in names}
    assert len({job.base_name for job in jobs.values()}) == len(names)
    for only, job in jobs.items():
        sent = run_config(decode(job.text)["config"], "the job's configuration")
        assert (sent.only, list(sent.variants)) == (only, list(VARIANTS))
    # What comes to the same is adopted.
    again = make_job("sample", narrowed(whole, ("fast", "slow", "fast")))
    assert again.base_name == jobs["slow", "fast"].base_name
    assert make_job("sample", narrowed(whole, tuple(VARIANTS))).base_name == jobs[()].base_name


def test_a_variants_shipped_model_is_the_clusters_own(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "{run: out, manifest: m.yaml, model: {base: org/one},"
        " variants: {theirs: {}, drawn: {model: {base: tinyworld}}}}",
        encoding="utf-8",
    )
    sent = decode(make_job("run", load_run_config(tmp_path / "run.yaml")).text)["config"]
    assert sent["model"]["base"] == "org/one"
    assert sent["variants"]["drawn"]["model"]["base"] == "tinyworld"


def test_a_shipped_net_is_the_clusters_own_and_another_stays(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "{run: out, manifest: m.yaml, model: {base: tinyworld}, variants: {plain: {}, edges: {"
        "control: {nets: [{kind: controlnet, model: tinyworld, map: canny},"
        " {kind: controlnet, model: org/depth, map: depth}]}}}}",
        encoding="utf-8",
    )
    config = load_run_config(tmp_path / "run.yaml")
    own, _ = config.variants["edges"]["control"]["nets"]
    assert own["model"] == str(shipped_model("controlnet_canny"))
    sent = decode(make_job("run", config).text)["config"]
    nets = sent["variants"]["edges"]["control"]["nets"]
    assert [net["model"] for net in nets] == ["tinyworld", "org/depth"]


def test_a_method_that_the_cluster_lacks_is_one_clear_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sent = decode(make_job("run", config(variants=VARIANTS)).text)
    for where, document in (
        ("variants.new", {"variants": {"new": {"method": "identiti"}}}),
        ("the job's configuration", {"variants": {}, "method": "identiti"}),
    ):
        assert main(["run", encode(sent | {"config": sent["config"] | document})]) == 1
        said = capsys.readouterr().err
        assert f"{where}: unknown method 'identiti': did you mean 'identity'?" in said
        assert len(said.splitlines()) == 1


def test_what_cannot_be_sent_is_refused() -> None:
    with pytest.raises(UserError, match="run holds a password"):
        make_job("run", config(run="s3://key:secret@bucket/run"))
    with pytest.raises(UserError, match=r"takes 2.* characters, but a job carries 100000"):
        make_job("run", config(manifest="s3://b/" + "x" * 150_000))
    with pytest.raises(UserError, match="there is no step 'tuen'"):
        make_job("tuen", config())


def test_a_damaged_or_foreign_job_does_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    good = {"config": {}, "made_with": installed()}
    for text, complaint in (
        ("not base64!", "damaged"),
        (encode({})[:-3], "damaged"),
        ("WzFd", "no mapping"),  # [1]
        (encode(good | {"made_with": installed() | {"ray": "2.0.0"}}), "ray 2.0.0 there"),
        (encode(good | {"made_with": {}}), "python None there"),
    ):
        assert main(["tune", text]) == 1
        assert complaint in capsys.readouterr().err
    assert main(["tune", encode(good)]) == 1
    assert "run: is required" in capsys.readouterr().err
