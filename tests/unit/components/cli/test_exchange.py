"""A benchmark by the commands alone: imported, run, exported, and found by its own index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import CliRunner

from benchmarks.chaos.plain import PlainRunner
from components.cli.main import main
from components.storage.local import LocalStore
from components.storage.tables import read_table
from tests.benchmark_folders import loveu_index, picture_size, write_loveu
from tests.runs import counts, run_config, tiny_document


def tav(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(words))
    return done.exit_code, done.stderr


def test_loveu_there_and_back(tmp_path: Path, tiny_models: Path) -> None:
    root, out = tmp_path / "bench", tmp_path / "submission"
    write_loveu(root, only=["dav-0", "vid-36"], frames=5)
    document: dict[str, Any] = tiny_document(tmp_path, tiny_models)
    words = ("import-benchmark", "loveu", "--from", str(root), "--to", document["manifest"])
    code, told = tav(*words)
    assert (code, told.count("holds no .jpg frames: unpack the clip there")) == (3, 74)

    sdedit = {"method": "sdedit", "sdedit": {"strength": 0.5, "steps": 2}}
    variants = {"half": sdedit, "untouched": {"method": "identity"}}
    config = document | {"manifest_root": str(root), "variants": variants}
    done = counts(PlainRunner(run_config(config)).run())
    assert done == {"ingest": 2, "sample": 16, "score": 16}
    store = LocalStore(Path(document["run"]))
    assert {row["num_frames"] for row in read_table(store, "edits")} == {5}, "clips are whole"

    words = ("export", document["run"], "--layout", "loveu", "--to", str(out))
    assert tav(*words)[0] == 1, "which variant is to be said"
    assert tav(*words, "--variant", "half") == (0, "")
    found = dict(loveu_index(root, out))
    assert found.keys() == {row["prompt"] for row in read_table(store, "edits")}
    assert len(found) == 8
    for files in found.values():
        assert [file.name for file in files] == [f"0000{number}.jpg" for number in range(5)]
        assert {picture_size(file) for file in files} == {(64, 64)}
    assert len(list(out.rglob("*.jpg"))) == 40, "nothing but what the index finds"
    again = tav(*words, "--variant", "untouched")
    assert again[0] == 1
    assert "8 of the edits are there already" in again[1]
