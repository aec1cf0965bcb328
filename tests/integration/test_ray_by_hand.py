"""A Ray that a user starts, as README's "A cluster" says, and one that is started in other ways."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray._private.authentication_test_utils import reset_auth_token_state

from components.launch import StepFailed, Where, launch_step
from components.run.record import load_run
from tests.integration.ray_head import ray_head
from tests.runs import run_config, tiny_document, write_manifest

pytestmark = pytest.mark.soak

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def document(tmp_path: Path, tiny_models: Path, tiny_clips: Path) -> dict[str, Any]:
    document = tiny_document(tmp_path, tiny_models)
    fish = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a fish", "edits": []}
    write_manifest(document, [fish])
    return document


def test_a_ray_started_by_its_path_is_told_to_have_another_python(
    document: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with ray_head(PATH="/usr/bin:/bin", PYTHONPATH="") as address:
        where = Where(mode="address", address=address, attempts=3)
        message = r"the python of this Ray's jobs, .*, has no tune-a-video-at-scale: activate its"
        with pytest.raises(StepFailed, match=message) as caught:
            launch_step("ingest", run_config(document), where)
    assert len(str(caught.value).splitlines()) == 1
    assert "Traceback" not in capfd.readouterr().err


def test_readmes_cluster_is_guarded_by_the_token_of_a_file(
    document: dict[str, Any], tmp_path: Path
) -> None:
    """The commands of README, but for ports: other Rays run on the machine of the tests."""
    (section,) = re.findall(r"## A cluster\n(.*?)\n## ", README.read_text("utf-8"), re.DOTALL)
    for words in (
        "ray get-auth-token --generate",
        "export RAY_AUTH_MODE=token",
        "ray start --head",
        "tav submit --ray http://HEAD:8265 --config my-run.yaml",
    ):
        assert words in section
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    at_home = plain | {"HOME": str(tmp_path), "RAY_AUTH_MODE": "token"}
    ray = str(Path(sys.executable).parent / "ray")
    subprocess.run([ray, "get-auth-token", "--generate"], env=at_home, check=True)
    token = (tmp_path / ".ray" / "auth_token").read_text()
    (tmp_path / "my-run.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", token.strip())
        reset_auth_token_state()  # it keeps an earlier test's
        with ray_head(HOME=str(tmp_path)) as address:
            submit = [sys.executable, "-m", "components.cli", "submit", "--ray", address]
            submit += ["--config", str(tmp_path / "my-run.yaml"), "--step", "ingest"]
            refused = subprocess.run(
                submit,
                env=plain | {"HOME": str(tmp_path)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert "wants a token: set RAY_AUTH_MODE=token" in refused.stderr
            assert "Traceback" not in refused.stderr
            subprocess.run(submit, env=at_home, check=True)
    reset_auth_token_state()  # nor shall a later test's be this one
    assert set(load_run(document["run"]).first.videos) == {"fish"}
