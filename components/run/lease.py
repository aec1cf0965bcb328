"""One driver to a run: a lease that is renewed while its driver works and taken over when it died.

`lease/<n>.json` names the n-th driver; the one with the highest n holds the run. The next driver
creates n+1 on condition that no such object is there, so of several that try at once one succeeds,
on a folder as on S3. Nobody's clock is compared with another's: a driver is alive when its object
changes while one watches.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import re
import threading
import time
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

from components.errors import ItemError, UserError
from components.run.interrupt import interrupter
from components.run.owner import Owner
from components.storage.store import Store

logger = logging.getLogger(__name__)

FOLDER = "lease"
BEATS = 6
"""Signs of life in the time after which a lease may be taken over."""

_NAME = re.compile(rf"{FOLDER}/(\d{{8}})\.json")
_CLAIMS = 100
"""Tries to get a lease that others take and let go again at once."""


class LeaseHeldError(UserError):
    """Another driver is at work on the run."""


class LeaseLostError(UserError):
    """Another driver has taken the run over."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The newest lease as it lies in the store."""

    number: int
    data: bytes

    @property
    def owner(self) -> Owner | None:
        """Who took it; none when it cannot be read."""
        fields = self._read("owner")
        try:
            return Owner(**fields) if isinstance(fields, dict) else None
        except TypeError:
            return None

    @property
    def released(self) -> bool:
        """Whether its owner has let it go."""
        return self._read("released") is True

    @property
    def seconds(self) -> float | None:
        """After how long without a sign of life its owner agrees to be taken over."""
        found = self._read("seconds")
        return float(found) if isinstance(found, int | float) else None

    def _read(self, name: str) -> object:
        try:
            return json.loads(self.data)[name]
        except (ValueError, TypeError, KeyError):
            return None


class Lease:
    """Held inside ``with``; made in the main thread, its loss interrupts that thread."""

    def __init__(self, store: Store, seconds: float) -> None:
        """Prepare to hold a run.

        Args:
            store: The run's store.
            seconds: How long after this driver's last sign of life another may take over.
        """
        self._store = store
        self._seconds = seconds
        self._owner = Owner.here()
        self._number = 0
        self._beats = 0
        self._lost: LeaseLostError | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name="lease", daemon=True)
        self._interrupt = interrupter()

    def __enter__(self) -> Self:
        """Take the lease, after a wait where it seems to be a dead driver's.

        Raises:
            LeaseHeldError: its owner lives.
            TransientError: the store cannot be reached.
        """
        for _ in range(_CLAIMS):
            found = self._newest()
            if found is not None:
                self._wait_for_end(found)
            if self._claim(found.number + 1 if found else 1):
                self._thread.start()
                return self
        raise LeaseHeldError(f"{self._store.root}/{FOLDER} changes all the time: try again later")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the lease go, or say that it is lost."""
        self._stop.set()
        self._thread.join()
        if self._lost is not None:
            raise self._lost from error
        try:
            self._write(released=True)
        except (UserError, ItemError, OSError) as problem:
            logger.warning(
                "the run's lease was not released: another machine can start it again in %g s: %s",
                self._seconds,
                problem,
            )

    def check(self) -> None:
        """Stop here if another driver has taken the run over.

        Raises:
            LeaseLostError: it has.
        """
        if self._lost is not None:
            raise self._lost

    def _newest(self) -> _Found | None:
        for _ in range(_CLAIMS):
            numbers = [
                int(name[1])
                for info in self._store.list(FOLDER)
                if (name := _NAME.fullmatch(info.path))
            ]
            if not numbers:
                return None
            # Gone again where an owner has just removed what came before it.
            with contextlib.suppress(FileNotFoundError):
                return _Found(max(numbers), self._store.read_bytes(_path(max(numbers))))
        raise LeaseHeldError(f"{self._store.root}/{FOLDER} changes all the time: try again later")

    def _wait_for_end(self, found: _Found) -> None:
        """Return when a lease is free: released, or without a sign of life for long enough."""
        if found.released:
            return
        owner = found.owner
        if _died(owner):
            return
        logger.info("waiting for a sign of life of the run's driver (%s)", owner)
        seconds = found.seconds or self._seconds  # the owner's own count
        last = time.monotonic()
        while time.monotonic() - last < seconds:
            time.sleep(seconds / BEATS / 10)
            if _died(owner):  # a killed process needs a moment to be gone
                return
            asked = time.monotonic()
            now = self._newest()
            if time.monotonic() - asked > seconds / BEATS:
                last = time.monotonic()  # the store was away, for the owner too
            if now is None or now.released:
                return
            if now != found:
                raise LeaseHeldError(self._held(now))
        logger.warning("taking over the run: no sign of life for %g s (%s)", seconds, owner)

    def _held(self, found: _Found) -> str:
        owner, age = found.owner, ""
        if owner is not None:
            held = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(owner.since)
            age = f" ({dt.timedelta(seconds=round(held.total_seconds()))} ago)"
        root, seconds = self._store.root, found.seconds or self._seconds
        return (
            f"another driver is at work on {root}: {owner}{age}. Wait for it (`tav status {root} "
            "--watch`), or end it and start this one again: a dead driver's run is taken over "
            f"after {seconds:g} s, at once on its own machine"
        )

    def _claim(self, number: int) -> bool:
        """Try to become the owner of this number, and of the run."""
        self._number = number
        if not self._store.create_bytes(_path(number), self._record(released=False)):
            return False
        newest = self._newest()
        if newest is None or newest.number != number:
            # Its turn was over before this came: the number had been taken, held and removed.
            self._store.delete(_path(number))
            return False
        for info in list(self._store.list(FOLDER)):
            name = _NAME.fullmatch(info.path)
            if name and int(name[1]) < number:
                self._store.delete(info.path)
        return True

    def _live(self) -> None:
        """Give signs of life until the lease ends or is lost."""
        while not self._stop.wait(self._seconds / BEATS):
            try:
                newest = self._newest()
                if newest is None or not self._is_own(newest):
                    self._lose(newest)
                    return
                self._beats += 1
                self._write(released=False)
            except (UserError, ItemError, OSError) as error:
                logger.warning("no sign of life could be given to the run's lease: %s", error)

    def _is_own(self, found: _Found) -> bool:
        return found.owner is not None and found.owner.token == self._owner.token

    def _lose(self, newest: _Found | None) -> None:
        by = newest.owner if newest is not None else f"someone who removed {FOLDER}/"
        self._lost = LeaseLostError(
            f"{self._store.root} was taken over by {by}, since this driver gave no sign of life "
            f"for {self._seconds:g} s; it stops. What it committed counts. Raise lease_seconds if "
            "this machine sleeps that long"
        )
        logger.error("%s", self._lost)
        if not self._stop.is_set():
            self._interrupt()

    def _record(self, *, released: bool) -> bytes:
        record = {"owner": asdict(self._owner), "beats": self._beats}
        record |= {"seconds": self._seconds, "released": released}
        return json.dumps(record, indent=1).encode()

    def _write(self, *, released: bool) -> None:
        self._store.write_bytes(_path(self._number), self._record(released=released))


def _died(owner: Owner | None) -> bool:
    if owner is None or not owner.is_dead():
        return False
    logger.warning("taking over the run from a driver that died (%s)", owner)
    return True


def _path(number: int) -> str:
    return f"{FOLDER}/{number:08d}.json"
