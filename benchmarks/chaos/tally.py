"""How far a run has come: the clock that kills go by."""

from __future__ import annotations

from components.storage.open import open_store
from components.storage.schemas import KEYS
from components.storage.tables import read_commits

TABLES = ("videos", "controls", "adapters", "latents", "artefacts", "edits", "scores")
"""Without captions: a manifest's are committed all at once."""
OBJECTS = ("media", "controls", "adapters", "artefacts")


class Tally:
    """Counts a run's rows and objects: rows come in batches, and objects before them."""

    def __init__(self, root: str) -> None:
        self._store = open_store(root)
        self._known: dict[str, set[str]] = {table: set() for table in TABLES}
        self._rows: set[tuple[str, ...]] = set()

    def count(self) -> int:
        """Rows, those of equal key once, and objects.

        Raises:
            TransientError: the store does not answer.
        """
        for table, known in self._known.items():
            for _, rows in read_commits(self._store, table, KEYS[table], known):
                self._rows |= {(table, *(row[key] for key in KEYS[table])) for row in rows}
        return len(self._rows) + sum(1 for prefix in OBJECTS for _ in self._store.list(prefix))
