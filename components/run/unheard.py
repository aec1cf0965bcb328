"""Has Ray give a warning that says nothing to a user where nobody hears it.

Ray warns once in a process, on the standard error of C++, of each Ray Data actor pool: its actors
take arguments by reference and are started again when they die (ray#53727, ray#57733). Nothing in
Ray turns that line alone off, so it is provoked by an actor that never runs.
"""

from __future__ import annotations

import os
import sys
import tempfile

_LINE = b"has constructor arguments in the object store"
_STDERR = 2


class _Never:
    """An actor for which no node has room."""

    def __init__(self, _reference: int) -> None:
        pass


def give_warning_unheard() -> None:
    """Provoke the warning; whatever else is written to standard error meanwhile comes after it."""
    import ray

    sys.stderr.flush()
    heard = os.dup(_STDERR)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), _STDERR)
        try:
            never = ray.remote(num_cpus=0, resources={"tav-never": 1}, max_restarts=1)(_Never)
            ray.kill(never.remote(ray.put(0)))
        finally:
            os.dup2(heard, _STDERR)
            os.close(heard)
        caught.seek(0)
        for line in caught:
            if _LINE not in line:
                os.write(_STDERR, line)
