"""Leases in every order that the calls of several drivers may come in."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from components.run import lease as lease_module
from components.run.lease import FOLDER, Lease
from components.run.owner import Owner
from components.storage.local import LocalStore
from components.storage.store import ObjectInfo


class Turns:
    """Lets threads do one call at a time, in an order that is given."""

    def __init__(self, order: list[int], count: int) -> None:
        self._order, self._left = iter(order), count
        self._waiting: dict[int, threading.Event] = {}
        self._lock = threading.Lock()

    def wait(self) -> None:
        event = threading.Event()
        with self._lock:
            self._waiting[threading.get_ident()] = event
            self._next()
        event.wait()

    def leave(self) -> None:
        with self._lock:
            self._left -= 1
            self._next()

    def _next(self) -> None:
        if self._left and len(self._waiting) == self._left:
            names = sorted(self._waiting)
            self._waiting.pop(names[next(self._order, 0) % len(names)]).set()


class OrderedStore(LocalStore):
    """A folder whose calls come in turns; what they do is the real thing."""

    def __init__(self, root: str, turns: Turns) -> None:
        super().__init__(root)
        self._turns = turns

    def _in_turn(self, call: Callable[..., Any], *arguments: Any) -> Any:
        self._turns.wait()
        return call(*arguments)

    def create_bytes(self, path: str, data: bytes) -> bool:
        return bool(self._in_turn(super().create_bytes, path, data))

    def read_bytes(self, path: str) -> bytes:
        found: bytes = self._in_turn(super().read_bytes, path)
        return found

    def delete(self, path: str) -> None:
        self._in_turn(super().delete, path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        # Between two names of a folder anything can happen.
        for info in super().list(prefix):
            self._turns.wait()
            yield info


@settings(max_examples=200)
@given(
    order=st.lists(st.integers(0, 5), max_size=120),
    drivers=st.integers(2, 4),
    released=st.booleans(),
    newest=st.integers(1, 3),
)
def test_in_any_order_of_calls_one_driver_gets_the_lease(
    *, order: list[int], drivers: int, released: bool, newest: int
) -> None:
    """Drivers that all found the same dead one, each about to claim what comes after it."""
    with tempfile.TemporaryDirectory() as root:
        turns = Turns(order, drivers)
        for number in range(1, newest + 1):
            dead = {"owner": dataclasses.asdict(Owner.here()), "released": released}
            LocalStore(root).write_bytes(lease_module._path(number), json.dumps(dead).encode())
        leases = [Lease(OrderedStore(root, turns), 60) for _ in range(drivers)]
        won: list[Lease] = []

        def claim(one: Lease) -> None:
            with contextlib.ExitStack() as stack:
                stack.callback(turns.leave)
                if one._claim(newest + 1):
                    won.append(one)

        threads = [threading.Thread(target=claim, args=(one,)) for one in leases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert [info.path for info in LocalStore(root).list(FOLDER)] == [
            lease_module._path(newest + 1)
        ]


@settings(max_examples=200)
@given(late=st.integers(1, 6), newest=st.integers(2, 8))
def test_a_claim_that_comes_late_takes_nothing(late: int, newest: int) -> None:
    """A driver slept between its look and its claim; others came, went, and were tidied away."""
    with tempfile.TemporaryDirectory() as root:
        store = LocalStore(root)
        last = Lease(store, 60)
        assert last._claim(newest)
        got = Lease(store, 60)._claim(late)
        assert got == (late > newest)
        numbers = [info.path for info in store.list(FOLDER)]
        assert numbers == [lease_module._path(max(late, newest) if got else newest)]
