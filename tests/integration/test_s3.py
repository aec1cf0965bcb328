"""The store, sources and manifests against a real S3 server."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.config import VideoConfig
from components.errors import RefusedError, SourceError, UserError
from components.manifest.load import load_manifest
from components.storage import s3_client
from components.storage.compact import compact_table
from components.storage.garbage import remove, survey
from components.storage.open import open_store
from components.storage.store import Store, file_sha256
from components.storage.tables import append_rows, read_table
from components.video.io import decode_clip
from components.video.sources import fetch_source, source_sha256, stat_source
from components.video.videos_below import list_videos
from tests.integration.s3_server import S3Server
from tests.sample_videos import levels, write_folder, write_video
from tests.store_contract import StoreContract
from tests.unit.components.storage.test_tables import make_row

ODD_KEYS = ["a b.mp4", "ünï%20+&?=#;.mp4", "日本/ 1.mp4", "../up.mp4", "quo'te\".mp4", ".hid/x.mp4"]


class TestS3Store(StoreContract):
    @pytest.fixture
    def store(self, s3_bucket: str) -> Store:
        return open_store(f"s3://{s3_bucket}/some runs/a")

    def test_stores_of_one_bucket_do_not_meet(self, store: Store, s3_bucket: str) -> None:
        store.write_bytes("x", b"1")
        open_store(f"s3://{s3_bucket}/some runs/ab").write_bytes("x", b"2")
        assert [info.path for info in store.list()] == ["x"]
        whole = open_store(f"s3://{s3_bucket}")
        whole.write_bytes("y", b"3")
        assert whole.read_bytes("y") == b"3"

    def test_listings_go_beyond_one_page(
        self, store: Store, s3_bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paths = [f"t/{number}" for number in range(10, 18)]
        for path in paths:
            store.write_bytes(path, b"")
        # pyarrow leaves such keys.
        s3_server.client().put_object(Bucket=s3_bucket, Key="some runs/a/t/", Body=b"")
        monkeypatch.setattr("components.storage.s3.PAGE_SIZE", 3)
        pages: list[Any] = []
        s3_client.client().meta.events.register(
            "after-call.s3.ListObjectsV2", lambda parsed, **_: pages.append(parsed)
        )
        assert [info.path for info in store.list("t")] == paths
        assert len(pages) == 3

    def test_uploads_that_never_ended_can_be_discarded(
        self, store: Store, s3_bucket: str, s3_server: S3Server
    ) -> None:
        client, place = s3_server.client(), {"Bucket": s3_bucket, "Key": "some runs/a/t/x"}
        upload = client.create_multipart_upload(**place)["UploadId"]
        client.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"half")
        (write,) = store.unfinished("t")
        assert (write.path, write.size, write.upload) == ("t/x", 4, upload)
        assert list(store.list()) == []
        assert list(store.unfinished("u")) == []
        store.discard(write)
        store.discard(write)
        assert list(store.unfinished("t")) == []

    def test_tables_are_compacted(self, store: Store) -> None:
        rows = [make_row("videos", video_id=name) for name in ("a", "b")]
        for row in rows:
            append_rows(store, "videos", [row])
        at_once = dt.timedelta(days=-1)  # the server's clock may differ
        compact_table(store, "videos", grace=at_once)
        assert compact_table(store, "videos", grace=at_once).removed == 2
        assert len(list(store.list())) == 1
        assert read_table(store, "videos") == rows

    def test_garbage_is_found_and_removed(
        self, store: Store, s3_bucket: str, s3_server: S3Server
    ) -> None:
        named, orphan = (f"adapters/{digit * 32}.safetensors" for digit in "ab")
        for path in (named, orphan, "adapters/notes.txt"):
            store.write_bytes(path, b"x")
        append_rows(store, "adapters", [make_row("adapters", uri=named)])
        append_rows(store, "edits", [make_row("edits", video_uri="gone.mp4", frames_uri=None)])
        client = s3_server.client()
        client.put_object(Bucket=s3_bucket, Key="some runs/a/media/ä b.mp4", Body=b"")
        client.create_multipart_upload(Bucket=s3_bucket, Key=f"some runs/a/{named}")
        client.create_multipart_upload(Bucket=s3_bucket, Key="some runs/a/report/index.html")
        assert survey(store, older_than=dt.timedelta(hours=1)).young == 2
        found = survey(store, older_than=dt.timedelta(days=-1))
        assert sorted(one.found.path for one in found.orphans) == [named, orphan]
        assert [one.address for one in found.dangling] == ["gone.mp4"]
        assert found.unknown == ["adapters/notes.txt", "media/ä b.mp4"]
        assert remove(store, found.orphans) == found.orphans
        assert [info.path for info in store.list("adapters")] == [named, "adapters/notes.txt"]
        assert list(store.unfinished("adapters")) == []
        assert len(list(store.unfinished("report"))) == 1

    def test_tables_are_kept(self, store: Store) -> None:
        rows = [make_row("videos", video_id=name) for name in ("a", "b")]
        append_rows(store, "videos", rows[:1])
        append_rows(store, "videos", rows[1:])
        assert read_table(store, "videos") == rows


def upload(server: S3Server, bucket: str, key: str, path: Path) -> None:
    server.client().upload_file(str(path), bucket, key)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_videos_of_odd_names_are_found_and_read(
    s3_bucket: str, s3_server: S3Server, tmp_path: Path, key: str
) -> None:
    local = write_video(tmp_path / "local.mp4", 12)
    upload(s3_server, s3_bucket, key, local)
    uri = f"s3://{s3_bucket}/{key}"
    info = stat_source(uri)
    assert info.size == local.stat().st_size
    fetched = fetch_source(uri, tmp_path)
    assert fetched.parent == tmp_path, "the key's own folders are never followed"
    assert file_sha256(fetched) == file_sha256(local)
    clip = decode_clip(fetched, VideoConfig(num_frames=4, width=32, height=24))
    assert levels(clip.frames) == [0, 3, 6, 9]
    upload(s3_server, s3_bucket, key, write_video(local, 13))
    assert stat_source(uri).version != info.version


def test_a_folder_of_frames_is_the_same_clip_as_a_local_one(
    s3_bucket: str, s3_server: S3Server, tmp_path: Path
) -> None:
    names = [f"frame {i}.png" for i in range(12)]
    local = write_folder(tmp_path / "local", names)
    for name in names:
        upload(s3_server, s3_bucket, f"set 1/walk/{name}", local / name)
    upload(s3_server, s3_bucket, "set 1/walk/deeper/0.png", local / names[5])
    upload(s3_server, s3_bucket, "set 1/walk/notes.txt", local / names[5])
    upload(s3_server, s3_bucket, "set 1/walk/cover.png", local / names[5])
    told: list[str] = []
    for uri in (f"s3://{s3_bucket}/set 1/walk", f"s3://{s3_bucket}/set 1/walk/"):
        folder = tmp_path / f"fetched{len(uri)}"
        folder.mkdir()
        version = stat_source(uri).version
        fetched = fetch_source(uri, folder, tell=told.append)
        assert sorted(path.name for path in fetched.iterdir()) == sorted(names)
        assert source_sha256(fetched) == source_sha256(local)
        video = VideoConfig(num_frames=4, width=32, height=24)
        assert np.array_equal(decode_clip(fetched, video).frames, decode_clip(local, video).frames)
    assert told == ["2 file(s) beside 12 frame(s) left out: cover.png, notes.txt"] * 2
    upload(s3_server, s3_bucket, "set 1/walk/cover.png", local / names[6])
    assert stat_source(uri).version == version, "what is left out is no part of the source"
    upload(s3_server, s3_bucket, "set 1/walk/frame 3.png", local / names[5])
    assert stat_source(uri).version != version


def test_what_is_absent_is_said_to_be(s3_bucket: str, tmp_path: Path) -> None:
    for uri in (f"s3://{s3_bucket}/gone.mp4", f"s3://{s3_bucket}/gone/"):
        with pytest.raises(SourceError, match="does not exist"):
            stat_source(uri)
        with pytest.raises(SourceError, match="does not exist"):
            fetch_source(uri, tmp_path)
    for ask in (stat_source, lambda uri: fetch_source(uri, tmp_path)):
        with pytest.raises(RefusedError, match="NoSuchBucket"):
            ask(f"s3://{s3_bucket}-gone/a")
    assert list_videos(f"s3://{s3_bucket}") == ([], ())


def test_hostile_frame_names_are_refused(
    s3_bucket: str, s3_server: S3Server, tmp_path: Path
) -> None:
    client = s3_server.client()
    for folder, name, message in [
        ("long", "x" * 300 + ".png", "has 304 bytes, but the limit is 200"),
        ("control", "a\tb.png", "control characters"),
    ]:
        client.put_object(Bucket=s3_bucket, Key=f"{folder}/{name}", Body=b"x")
        with pytest.raises(SourceError, match=message):
            fetch_source(f"s3://{s3_bucket}/{folder}", tmp_path)


def test_a_prefix_of_videos_is_a_manifest(
    s3_bucket: str, s3_server: S3Server, tmp_path: Path
) -> None:
    client = s3_server.client()
    keys = ["set/walk 10.mp4", "set/walk 2.mp4", "set/deep/frames/1.png", "set/.hid/x.mp4"]
    for key in [*keys, "set/readme.txt", "settle/x.mp4"]:
        client.put_object(Bucket=s3_bucket, Key=key, Body=b"x")
    root = f"s3://{s3_bucket}"
    expected = [f"{root}/set/deep/frames", f"{root}/set/walk 2.mp4", f"{root}/set/walk 10.mp4"]
    told = ("1 file(s) that are no videos are left out (readme.txt): 1 .txt",)
    assert list_videos(f"{root}/set") == list_videos(f"{root}/set/") == (expected, told)
    assert [entry.uri for entry in load_manifest(f"{root}/set/").videos] == expected
    body = b"edits: [{id: snow, prompt: '{caption}, in snow'}]"
    client.put_object(Bucket=s3_bucket, Key="set/edits.yaml", Body=body)
    manifest = load_manifest(f"{root}/set")
    assert manifest.name == "set"
    assert {edit.name for entry in manifest.videos for edit in entry.edits} == {"snow"}
    ids = [entry.video_id for entry in manifest.videos]
    assert ids[0].startswith("deep-frames-")
    assert ids[1].startswith("walk-2-")


@pytest.mark.parametrize("folder", ["run//", "/", "//", "a/../", "a/./", "a b/%20?x#y+ü&=/", ""])
def test_a_manifest_reads_the_keys_beside_it_and_no_others(
    folder: str, s3_bucket: str, s3_server: S3Server
) -> None:
    """Each folder holds a clip of another size; whoever tidies the key reads another one."""
    names = ["clip.mp4", "sub//x y.mp4", "a/../clip.mp4", "50%25.mp4", "q?v=1#t.mp4"]
    client, root = s3_server.client(), f"s3://{s3_bucket}"
    body = "id,uri\n" + "".join(f'v{n},"{name}"\n' for n, name in enumerate(names))
    for at in ("run/", "", "a/", folder):  # the last: some keys are those of another, too
        for number, name in enumerate(names):
            size = 1 + number + 10 * (at == folder)
            client.put_object(Bucket=s3_bucket, Key=f"{at}{name}", Body=bytes(size))
    client.put_object(Bucket=s3_bucket, Key=f"{folder}m.csv", Body=body.encode())
    videos = load_manifest(f"{root}/{folder}m.csv").videos
    assert [entry.uri for entry in videos] == [f"{root}/{folder}{name}" for name in names]
    assert [stat_source(entry.uri).size for entry in videos] == [11, 12, 13, 14, 15]


def test_a_prefix_lists_keys_as_they_are(s3_bucket: str, s3_server: S3Server) -> None:
    keys = ["set/b.mp4", "set//b.mp4", "set/./b.mp4", "set/../b.mp4", "set/f//1.png"]
    for key in [*keys, "b.mp4", "/set/b.mp4", "set/.hidden.mp4"]:
        s3_server.client().put_object(Bucket=s3_bucket, Key=key, Body=key.encode())
    root = f"s3://{s3_bucket}"
    entries = load_manifest(f"{root}/set").videos
    assert {entry.uri for entry in entries} == {
        *(f"{root}/{key}" for key in keys[:4]),
        f"{root}/set/f//",
    }
    assert len({entry.video_id for entry in entries}) == 5
    for entry in entries:
        stat_source(entry.uri)
    assert list_videos(f"{root}/set//")[0] == [f"{root}/set//b.mp4"]
    assert list_videos(f"{root}//set")[0] == [f"{root}//set/b.mp4"]
    assert list_videos(f"{root}/set/f//")[0] == [f"{root}/set/f//"]


def test_a_manifest_on_s3_names_videos_beside_itself(s3_bucket: str, s3_server: S3Server) -> None:
    body = b"id,uri\na,videos/a.mp4\nb,../b.mp4\n"
    s3_server.client().put_object(Bucket=s3_bucket, Key="my sets/set.csv", Body=body)
    manifest = load_manifest(f"s3://{s3_bucket}/my sets/set.csv")
    assert [entry.uri for entry in manifest.videos] == [
        f"s3://{s3_bucket}/my sets/videos/a.mp4",
        f"s3://{s3_bucket}/b.mp4",
    ]
    with pytest.raises(UserError, match=r"does not exist"):
        load_manifest(f"s3://{s3_bucket}/my sets/gone.csv")


def test_a_key_in_another_unicode_form_is_told(s3_bucket: str, s3_server: S3Server) -> None:
    for key in ("e\u0301/e\u0301.mp4", "\xe9/e\u0301_frames/1.png"):
        s3_server.client().put_object(Bucket=s3_bucket, Key=key, Body=b"x")
    for asked, there in [
        ("\xe9/\xe9.mp4", "e\u0301/e\u0301.mp4"),
        ("\xe9/\xe9_frames", "\xe9/e\u0301_frames"),
    ]:
        with pytest.raises(SourceError) as caught:
            stat_source(f"s3://{s3_bucket}/{asked}")
        message = str(caught.value)
        assert f"looks the same does: {f'{s3_bucket}/{there}'!a} in place of " in message
    with pytest.raises(SourceError, match="does not exist: check the manifest's uri"):
        stat_source(f"s3://{s3_bucket}/\xe9/x.mp4")
