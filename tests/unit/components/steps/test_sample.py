"""The sample step on real adapters: one that cannot be used costs its own edits and no others."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from components.steps.editing import SampleItem
from components.steps.sample import SampleWorker
from components.steps.step import StepContext
from components.storage.store import Store, file_sha256
from components.storage.tables import append_rows, read_table
from tests.unit.components.steps.test_tune import tune_context, tune_once


def item(store: Store, name: str, adapter: dict[str, Any]) -> SampleItem:
    latents = read_table(store, "latents")[0]
    part = append_rows(store, "latents", [latents | {"video_id": name}])  # they are a clip's own
    edit = {"item_key": f"{name}-edit", "edit_id": f"{name}/e", "video_id": name, "attempt": 1}
    edit |= {"given": None}
    inverted = {"kind": "latents", "key": latents["adapter_key"], "name": latents["inversion"]}
    return SampleItem(
        video_id=name,
        video_key="k",
        variant="tune_a_video",
        video_row={"num_frames": 4, "width": 64, "height": 64},
        fps=8.0,
        source_fps=12.0,
        source_prompt="a red fish",
        seed_key="k",
        made=[adapter, inverted | {"part": part}],
        stages={"adapter_key": "k", "inversion": latents["inversion"], "artefact_key": None},
        edits=[edit | {"prompt": "a blue fish", "category": "object", "problem": None}],
    )


def truncated(good: Path, target: Path) -> None:
    target.write_bytes(good.read_bytes()[:-9])


def of_another_base(good: Path, target: Path) -> None:
    metadata = {"format": "tav-adapter-1", "base_identity": "sha256:other"}
    save_file(load_file(good), target, metadata=metadata)


def of_other_shapes(good: Path, target: Path) -> None:
    from safetensors import safe_open

    with safe_open(good, "pt") as file:
        metadata = file.metadata()
    tensors = {name: torch.zeros(2) for name in load_file(good)}
    save_file(tensors, target, metadata=metadata)


def no_adapter(good: Path, target: Path) -> None:
    save_file({"x": torch.zeros(2)}, target)


def pickled(good: Path, target: Path) -> None:
    torch.save(load_file(good), target)


BAD = {
    truncated: r"cannot read adapter .*: .*Tune the video again",
    of_another_base: r"tuned on base sha256:other, this base is sha256:[0-9a-f]{32}\. Load",
    of_other_shapes: r"does not fit this base model in \d+ tensors, .*: \(2,\) in the .*Load",
    no_adapter: r"has format None, not .*: it is no adapter",
    pickled: r"cannot read adapter .*: .*Tune the video again",
}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path, tiny_clips: Path) -> Path:
    root = tmp_path_factory.mktemp("tuned") / "run"
    tune_once(root, tiny_models, tiny_clips / "fish.mp4", steps=1)
    return root


def test_each_bad_adapter_is_one_failure_and_the_good_one_is_sampled(
    tuned: Path, tiny_models: Path
) -> None:
    context: StepContext = tune_context(tuned, tiny_models, steps=1)
    store = context.store()
    (row,) = read_table(store, "adapters")
    good = {"kind": "adapter", "key": "k", "name": "", "uri": row["uri"], "sha256": row["sha256"]}
    items = []
    for make in BAD:
        uri = f"adapters/{make.__name__}.safetensors"
        make(tuned / good["uri"], tuned / uri)
        adapter = good | {"uri": uri, "sha256": file_sha256(tuned / uri)}
        items.append(item(store, make.__name__, adapter))
    (tuned / "adapters" / "changed.safetensors").write_bytes(b"x")
    changed = good | {"uri": "adapters/changed.safetensors"}
    gone = good | {"uri": "adapters/gone.safetensors"}
    items += [item(store, "changed", changed), item(store, "gone", gone)]
    items += [dataclasses.replace(item(store, "good", good), fps=4.0)]

    outcomes = SampleWorker(context)(items)

    assert [outcome.video_id for outcome in outcomes if outcome.error is None] == ["good"]
    assert [row["edit_id"] for row in read_table(store, "edits")] == ["good/e"]
    messages = {row["video_id"]: row["message"] for row in read_table(store, "failures")}
    expected = {make.__name__: message for make, message in BAD.items()}
    expected["changed"] = rf"changed\.safetensors has sha256 .* row says {good['sha256']}: .*delete"
    expected["gone"] = r"gone\.safetensors is gone, but a row names it"
    assert set(messages) == set(expected)
    for name, message in expected.items():
        assert re.search(message, messages[name], re.DOTALL), messages[name]
