"""A rater's pages tell neither variants nor checks, and each clip has a name of that page alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import UserError
from components.study.clips import Clips
from components.study.sequence import Sequences, files
from components.video.io import read_mp4_frames
from eval.study.votes import NOISE, SOURCE, Kind
from tests.study_run import COLOURS, HOSTILE
from tests.unit.components.study.conftest import Study


def test_a_page_tells_what_a_rater_needs_and_nothing_else(make: Callable[..., Study]) -> None:
    record, _, _ = make(questions="loveu", ties=True)
    sequences = record.sequences
    pages = [sequences.page(0, place) for place in range(len(sequences.of(0)))]
    for place, page in enumerate(pages):
        assert page.keys() == {"place", "places", "key", "prompt", "clips"}
        assert (page["place"], page["places"]) == (place, len(pages))
        # Digests are taken out: of hundreds of digits, three may well be those of an edit's name.
        assert re.fullmatch("[0-9a-f]{32}", page.pop("key"))
        assert list(page["clips"]) == ["left", "right", "source"]
        for clip in page["clips"].values():
            assert re.fullmatch("[0-9a-f]{32}", clip.pop("name"))
            assert clip == {"speed": 1.0}
    told = json.dumps([*pages, sequences.asked()]).replace(json.dumps(HOSTILE)[1:-1], "")
    for word in ("full", "pnp", "noise", "check", "repeat", "variant", "e00", "sha", ".mp4"):
        assert word not in told
    assert [one["id"] for one in sequences.asked()["questions"]] == [
        *("loveu_text", "loveu_structure", "loveu_quality"),
    ]
    assert sequences.page(0, len(pages)) == {"place": len(pages), "places": len(pages)}


def test_no_name_comes_twice_and_another_study_has_others(make: Callable[..., Study]) -> None:
    record, _, _ = make(questions="both", repeated=0.5)
    sequences = record.sequences
    names = [name for rater in range(5) for name in sequences.clips(rater)]
    shown = sum(len(sequences.of(rater)) for rater in range(5))
    assert len(set(names)) == len(names) == 3 * shown
    other = Sequences(record.design, b"another secret")
    assert not set(names) & {name for rater in range(5) for name in other.clips(rater)}
    folders = {one.folder(rater) for one in (sequences, other) for rater in range(5)}
    assert len(folders) == 10


def test_names_lead_to_the_clips_of_their_side(make: Callable[..., Study]) -> None:
    record, _, found = make()
    for rater in range(5):
        clips = record.sequences.clips(rater)
        for place, showing in enumerate(record.sequences.of(rater)):
            page = record.sequences.page(rater, place)
            for side, shown in (("left", showing.pair.left), ("right", showing.pair.right)):
                edit, what = clips[page["clips"][side]["name"]]
                assert (edit.edit, what) == (showing.pair.edit, shown)
                colour = read_mp4_frames(found[edit.video, edit.edit, what])[0, 40, 40]
                if shown != NOISE:
                    name = "source" if shown == SOURCE else shown
                    assert colour.argmax() == max(range(3), key=COLOURS[name].__getitem__)
            wanted = "source" if showing.kind is Kind.CHECK else "edit"
            assert page["prompt"].startswith(wanted) or page["prompt"] == HOSTILE


def test_a_clip_that_changed_stops_the_study(
    make: Callable[..., Study], study_uri: str, tmp_path: Path
) -> None:
    record, _, _ = make()
    from components.storage.local import LocalStore

    (tmp_path / "other").mkdir()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"a clip of the study cannot be shown: .* is gone"):
        files(record.sequences, Clips(LocalStore(tmp_path / "other"), tmp_path / "empty"))
