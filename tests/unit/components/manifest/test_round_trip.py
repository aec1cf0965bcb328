"""Any manifest, written in any format, is read back equal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from components.manifest.fields import valid_id
from components.manifest.load import (
    Category,
    EditEntry,
    Manifest,
    ManifestError,
    VideoEntry,
    from_document,
    load_manifest,
    to_document,
)
from components.manifest.rows import COLUMNS
from components.syntax.tree import MISSING_WORDS
from tests.manifest_files import write

safe_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True).filter(
    lambda text: valid_id(text) and text not in MISSING_WORDS
)

texts = (
    st.text(
        st.characters(
            exclude_categories=("Cc", "Cs", "Zl", "Zp"),
            exclude_characters="{}\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
        ),
        min_size=1,
        max_size=40,
    )
    .map(str.strip)
    .filter(lambda text: text and text not in MISSING_WORDS)
)

categories = st.sampled_from(get_args(Category))

edits = st.one_of(
    st.builds(EditEntry, name=safe_ids, category=categories, prompt=texts),
    st.builds(
        EditEntry,
        name=safe_ids,
        category=categories,
        replace=st.dictionaries(texts, texts, min_size=1, max_size=1),
    ),
)

frames = st.fixed_dictionaries(
    {},
    optional={
        "num_frames": st.integers(1, 99),
        "fps": st.floats(0.01, 1000),
        "start": st.integers(0, 99),
        "width": st.sampled_from([8, 512]),
        "fit": st.sampled_from(["crop", "pad", "stretch"]),
    },
).filter(bool)

videos = st.builds(
    VideoEntry,
    video_id=safe_ids,
    uri=st.sampled_from(["/v/a b.mp4", "s3://b/ä?.mp4", "file:///x%20.mov"]),
    mask=st.none() | st.sampled_from(["/m/a b", "s3://b/ä m/", "file:///m.mp4"]),
    prompt=st.none() | texts,
    video=st.none() | frames,
    edits=st.lists(
        edits, max_size=4, unique_by=(lambda e: e.name, lambda e: (e.prompt, str(e.replace)))
    ).map(tuple),
)

manifests = st.builds(
    Manifest,
    name=st.just("set"),
    videos=st.lists(videos, min_size=1, max_size=4, unique_by=lambda v: v.video_id.casefold()).map(
        tuple
    ),
)


def as_yaml(manifest: Manifest) -> bytes:
    document = {"videos": to_document(manifest)["videos"]}
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False).encode()


def as_json(manifest: Manifest) -> bytes:
    return json.dumps({"videos": to_document(manifest)["videos"]}).encode()


def as_jsonl(manifest: Manifest) -> bytes:
    return "\n".join(json.dumps(video) for video in to_document(manifest)["videos"]).encode()


def rows_of(manifest: Manifest) -> list[dict[str, Any]]:
    """One row an edit, the video's own columns in each."""
    rows = []
    for video in to_document(manifest)["videos"]:
        own = {name: video.get(name) for name in ("id", "uri", "mask", "prompt")} | video.get(
            "frames", {}
        )
        for edit in video["edits"] or [{}]:
            pairs = [f"{old}={new}" for old, new in edit.get("replace", {}).items()]
            columns = {"edit_id": edit.get("id"), "category": edit.get("category")}
            columns |= {"edit_prompt": edit.get("prompt"), "replace": "; ".join(pairs) or None}
            rows.append(dict.fromkeys(COLUMNS) | own | columns)
    return rows


def as_csv(manifest: Manifest) -> bytes:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, COLUMNS)
    writer.writeheader()
    writer.writerows(rows_of(manifest))
    return sink.getvalue().encode()


def as_parquet(manifest: Manifest) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows_of(manifest)), sink)
    return sink.getvalue()


def as_nested_parquet(manifest: Manifest) -> bytes:
    """The shape of JSON lines: structs in lists, where each lacks what another one has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    videos = to_document(manifest)["videos"]
    for video in videos:
        for edit in video["edits"]:
            edit["replace"] = list(edit["replace"].items()) if "replace" in edit else None
    edit_fields = dict.fromkeys(("id", "category", "prompt"), pa.string())
    edit_fields["replace"] = pa.map_(pa.string(), pa.string())
    fields = {name: pa.string() for name in ("id", "uri", "mask", "prompt")}
    types = pa.schema(fields | {"edits": pa.list_(pa.struct(edit_fields))})
    frames = pa.array([video.get("frames") for video in videos])
    table = pa.Table.from_pylist(videos, types)
    if not pa.types.is_null(frames.type):
        table = table.append_column("frames", frames)
    pq.write_table(table, sink)
    return sink.getvalue()


def as_frame_csv(manifest: Manifest) -> bytes:
    """As pandas saves it, with its index and gaps; cut at semicolons."""
    import pandas as pd

    return pd.DataFrame(rows_of(manifest)).to_csv(sep=";").encode()  # type: ignore[no-any-return]


def as_frame_parquet(manifest: Manifest) -> bytes:
    import pandas as pd

    frame = pd.DataFrame(rows_of(manifest))
    return frame.set_index(frame.index[::-1]).to_parquet()  # type: ignore[no-any-return]


WRITERS = [
    *(as_yaml, as_json, as_jsonl, as_csv, as_parquet),
    *(as_nested_parquet, as_frame_csv, as_frame_parquet),
]


@pytest.mark.parametrize("write_as", WRITERS)
@given(manifest=manifests)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_format_is_read_back_equal(
    tmp_path: Path, write_as: Callable[[Manifest], bytes], manifest: Manifest
) -> None:
    suffix = write_as.__name__.rpartition("_")[2]
    if (
        suffix in ("csv", "parquet") and write_as is not as_nested_parquet
    ):  # there "a=b; c=d" is two words
        words = [word for v in manifest.videos for e in v.edits for word in e.replace or {}]
        words += [
            new for v in manifest.videos for e in v.edits for new in (e.replace or {}).values()
        ]
        assume(not any(mark in word for mark in "=;" for word in words))
    assert load_manifest(write(tmp_path, f"set.{suffix}", write_as(manifest))) == manifest


@given(manifests)
def test_a_saved_manifest_is_read_back_equal(manifest: Manifest) -> None:
    assert from_document(json.loads(json.dumps(to_document(manifest)))) == manifest


def test_a_saved_manifest_of_another_version_is_refused() -> None:
    with pytest.raises(ManifestError, match="of version 99, but this release reads 1"):
        from_document({"version": 99})
