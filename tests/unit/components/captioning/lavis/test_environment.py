"""LAVIS's environment: what is missing or wrong about it is told before any work."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from components.captioning.lavis.environment import LOCK, default_folder, find_python, install
from components.config import CaptionConfig
from components.errors import UserError

OF_LAVIS = pytest.mark.skipif(
    sys.version_info[:2] > (3, 11), reason="LAVIS's packages end with Python 3.11"
)


def lavis(python: Path | str) -> CaptionConfig:
    return CaptionConfig(backend="lavis", lavis_python=str(python))


@pytest.mark.parametrize("version", [(3, 12), (3, 13), (3, 14)])
def test_a_python_that_its_packages_do_not_reach_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: tuple[int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", (*version, 1, "final", 0))
    message = (
        rf"needs Python 3\.11 or earlier, and this is 3\.{version[1]}: make this environment "
        "with that one, or set caption.backend=transformers"
    )
    with pytest.raises(UserError, match=message):
        find_python(lavis(sys.executable))
    with pytest.raises(UserError, match=message):
        install(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@OF_LAVIS
def test_a_missing_interpreter_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"interpreter .*/none/python is missing: .*`make lavis`"):
        find_python(lavis(tmp_path / "none" / "python"))
    (tmp_path / "python").write_text("no program")
    with pytest.raises(UserError, match="is missing"):
        find_python(lavis(tmp_path / "python"))


@OF_LAVIS
def test_it_is_looked_for_beside_this_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert default_folder() == tmp_path / ".venv-lavis"
    with pytest.raises(UserError, match=rf"{re.escape(str(tmp_path))}/\.venv-lavis/bin/python is"):
        find_python(CaptionConfig(backend="lavis"))


@OF_LAVIS
def test_an_environment_of_other_versions_is_refused_with_each_of_them() -> None:
    with pytest.raises(UserError) as caught:
        find_python(lavis(sys.executable))
    text = str(caught.value)
    assert "salesforce-lavis absent instead of 1.0.2" in text
    assert re.search(r"transformers 5\.[\d.]+ instead of 4\.25\.1", text)
    assert "torch" not in text
    assert "`make lavis`" in text


@OF_LAVIS
@pytest.mark.parametrize("program", ["exit 3", "echo no JSON"])
def test_what_is_no_python_is_refused(tmp_path: Path, program: str) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{program}\n")
    fake.chmod(0o755)
    with pytest.raises(UserError, match="does not run as a Python"):
        find_python(lavis(fake))


@OF_LAVIS
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(UserError, match="exists and is no environment"):
        install(tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "keep me"


def test_the_lock_pins_all_that_is_asked_for_with_hashes() -> None:
    asked = LOCK.with_suffix(".in").read_text(encoding="utf-8")
    pins = re.findall(r"^([\w.-]+==[\w.]+)", asked, re.MULTILINE)
    lock = LOCK.read_text(encoding="utf-8")
    assert "transformers==4.25.1" in pins
    assert re.findall(r"^([\w.-]+==[\w.]+)", lock, re.MULTILINE) == pins
    for block in re.split(r"^(?=[\w.-]+==)", lock, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block
    assert "index" not in lock
