"""Manifests as pandas and spreadsheets save them."""

from __future__ import annotations

import decimal
import io
import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.manifest.load import Manifest, VideoEntry, load_manifest
from tests.manifest_files import problems, write

FRAME = pd.DataFrame(
    {
        "id": ["a", "b", "b"],
        "uri": ["/a.mp4", "/b.mp4", "/b.mp4"],
        "prompt": [None, "a cat", "a cat"],
        "num_frames": [33, None, None],  # pandas makes it 33.0 and NaN
        "fit": ["pad", float("nan"), None],
        "edit_id": [1, 2, None],
        "category": ["style", None, None],
        "edit_prompt": ["{caption}, oil", float("nan"), "a dog"],
        "replace": [None, "cat=fox", None],
    }
)
"""One row an edit, with gaps of both of pandas' kinds."""


def videos_of(folder: Path, name: str, content: str | bytes) -> tuple[VideoEntry, ...]:
    return load_manifest(write(folder, name, content)).videos


def parquet(columns: dict[str, Any], **how: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **how)
    return sink.getvalue()


def check_frame(manifest: Manifest) -> None:
    first, second = manifest.videos
    assert (first.video_id, first.prompt, first.video) == (
        "a",
        None,
        {"num_frames": 33, "fit": "pad"},
    )
    assert (second.video_id, second.prompt, second.video) == ("b", "a cat", None)
    assert [edit.prompt for edit in (*first.edits, *second.edits)] == [
        "{caption}, oil",
        None,
        "a dog",
    ]
    assert [edit.replace for edit in second.edits] == [{"cat": "fox"}, None]
    assert [edit.category for edit in (*first.edits, *second.edits)] == ["style", "other", "other"]


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"sep": ";"}, {"sep": "\t"}, {"sep": "|"}, {"na_rep": "NaN"}]
)
def test_a_data_frame_saved_as_csv_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: dict[str, Any], *, index: bool
) -> None:
    FRAME.to_csv(tmp_path / "set.csv", index=index, **options)
    check_frame(load_manifest(f"{tmp_path}/set.csv"))
    assert ("save with index=False" in caplog.text) is index


def test_a_data_frame_read_and_saved_with_its_index_again_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    FRAME.to_csv(tmp_path / "first.csv")
    pd.read_csv(tmp_path / "first.csv").to_csv(tmp_path / "set.csv")
    assert (tmp_path / "set.csv").read_text().startswith(",Unnamed: 0,id")
    check_frame(load_manifest(f"{tmp_path}/set.csv"))
    assert "'Unnamed: 0'" in caplog.text


def test_a_data_frame_saved_as_parquet_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    FRAME.to_parquet(tmp_path / "set.parquet")
    check_frame(load_manifest(f"{tmp_path}/set.parquet"))
    assert caplog.text == ""
    gaps = pd.concat([FRAME.iloc[:1], FRAME.iloc[2:], FRAME.iloc[1:2]])  # an index that is no range
    gaps.astype({"category": "category", "id": "string"}).to_parquet(tmp_path / "gaps.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "gaps.parquet").names
    found = load_manifest(f"{tmp_path}/gaps.parquet")
    assert [edit.prompt for edit in found.videos[1].edits] == ["a dog", None]
    assert "'__index_level_0__', which only count rows: save with index=False" in caplog.text


def test_numbers_of_a_data_frame_are_integers_and_ids(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "set.parquet")
    first, second = load_manifest(f"{tmp_path}/set.parquet").videos
    assert [edit.name for edit in (*first.edits, *second.edits[:1])] == ["1", "2"]
    for ids in (
        [7, 8],
        [7.0, 8.0],
        pa.array([7, 8], pa.uint8()),
        [decimal.Decimal(7), decimal.Decimal(8)],
    ):
        data = parquet(
            {"id": ids, "uri": ["a.mp4", "b.mp4"], "start": [decimal.Decimal("3.0"), None]}
        )
        found = videos_of(tmp_path, "ids.parquet", data)
        assert [(entry.video_id, entry.video) for entry in found] == [
            ("7", {"start": 3}),
            ("8", None),
        ]
    rows = [
        {"id": 7, "uri": "a.mp4", "edits": [{"id": 1.0, "prompt": "x"}]},
        {"id": 8.0, "uri": "b.mp4"},
    ]
    for name, text in [
        ("set.jsonl", "\n".join(map(json.dumps, rows))),
        ("set.json", json.dumps({"videos": rows})),
    ]:
        found = videos_of(tmp_path, name, text)
        assert [entry.video_id for entry in found] == ["7", "8"]
        assert found[0].edits[0].name == "1"
    assert [
        entry.video_id for entry in videos_of(tmp_path, "set.csv", "id,uri\n007,a.mp4\n7,b.mp4\n")
    ] == ["007", "7"]


@pytest.mark.parametrize("value", [7.5, 1e17, float("inf"), True, -1, decimal.Decimal("0.5")])
def test_numbers_that_are_no_id_are_refused(tmp_path: Path, value: Any) -> None:
    (line,) = problems(write(tmp_path, "set.parquet", parquet({"id": [value], "uri": ["a.mp4"]})))
    assert line.startswith("row 1: a video's id is ")


def test_rows_of_one_number_are_one_video(tmp_path: Path) -> None:
    data = parquet({"id": [7, 7], "uri": ["a.mp4", None], "edit_prompt": ["x", "y"]})
    (found,) = videos_of(tmp_path, "set.parquet", data)
    assert [edit.prompt for edit in found.edits] == ["x", "y"]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_null_and_nan_are_not_given_wherever_they_stand(tmp_path: Path, missing: Any) -> None:
    edit = {
        "id": missing,
        "category": missing,
        "prompt": missing,
        "replace": {"cat": "fox", "dog": missing},
    }
    frames = {"num_frames": 8.0, "start": missing}
    entry = {"id": "a", "uri": "/a.mp4", "prompt": missing, "frames": frames, "edits": [edit]}
    bare = {"id": "b", "uri": "/b.mp4", "frames": missing, "edits": missing}
    document = {"videos": [entry, bare], "edits": missing}
    yaml_null = ".nan" if missing else "null"
    texts = {
        "set.json": json.dumps(document),
        "set.jsonl": f"{json.dumps(entry)}\n{json.dumps(bare)}",
        "set.yaml": json.dumps(document).replace("NaN", yaml_null),
    }
    for name, text in texts.items():
        first, second = videos_of(tmp_path, name, text)
        assert (first.prompt, first.video) == (None, {"num_frames": 8})
        assert (first.edits[0].replace, first.edits[0].category) == ({"cat": "fox"}, "other")
        assert (second.video, second.edits) == (None, ())


def test_the_shape_of_json_lines_is_read_from_parquet(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "id": "a",
            "uri": "/a.mp4",
            "frames": {"num_frames": 8, "fit": "pad"},
            "edits": [{"id": "e", "prompt": "x"}, {"replace": {"cat": "fox"}}],
        },
        {"id": "b", "uri": "/b.mp4", "edits": [{"replace": {"dog": "wolf"}}]},
    ]
    text = "\n".join(map(json.dumps, rows))
    expected = videos_of(tmp_path, "set.jsonl", text)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet")  # structs, full of nulls
    assert load_manifest(f"{tmp_path}/set.parquet").videos == expected
    replace = pa.map_(pa.string(), pa.string())
    edit = pa.struct({"id": pa.string(), "prompt": pa.string(), "replace": replace})
    frames = pa.struct({"num_frames": pa.float64(), "fit": pa.large_string()})
    types = {"id": pa.string(), "uri": pa.string(), "frames": frames, "edits": pa.list_(edit)}
    maps = [row | {"edits": [_mapped(one) for one in row["edits"]]} for row in rows]
    pq.write_table(pa.Table.from_pylist(maps, pa.schema(types)), tmp_path / "set.parquet")
    assert load_manifest(f"{tmp_path}/set.parquet").videos == expected


def _mapped(edit: Any) -> Any:
    return edit | {"replace": list(edit["replace"].items())} if "replace" in edit else edit


@pytest.mark.parametrize(
    "text_type", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_every_type_of_text_is_read(tmp_path: Path, text_type: Any) -> None:
    data = parquet(
        {"id": pa.array(["a"]).cast(text_type), "uri": pa.array(["/a.mp4"]).cast(text_type)}
    )
    (found,) = videos_of(tmp_path, "set.parquet", data)
    assert (found.video_id, found.uri) == ("a", "/a.mp4")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": [b"a"]}, r"is b'a' (bytes), but must be text: save it as text"),
        ({"id": [pd.Timestamp("2026-01-01")]}, "must be text: save it as text"),
        ({"id": ["a"], "start": [True]}, "start of the frames of video 'a' is of type bool"),
        ({"id": ["a"], "start": [2.5]}, "got 2.5"),
        ({"id": ["a"], "prompt": ["nan"]}, "'nan', as programs write a value that is missing"),
        ({"id": ["a"], "edits": ["x"]}, "edits is 'x', but must be a list"),
        ({"id": ["a"], "frames": ["x"]}, "the frames of video 'a' is a str, but must be a mapping"),
        ({"id": ["a"], "": ["x"]}, "the column '' (number 3) holds 'x', but its name says nothing"),
        ({"id": ["a"], "index": [0.5]}, "the column 'index' (number 3) holds 0.5"),
    ],
)
def test_what_parquet_holds_else_is_named(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    ordered = {"uri": ["/a.mp4"], **columns}
    lines = problems(write(tmp_path, "set.parquet", parquet(ordered)))
    assert any(line.startswith("row 1: ") and message in line for line in lines), lines


SHEET = 'id,uri,prompt\r\na,/a.mp4,"one, two"\r\nb,/b.mp4,\r\n'


@pytest.mark.parametrize(
    "text",
    [
        SHEET,
        f"\ufeff{SHEET}",
        SHEET.replace("\r\n", "\r"),  # as Excel for the Mac had it
        SHEET + ",,\r\n , \t,\r\n\r\n",  # rows that were once filled
        SHEET.replace("\r\n", ",,\r\n"),  # columns that were once filled
        'id,uri,prompt\na,/a.mp4,"one, two",,,\nb,/b.mp4\n',  # cells that Excel adds or spares
        '\n\n id , uri,prompt \na,/a.mp4, "one, two"\nb,/b.mp4,NaN\n',
        "sep=;\r\nid;uri;prompt\r\na;/a.mp4;one, two\r\nb;/b.mp4;\r\n",
        'id;uri;prompt\na;/a.mp4;"one, two"\nb;/b.mp4;<NA>\n',
        "id\turi\tprompt\na\t/a.mp4\tone, two\nb\t/b.mp4\t\n",
        "id|uri|prompt\na|/a.mp4|one, two\nb|/b.mp4|\n",
        'prompt,id,uri\n"one, two",a,/a.mp4\n,b,/b.mp4\n',
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, text: str) -> None:
    found = videos_of(tmp_path, "set.csv", text)
    assert [(entry.video_id, entry.prompt) for entry in found] == [("a", "one, two"), ("b", None)]
    assert videos_of(tmp_path, "set.tsv", text) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ID,uri\na,/a.mp4\n", "line 1: unknown column 'ID'; did you mean 'id'?"),
        (
            "id,uri,Edit Prompt\na,/a.mp4,\n",
            "unknown column 'Edit Prompt'; did you mean 'edit_prompt'?",
        ),
        ("id,uri,id\na,/a.mp4,a\n", "line 1: the column 'id' is given twice: keep one"),
        ("id,uri,id.1\na,/a.mp4,a\n", "line 1: unknown column 'id.1'; did you mean 'id'?"),
        ("id:uri\na:/a.mp4\n", "line 1: unknown column 'id:uri'"),
        ("id,uri,\na,/a.mp4,0\nb,/b.mp4,note\n", "line 3: the column '' (number 3) holds 'note'"),
        ("id,uri,start\na,/a.mp4,TRUE\n", "line 2: the frames of video 'a': "),
        ("id,uri,start\na,/a.mp4,2.5\n", "line 2: the frames of video 'a': "),
        (
            "id;uri\na;/a;b.mp4\n",
            "line 2: has 3 cells, but the header has 2: quote cells that hold se",
        ),
        (
            "id,uri,prompt\na,/a.mp4,#REF!\n",
            "line 2: the column 'prompt' holds the spreadsheet's error #REF!",
        ),
        ('id,uri,prompt\na,/a.mp4,"x\ny"\nnan,/b.mp4,\n', "line 4: a video's id is missing"),
    ],
)
def test_what_spreadsheets_get_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    lines = problems(write(tmp_path, "set.csv", text))
    assert any(message in line for line in lines), lines


def test_left_out_columns_are_told_once_with_the_manifest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        videos_of(tmp_path, "set.csv", SHEET.replace("\r\n", ",,\r\n"))
    (record,) = caplog.records
    assert "set.csv: left out 2 column(s) without a name" in record.getMessage()


def test_numbers_of_one_video_agree_as_integers(tmp_path: Path) -> None:
    text = "id,uri,start,edit_prompt\na,/a.mp4,33.0,x\na,/a.mp4,33,y\n"
    (found,) = videos_of(tmp_path, "set.csv", text)
    assert found.video == {"start": 33}
