"""A model's revision: follows its content and nothing else, and says why when there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from components.errors import UserError
from components.records import revisions
from components.records.revisions import hub_revision, resolve_revision

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tmp_path / "model"
    (model / "unet").mkdir(parents=True)
    (model / "model_index.json").write_text("{}")
    (model / "unet" / "weights.safetensors").write_bytes(b"\1\2\3")
    for file in model.rglob("*"):
        os.utime(file, (1_000_000, 1_000_000))
    return model


def test_a_copy_has_the_same_revision_and_open_clips_prefix_changes_nothing(
    folder: Path, tmp_path: Path
) -> None:
    resolved = resolve_revision(str(folder))
    assert resolved.startswith("sha256:")
    assert len(resolved) == 71
    shutil.copytree(folder, tmp_path / "copy")
    assert resolve_revision(str(tmp_path / "copy")) == resolved
    assert resolve_revision(f"local-dir:{folder}") == resolved
    assert hub_revision(resolved) is None


def test_content_name_and_linked_folders_count_and_hidden_files_do_not(
    folder: Path, tmp_path: Path
) -> None:
    seen = {resolve_revision(str(folder))}
    weights = folder / "unet" / "weights.safetensors"
    (folder / ".git").mkdir()
    (folder / ".git" / "index").write_text("x")
    assert resolve_revision(str(folder)) in seen
    weights.write_bytes(b"\1\2\4")
    seen.add(resolve_revision(str(folder)))
    assert len(seen) == 2
    weights.rename(folder / "unet" / "other.safetensors")
    seen.add(resolve_revision(str(folder)))
    assert len(seen) == 3
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "vae.json").write_text("{}")
    (folder / "vae").symlink_to(linked)
    seen.add(resolve_revision(str(folder)))
    assert len(seen) == 4
    (linked / "self").symlink_to(linked)
    assert resolve_revision(str(folder)) in seen


def test_files_are_read_once_until_they_change(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisions, "_RACY_SECONDS", -1.0)  # the files of a test are all new
    first = resolve_revision(str(folder))
    kept = tmp_path / "cache" / "tav" / "digests.json"
    entries = json.loads(kept.read_text())
    place = str(folder / "unet" / "weights.safetensors")
    assert len(entries) == 2
    entries[place]["sha256"] = "f" * 64  # seen from here on only if the cache is believed
    kept.write_text(json.dumps(entries))
    believed = resolve_revision(str(folder))
    assert believed != first
    status = Path(place).stat()
    Path(place).write_bytes(b"\3\2\1")
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert resolve_revision(str(folder)) not in {first, believed}
    Path(place).write_bytes(b"\1\2\3")
    assert resolve_revision(str(folder)) == first
    entries = json.loads(kept.read_text())
    entries[place]["sha256"] = 7
    kept.write_text(json.dumps(entries))
    assert resolve_revision(str(folder)) == first


def test_a_file_just_written_is_not_kept(folder: Path, tmp_path: Path) -> None:
    (folder / "unet" / "weights.safetensors").write_bytes(b"new")
    resolve_revision(str(folder))
    assert not (tmp_path / "cache" / "tav" / "digests.json").exists()


@pytest.mark.parametrize("damage", ["", "[1]", '{"a"', '{"%s": {"sha256": 7}}', "\udcff"])
def test_a_damaged_cache_costs_time_and_no_more(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(revisions, "_RACY_SECONDS", -1.0)
    first = resolve_revision(str(folder))
    kept = tmp_path / "cache" / "tav" / "digests.json"
    text = damage.replace("%s", str(folder / "model_index.json"))
    kept.write_bytes(text.encode(errors="surrogateescape"))
    assert resolve_revision(str(folder)) == first
    assert len(json.loads(kept.read_text())) == 2
    assert [path.name for path in kept.parent.iterdir()] == ["digests.json"]


def test_no_cache_folder_is_no_obstacle(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = resolve_revision(str(folder))
    monkeypatch.setattr(revisions, "_RACY_SECONDS", -1.0)
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert resolve_revision(str(folder)) == first


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("/nowhere/model", "no folder here and no hub id"),
        ("local-dir:org/name", "no folder here and no hub id"),
        ("just-a-name", "no folder here and no hub id"),
        ("../name", "no folder here and no hub id"),
        ("org/../name", "no folder here and no hub id"),
        ("org/name", "HF_HUB_OFFLINE is set"),
        ("hf-hub:org/name", "'org/name' at 'main' is neither"),
    ],
)
def test_what_is_no_model_is_refused(model: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_revision(model)


def test_a_folder_takes_no_revision_and_must_hold_something(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no revision 'v1'"):
        resolve_revision(str(folder), "v1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no file"):
        resolve_revision(str(tmp_path / "empty"))
    (folder / "gone.json").symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"cannot read .*gone\.json"):
        resolve_revision(str(folder))


def test_a_commit_needs_no_hub() -> None:
    assert resolve_revision("hf-hub:org/name", COMMIT) == COMMIT
    assert hub_revision(COMMIT) == COMMIT


@pytest.fixture
def hub() -> Iterator[str]:
    """A server that answers as the hub does for one model."""

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.startswith("/api/models/org/name/revision/main")
            body = json.dumps({"id": "org/name", "sha": COMMIT} if known else {"error": "no"})
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if not known:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _resolve_elsewhere(model: str, **environment: str) -> str:
    code = (
        "from components.records.revisions import resolve_revision; "
        f"print(resolve_revision({model!r}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or result.stderr


def test_the_hub_names_the_commit(hub: str) -> None:
    online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub}
    assert _resolve_elsewhere("org/name", **online) == COMMIT
    assert "model 'org/other' is no folder here, and the hub" in _resolve_elsewhere(
        "org/other", **online
    )
    dead = online | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    assert "check name, revision and network" in _resolve_elsewhere("org/name", **dead)


def test_offline_the_hubs_cache_names_the_commit(tmp_path: Path) -> None:
    refs = tmp_path / "models--org--name" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(COMMIT)
    assert _resolve_elsewhere("hf-hub:org/name", HF_HUB_CACHE=str(tmp_path)) == COMMIT
