"""`tav import-benchmark` writes a manifest that passes the lint, and overwrites nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.cli.exchange import BENCHMARKS, HUGGING_FACE, LAYOUTS
from components.cli.main import main
from components.errors import UserError
from components.layouts.exporting import LAYOUTS as WRITERS
from components.layouts.importing import READERS, import_benchmark
from components.manifest.load import load_manifest
from components.video.sources import stat_source
from tests.benchmark_folders import v2vbench_data, write_loveu, write_v2vbench


def tav(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_every_choice_of_the_command_is_there() -> None:
    assert set(BENCHMARKS) == READERS.keys()
    assert set(LAYOUTS) == {*WRITERS, HUGGING_FACE}


def test_a_benchmark_that_is_whole_gives_a_manifest_whose_clips_are_there(tmp_path: Path) -> None:
    write_loveu(tmp_path / "bench", frames=1)
    target = tmp_path / "made/loveu.yaml"
    done = tav("import-benchmark", "loveu", "--from", str(tmp_path / "bench"), "--to", str(target))
    assert done.exit_code == 0, done.output
    assert "76 video(s) with 304 edit(s) written to" in done.stdout
    assert f"manifest_root={tmp_path / 'bench'}" in done.stdout
    assert done.stderr.startswith("Note: 76 clip(s) do not have 32 or 128 frames")
    found = load_manifest(str(target), str(tmp_path / "bench"))
    assert len(found.videos) == 76
    assert all(stat_source(video.uri).size > 0 for video in found.videos)
    # Nothing of this copy is in it: it serves every other one.
    assert str(tmp_path) not in target.read_text("utf-8")


def test_a_manifest_in_the_benchmark_needs_no_root(tmp_path: Path) -> None:
    write_v2vbench(tmp_path, v2vbench_data(["hike"]), ["hike"])
    target = tmp_path / "manifest.yaml"
    done = tav("import-benchmark", "v2vbench", "--from", str(tmp_path), "--to", str(target))
    assert (done.exit_code, done.stderr) == (0, "")
    assert "manifest_root" not in done.stdout
    (video,) = load_manifest(str(target)).videos
    assert video.uri == str(tmp_path / "videos/hike.mp4")
    assert [edit.name for edit in video.edits] == ["0", "1", "2"]


def test_what_is_left_out_is_told_with_exit_code_3(tmp_path: Path) -> None:
    write_v2vbench(tmp_path, v2vbench_data(["hike", "../hike", "gone"]), ["hike"])
    target = tmp_path / "manifest.yaml"
    done = tav("import-benchmark", "v2vbench", "--from", str(tmp_path), "--to", str(target))
    assert done.exit_code == 3
    assert "1 video(s) with 3 edit(s) written to" in done.stdout
    first, second = done.stderr.splitlines()
    assert first.startswith("Left out: line 8 ('../hike'): ")
    assert second.startswith("Left out: line 14 ('gone'): ")


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    write_v2vbench(tmp_path, v2vbench_data(["hike"]), ["hike"])
    target = tmp_path / "manifest.yaml"
    target.write_text("mine", encoding="utf-8")
    link = tmp_path / "link.yaml"
    link.symlink_to(tmp_path / "nowhere.yaml")
    for path in (target, link):
        with pytest.raises(UserError, match="--overwrite to replace it"):
            import_benchmark("v2vbench", str(tmp_path), str(path))
    assert target.read_text("utf-8") == "mine"
    import_benchmark("v2vbench", str(tmp_path), str(target), overwrite=True)
    assert len(load_manifest(str(target)).videos) == 1
    assert not list(tmp_path.glob(".tmp*"))


@pytest.mark.parametrize(
    ("name", "folder", "target", "said"),
    [
        ("v2vbench", "{0}", "{0}/m.yaml", "holds 0 videos that can be taken, but 1 is needed\n  l"),
        ("v2vbench", "{0}/none", "{0}/m.yaml", "is no folder: name the benchmark's"),
        ("v2vbench", "s3://bucket/bench", "{0}/m.yaml", "--from is 's3://bucket/bench', but must"),
        ("v2vbench", "{0}", "s3://bucket/m.yaml", "--to is 's3://bucket/m.yaml', but must be on"),
        ("v2vbench", "{0}", "{0}/m.json", "has the suffix '.json': end it in .yaml"),
        ("loveu", "{0}", "{0}/m.yaml", "LOVEU-TGVE-2023_Dataset.csv cannot be read"),
        ("folders", "{0}/videos", "{0}/m.yaml", "holds 0 videos"),
    ],
)
def test_what_cannot_be_imported_is_one_message(
    tmp_path: Path, name: str, folder: str, target: str, said: str
) -> None:
    write_v2vbench(tmp_path, v2vbench_data(["gone"]))
    words = ("--from", folder.format(tmp_path), "--to", target.format(tmp_path))
    done = tav("import-benchmark", name, *words)
    assert done.exit_code == 1
    assert said in done.stderr
    assert not (tmp_path / "m.yaml").exists()


HOSTILE = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["..", ".", "/", "a/../../b", "a", "A", "nul", "{caption}", "nan", "\u2028"]),
    st.none() | st.integers() | st.lists(st.text(max_size=2), max_size=2),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(HOSTILE, HOSTILE, st.lists(HOSTILE, max_size=3)), max_size=4))
def test_whatever_an_index_says_the_manifest_is_good_and_stays_in_the_folder(
    tmp_path: Path, videos: list[tuple[Any, Any, list[Any]]]
) -> None:
    root = tmp_path / "bench"
    shutil.rmtree(root, ignore_errors=True)
    data = [
        {"video_id": name, "prompt": prompt, "edit": [{"prompt": edit} for edit in edits]}
        for name, prompt, edits in [("good", None, ["a dog"]), *videos]
    ]
    write_v2vbench(root, data)
    for name in ("good", "a", "A"):
        (root / "videos" / f"{name}.mp4").write_bytes(b"x")
    target = root / "m.yaml"
    found = import_benchmark("v2vbench", str(root), str(target))
    loaded = load_manifest(str(target)).videos
    assert [video.video_id for video in loaded] == [video["id"] for video in found.videos]
    for video in loaded:
        assert Path(video.uri).parent == root / "videos"
        # The first of its name counts.
        asked = next(one["edit"] for one in data if one["video_id"] == video.video_id)
        for edit in video.edits:
            assert edit.prompt == asked[int(edit.name)]["prompt"].strip()
