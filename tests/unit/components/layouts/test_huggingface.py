"""A run's edits as a Hugging Face dataset: whole, readable, and with nothing of the machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from huggingface_hub import DatasetCard

from components.cli.main import main
from components.errors import UserError
from components.layouts.card import public_model
from components.layouts.exporting import Exported
from components.layouts.huggingface import export_dataset
from components.manifest.load import Manifest, load_manifest
from components.results.scored import Selection, Variants
from components.run.record import save_run
from components.storage.local import LocalStore
from components.storage.store import file_sha256
from components.storage.tables import read_table
from tests.finished_run import PROMPTS, drawn_clip, write_edit, write_score, write_variants
from tests.unit.components.layouts.test_exporting import tree
from tests.unit.components.run.test_plan import Run

LEAK = "somebodys-home"


class Finished:
    """A run of three variants, of which the first and the last share all edits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = LocalStore(folder / "run")
        self.chosen: Variants = write_variants(self.store, ["full", "test", "same"])
        videos = [
            {"id": name, "uri": f"{LEAK}/{name}.mp4", "prompt": prompt, "edits": EDITS}
            for name, (prompt, _) in PROMPTS.items()
        ]
        file = folder / "m.yaml"
        file.write_text(yaml.safe_dump({"videos": videos}), encoding="utf-8")
        self.manifest: Manifest = load_manifest(str(file))

    def export(self, to: str = "out", **options: Any) -> Exported:
        return export_dataset(
            self.store, self.manifest, self.chosen, str(self.folder / to), **options
        )


EDITS = [
    {"id": "swap", "category": "object", "prompt": "a puppy"},
    {"id": "cartoon", "category": "style", "prompt": "a cartoon"},
]


@pytest.fixture
def run(tmp_path: Path) -> Finished:
    return Finished(tmp_path)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / "metadata.parquet").to_pylist()
    return found


def test_every_row_leads_to_its_edit_and_its_clip(run: Finished) -> None:
    assert run.export() == Exported(18, ())
    out = run.folder / "out"
    edits = {row["edit_key"]: row for row in read_table(run.store, "edits")}
    clips = {row["video_id"]: row for row in read_table(run.store, "videos")}
    scores = {row["edit_key"]: row for row in read_table(run.store, "scores")}
    rows = rows_of(out)
    assert {(row["variant"], row["edit_id"]) for row in rows} == {
        (variant, f"{video}/{edit['id']}")
        for variant in ("full", "test", "same")
        for video in PROMPTS
        for edit in EDITS
    }
    for row in rows:
        edit = edits[row["edit_key"]]
        assert file_sha256(out / row["file_name"]) == edit["sha256"]
        assert file_sha256(out / row["source_file_name"]) == clips[edit["video_id"]]["clip_sha256"]
        for name in ("video_id", "prompt", "source_prompt", "category", "seed", "fps"):
            assert row[name] == edit[name]
        assert row["base_model"] == "CompVis/stable-diffusion-v1-4"
        values = scores[row["edit_key"]]["values"] if row["edit_key"] in scores else {}
        for name in ("frame_consistency", "textual_alignment"):
            assert row[f"tav_paper_v1.{name}"] == values.get(name)
    unscored = [row for row in rows if row["tav_paper_v1.frame_consistency"] is None]
    assert [(row["variant"], row["edit_id"]) for row in unscored] == [("test", "car/swap")]
    files = {path for path in tree(out) if path.endswith(".mp4")}
    named = {row[name] for row in rows for name in ("file_name", "source_file_name")}
    assert files == named, "no video that the table does not name"
    assert len(files) == len({row["sha256"] for row in edits.values()}) + 3
    assert not list(out.rglob(".tmp-*"))


def test_the_card_is_one_of_the_hubs(run: Finished) -> None:
    run.export(license_id="cc-by-4.0")
    card = DatasetCard.load(run.folder / "out/README.md")
    header = card.data.to_dict()
    assert header["license"] == "cc-by-4.0"
    assert header["size_categories"] == ["n<1K"]
    assert header["base_model"] == ["CompVis/stable-diffusion-v1-4"]
    (data,) = header["configs"][0]["data_files"]
    assert data == {
        "split": "train",
        "path": ["metadata.parquet", "edits/**/*.mp4", "sources/**/*.mp4"],
    }
    for path in data["path"]:
        assert list((run.folder / "out").glob(path))
    assert "| test | tune\\_a\\_video | CompVis/stable-diffusion-v1-4 | 6 |" in card.text
    assert "`tav_paper_v1.textual_alignment` | Textual alignment | higher" in card.text
    assert "licence was not said" not in card.text
    run.export("other")
    card = DatasetCard.load(run.folder / "other/README.md")
    assert card.data.to_dict()["license"] == "unknown"
    assert "licence was not said" in card.text


def test_nothing_of_the_machine_is_in_it(run: Finished) -> None:
    local = {"base_model": f"/{LEAK}/sd", "base_revision": "sha256:" + "5" * 64}
    edit = write_edit(
        run.store, "car", "local", "a <script>|car", drawn_clip(0.9), edit_key="e-local", **local
    )
    judges = {
        "protocol": "v2vbench_v1",
        "score_model": f"openai/clip-vit-large-patch14+/{LEAK}/dino+1+yuvalkirstain/PickScore_v1",
        "score_revision": f"{'1' * 40}+sha256:{'2' * 64}+{'3' * 40}",
    }
    write_score(run.store, edit, 90, 20, **judges)
    one = {"protocol": "structure_v1", "score_model": f"{LEAK}/dino"}
    write_score(run.store, edit, 1, 2, **one, score_revision="sha256:" + "7" * 64)
    run.chosen = {"odd": Selection(edit_keys={"e-local"})}
    run.export()
    for path, data in tree(run.folder / "out").items():
        assert LEAK.encode() not in data, path
        assert str(run.folder).encode() not in data, path
    (row,) = rows_of(run.folder / "out")
    assert (row["base_model"], row["base_revision"]) == (None, "sha256:" + "5" * 64)
    card = DatasetCard.load(run.folder / "out/README.md")
    assert "base_model" not in card.data.to_dict()
    assert "a model in a folder, sha256:555555555555…" in card.text
    assert "a model in a folder, sha256:777777777777…" in card.text
    assert public_model("hf-hub:laion/CLIP", "1" * 40) == "laion/CLIP"
    assert public_model("models/dino", "sha256:1") is None
    assert public_model("models/dino", "") is None
    assert public_model("/data/org/name", "1" * 40) is None
    assert public_model("tinyworld/reader", "sha256:1") == "tinyworld/reader"


def test_an_export_that_broke_off_goes_on(run: Finished) -> None:
    out = run.folder / "out"
    run.export()
    whole = tree(out)
    times = {path: (out / path).stat().st_mtime_ns for path in whole if path.endswith(".mp4")}
    lost, *_ = sorted(times)
    (out / "README.md").unlink()
    (out / "metadata.parquet").unlink()
    (out / lost).write_bytes(b"half")
    run.export()
    assert tree(out) == whole
    kept = {path for path, at in times.items() if (out / path).stat().st_mtime_ns == at}
    assert kept == set(times) - {lost}, "what is there is not fetched again"
    run.export()
    assert tree(out) == whole


def test_another_export_is_replaced_whole_and_only_if_asked(run: Finished) -> None:
    out = run.folder / "out"
    run.export()
    before = tree(out)
    run.chosen = {"test": run.chosen["test"]}
    with pytest.raises(UserError, match=r"holds \d video\(s\) of another export, such as"):
        run.export()
    assert tree(out) == before
    (out / "notes.mp4").write_bytes(b"mine")
    assert run.export(overwrite=True).written == 6
    videos = [path for path in tree(out) if path.endswith(".mp4")]
    named = {row[name] for row in rows_of(out) for name in ("file_name", "source_file_name")}
    assert set(videos) == named | {"notes.mp4"}
    assert (out / "notes.mp4").read_bytes() == b"mine"
    with pytest.raises(UserError, match=r"README\.md is there, and the run's is another"):
        run.export(license_id="mit")
    foreign = run.folder / "foreign"
    foreign.mkdir()
    (foreign / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"README\.md is there, and of no export"):
        run.export("foreign")
    assert set(tree(foreign)) == {"README.md"}


def test_what_is_missing_is_told_and_the_rest_written(run: Finished) -> None:
    gone, *_ = (row for row in read_table(run.store, "edits") if row["edit_key"] == "e1-car-swap")
    run.store.delete(gone["video_uri"])
    run.store.delete("clips/v-rabbit.mp4")
    full = run.chosen["full"]
    assert full.edit_keys is not None
    left = Selection(edit_keys=set(full.edit_keys) - {"e-surfer-swap"})
    run.chosen = {"full": left, "test": run.chosen["test"]}
    done = run.export()
    assert done.written == 5 + 5
    assert len(done.missing) == 3
    assert done.missing[0].startswith("full: surfer/swap: the run holds no such edit")
    assert "is gone, but a row names it" in "".join(done.missing[1:])
    rows = rows_of(run.folder / "out")
    sources = {row["video_id"]: row["source_file_name"] for row in rows}
    assert sources["rabbit"] is None
    assert sources["car"] is not None
    assert not [row for row in rows if row["edit_key"] == "e1-car-swap"]


def test_what_cannot_be_written_is_one_message(run: Finished) -> None:
    for name in ("MIT License", "", "../x", "x" * 99):
        with pytest.raises(UserError, match="must be one of the hub's names"):
            run.export(license_id=name)
    with pytest.raises(UserError, match="--to is 's3://bucket/out', but must be on this machine"):
        export_dataset(run.store, run.manifest, run.chosen, "s3://bucket/out")
    (run.folder / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot write .*file .*see --to"):
        run.export("file")
    run.chosen = {"": Selection(edit_keys=set())}
    with pytest.raises(UserError, match="holds no edit, so there is nothing to write"):
        run.export()
    shutil.rmtree(run.folder / "run")


def test_the_command_takes_a_licence_for_this_layout_alone(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", variants={"long": {}, "none": {"method": "identity"}})
    save_run(run.store, run.config, run.state.manifest, run.state.revisions)
    words = ["export", run.config.run, "--to", str(tmp_path / "out"), "--license", "mit"]
    refused = CliRunner().invoke(main, [*words, "--layout", "loveu"])
    assert refused.exit_code == 2
    assert "--license goes with --layout huggingface" in refused.stderr
    empty = CliRunner().invoke(main, [*words, "--layout", "huggingface"])
    assert empty.exit_code == 1
    assert "the run holds no edit" in empty.stderr
