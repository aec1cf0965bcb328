"""The image itself: its targets build, the demo runs in it, and nothing else has got into it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import REPOSITORY, copy_sources
from tests.integration.image import Images, NoImageError, check

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

TARGETS = ("cpu", "lavis", "gpu")
MARK = "tav-mark-5f1c"
"""Stands in all that must not get into an image."""
FEW = "tune.steps=2 invert.steps=2 sample.steps=2"
DEMO = "tav run --config manifests/runs/demo.yaml"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, with things beside them that people have there."""
    folder = copy_sources(tmp_path_factory.mktemp("context") / "sources")
    for name in (".env", ".git/config", ".aws/credentials", "runs/a/run.json", "components/.env"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"password={MARK}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def images(context: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """All targets, built; about ten minutes and 40 GB."""
    folder = tmp_path_factory.mktemp("images")
    try:
        check(folder)
    except NoImageError as error:
        pytest.skip(str(error))
    made = Images(folder)
    try:
        made.take_settings(MARK)
        try:
            made.make_base()
        except NoImageError as error:
            pytest.skip(str(error))
        for target in TARGETS:
            made.build(target, context)
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def roots(images: Images) -> dict[str, Path]:
    return {target: images.mount(target) for target in TARGETS}


def size(root: Path) -> int:
    """Bytes of all files below a folder, links counted once."""
    seen: dict[int, int] = {}
    for folder, _, names in os.walk(root):
        for name in names:
            status = os.lstat(f"{folder}/{name}")
            seen[status.st_ino] = status.st_size
    return sum(seen.values())


def test_the_targets_differ_in_what_they_are_for(images: Images, roots: dict[str, Path]) -> None:
    sizes = {target: size(root) for target, root in roots.items()}
    print({target: f"{found / 1e9:.2f} GB" for target, found in sizes.items()})
    assert sizes["cpu"] == sizes["gpu"] < sizes["lavis"] < sizes["cpu"] + 0.6e9
    for target, root in roots.items():
        variables = images.config(target)["Docker"]["config"]["Env"]
        assert any("NVIDIA" in variable for variable in variables) == (target != "cpu")
        assert (root / "opt/venv-lavis").exists() == (target == "lavis")


@pytest.mark.parametrize("target", TARGETS)
def test_no_secret_no_cache_and_nothing_of_the_build(
    images: Images, roots: dict[str, Path], target: str
) -> None:
    root = roots[target]
    assert MARK not in json.dumps(images.config(target))
    for folder in ("src", "tmp", "mnt", "root/.cache", "home/tav/.cache", "var/lib/apt/lists"):
        assert not [*(root / folder).glob("*")], folder
    for path in root.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        assert path.name not in {"uv", "uv.toml", "pip.conf", ".env"}, path
        if path.stat().st_size < 1e6:
            assert MARK.encode() not in path.read_bytes(), path


def test_every_module_of_ours_is_there_and_compiled(roots: dict[str, Path]) -> None:
    (packages,) = roots["cpu"].glob("opt/venv/lib/python3*/site-packages")
    ours = [
        path.relative_to(REPOSITORY)
        for top in ("components", "eval", "methods", "pipelines", "tav_model", "tinyworld")
        for path in (REPOSITORY / top).rglob("*.py")
    ]
    assert len(ours) > 100
    for path in ours:
        assert (packages / path).is_file(), path
        assert [*(packages / path.parent / "__pycache__").glob(f"{path.stem}.*.pyc")], path


def test_laviss_environment_is_found_in_its_target(
    images: Images, roots: dict[str, Path], tmp_path: Path
) -> None:
    program = (
        "from components.captioning.lavis.environment import find_python; "
        "from components.config import CaptionConfig; "
        "print(find_python(CaptionConfig(backend='lavis')))"
    )
    tmp_path.chmod(0o755)  # the user without a name has to get in
    told = images.run("lavis", roots["lavis"], 4711, tmp_path, f'python -c "{program}"')
    assert told.split()[-1] == "/opt/venv-lavis/bin/python"


def test_a_module_of_ours_that_does_not_compile_ends_the_build(
    images: Images, context: Path
) -> None:
    broken = context / "components" / "broken.py"
    broken.write_text("def f(:\n", encoding="utf-8")
    try:
        told = images.build("cpu", context, fail=False)
    finally:
        broken.unlink()
    assert "components/broken.py" in told
    assert "SyntaxError" in told
    assert "COMMIT" not in told


@pytest.mark.parametrize(
    ("user", "options", "name"),
    [(1000, "", "tav"), (4711, FEW, None)],
    ids=["the image's user, the demo as it is", "a user without a name, few steps"],
)
def test_the_demo_runs_on_a_root_that_cannot_be_written(
    images: Images,
    roots: dict[str, Path],
    tmp_path: Path,
    user: int,
    options: str,
    name: str | None,
) -> None:
    shutil.copytree(REPOSITORY / "manifests", tmp_path / "manifests")
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, user, user)

    def run(command: str) -> str:
        return images.run("cpu", roots["cpu"], user, tmp_path, command)

    assert (name or f"cannot find name for user ID {user}") in run("id -un || true")
    assert "Read-only file system" in run("touch /home/tav/a 2>&1 || touch /opt/a 2>&1 || true")
    run("python -m tinyworld.clips runs/demo-clips")
    print(run(f"{DEMO} {options}"))
    run("tav export runs/demo --to scores.jsonl")
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert len({(row["video_id"], row["edit_id"]) for row in scores}) == 12
    assert (tmp_path / "runs/demo/report/index.html").stat().st_uid == user
    # A second run finds every row.
    assert "Nothing to compute" in run(f"{DEMO} {options}")
