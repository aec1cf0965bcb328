"""The server before hostile clients: only invited raters, only their clips, only first answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from components.study.database import ANSWERS
from components.study.record import Record
from components.study.server import MAX_BODY, Files, application, cookie_name
from eval.study.votes import Choice
from tests.study_run import HOSTILE
from tests.unit.components.study.conftest import Study

LEFT = {"consistency": "left", "text": "left"}
RIGHT = {"consistency": "right", "text": "right"}


@dataclass
class Visitor:
    """A browser at the study's server."""

    client: TestClient
    record: Record
    rater: int = 0

    def enter(self, token: str) -> Any:
        return self.client.get(f"/enter/{token}", follow_redirects=False)

    def state(self) -> Any:
        return self.client.get("/state").json()

    def post(self, body: Any, **headers: str | None) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        usual = {"origin": "http://testserver", "content-type": "application/json"}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in (usual | names).items() if value is not None}
        return self.client.post("/answers", content=content, headers=sent)

    def answer(self, place: object, answers: object) -> Any:
        return self.post(self.body(place=place, answers=answers))

    def body(self, **changes: Any) -> dict[str, Any]:
        """A right answer to the first page, but for the changes."""
        place = changes.get("place", 0)
        key = self.record.sequences.key(self.rater, place)
        return {"place": place, "key": key, "answers": LEFT} | changes


@dataclass
class Served:
    record: Record
    tokens: dict[int, str]
    files: Files

    def visitor(self, rater: int | None = None) -> Visitor:
        client = TestClient(application(self.record, self.files))
        found = Visitor(client, self.record, rater or 0)
        if rater is not None:
            assert found.enter(self.tokens[rater]).status_code == 303
        return found


@pytest.fixture
def served(make: Callable[..., Study]) -> Served:
    return Served(*make())


def test_an_invitation_becomes_a_cookie_and_no_later_address_has_it(served: Served) -> None:
    found = served.visitor().enter(served.tokens[2])
    assert (found.status_code, found.headers["location"]) == (303, "/")
    cookie = found.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/;" in cookie
    assert "secure" not in cookie, "this server speaks http"
    assert found.headers["cache-control"] == "no-store"
    rater = served.visitor(2)
    assert rater.state()["place"] == 0
    assert rater.state()["clips"] == served.record.sequences.page(2, 0)["clips"]


def test_behind_tls_the_cookie_is_secure(served: Served) -> None:
    client = TestClient(application(served.record, served.files), base_url="https://study.example")
    found = client.get(f"/enter/{served.tokens[0]}", follow_redirects=False)
    assert "secure" in found.headers["set-cookie"].lower()


@pytest.mark.parametrize("token", ["x", "A" * 43, "%00", "%2e%2e%2fstate", "x" * 5000, "é"])
def test_a_forged_invitation_is_refused(served: Served, token: str) -> None:
    visitor = served.visitor()
    found = visitor.enter(token)
    assert found.status_code in {403, 404}
    assert "set-cookie" not in found.headers
    visitor.client.cookies.set(cookie_name(served.record), "forged")
    assert visitor.client.get("/state").status_code == 401
    assert visitor.answer(0, LEFT).status_code == 401
    assert served.record.votes() == []


def test_who_is_not_invited_sees_the_empty_page_alone(served: Served) -> None:
    visitor = served.visitor()
    assert visitor.client.get("/").status_code == 200
    assert visitor.client.get("/state").status_code == 401
    name = served.record.sequences.page(0, 0)["clips"]["left"]["name"]
    assert visitor.client.get(f"/clip/{name}").status_code == 401
    assert visitor.answer(0, LEFT).status_code == 401


def test_a_void_invitation_ends_at_once(served: Served) -> None:
    rater = served.visitor(1)
    served.record.invite([1])
    assert rater.client.get("/state").status_code == 401


def test_every_response_is_strict(served: Served) -> None:
    rater = served.visitor(0)
    name = rater.state()["clips"]["left"]["name"]
    paths = ("/", "/study.js", "/study.css", "/state", f"/clip/{name}", "/none", "/enter/x")
    for path in paths:
        headers = rater.client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
    page = rater.client.get("/").text
    assert "<style" not in page
    assert "onclick" not in page
    assert page.count("<script") == 1, "none inline"


def test_a_clip_is_served_by_parts_to_its_rater(served: Served) -> None:
    rater = served.visitor(0)
    clips = rater.state()["clips"]
    edit, shown = served.record.sequences.clips(0)[clips["left"]["name"]]
    data = served.files[edit.video, edit.edit, shown].read_bytes()
    whole = rater.client.get(f"/clip/{clips['left']['name']}")
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["cache-control"].startswith("private,")
    part = rater.client.get(f"/clip/{clips['left']['name']}", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, data[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(data)}"
    beyond = rater.client.get(f"/clip/{clips['left']['name']}", headers={"range": "bytes=9999999-"})
    assert beyond.status_code == 416


def test_no_header_tells_two_names_of_one_clip_from_each_other(served: Served) -> None:
    rater = served.visitor(0)
    found = []
    for name in served.record.sequences.clips(0):
        headers = dict(rater.client.get(f"/clip/{name}").headers)
        assert headers.pop("etag") == f'"{name}"'
        headers.pop("content-length")
        found.append(headers)
    assert all(one == found[0] for one in found)


def test_another_raters_clip_is_not_there(served: Served) -> None:
    others = served.record.sequences.page(1, 0)["clips"]["left"]["name"]
    assert served.visitor(1).client.get(f"/clip/{others}").status_code == 200
    assert served.visitor(0).client.get(f"/clip/{others}").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["..%2fstudy.sqlite", "../../study.sqlite", "%2fetc%2fpasswd", "study.sqlite", "a" * 32, "%00"],
)
def test_no_path_leads_out_of_the_clips(served: Served, path: str) -> None:
    found = served.visitor(0).client.get(f"/clip/{path}")
    assert found.status_code == 404
    assert b"root:" not in found.content


def test_a_prompt_is_data(served: Served) -> None:
    seen = set()
    for rater in range(5):
        visitor = served.visitor(rater)
        for place in range(len(served.record.sequences.of(rater))):
            found = visitor.client.get("/state")
            assert found.headers["content-type"] == "application/json"
            seen.add(found.json()["prompt"])
            assert visitor.answer(place, LEFT).status_code == 200
    assert HOSTILE in seen
    assert HOSTILE not in served.visitor().client.get("/").text


def test_answers_are_kept_and_the_next_page_comes(served: Served) -> None:
    rater = served.visitor(3)
    found = rater.answer(0, LEFT)
    assert found.status_code == 200
    assert found.json() == rater.state()
    assert found.json()["place"] == 1
    assert served.record.answered(3) == {0: LEFT}
    for place in range(1, len(served.record.sequences.of(3))):
        found = rater.answer(place, RIGHT)
    assert found.json()["place"] == found.json()["places"]
    assert "clips" not in found.json()
    again = rater.answer(0, RIGHT)
    assert again.json() == found.json(), "answered again at the end"
    assert served.record.answered(3)[0] == LEFT


def test_answering_twice_changes_nothing(served: Served) -> None:
    rater, tab = served.visitor(0), served.visitor(0)
    assert rater.answer(0, LEFT).json()["place"] == 1
    for visitor in (rater, tab):
        for answers in (LEFT, RIGHT):
            found = visitor.answer(0, answers)
            assert (found.status_code, found.json()["place"]) == (200, 1)
    assert served.record.answered(0) == {0: LEFT}


def test_a_page_of_whom_the_browser_was_before_is_not_answered_as_another(served: Served) -> None:
    """Its places are the other rater's too, and show other pairs."""
    browser = served.visitor(0)
    body = browser.body()
    browser.enter(served.tokens[1])
    for key in (body["key"], "", None, 0, ["x"]):
        found = browser.post(body | {"key": key})
        assert (found.status_code, found.json()["place"]) == (200, 0)
        assert found.json() == browser.state(), "what the browser's rater is to see"
    assert served.record.votes() == []


def test_two_studies_of_one_host_do_not_share_a_cookie(served: Served) -> None:
    (name,) = served.visitor(0).client.cookies
    assert served.record.name in name


def test_no_place_is_skipped(served: Served) -> None:
    rater = served.visitor(0)
    assert rater.answer(1, LEFT).status_code == 409
    assert served.record.votes() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[" * 5000,
        b'{"place": 0, "place": 0, "answers": {}}',
        b'{"place": 0, "answers": {"consistency": "left", "text": "left"}}',
        {"rater": 1},
        {"place": "0"},
        {"place": True},
        {"place": -1},
        {"place": 99},
        {"answers": LEFT | {"text": "tie"}},
        {"answers": LEFT | {"text": "<b>"}},
        {"answers": LEFT | {"loveu_text": "left"}},
        {"answers": {"text": "left"}},
        {"answers": [LEFT]},
    ],
)
def test_a_body_that_is_no_answer_is_refused(served: Served, body: Any) -> None:
    rater = served.visitor(0)
    found = rater.post(body if isinstance(body, bytes) else rater.body(**body))
    assert found.status_code == 400
    assert found.json()["error"]
    assert served.record.votes() == []
    assert rater.answer(0, LEFT).status_code == 200


def test_a_body_that_is_too_long_is_not_read(served: Served) -> None:
    rater = served.visitor(0)
    body = json.dumps(rater.body()).encode()
    assert rater.post(body + b" " * (MAX_BODY - len(body) + 1)).status_code == 413
    assert served.record.votes() == []
    assert rater.post(body + b" " * (MAX_BODY - len(body))).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": None},
        {"origin": "http://testserver.evil.example"},
        {"origin": "http://testserver:8000"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
    ],
)
def test_another_sites_page_answers_nothing(served: Served, headers: dict[str, str | None]) -> None:
    rater = served.visitor(0)
    assert rater.post(rater.body(), **headers).status_code == 403
    assert served.record.votes() == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", None])
def test_what_a_plain_form_can_send_is_refused(served: Served, kind: str | None) -> None:
    rater = served.visitor(0)
    found = rater.post(rater.body(), content_type=kind)
    assert found.status_code == 415


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/state"), ("PUT", "/answers"), ("DELETE", "/clip/a"), ("GET", "/answers")],
)
def test_other_methods_are_refused(served: Served, method: str, path: str) -> None:
    assert served.visitor(0).client.request(method, path).status_code == 405


def test_a_database_that_is_gone_is_told_and_nothing_of_it_shown(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    rater = served.visitor(0)
    ANSWERS.drop(served.record.engine)
    with caplog.at_level(logging.ERROR):
        found = rater.answer(0, LEFT)
    assert found.status_code == 503
    assert "sqlite" not in found.text.lower()
    assert "cannot be used (OperationalError)" in caplog.text
    assert served.tokens[0] not in caplog.text


def test_raters_do_not_see_each_other(served: Served) -> None:
    served.visitor(0).answer(0, LEFT)
    assert served.visitor(1).state()["place"] == 0
    assert served.record.answer(1, 0, {"text": Choice.LEFT}, served.record.votes()[0].time)
