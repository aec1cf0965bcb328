"""The study as static files for a bucket: a folder a rater, whose browser keeps the answers."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from components.errors import UserError
from components.storage.scratch import remove
from components.study.page import POLICY, page, script, style
from components.study.record import Record
from components.study.server import Files

_POLICY = POLICY.format(" file:")
"""A page that is opened from a disk has no origin that 'self' could mean."""


def write_bundle(record: Record, files: Files, folder: Path) -> dict[int, str]:
    """Write every rater's pages and clips. The folder appears whole.

    Args:
        record: The study.
        files: Every clip that it shows.
        folder: Where to; it must not be there, or be empty.

    Returns:
        By rater the path of their page, relative to the folder. Who knows it is that rater.

    Raises:
        UserError: something is there, or cannot be written.
    """
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} is there: give another --to, or remove it")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
        try:
            (staged / "study.js").write_text(script(), encoding="utf-8")
            (staged / "study.css").write_text(style(), encoding="utf-8")
            found = {
                rater: _write_rater(record, files, staged, rater)
                for rater in range(record.design.plan.raters)
            }
            staged.chmod(0o755)
            staged.rename(folder)
        finally:
            if staged.exists():
                remove(staged)
    except OSError as error:
        raise UserError(f"cannot write {folder} ({error.strerror}): see --to") from error
    return found


def _write_rater(record: Record, files: Files, root: Path, rater: int) -> str:
    sequences = record.sequences
    name = sequences.folder(rater)
    folder = root / name
    folder.mkdir()
    for clip, (edit, shown) in sequences.clips(rater).items():
        shutil.copyfile(files[edit.video, edit.edit, shown], folder / f"{clip}.mp4")
    sequence = {
        "study": record.name,
        "rater": name,
        "asked": sequences.asked(),
        "pages": [sequences.page(rater, place) for place in range(len(sequences.of(rater)))],
    }
    text = page(root="../", policy=_POLICY, sequence=json.dumps(sequence))
    (folder / "index.html").write_text(text, encoding="utf-8", errors="replace")
    return f"{name}/index.html"
