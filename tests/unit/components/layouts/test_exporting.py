"""A variant's edits lie where a benchmark's own index looks for them, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from components.cli.main import main
from components.errors import TransientError, UserError
from components.layouts import exporting
from components.layouts.exporting import LAYOUTS, Exported, export_layout
from components.layouts.importing import import_benchmark
from components.manifest.load import Manifest, load_manifest
from components.results.scored import Selection
from components.run.record import save_run
from components.storage.local import LocalStore
from components.storage.tables import Row, append_rows, read_table
from components.video.io import read_mp4_frames
from tests.benchmark_folders import (
    loveu_index,
    v2vbench_data,
    v2vbench_index,
    write_loveu,
    write_v2vbench,
)
from tests.finished_run import drawn_clip, write_edit
from tests.unit.components.run.test_plan import Run

WHOLE = {"": Selection()}


def imported(name: str, root: Path) -> Manifest:
    import_benchmark(name, str(root), str(root / "m.yaml"))
    return load_manifest(str(root / "m.yaml"))


def finish(store: LocalStore, manifest: Manifest) -> dict[str, Row]:
    """Commit all edits of a manifest, which share three clips; return the rows by prompt."""
    clips = [write_edit(store, "x", str(n), "x", drawn_clip(0.3 * n, 3, 32, 32)) for n in range(3)]
    rows = [
        clips[at % 3]
        | {
            "edit_id": f"{video.video_id}/{edit.name}",
            "edit_key": f"e-{video.video_id}-{edit.name}",
            "video_id": video.video_id,
            "prompt": edit.prompt,
        }
        for video in manifest.videos
        for at, edit in enumerate(video.edits)
    ]
    append_rows(store, "edits", rows)
    return {row["prompt"]: row for row in rows}


def exported(
    layout: str, store: LocalStore, manifest: Manifest, to: Path, *, overwrite: bool = False
) -> Exported:
    return export_layout(layout, store, manifest, WHOLE, str(to), overwrite=overwrite)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def v2vbench(tmp_path: Path) -> tuple[LocalStore, Manifest]:
    write_v2vbench(tmp_path / "bench", v2vbench_data(["hike", "01"], edits=2), ["hike", "01"])
    manifest = imported("v2vbench", tmp_path / "bench")
    store = LocalStore(tmp_path / "run")
    finish(store, manifest)
    return store, manifest


def test_loveus_script_finds_every_frame_of_a_submission(tmp_path: Path) -> None:
    write_loveu(tmp_path / "bench", frames=1)
    manifest = imported("loveu", tmp_path / "bench")
    store = LocalStore(tmp_path / "run")
    rows = finish(store, manifest)
    assert exported("loveu", store, manifest, tmp_path / "out") == Exported(304, ())
    found = dict(loveu_index(tmp_path / "bench", tmp_path / "out"))
    assert found.keys() == rows.keys()
    assert len(found) == 76 * 4
    for prompt, files in found.items():
        assert [file.name for file in files] == ["00000.jpg", "00001.jpg", "00002.jpg"]
        if prompt.startswith(("a dav-0", "a vid-36")):
            made = read_mp4_frames(tmp_path / "run" / rows[prompt]["video_uri"])
            for file, frame in zip(files, made, strict=True):
                with Image.open(file) as picture:
                    assert (picture.format, picture.mode) == ("JPEG", "RGB")
                    off = np.abs(np.asarray(picture).astype(int) - frame)
                assert off.mean() < 2
    assert {len(Path(path).parts) for path in tree(tmp_path / "out")} == {4}


def test_v2vbenchs_reader_finds_every_result_byte_for_byte(
    tmp_path: Path, v2vbench: tuple[LocalStore, Manifest]
) -> None:
    store, manifest = v2vbench
    assert exported("v2vbench", store, manifest, tmp_path / "out") == Exported(4, ())
    rows = {row["prompt"]: row for row in read_table(store, "edits")}
    found = dict(v2vbench_index(tmp_path / "bench/config.yaml", tmp_path / "out"))
    assert len(found) == 4
    for prompt, file in found.items():
        assert file.read_bytes() == store.read_bytes(rows[prompt]["video_uri"])
    assert tree(tmp_path / "out").keys() == {"hike/0.mp4", "hike/1.mp4", "01/0.mp4", "01/1.mp4"}


def test_missing_edits_are_named_and_the_others_written(
    tmp_path: Path, v2vbench: tuple[LocalStore, Manifest]
) -> None:
    store, manifest = v2vbench
    gone = next(row for row in read_table(store, "edits") if row["edit_id"] == "01/0")
    store.delete(gone["video_uri"])
    chosen = {"": Selection(edit_ids={"hike/1", "01/0", "01/1"})}
    done = export_layout("v2vbench", store, manifest, chosen, str(tmp_path / "out"))
    assert done.written == 2
    unmade, lost = sorted(done.missing, reverse=True)
    assert unmade == "hike/0: the run holds no such edit; `tav failures` may say why"
    assert lost.startswith("01/0: ")
    assert "is gone, but a row names it" in lost
    assert tree(tmp_path / "out").keys() == {"hike/1.mp4", "01/1.mp4"}


def test_what_the_index_seeks_and_the_manifest_lacks_is_missing_too(tmp_path: Path) -> None:
    text = (
        "videos:\n"
        "- {id: DAVIS_480p.a, uri: a, edits: [{id: style, prompt: x}, {id: oil, prompt: y}]}\n"
        "- {id: other, uri: b, edits: [{id: style, prompt: x}]}\n"
        "- {id: hike, uri: c, edits: [{id: '0', prompt: x}, {id: '2', prompt: y}]}\n"
    )
    (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
    manifest = load_manifest(str(tmp_path / "m.yaml"))
    store = LocalStore(tmp_path / "run")
    finish(store, manifest)
    done = exported("loveu", store, manifest, tmp_path / "loveu")
    assert done.written == 1
    assert [line.partition(":")[0] for line in done.missing] == [
        *("DAVIS_480p.a/object", "DAVIS_480p.a/background", "DAVIS_480p.a/multiple"),
        *("DAVIS_480p.a/oil", "other/style", "hike/0", "hike/2"),
    ]
    done = exported("v2vbench", store, manifest, tmp_path / "v2vbench")
    assert done.written == 2
    assert "hike/1: the run holds no such edit" in "\n".join(done.missing)
    assert tree(tmp_path / "v2vbench").keys() == {"hike/0.mp4", "hike/2.mp4"}


def test_edits_that_are_there_are_replaced_whole_and_only_if_asked(
    tmp_path: Path, v2vbench: tuple[LocalStore, Manifest]
) -> None:
    store, manifest = v2vbench
    out = tmp_path / "out"
    exported("v2vbench", store, manifest, out)
    before = tree(out)
    (out / "hike/0.mp4").write_bytes(b"mine")
    (out / "hike/notes.txt").write_bytes(b"mine")
    shutil.rmtree(out / "01")
    with pytest.raises(UserError, match=r"2 of the edits are there already, such as .*--overwrite"):
        exported("v2vbench", store, manifest, out)
    assert tree(out) == {
        "hike/0.mp4": b"mine",
        "hike/1.mp4": before["hike/1.mp4"],
        "hike/notes.txt": b"mine",
    }
    exported("v2vbench", store, manifest, out, overwrite=True)
    assert tree(out) == before | {"hike/notes.txt": b"mine"}
    # Their reader would take a folder of the number before the file.
    (out / "hike/0").mkdir()
    with pytest.raises(UserError, match=r"hike/0 is there, and would be taken before 0\.mp4"):
        exported("v2vbench", store, manifest, out, overwrite=True)


def test_no_frame_of_a_former_submission_stays(tmp_path: Path) -> None:
    write_loveu(tmp_path / "bench", only=["you-1"], frames=1)
    manifest = imported("loveu", tmp_path / "bench")
    store = LocalStore(tmp_path / "run")
    finish(store, manifest)
    stale = tmp_path / "out/youtube_480p/you-1/style/00003.jpg"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"stale")
    exported("loveu", store, manifest, tmp_path / "out", overwrite=True)
    assert [file.name for file in sorted(stale.parent.iterdir())] == [
        f"0000{number}.jpg" for number in range(3)
    ]


def test_a_write_that_breaks_off_leaves_nothing_behind(
    tmp_path: Path, v2vbench: tuple[LocalStore, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, manifest = v2vbench

    def half(clip: Path, target: Path) -> None:
        target.write_bytes(clip.read_bytes()[:100])
        raise TransientError("the disk went away")

    kind = LAYOUTS["v2vbench"]
    broken = type(kind)(place=kind.place, sought=kind.sought, write=half)
    monkeypatch.setattr(exporting, "LAYOUTS", {"v2vbench": broken})
    done = exported("v2vbench", store, manifest, tmp_path / "out")
    assert done.written == 0
    assert done.missing[0] == "hike/0: the disk went away"
    assert tree(tmp_path / "out") == {}
    assert {path.name for path in (tmp_path / "out").rglob("*")} == {"hike", "01"}


def test_a_folder_that_cannot_be_written_is_one_message(
    tmp_path: Path, v2vbench: tuple[LocalStore, Manifest]
) -> None:
    (tmp_path / "out").write_bytes(b"a file")
    with pytest.raises(UserError, match=r"cannot write .*out/hike/0\.mp4 .*see --to"):
        exported("v2vbench", *v2vbench, tmp_path / "out")
    with pytest.raises(UserError, match="--to is 's3://bucket/out', but must be on this machine"):
        export_layout("v2vbench", *v2vbench, WHOLE, "s3://bucket/out")


def test_a_submission_holds_one_variant(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", variants={"long": {}, "none": {"method": "identity"}})
    save_run(run.store, run.config, run.state.manifest, run.state.revisions)
    words = ("export", run.config.run, "--layout", "loveu", "--to", str(tmp_path / "out"))

    def tav(*more: str) -> Result:
        return CliRunner().invoke(main, [*words, *more])

    several = tav()
    assert several.exit_code == 1
    assert "the run has 2 (long, none): name one with --variant" in several.stderr
    other = tav("--variant", "none")
    assert other.exit_code == 1
    assert "no video of the run's manifest has an id of loveu" in other.stderr
    table = ("export", run.config.run, "--to", str(tmp_path / "x.csv"), "--overwrite")
    refused = CliRunner().invoke(main, list(table))
    assert refused.exit_code == 2
    assert "--overwrite goes with --layout" in refused.stderr
    assert not (tmp_path / "out").exists()


def pieces() -> st.SearchStrategy[str]:
    """Ids of both benchmarks, and what somebody might write to leave a folder."""
    some = st.sampled_from(
        ["..", ".", "/", "\\", "\0", "DAVIS_480p", "a", "~", "C:", "style", "0", " ", "\n", "é"]
    )
    return st.lists(some, max_size=5).map("".join) | st.text(max_size=20)


@given(pieces(), pieces() | st.sampled_from(["style", "0"]))
def test_no_ids_lead_out_of_the_folder(video: str, edit: str) -> None:
    def parts() -> Iterator[tuple[str, ...]]:
        for layout in LAYOUTS.values():
            for name in (video, f"DAVIS_480p.{video}"):
                if (path := layout.place(name, edit)) is not None:
                    assert not path.is_absolute()
                    yield path.parts

    for found in parts():
        assert not {"..", ".", "~"} & set(found)
        assert all(part.isascii() and part.isprintable() for part in found)
        assert not any(mark in part for part in found for mark in "/\\:\0")
