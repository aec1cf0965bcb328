"""Where S3 is and with which keys, and what its refusals mean; a server answers as S3 does."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from botocore.awsrequest import AWSResponse

from components.errors import DeniedError, RefusedError, SourceError, TransientError, UserError
from components.manifest.load import load_manifest
from components.storage import patience, s3_client
from components.storage.open import open_store
from components.storage.store import Store
from components.video.limits import DEFAULT_LIMITS
from components.video.sources import SourceInfo, fetch_source, stat_source
from components.video.versions import LEAST, stat_sources
from components.video.videos_below import list_videos
from tests.s3_answers import Answers, Request, s3_answers

RUN = "s3://bucket/run"
CALLS: dict[str, Callable[[Store, Path], Any]] = {
    "read": lambda store, _: store.read_bytes("a"),
    "write": lambda store, _: store.write_bytes("a", b""),
    "create": lambda store, _: store.create_bytes("a", b""),
    "upload": lambda store, folder: store.write_file("a", folder / "config"),
    "list": lambda store, _: list(store.list()),
    "stat": lambda store, _: store.stat("a"),
    "fetch": lambda store, folder: store.fetch("a", folder / "a"),
    "delete": lambda store, _: store.delete("a"),
    "unfinished": lambda store, _: list(store.unfinished("a")),
    "arrow": lambda store, _: store.arrow(),
    "source": lambda store, _: stat_source(f"{store.root}/v.mp4"),
    "sources": lambda store, _: stat_sources([f"{store.root}/v.mp4"] * 3, DEFAULT_LIMITS),
    "fetch_source": lambda store, folder: fetch_source(f"{store.root}/v.mp4", folder),
    "videos": lambda store, _: list_videos(store.root),
    "manifest": lambda store, _: load_manifest(f"{store.root}/m.yaml"),
}
OF_ALL = {
    "ExpiredToken": (400, "have expired: renew them .* and run again; no item has failed"),
    "InvalidAccessKeyId": (403, "check AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": (403, "check AWS_ACCESS_KEY_ID"),
    "InvalidToken": (400, "check AWS_ACCESS_KEY_ID"),
    "PermanentRedirect": (301, "another region: set AWS_DEFAULT_REGION"),
    "AuthorizationHeaderMalformed": (400, "another region: set AWS_DEFAULT_REGION"),
    "IllegalLocationConstraintException": (400, "another region: set AWS_DEFAULT_REGION"),
    "NoSuchBucket": (404, "check the bucket's name"),
    "RequestTimeTooSkewed": (403, "set this machine's clock"),
    "AccountProblem": (403, "ask whoever runs it"),
}


def clean(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Give keys, and nothing of the machine's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    (folder / "config").write_text("")
    patch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    patch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_ACCESS_KEY_ID", "first")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    s3_client.connection.cache_clear()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The folder of the two configuration files; the client is to be made anew."""
    clean(monkeypatch, tmp_path)
    yield tmp_path
    s3_client.connection.cache_clear()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    """A server for all tests that need no client of their own, which takes a second to make."""
    with pytest.MonkeyPatch.context() as patch, s3_answers(Answers(lambda _: None)) as answers:
        folder = tmp_path_factory.mktemp("aws")
        clean(patch, folder)
        use_profile(patch, folder, "first")
        answers.folder = folder
        patch.setenv("AWS_ENDPOINT_URL_S3", answers.url)
        yield answers
    s3_client.connection.cache_clear()


@pytest.fixture
def server(answers: Answers) -> Answers:
    """That server, when it lets everything pass."""
    answers.refuse = lambda _: None
    answers.seen.clear()
    return answers


def use_profile(patch: pytest.MonkeyPatch, folder: Path, keys: str, config: str = "") -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.delenv(name, raising=False)
    patch.setenv("AWS_PROFILE", "me")
    write_keys(folder, keys)
    (folder / "config").write_text(config or "[profile me]\n")


def write_keys(folder: Path, keys: str) -> None:
    text = f"[me]\naws_access_key_id = {keys}\naws_secret_access_key = of {keys}\n"
    (folder / "credentials").write_text(text)


def from_variable(patch: pytest.MonkeyPatch, folder: Path, url: str) -> None:
    patch.setenv("AWS_ENDPOINT_URL", url)


def from_profile(patch: pytest.MonkeyPatch, folder: Path, url: str) -> None:
    use_profile(patch, folder, "first", f"[profile me]\nendpoint_url = {url}\n")


def from_services(patch: pytest.MonkeyPatch, folder: Path, url: str) -> None:
    services = f"[services here]\ns3 =\n  endpoint_url = {url}\n"
    use_profile(patch, folder, "first", f"[profile me]\nservices = here\n{services}")


def from_s3s_own_variable(patch: pytest.MonkeyPatch, folder: Path, url: str) -> None:
    patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    patch.setenv("AWS_ENDPOINT_URL_S3", url)


SOURCES = (from_variable, from_profile, from_services, from_s3s_own_variable)


@pytest.mark.parametrize("give", SOURCES, ids=lambda give: give.__name__)
def test_an_endpoint_of_any_of_boto3s_sources_is_pyarrows_too(
    give: Callable[..., None], monkeypatch: pytest.MonkeyPatch, aws: Path
) -> None:
    with s3_answers(Answers(lambda _: None)) as answers:
        give(monkeypatch, aws, answers.url)
        store = open_store(RUN)
        assert store.read_bytes("a") == b"x"
        answers.seen.clear()
        filesystem, root = store.arrow()
        with filesystem.open_input_stream(f"{root}/b") as stream:
            assert stream.read() == b"x"
        assert {request.access_key for request in answers.seen} == {"first"}
        assert "/bucket/run/b" in {request.path.partition("?")[0] for request in answers.seen}


def test_configured_endpoints_can_be_ignored(monkeypatch: pytest.MonkeyPatch, aws: Path) -> None:
    from_variable(monkeypatch, aws, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert s3_client.client().meta.endpoint_url.endswith(".amazonaws.com")


@pytest.mark.parametrize(
    ("config", "name", "endpoint", "virtual"),
    [
        ("", "bucket", "https://s3.eu-west-3.amazonaws.com", True),
        ("", "a.dotted.bucket", "https://s3.eu-west-3.amazonaws.com", False),
        (
            "s3 =\n  addressing_style = path\n",
            "bucket",
            "https://s3.eu-west-3.amazonaws.com",
            False,
        ),
        (
            "s3 =\n  use_dualstack_endpoint = true\n",
            "bucket",
            "https://s3.dualstack.eu-west-3.amazonaws.com",
            True,
        ),
        ("endpoint_url = https://s3.example/base\n", "bucket", "https://s3.example/base", False),
        (
            "endpoint_url = https://s3.example\ns3 =\n  addressing_style = virtual\n",
            "bucket",
            "https://s3.example",
            True,
        ),
    ],
)
def test_botocores_rules_say_where_a_bucket_is(
    config: str,
    name: str,
    endpoint: str,
    virtual: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
    aws: Path,
) -> None:
    use_profile(monkeypatch, aws, "first", f"[profile me]\nregion = eu-west-3\n{config}")
    # No machine of Amazon's is asked: the bucket's own region is the client's.
    s3_client.client().meta.events.register(
        "before-send.s3.HeadBucket",
        lambda **_: AWSResponse(
            "", 200, {}, urllib3.HTTPResponse(io.BytesIO(), preload_content=False)
        ),
    )
    place = s3_client.place_of(name)
    assert (place.endpoint, place.virtual, place.region) == (endpoint, virtual, "eu-west-3")
    assert place.credentials.access_key == "first"


@pytest.mark.usefixtures("aws")
def test_a_region_may_be_given_as_to_amazons_other_libraries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert s3_client.client().meta.region_name == "eu-west-3"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    s3_client.connection.cache_clear()
    assert s3_client.client().meta.region_name == "eu-west-1"


def always(status: int, code: str, of: str = "") -> Callable[[Request], tuple[int, str] | None]:
    """Refuse every request, or those with one access key."""
    return lambda request: (status, code) if of in {"", request.access_key} else None


@pytest.mark.parametrize("call", CALLS)
def test_what_holds_for_every_object_is_no_items_failure(
    call: str, server: Answers, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("")
    for code, (status, remedy) in OF_ALL.items():
        server.refuse = always(status, code)
        message = rf"(?s)S3 refused s3://bucket.*\({code}\): .*{remedy}"
        with pytest.raises(RefusedError, match=message):
            CALLS[call](open_store(RUN), tmp_path)


def test_keys_that_are_renewed_meanwhile_are_taken(server: Answers, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("")
    good = "first"
    for number, call in enumerate(CALLS):
        old, good = good, f"key{number}"
        server.refuse = always(400, "ExpiredToken", of=old)
        with pytest.raises(RefusedError, match="ExpiredToken"):
            open_store(RUN).read_bytes("a")
        write_keys(server.folder, good)
        # What the server tells is no manifest; that the request passes is enough.
        with contextlib.suppress(UserError, SourceError):
            CALLS[call](open_store(RUN), tmp_path)
        assert server.seen[-1].access_key == good, call


def test_threads_that_are_refused_at_once_all_go_on(server: Answers) -> None:
    open_store(RUN).read_bytes("a")
    old = server.seen[-1].access_key
    together = threading.Barrier(8)

    def refuse(request: Request) -> tuple[int, str] | None:
        if request.access_key != old:
            return None
        together.wait(10)
        return 403, "InvalidAccessKeyId"

    server.refuse = refuse
    write_keys(server.folder, "others")
    read: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: read.append(open_store(RUN).read_bytes("a")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [b"x"] * 8


def test_one_objects_refusal_is_its_own(server: Answers, tmp_path: Path) -> None:
    server.refuse = lambda request: (403, "AccessDenied") if "/bad" in request.path else None
    with pytest.raises(DeniedError, match=r"\(AccessDenied\): these credentials lack the right"):
        open_store(RUN).stat("bad")
    with pytest.raises(SourceError, match="AccessDenied"):
        fetch_source("s3://bucket/bad.mp4", tmp_path)
    uris = ["s3://bucket/bad.mp4", "s3://bucket/good.mp4"]
    bad, good = stat_sources(uris, DEFAULT_LIMITS)
    assert isinstance(bad, SourceError)
    assert "S3 refused s3://bucket/bad.mp4 (AccessDenied)" in str(bad)
    assert not isinstance(good, SourceError)
    server.refuse = lambda request: (403, "InvalidObjectState") if "cold" in request.path else None
    with pytest.raises(SourceError, match=r"\(InvalidObjectState\): the object is archived"):
        stat_source("s3://bucket/cold.mp4")


def test_a_bucket_of_which_no_source_may_be_read_stops_the_run(server: Answers) -> None:
    server.refuse = lambda _: (403, "AccessDenied")
    message = r"none of the sources in s3://bucket can be read: .*\(AccessDenied\)"
    for uris in (["s3://bucket/1.mp4", "s3://bucket/2.mp4"], ["s3://bucket/1.mp4"]):
        with pytest.raises(RefusedError, match=message):
            stat_sources(uris, DEFAULT_LIMITS)


def test_a_bucket_that_may_be_read_and_not_listed_is_asked_source_by_source(
    server: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuse = lambda request: (403, "AccessDenied") if "list-type" in request.path else None
    uris = [f"s3://bucket/{number}.mp4" for number in range(LEAST)]
    with caplog.at_level("INFO", "components.video.versions"):
        answers = stat_sources(uris, DEFAULT_LIMITS)
    assert all(isinstance(answer, SourceInfo) for answer in answers)
    assert sum(request.method == "HEAD" for request in server.seen) == LEAST
    assert "s3://bucket/ cannot be listed" in caplog.text


def test_a_bucket_that_may_be_listed_and_not_read_stops_the_run(server: Answers) -> None:
    server.refuse = lambda request: None if "list-type" in request.path else (403, "AccessDenied")
    uris = [f"s3://bucket/{number}.mp4" for number in range(LEAST)]
    with pytest.raises(RefusedError, match="none of the sources in s3://bucket can be read"):
        stat_sources(uris, DEFAULT_LIMITS)


def no_keys(patch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.delenv(name)


def half_a_key(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.delenv("AWS_SECRET_ACCESS_KEY")


def unknown_profile(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setenv("AWS_PROFILE", "nobody")


def expired_sso(patch: pytest.MonkeyPatch, folder: Path) -> None:
    no_keys(patch, folder)
    patch.setenv("AWS_PROFILE", "me")
    patch.setenv("HOME", str(folder))
    session = "sso_session = us\nsso_account_id = 1\nsso_role_name = r\n"
    start = "sso_start_url = https://us.example/start\nsso_region = eu-west-3\n"
    (folder / "config").write_text(f"[profile me]\n{session}[sso-session us]\n{start}")


def broken_file(patch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "config").write_text("no section\n")


def failing_process(patch: pytest.MonkeyPatch, folder: Path) -> None:
    no_keys(patch, folder)
    patch.setenv("AWS_PROFILE", "me")
    (folder / "config").write_text("[profile me]\ncredential_process = false\n")


def no_url(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    patch.delenv("AWS_ENDPOINT_URL_S3")


WRONG: dict[Callable[..., None], str] = {
    no_keys: r"NoCredentialsError\): Unable to locate credentials: set AWS_ACCESS_KEY_ID",
    half_a_key: r"PartialCredentialsError\): .*AWS_SECRET_ACCESS_KEY.*: check the AWS variables",
    unknown_profile: r"ProfileNotFound\): .*nobody.*: check AWS_PROFILE",
    expired_sso: r"Token|SSO.*`aws sso login`",
    broken_file: r"ConfigParseError\): .*config.*: check the AWS variables and profile",
    failing_process: r"CredentialRetrievalError\): .*: check the AWS variables and profile",
    no_url: r"InvalidConfigError\): Invalid endpoint: localhost:9000: check the AWS variables",
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_configuration_that_cannot_be_is_told_at_once(
    wrong: Callable[..., None], monkeypatch: pytest.MonkeyPatch, aws: Path, tmp_path: Path
) -> None:
    with s3_answers(Answers(lambda _: None)) as answers:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", answers.url)
        wrong(monkeypatch, aws)
        message = r"S3 cannot be asked for s3://bucket.*\(" + WRONG[wrong]
        for call in ("read", "stat", "sources", "arrow"):
            with pytest.raises(RefusedError, match=message):
                CALLS[call](open_store(RUN), tmp_path)
        assert answers.seen == []


@pytest.mark.usefixtures("aws")
def test_an_endpoint_without_an_answer_names_all_its_sources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "START_SECONDS", 0.5)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9.*AWS_ENDPOINT_URL or the profile's"):
        open_store(RUN).read_bytes("a")
