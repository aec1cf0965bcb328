"""The picture of a run's edits shows the frames that the run holds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.errors import UserError
from components.results.strip import strip
from components.storage.open import open_store
from components.storage.tables import read_table
from tests.finished_run import write_run


def test_a_row_for_each_video_with_its_source_and_its_edits(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write_run(store)
    keys = {row["edit_key"] for row in read_table(store, "edits")}

    picture = Image.open(io.BytesIO(strip(store, keys)))
    one = Image.open(io.BytesIO(strip(store, keys, edit_ids={"car/swap"})))
    assert one.width < picture.width
    fewer = Image.open(io.BytesIO(strip(store, keys, videos=1)))

    assert picture.format == "PNG"
    videos = {row["video_id"] for row in read_table(store, "edits")}
    assert len(videos) > 1
    assert (picture.height - 10) % len(videos) == 0
    assert (picture.height - 10) // len(videos) == fewer.height - 10
    pixels = np.asarray(picture)
    assert (np.ptp(pixels.reshape(-1, 3), axis=0) > 100).all(), "no frame is shown"


def test_a_run_without_edits_has_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no edit to show"):
        strip(open_store(str(tmp_path)), {"nothing"})
