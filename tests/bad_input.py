"""Kinds of bad input, each with a use of it that must be refused."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import io
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from safetensors.numpy import load_file, save_file

from components.config import (
    RunConfig,
    VideoConfig,
    VideoLimits,
    load_run_config,
    parse,
    parse_run,
)
from components.errors import SourceError, TransientError
from components.layouts.importing import import_benchmark
from components.manifest.load import load_manifest
from components.records.revisions import resolve_revision
from components.results.compare import RunScores, compare_runs
from components.results.scored import Selection
from components.steps.ingest import IngestItem, IngestWorker
from components.steps.models import check_models
from components.steps.step import StepContext
from components.storage.local import LocalStore
from components.storage.schemas import SCHEMAS
from components.storage.tables import append_rows, read_table
from components.study.clips import Clips
from components.study.design import Asked
from components.study.making import make_design
from components.video.sources import stat_source
from tav_model.config import ModelConfig
from tests import bad_masks, bad_videos
from tests.finished_run import exported_row
from tests.manifest_files import write
from tests.random_models import build_base_model
from tests.sample_videos import write_video
from tests.unit.components.storage.test_tables import make_row

VIDEO = VideoConfig(
    num_frames=8, width=32, height=24, limits=VideoLimits(decode_seconds=5, duration=1000)
)


@dataclass(frozen=True)
class Kind:
    """One kind of bad input, and what its message must say."""

    name: str
    use: Callable[[Path], Any]
    value: str
    limit: str
    remedy: str


def video(name: str, value: str, limit: str, remedy: str) -> Kind:
    make = getattr(bad_videos, name)

    def use(folder: Path) -> None:
        ingest_with_another(folder, make)

    return Kind(f"video-{name}", use, value, limit, remedy)


def mask(name: str, value: str, limit: str, remedy: str) -> Kind:
    make = getattr(bad_masks, name)

    def use(folder: Path) -> None:
        ingest_with_another(folder, _good_video, make)

    return Kind(f"mask-{name}", use, f"^mask: .*{value}", limit, remedy)


def _good_video(folder: Path) -> Path:
    return write_video(folder / "masked.mp4", 12)


def ingest_with_another(
    folder: Path, make: Callable[[Path], Path], make_mask: Callable[[Path], Path] | None = None
) -> None:
    """Read a bad video, or one with a bad mask, and a good one; raise what the failure row says."""
    config = RunConfig(
        run=str(folder / "run"), manifest="-", model=ModelConfig(base="-"), video=VIDEO
    )
    context = StepContext(config=config, config_hash="c0ffee")
    (folder / "bad").mkdir()
    good = write_video(folder / "good.mp4", 12)
    bad_mask = None if make_mask is None else str(make_mask(folder / "bad"))
    items = [
        IngestItem(
            item_key=name,
            video_id=name,
            uri=str(path),
            source_version="-",
            video=dataclasses.asdict(VIDEO),
            mask_uri=mask_uri,
            attempt=1,
        )
        for name, path, mask_uri in [("bad", make(folder / "bad"), bad_mask), ("good", good, None)]
    ]
    outcomes = IngestWorker(context)(items)
    assert [outcome.error is None for outcome in outcomes] == [False, True]
    store = context.store()
    assert [row["video_id"] for row in read_table(store, "videos")] == ["good"]
    (failure,) = read_table(store, "failures")
    assert failure["video_id"] == "bad"
    assert len(list(store.list("media"))) == 1, "nothing is left of the bad one"
    kind = {"SourceError": SourceError, "TransientError": TransientError}[failure["error_type"]]
    raise kind(failure["message"])


def manifest(name: str, content: str | bytes, value: str, limit: str, remedy: str) -> Kind:
    """A manifest's file; its suffix is that of the name."""
    file = f"set.{name.split('-', maxsplit=1)[0]}"
    return Kind(
        f"manifest-{name}",
        lambda folder: load_manifest(write(folder, file, content)),
        value,
        limit,
        remedy,
    )


def entry(name: str, fields: dict[str, Any], value: str, limit: str, remedy: str) -> Kind:
    row = json.dumps({"id": "a", "uri": "a.mp4"} | fields)
    return manifest(f"jsonl-{name}", row, value, limit, remedy)


def edit(name: str, fields: dict[str, Any], value: str, limit: str, remedy: str) -> Kind:
    return entry(name, {"edits": [fields]}, value, limit, remedy)


def config(name: str, content: Any, value: str, limit: str, remedy: str) -> Kind:
    minimal = {"run": "r", "manifest": "m", "model": {"base": "org/name"}}
    if isinstance(content, dict):
        content = yaml.safe_dump(minimal | content)

    def use(folder: Path) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        (folder / "run.yaml").write_bytes(data)
        load_run_config(folder / "run.yaml")

    return Kind(f"config-{name}", use, value, limit, remedy)


def stored(
    name: str, use: Callable[[LocalStore], Any], value: str, limit: str, remedy: str
) -> Kind:
    return Kind(f"store-{name}", lambda folder: use(LocalStore(folder)), value, limit, remedy)


def large_manifest(folder: Path) -> None:
    with (folder / "set.jsonl").open("wb") as handle:
        handle.truncate(300 << 20)
    load_manifest(str(folder / "set.jsonl"))


def parquet_manifest(columns: dict[str, Any]) -> Callable[[Path], Any]:
    def use(folder: Path) -> None:
        pq.write_table(pa.table(columns), folder / "set.parquet")
        load_manifest(str(folder / "set.parquet"))

    return use


def other_form(folder: Path) -> None:
    """A file whose name is decomposed, as macOS writes it, asked for by the composed one."""
    write_video(folder / "e\u0301.mp4", 3)
    stat_source(str(folder / "\u00e9.mp4"))


def part_of_another_version(store: LocalStore) -> None:
    schema = SCHEMAS["videos"].with_metadata({"tav_tables_version": "0"})
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([make_row("videos")], schema=schema), sink)
    store.write_bytes("tables/videos/old.parquet", sink.getvalue())
    read_table(store, "videos")


def damaged_part(store: LocalStore, *, cut: bool) -> None:
    path = append_rows(store, "videos", [make_row("videos")])
    data = bytearray(store.read_bytes(path))
    data[len(data) // 2] ^= 1
    store.write_bytes(path, bytes(data[:-9] if cut else data))
    read_table(store, "videos")


def changed_object(store: LocalStore) -> None:
    store.write_bytes("adapters/a.safetensors", b"other")
    store.fetch_checked("adapters/a.safetensors", Path(store.root) / "target", "0" * 64)


@functools.cache
def _good_base() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    return build_base_model(folder / "base")


def base_with(change: Callable[[Path], Any], **settings: Any) -> Callable[[Path], Any]:
    """A tiny base model with something wrong, and what the run asks of it."""

    def use(folder: Path) -> None:
        model = Path(shutil.copytree(_good_base(), folder / "base"))
        document = {"run": "r", "manifest": "m", "model": {"base": str(model)}}
        config = parse(RunConfig, document | settings, "-")
        change(model)
        revision = resolve_revision(str(model))
        check_models(StepContext(config=config, config_hash="c", base_revision=revision), ("tune",))

    return use


def pipeline_of_another_kind(folder: Path) -> None:
    """A model of images where one of videos is asked for."""
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    document = {"run": "r", "manifest": "m", "model": {"base": "-"}, "method": "wan_v2v"}
    config = parse_run(document | {"wan_v2v": {"base": str(folder)}}, "-")
    revisions = {"base": resolve_revision(str(folder))}
    context = StepContext(config=config, config_hash="c", own_revisions=revisions)
    check_models(context, ("sample",))


def base(name: str, change: Callable[[Path], Any], value: str, limit: str, remedy: str) -> Kind:
    return Kind(f"model-{name}", base_with(change), value, limit, remedy)


def base_config(part: str, **changes: Any) -> Callable[[Path], Any]:
    """Change keys of one of its configs; a scheduler's is named differently."""
    name = f"{part}_config.json" if part in ("scheduler", "tokenizer") else "config.json"

    def change(folder: Path) -> None:
        path = folder / part / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def pickled(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04")


def pickled_judge(folder: Path) -> Path:
    """A judge's folder as torchvision's own weights are saved."""
    (folder / "raft.pth").write_bytes(b"\x80\x04")
    return folder


def stale(folder: Path) -> None:
    index = {"weight_map": {"a": "diffusion_pytorch_model-00001-of-00001.safetensors"}}
    name = "diffusion_pytorch_model.safetensors.index.json"
    (folder / "vae" / name).write_text(json.dumps(index))


def without_words(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.json").unlink()


def not_finite(folder: Path) -> None:
    path = folder / "text_encoder" / "model.safetensors"
    state = load_file(path)
    next(iter(state.values())).fill(np.nan)
    save_file(state, path, metadata={"format": "pt"})


def lacking(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    del state["conv_in.bias"]
    save_file(state, path)


def truncated(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def comparison(
    name: str, value: str, limit: str, remedy: str, *, runs: int = 1, **asked: Any
) -> Kind:
    """Runs of two variants each, and what is asked of comparing them."""
    rows = [exported_row(variant=variant) for variant in ("full", "pnp")]
    tables = {f"run-{n}": RunScores(variants=("full", "pnp"), rows=rows) for n in range(runs)}
    return Kind(f"compare-{name}", lambda _: compare_runs(tables, **asked), value, limit, remedy)


def study(name: str, value: str, limit: str, remedy: str, **asked: Any) -> Kind:
    """What is asked of a study of a run with two variants."""

    def use(folder: Path) -> None:
        chosen = dict.fromkeys(("full", "pnp"), Selection())
        store = LocalStore(folder)
        make_design(store, chosen, Asked(**asked), Clips(store, folder))

    return Kind(f"study-{name}", use, value, limit, remedy)


def benchmark(
    name: str, layout: str, value: str, limit: str, remedy: str, *, to: str = "m.yaml", **files: str
) -> Kind:
    """A benchmark's folder of some files, and where its manifest goes."""

    def use(folder: Path) -> None:
        for file, text in files.items():
            (folder / BENCHMARK_FILES[file]).write_text(text, encoding="utf-8")
        import_benchmark(layout, str(folder), to if "://" in to else str(folder / to))

    return Kind(f"benchmark-{name}", use, value, limit, remedy)


BENCHMARK_FILES = {"table": "LOVEU-TGVE-2023_Dataset.csv", "index": "config.yaml", "m": "m.yaml"}
