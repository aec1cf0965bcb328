"""The picture of a run's edits shows the frames that the run holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.errors import UserError
from components.results.scored import Selection
from components.results.strip import strip
from components.storage.open import open_store
from components.storage.tables import read_table
from tests.finished_run import write_run


def test_a_row_for_each_video_with_its_source_and_its_edits(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write_run(store)
    keys = {row["edit_key"] for row in read_table(store, "edits")}

    picture = strip(store, Selection(edit_keys=keys), videos=8)
    one = strip(store, Selection(edit_ids={"car/swap"}), videos=8)
    assert one.width < picture.width
    fewer = strip(store, Selection(), videos=1)

    videos = {row["video_id"] for row in read_table(store, "edits")}
    assert len(videos) > 1
    assert (picture.height - 10) % len(videos) == 0
    assert (picture.height - 10) // len(videos) == fewer.height - 10
    pixels = np.asarray(picture)
    assert (np.ptp(pixels.reshape(-1, 3), axis=0) > 100).all(), "no frame is shown"


def test_variants_have_columns_of_their_own_and_edits_rows(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write_run(store)
    one = {"e-car-swap", "e-car-cartoon", "e-rabbit-swap"}
    chosen = {
        "first": Selection(edit_keys=one - {"e-car-swap"}),
        "second": Selection(edit_keys=one),
        "very " * 40 + "\nlong": Selection(edit_keys=one),
    }

    picture = np.asarray(strip(store, chosen, videos=8))
    # Three frames of 88 pixels and a gap of 10 make a column; 16 for a label make a row.
    wide, tall = 3 * 88 + 10, 88 + 16 + 10
    assert picture.shape == (3 * tall + 10, 4 * wide + 10, 3)
    cells = [
        [picture[10 + y * tall :, 10 + x * wide :][: tall - 10, : wide - 10] for x in range(4)]
        for y in range(3)
    ]
    # In order of video and edit: car/cartoon, car/swap, which the first variant lacks, rabbit/swap.
    assert (cells[1][1] == 255).all()
    for row in cells:
        assert np.array_equal(row[2][16:], row[3][16:])
        assert not np.array_equal(row[0], row[2])
    assert np.array_equal(cells[0][0], cells[1][0])
    fewer = strip(store, chosen, videos=1)
    assert fewer.height == 2 * tall + 10


def test_a_run_without_edits_has_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no edit to show"):
        strip(open_store(str(tmp_path)), Selection(edit_keys={"nothing"}), videos=8)
