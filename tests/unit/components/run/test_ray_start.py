"""What a local Ray needs of its machine, and what is told of a start that failed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.errors import TransientError, UserError
from components.run.ray_start import guard, ray_folder, why_not

OTHER = 12345


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets, as ``tmp_path`` is not everywhere."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["RAY_TMPDIR", "TMPDIR"])
def test_a_folder_too_long_for_sockets_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv(name, str(long))
    message = rf"{name} is '{long}': Ray's folder in it has \d+ bytes, but the limit is \d+"
    with pytest.raises(UserError, match=f"{message}.* set RAY_TMPDIR to a folder with a shorter"):
        ray_folder()


def test_a_folder_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    with pytest.raises(UserError, match=r"neither /nowhere/ray nor .*: set RAY_TMPDIR to"):
        ray_folder()


def test_rays_own_choice_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert ray_folder() is None


ASK = """
import os, sys
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
from components.run.ray_start import guard, ray_folder
guard()
print(ray_folder(), os.environ.get("RAY_AUTH_MODE"), len(os.environ.get("RAY_AUTH_TOKEN", "")))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becoming another user takes root")
@pytest.mark.parametrize("home", [None, "/nowhere", "/proc"])
def test_a_user_without_a_name_or_home_beside_anothers_ray(
    home: str | None, short_folder: Path
) -> None:
    shared = short_folder
    shared.chmod(0o1777)
    (shared / "ray").mkdir(mode=0o755)
    environment = {"TMPDIR": str(shared), "PATH": os.environ["PATH"]}
    environment |= {"HOME": home} if home else {}
    # Imported while still root: this machine's Python may lie in root's home.
    code = "import components.errors, components.run.ray_start, secrets, encodings.idna\n"
    done = subprocess.run(
        [sys.executable, "-c", code + ASK.format(uid=OTHER)],
        env=environment,
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [f"{shared}/ray-{OTHER}", "token", "64"], done.stderr
    assert (shared / f"ray-{OTHER}").stat().st_uid == OTHER


def test_a_home_that_can_hold_rays_token_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    guard()
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_only_a_busy_machine_is_told_to_be_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = RuntimeError("The current node timed out during startup.")
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    busy = why_not(slow, None)
    assert isinstance(busy, TransientError)
    assert "timed out during startup. the machine is busy (load 1000 on" in str(busy)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    idle = why_not(slow, "/tmp/ray-1")
    assert "busy" not in str(idle)
    assert "look at the logs in /tmp/ray-1/session_latest/logs" in str(idle)
    denied = why_not(PermissionError(13, "Permission denied", "/tmp/ray/x"), None)
    assert isinstance(denied, UserError)
    assert "busy" not in str(denied)
    assert "'/tmp/ray/x'" in str(denied)
