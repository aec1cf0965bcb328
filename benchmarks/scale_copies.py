"""A finished run of very many videos from one of few: its rows under other ids.

    python -m benchmarks.scale_copies --from /tmp/scale/20000 --copies 50 --folder /tmp/copies

Keys are content, so a copy of a video under another id has the keys of its own, and planning,
status and the resume scan have as much to do for it as for any other; only its source is another's
file. No worker computes anything: ``benchmarks.scale`` does, for hours at such sizes. Prints the
scan's figures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from benchmarks.scale import call
from components.steps import STEPS
from components.storage.open import open_store
from components.storage.parts import encode_part, part_digest
from components.storage.schemas import SCHEMAS
from components.storage.tables import read_arrow

_IDS = ("video_id", "edit_id")
_BEGINNING = "video-"
"""Of every id of ``benchmarks.scale``."""


def main() -> None:
    """Copy a run, look through the copy in a process of its own, and print what that took."""
    parser = argparse.ArgumentParser(prog="benchmarks.scale_copies", description=__doc__)
    parser.add_argument("--from", dest="source", type=Path, required=True, help="a run's folder")
    parser.add_argument("--copies", type=int, required=True, help="of each video")
    parser.add_argument("--folder", type=Path, required=True, help="where the copy lies and stays")
    args = parser.parse_args()
    if not (args.folder / "figures.jsonl").exists():
        copy(args.source, args.folder, args.copies)
    shape = argparse.Namespace(edits=1, workers=2, items_per_task=500, steps=STEPS, no_ray=True)
    rows = sum(1 for _ in (args.folder / "manifest.jsonl").open("rb"))
    print(json.dumps({"rows": rows} | call(shape, rows, args.folder, "scan"), indent=2))


def copy(source: Path, target: Path, copies: int) -> None:
    """Write manifest, configuration and tables of a run whose videos are so many copies."""
    beginnings = [f"v{number:03}-" for number in range(copies)]
    (target / "run").mkdir(parents=True)
    lines = (source / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    with (target / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for beginning in beginnings:
            for line in lines:
                entry = json.loads(line)
                entry["id"] = entry["id"].replace(_BEGINNING, beginning)
                entry["uri"] = str(source / entry["uri"])
                manifest.write(json.dumps(entry) + "\n")
    document = yaml.safe_load((source / "run.yaml").read_text(encoding="utf-8"))
    document |= {"run": str(target / "run"), "manifest": str(target / "manifest.jsonl")}
    (target / "run.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    _copy_tables(source, target, beginnings)
    (target / "figures.jsonl").write_text('{"process": {"left": 0}}\n', encoding="utf-8")


def _copy_tables(source: Path, target: Path, beginnings: list[str]) -> None:
    store, copied = open_store(str(source / "run")), open_store(str(target / "run"))
    for table, schema in SCHEMAS.items():
        rows = read_arrow(store, table)
        for number, beginning in enumerate(beginnings if len(rows) else ()):
            data = encode_part(_renamed(rows, beginning).replace_schema_metadata(schema.metadata))
            copied.write_bytes(
                f"tables/{table}/part-{number:020d}-{part_digest(data)}.parquet", data
            )


def _renamed(rows: pa.Table, beginning: str) -> pa.Table:
    for name in _IDS:
        if name in rows.column_names:
            ids = pc.replace_substring(rows[name], _BEGINNING, beginning)
            rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), ids)
    return rows


if __name__ == "__main__":
    main()
