"""Who is given what, and when."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from components.config import RunConfig
from components.run.flow.jobs import Job, Jobs
from components.steps.caption import CaptionItem
from components.steps.editing import SampleItem
from components.steps.preparation import PrepareItem
from components.steps.score import ScoreItem
from tests.runs import run_config, tiny_document

GPU = ("caption", "control", "tune", "sample", "score")


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return run_config(tiny_document(tmp_path, tmp_path))


def tuning(video_id: str, *, frames: int = 8) -> PrepareItem:
    stage = {"kind": "adapter", "key": video_id, "name": "", "before": None, "work_key": video_id}
    return PrepareItem(
        item_key=video_id,
        video_id=video_id,
        variant="full",
        video_row={"num_frames": frames, "width": 8, "height": 8},
        source_prompt="a fish",
        seed_key="",
        wanted=[stage],
        made=[],
        long=True,
        attempt=1,
    )


def edits(video_id: str, count: int) -> SampleItem:
    made = [
        {"edit_id": f"{video_id}/{n}", "item_key": f"{video_id}-{n}", "video_id": video_id}
        for n in range(count)
    ]
    return SampleItem(
        video_id=video_id,
        video_key="",
        variant="full",
        video_row={"num_frames": 8, "width": 8, "height": 8},
        fps=8.0,
        source_fps=8.0,
        source_prompt="a fish",
        seed_key="",
        made=[],
        stages={},
        edits=made,
    )


def score(edit_id: str, protocol: str) -> ScoreItem:
    return ScoreItem(
        item_key=f"{edit_id} {protocol}",
        video_id=edit_id.partition("/")[0],
        edit_id=edit_id,
        edit_key=edit_id,
        method="full",
        prompt="",
        category="style",
        video_uri="",
        sha256="",
        protocol=protocol,
        attempt=1,
    )


def captioning(video_id: str) -> CaptionItem:
    row = {"num_frames": 8, "width": 8, "height": 8}
    return CaptionItem(
        item_key=video_id, video_id=video_id, video_key="", video_row=row, captioner=""
    )


def given(jobs: Jobs, *, workers: int = 1, held: tuple[str, ...] = ()) -> list[Job]:
    """All that waits, given to one worker after the other."""
    found = []
    while (job := jobs.take(GPU, held, workers)) is not None:
        found.append(job)
    return found


def names(job: Job) -> list[str]:
    return [edit["edit_id"] for item in job.items for edit in item.edits]


def test_what_others_wait_for_comes_first_and_the_longest_tuning_before_the_others(
    config: RunConfig,
) -> None:
    jobs = Jobs(config)
    jobs.offer("score", [score("a/0", "p")])
    jobs.offer("sample", [edits("a", 1)])
    jobs.offer("tune", [tuning("b"), tuning("c", frames=32)])
    assert [(job.step, sorted(job.videos)) for job in given(jobs)] == [
        ("tune", ["c"]),
        ("tune", ["b"]),
        ("sample", ["a"]),
        ("score", ["a"]),
    ]


def test_a_worker_goes_on_with_the_models_that_it_has(config: RunConfig) -> None:
    jobs = Jobs(config)
    jobs.offer("tune", [tuning("b")])
    jobs.offer("score", [score("a/0", "p")])
    assert [job.step for job in given(jobs, held=("score",))] == ["score", "tune"]


def test_models_are_changed_for_captions_where_tunings_run_out(config: RunConfig) -> None:
    jobs = Jobs(config)
    jobs.offer("caption", [captioning("v")])
    jobs.offer("tune", [tuning(f"v{n:02}") for n in range(30)])
    steps = [job.step for job in given(jobs, workers=2, held=("tune", "sample"))]
    assert steps.index("caption") == 30 - 6 * 2 + 1


def test_quick_tunings_and_edits_come_several_at_once(config: RunConfig) -> None:
    jobs = Jobs(config)
    jobs.follow_with(lambda item: [edits(item.video_id, 2)])
    jobs.offer("tune", [tuning("a")])
    (first,) = given(jobs)
    assert len(first.follow) == 1, "nobody knows whether it is quick"
    jobs.done(first, 0.5)
    jobs.offer("tune", [tuning(f"v{n:02}") for n in range(40)])
    quick = jobs.take(GPU, (), 1)
    assert quick is not None
    assert (len(quick.items), quick.follow) == (10, [])
    jobs.done(quick, 600.0)
    slow = jobs.take(GPU, (), 1)
    assert slow is not None
    assert (len(slow.items), len(slow.follow)) == (1, 1)

    jobs = Jobs(config)
    jobs.offer("sample", [edits("a", 2)])
    (first,) = given(jobs)
    jobs.done(first, 0.5)
    jobs.offer("sample", [edits(f"v{n}", 2) for n in range(8)])
    assert [len(job.items) for job in given(jobs)] == [2, 2, 1, 1, 1, 1]


def test_what_is_taken_is_offered_to_nobody_else(config: RunConfig) -> None:
    jobs = Jobs(config)
    jobs.offer("tune", [tuning("a")])
    jobs.offer("sample", [edits("b", 3)])
    tune, sample = given(jobs)
    assert jobs.untaken("tune", [tuning("a"), tuning("c")]) == [tuning("c")]
    assert jobs.untaken("sample", [edits("b", 3)]) == []
    (left,) = jobs.untaken("sample", [edits("b", 4)])
    assert [edit["edit_id"] for edit in left.edits] == ["b/3"]
    assert jobs.stages() == {("a", "a")}
    jobs.done(tune, 3.0)
    assert jobs.untaken("tune", [tuning("a")]) == [], "each is tried once"
    jobs.lost(sample, deadly=False)
    assert jobs.untaken("sample", [edits("b", 3)]) == [edits("b", 3)]


def test_videos_are_at_work_until_all_of_their_jobs_are_done(config: RunConfig) -> None:
    jobs = Jobs(config)
    jobs.offer("sample", [edits("a", 2)])
    first, second = jobs.take(GPU, (), 2), jobs.take(GPU, (), 2)
    assert first is not None
    assert second is not None
    assert jobs.at_work(["a"])
    jobs.done(first, 1.0)
    assert jobs.at_work(["a", "b"])
    assert not jobs.at_work(["b"])
    jobs.lost(second, deadly=False)
    assert not jobs.at_work(["a"])


def test_edits_follow_their_tuning_until_few_tunings_are_left(config: RunConfig) -> None:
    jobs = Jobs(config)
    jobs.follow_with(lambda item: [edits(item.video_id, 2)])
    jobs.offer("tune", [tuning(f"v{n:02}") for n in range(50)])
    follows = [bool(job.follow) for job in given(jobs, workers=2)]
    assert follows == [True] * 38 + [False] * 12
    few = Jobs(config)
    few.follow_with(lambda item: [edits(item.video_id, 2)])
    few.offer("tune", [tuning(f"w{n}") for n in range(10)])
    follows = [bool(job.follow) for job in given(few, workers=2)]
    assert follows == [True] * 7 + [False] * 3, "of few only a third"
    jobs.offer("tune", [tuning(f"w{n}") for n in range(2)])
    assert all(job.follow for job in given(jobs)), "a worker alone waits for nobody"


def test_the_last_edits_are_shared_among_all_workers(config: RunConfig) -> None:
    jobs = Jobs(config)
    jobs.offer("sample", [edits("a", 3), edits("b", 3)])
    shared = [names(job) for job in given(jobs, workers=4)]
    assert shared == [["a/0", "a/1"], ["a/2"], ["b/0"], ["b/1"], ["b/2"]]


def test_quick_items_go_together_once_they_are_known_to_be_quick(config: RunConfig) -> None:
    jobs = Jobs(config)
    every = [score(f"a/{n // 2}", f"p{n % 2}") for n in range(40)]
    jobs.offer("score", list(every))
    first = jobs.take(GPU, (), 1)
    assert first is not None
    assert first.items == every[:2], "the protocols of one edit"
    jobs.done(first, 0.2)
    sizes = [len(job.items) for job in given(jobs)]
    assert sizes[0] == 10, "a quarter of what is left"
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == 38


def test_what_a_worker_died_at_comes_back_piece_by_piece(config: RunConfig) -> None:
    jobs = Jobs(config)
    jobs.follow_with(lambda item: [edits(item.video_id, 2)])
    jobs.offer("tune", [tuning("a")])
    (job,) = given(jobs)
    jobs.lost(job, deadly=True)
    jobs.offer("tune", jobs.untaken("tune", [tuning("a")]))
    (again,) = given(jobs)
    assert again.alone
    assert not again.follow
    jobs.done(again, 1.0)
    jobs.offer("sample", jobs.untaken("sample", [edits("a", 2), edits("b", 1)]))
    pieces = []
    while (one := jobs.take(GPU, (), 1)) is not None:
        pieces.append((names(one), one.alone))
        jobs.offer("sample", jobs.untaken("sample", [edits("a", 2), edits("b", 1)]))
    assert pieces == [(["a/0"], True), (["a/1"], True), (["b/0"], False)]


def test_what_lost_workers_had_done_is_told_by_what_is_not_offered_again(
    config: RunConfig,
) -> None:
    jobs = Jobs(config)
    jobs.follow_with(lambda item: [edits(item.video_id, 2)])

    def lose(offered: dict[str, list[Any]]) -> list[tuple[str, str | None]]:
        jobs.offer("tune", jobs.untaken("tune", [tuning("a")]))
        (job,) = given(jobs)
        assert job.follow
        jobs.lost(job, deadly=False)
        for step, items in offered.items():
            jobs.offer(step, items)
        return [(step, outcome.edit_id) for step, outcome in jobs.found_done()]

    assert lose({"tune": [tuning("a")]}) == [], "nothing of it"
    assert lose({"tune": [], "sample": [edits("a", 2)]}) == [("tune", None)]
    some = dataclasses.replace(edits("a", 2), edits=edits("a", 2).edits[1:])
    jobs.offer("sample", [])
    assert lose({"tune": [], "sample": [some]}) == [("sample", "a/0"), ("tune", None)]
    jobs.offer("sample", [])
    assert lose({"tune": []}) == [("sample", "a/0"), ("sample", "a/1"), ("tune", None)]
    assert [*jobs.found_done()] == [], "each is told once"


def test_what_failed_is_not_tried_again_and_not_found_done(config: RunConfig) -> None:
    jobs = Jobs(config)
    jobs.offer("tune", [tuning("a"), tuning("b")])
    job = jobs.take(GPU, (), 1)
    assert job is not None
    jobs.lost(job, deadly=True)
    jobs.failed(job)
    both = [tuning("a"), tuning("b")]
    left = jobs.untaken("tune", both)
    assert len(left) == 1
    jobs.offer("tune", left)
    assert [*jobs.found_done()] == []


def test_no_edits_follow_where_no_death_is_forgiven(config: RunConfig) -> None:
    strict = dataclasses.replace(config, ray=dataclasses.replace(config.ray, max_restarts=0))
    jobs = Jobs(strict)
    jobs.follow_with(lambda item: [edits(item.video_id, 2)])
    jobs.offer("tune", [tuning("a")])
    (job,) = given(jobs)
    assert not job.follow


def test_a_portion_that_is_over_is_forgotten(config: RunConfig) -> None:
    jobs = Jobs(config)
    jobs.offer("tune", [tuning("a")])
    (job,) = given(jobs)
    jobs.done(job, 1.0)
    jobs.forget(["a"])
    assert jobs.stages() == set()
