"""Folders for files that are needed for a while; what cannot be removed is told and left."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)


@contextmanager
def scratch_folder(prefix: str = "tav-") -> Iterator[Path]:
    """An empty folder of one's own, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        remove(folder)


def remove(path: Path) -> bool:
    """Remove a file or folder; say whether it is gone.

    NFS keeps a file that is still open under another name, and its folder is not empty then: no
    reason to lose the work that was done in it.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s could not be removed (%s): remove it later", path, error.strerror)
        return False
    return True
