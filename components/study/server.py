"""The study over HTTP: pages to those who were invited, clips to those who are to judge them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.errors import UserError
from components.study.answers import (
    AnswerError,
    check_keys,
    checked_answers,
    checked_place,
    parse_object,
)
from components.study.page import POLICY, message, page, script, style
from components.study.record import Record

logger = logging.getLogger(__name__)

MAX_BODY = 8192
"""Bytes of what a page sends: some hundred are enough."""
_DAYS = 60
_HEADERS = {
    "content-security-policy": POLICY.format("") + "; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

Files = Mapping[tuple[str, str, str], Path]
"""From ``sequence.files``."""


def application(record: Record, files: Files) -> Starlette:
    """The study's ASGI application.

    Args:
        record: The study.
        files: Every clip that it shows.
    """
    pages = _Pages(record, files)
    own = {
        "/": (page(), "text/html"),
        "/study.js": (script(), "text/javascript"),
        "/study.css": (style(), "text/css"),
    }
    routes = [Route(path, _constant(*text), methods=["GET"]) for path, text in own.items()]
    routes += [
        Route("/enter/{token}", pages.enter, methods=["GET"]),
        Route("/state", pages.state, methods=["GET"]),
        Route("/answers", pages.answer, methods=["POST"]),
        Route("/clip/{name}", pages.clip, methods=["GET"]),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(_Headers)],
        exception_handlers={UserError: _unavailable, ClientDisconnect: _gone},
    )


def _constant(text: str, kind: str) -> Callable[[Request], Response]:
    def respond(_: Request) -> Response:
        return Response(text, media_type=kind, headers={"cache-control": "no-cache"})

    return respond


class _Pages:
    """What needs the study. Plain functions run in threads: they wait for the database."""

    def __init__(self, record: Record, files: Files) -> None:
        self._record = record
        self._files = files

    def enter(self, request: Request) -> Response:
        """Take an invitation: from now on the cookie says who it is, and no address does."""
        token = request.path_params["token"]
        if self._record.rater_of(token) is None:
            text = message(
                "This invitation is not known",
                "See that its address is whole. If it is, ask who sent it for a new one.",
            )
            return HTMLResponse(text, status_code=403, headers={"cache-control": "no-store"})
        response = RedirectResponse("/", status_code=303, headers={"cache-control": "no-store"})
        response.set_cookie(
            cookie_name(self._record),
            token,
            max_age=_DAYS * 86400,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    def state(self, request: Request) -> Response:
        """The page that a rater is to answer next."""
        rater = self._rater(request)
        return _refused(401, "no invitation") if rater is None else self._next(rater)

    async def answer(self, request: Request) -> Response:
        """Keep the answers to a page; told again, or too late, they change nothing."""
        rater = await run_in_threadpool(self._rater, request)
        if rater is None:
            return _refused(401, "no invitation")
        if not _same_origin(request):
            return _refused(403, "answers come from the study's own page alone")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _refused(415, "answers are application/json")
        body = await _body(request)
        if body is None:
            return _refused(413, f"answers are {MAX_BODY} bytes at most")
        return await run_in_threadpool(self._keep, rater, body)

    def clip(self, request: Request) -> Response:
        """One clip, to the rater who is shown it."""
        rater = self._rater(request)
        if rater is None:
            return _refused(401, "no invitation")
        name = request.path_params["name"]
        found = self._record.sequences.clips(rater).get(name)
        if found is None:
            return _refused(404, "no such clip")
        edit, shown = found
        # The file's own time and digest would be those of all of its names.
        headers = {
            "cache-control": "private, max-age=86400, immutable",
            "etag": f'"{name}"',
            "last-modified": "Thu, 01 Jan 1970 00:00:00 GMT",
        }
        path = self._files[edit.video, edit.edit, shown]
        return FileResponse(path, media_type="video/mp4", headers=headers)

    def _rater(self, request: Request) -> int | None:
        token = request.cookies.get(cookie_name(self._record))
        return None if token is None else self._record.rater_of(token)

    def _next(self, rater: int) -> Response:
        sequences = self._record.sequences
        found = sequences.asked() | sequences.page(rater, self._record.place(rater))
        return JSONResponse(found, headers={"cache-control": "no-store"})

    def _keep(self, rater: int, body: bytes) -> Response:
        design, now = self._record.design, datetime.now(UTC)
        try:
            sent = parse_object(body)
            check_keys(sent, ("place", "key", "answers"))
            place = checked_place(sent["place"], len(self._record.sequences.of(rater)))
            choices = checked_answers(design, sent["answers"])
        except AnswerError as error:
            return _refused(400, str(error))
        current = self._record.place(rater)
        if place > current:
            return _refused(409, f"place {current} is to be answered first")
        if place == current and sent["key"] == self._record.sequences.key(rater, place):
            self._record.answer(rater, place, choices, now)
        return self._next(rater)


def cookie_name(record: Record) -> str:
    """The study's own: another one on this host, at another port, is sent the same cookies."""
    return f"tav_study_{record.name}"


def _same_origin(request: Request) -> bool:
    """Whether the study's own page sent it; browsers always say who posts.

    A proxy may speak TLS for this server, so the scheme is not compared.
    """
    _, _, host = request.headers.get("origin", "").partition("://")
    fetched = request.headers.get("sec-fetch-site", "same-origin")
    return bool(host) and host == request.headers.get("host") and fetched == "same-origin"


async def _body(request: Request) -> bytes | None:
    """The body, or none where it is too long: no more of it is read then."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > MAX_BODY:
            return None
    return bytes(found)


def _refused(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status_code=status, headers={"cache-control": "no-store"})


def _unavailable(_: Request, error: Exception) -> Response:
    logger.error("%s", error)
    return _refused(503, "the study cannot be read or written at this moment: try again")


def _gone(_: Request, __: Exception) -> Response:
    return _refused(400, "the request broke off")


class _Headers:
    """What every response says to browsers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(sent: Message) -> None:
            if sent["type"] == "http.response.start":
                headers = MutableHeaders(scope=sent)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(sent)

        await self._app(scope, receive, send_with_headers)


def addresses(base: str, tokens: Mapping[int, str]) -> dict[int, str]:
    """Each rater's invitation.

    Args:
        base: Of the server, as raters reach it.
        tokens: By rater.
    """
    return {rater: f"{base.rstrip('/')}/enter/{token}" for rater, token in tokens.items()}
