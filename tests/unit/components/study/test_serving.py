"""The server's own process: it ends when asked, tells no token, and killed it loses no answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import closing
from pathlib import Path

import httpx2 as httpx
import pytest

from benchmarks.study_server import Server, serving
from components.study.record import Record
from components.study.serving import listening

LEFT = {"consistency": "left", "text": "left"}
OPTIONS = ("--pairs", "full,pnp", "--repeated", "0.5", "--raters-per-pair", "4")


class Rater(threading.Thread):
    """Answers one page after the other as fast as it goes, until the server is gone."""

    def __init__(self, server: Server, client: httpx.Client) -> None:
        super().__init__()
        self.acknowledged = 0
        """Pages before this place are kept: the server said so."""
        self.places = 0
        self._base = server.base
        self._client = client

    def run(self) -> None:
        try:
            page = self._client.get(f"{self._base}/state").json()
            while page["place"] < page["places"]:
                page = self._client.post(
                    f"{self._base}/answers",
                    json={"place": page["place"], "key": page["key"], "answers": LEFT},
                    headers={"origin": self._base},
                ).json()
                self.acknowledged = page["place"]
            self.places = page["places"]
        except httpx.TransportError:
            pass


def entered(invitation: str) -> httpx.Client:
    client = httpx.Client(follow_redirects=True, timeout=30)
    assert client.get(invitation).status_code == 200
    return client


def test_killed_it_loses_no_answer_that_it_took(study_uri: str, tmp_path: Path) -> None:
    with serving(study_uri, tmp_path, *OPTIONS) as server:
        clients = [entered(one) for one in server.invitations]
        raters = [Rater(server, client) for client in clients]
        for rater in raters:
            rater.start()
        while sum(rater.acknowledged for rater in raters) < 8:
            assert any(rater.is_alive() for rater in raters)
        server.kill()
        for rater in raters:
            rater.join()
        port = server.port
    record = Record.open(f"sqlite:///{tmp_path / 'study.sqlite'}")
    kept = [record.answered(number) for number in range(4)]
    for places, rater in zip(kept, raters, strict=True):
        assert list(places) == list(range(len(places)))
        # The last one may have been kept and its acknowledgement lost.
        assert rater.acknowledged <= len(places) <= rater.acknowledged + 1
        assert all(answers == LEFT for answers in places.values()), "whole pages alone"
    with serving(study_uri, tmp_path, *OPTIONS, port=port) as server:
        assert server.invitations == [], "cookies are good still"
        raters = [Rater(server, client) for client in clients]
        for rater in raters:
            rater.start()
        for rater in raters:
            rater.join()
        assert all(rater.acknowledged == rater.places > 0 for rater in raters)
    for client in clients:
        client.close()


def test_a_response_does_not_wait_for_an_acknowledgement() -> None:
    """Its head and its body are two writes, which Nagle's algorithm and a reader's delayed
    acknowledgement keep 40 ms apart."""

    async def accepted(at: socket.socket) -> int:
        found: asyncio.Queue[int] = asyncio.Queue()

        async def taken(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            taken_socket = writer.get_extra_info("socket")
            await found.put(taken_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(taken, sock=at):
            _, writer = await asyncio.open_connection(*at.getsockname())
            writer.close()
            return await found.get()

    with listening("127.0.0.1", 0) as at:
        assert asyncio.run(accepted(at))


def test_it_ends_when_asked_and_neither_tells_tokens_nor_leaves_clips(
    study_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    with serving(study_uri, tmp_path, *OPTIONS) as server:
        token = server.invitations[0].rpartition("/")[2]
        with closing(entered(server.invitations[0])) as client:
            assert client.get(f"{server.base}/state").json()["place"] == 0
            client.get(f"{server.base}/enter/{token[:-1]}")
            client.get(f"{server.base}/none/{token}")
        assert list((tmp_path / "scratch").iterdir())
        code, errors = server.stop()
    assert (code, list((tmp_path / "scratch").iterdir())) == (0, [])
    assert token[:-1] not in errors
