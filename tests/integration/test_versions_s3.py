"""Many sources of a bucket are asked for their versions by listings, against a real S3 server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from components.errors import SourceError
from components.storage import s3_client
from components.video.limits import DEFAULT_LIMITS
from components.video.sources import SourceInfo, stat_source
from components.video.versions import stat_sources
from tests.integration.s3_server import S3Server

Put = Callable[[str], None]


@pytest.fixture
def put(s3_server: S3Server, s3_bucket: str) -> Put:
    client = s3_server.client()
    return lambda key: client.put_object(Bucket=s3_bucket, Key=key, Body=key.encode())


@pytest.fixture
def requests(s3_bucket: str) -> Counter[str]:
    seen: Counter[str] = Counter()
    s3_client.client().meta.events.register(
        "before-send.s3", lambda event_name, **_: seen.update([event_name.rpartition(".")[2]])
    )
    return seen


def test_a_shared_prefix_costs_a_request_for_a_thousand(
    put: Put, requests: Counter[str], s3_bucket: str
) -> None:
    uris = [f"s3://{s3_bucket}/clips/ä {number % 7}/{number}.mp4" for number in range(1500)]
    for uri in uris:
        put(uri.removeprefix(f"s3://{s3_bucket}/"))
    before = sum(requests.values())
    answers = stat_sources(uris, DEFAULT_LIMITS)
    assert sum(requests.values()) - before <= 0.01 * len(uris)
    assert requests["HeadObject"] == 1
    assert [answer.size for answer in answers if isinstance(answer, SourceInfo)] == [
        len(uri.removeprefix(f"s3://{s3_bucket}/").encode()) for uri in uris
    ]
    for number in (0, 700, 1499):
        assert answers[number] == stat_source(uris[number]), "a version is the same either way"


def test_what_no_listing_shows_is_asked_for_by_itself(
    put: Put, requests: Counter[str], s3_bucket: str
) -> None:
    files = [f"a/{number:03}.mp4" for number in range(40)]
    for key in (*files, "a/020.mp4.frames/0.png", "a/020.mp4.frames/1.png"):
        put(key)
    asked = [*files, "a/020.mp4.frames", "a/nothing.mp4", *files[:2]]
    answers = stat_sources([f"s3://{s3_bucket}/{key}" for key in asked], DEFAULT_LIMITS)
    folder, nothing = answers[40], answers[41]
    assert folder == stat_source(f"s3://{s3_bucket}/a/020.mp4.frames")
    assert isinstance(nothing, SourceError)
    assert "does not exist" in str(nothing)
    assert answers[42:] == answers[:2]


def test_few_sources_among_many_objects_never_cost_more_requests_than_one_each(
    put: Put, requests: Counter[str], s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.storage.s3.PAGE_SIZE", 10)
    monkeypatch.setattr("components.video.versions._DENSE", 2)
    for number in range(400):
        put(f"{number:03}.mp4")
    asked = [f"s3://{s3_bucket}/{number:03}.mp4" for number in range(0, 400, 20)]
    answers = stat_sources(asked, DEFAULT_LIMITS)
    assert all(isinstance(answer, SourceInfo) for answer in answers)
    assert requests["ListObjectsV2"] == 1, "a page of one source is the last one"
    assert requests["HeadObject"] == len(asked) - 1


def test_a_gap_in_the_bucket_is_leapt_over(
    put: Put, requests: Counter[str], s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.storage.s3.PAGE_SIZE", 10)
    monkeypatch.setattr("components.video.versions._DENSE", 2)
    for number in range(200):
        put(f"{number:03}.mp4")
    numbers = [*range(20), *range(180, 200)]
    asked = [f"s3://{s3_bucket}/{number:03}.mp4" for number in numbers]
    answers = stat_sources(asked, DEFAULT_LIMITS)
    assert all(isinstance(answer, SourceInfo) for answer in answers)
    assert requests["ListObjectsV2"] <= 5, "of the bucket's twenty pages"
    assert requests["HeadObject"] == 1
