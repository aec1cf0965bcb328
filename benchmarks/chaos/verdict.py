"""Whether a run lost, doubled or spoiled anything, and whether it equals another one."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from components.results.export import score_table
from components.run.current import State
from components.run.undone import open_failures
from components.run.view import View
from components.storage.garbage import survey
from components.storage.schemas import CONTENT, KEYS
from components.storage.store import Store, file_sha256
from components.storage.tables import read_commits, read_table

SHA256 = {
    "videos": "clip_sha256",
    "controls": "sha256",
    "adapters": "sha256",
    "artefacts": "sha256",
    "edits": "sha256",
}
"""The column that holds the digest of a row's object."""


def judge(state: State, peace: State) -> dict[str, Any]:
    """Look at a finished run.

    Args:
        state: The run, as its readers see it.
        peace: Another run of the same manifest and settings that nobody disturbed.

    Returns:
        Counts, and ``ok``: whether nothing is wrong. Each list names the items concerned.
    """
    chosen = state.selection()
    expected = {
        f"{variant} {one.video_id}/{edit.name}".strip()
        for variant in chosen
        for one in state.manifest.videos
        for edit in one.edits
    }
    rows = score_table(state.store, chosen)
    names = [f"{row['variant']} {row['edit_id']}".strip() for row in rows if row["protocol"]]
    scored = Counter(names)
    failed = {
        f"{variant} {name}".strip(): reason
        for variant, view in zip(chosen, state.views.values(), strict=True)
        for name, reason in _failed(view).items()
    }
    found = survey(state.store)
    wrong = _wrong_objects(state.store)
    verdict: dict[str, Any] = {
        "edits": len(expected),
        "scored_once": sum(count == 1 for count in scored.values()),
        "failed_once": len(failed),
        "lost": sorted(expected - scored.keys() - failed.keys()),
        "doubled": sorted(
            {edit for edit, count in scored.items() if count > 1} | scored.keys() & failed
        ),
        "without_reason": sorted(edit for edit, reason in failed.items() if not reason),
        "dangling": [one.address for one in found.dangling],
        "wrong_sha256": wrong,
        "unlike_undisturbed": _differences(state, peace),
        "unknown_files": found.unknown,
    }
    bad = ("lost", "doubled", "without_reason", "dangling", "wrong_sha256")
    verdict["ok"] = not any(verdict[name] for name in (*bad, "unlike_undisturbed", "unknown_files"))
    # No faults: what kills leave behind, and `tav gc` removes.
    verdict["recomputed_rows"] = _recomputed(state.store)
    verdict["orphans"] = len(found.orphans) + found.young
    verdict["failed_attempts"] = len(read_table(state.store, "failures"))
    return verdict


def _failed(view: View) -> dict[str, str]:
    """Why each edit is missing, by its id; a video's failure is that of all of its edits."""
    reasons = {row["edit_id"] or row["video_id"]: row["message"] for row in open_failures(view)}
    return {
        edit_id: reasons[name]
        for video in view.manifest.videos
        for edit in video.edits
        for edit_id in [f"{video.video_id}/{edit.name}"]
        for name in (edit_id, video.video_id)
        if name in reasons
    }


def _wrong_objects(store: Store) -> list[str]:
    """Objects whose content is not what their row says."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "object"
        for table, column in SHA256.items():
            for row in read_table(store, table):
                try:
                    store.fetch(row[CONTENT[table]], target)
                except FileNotFoundError:
                    wrong.append(f"{row[CONTENT[table]]} is gone")
                    continue
                if file_sha256(target) != row[column]:
                    wrong.append(row[CONTENT[table]])
    return wrong


def _recomputed(store: Store) -> dict[str, int]:
    """Rows that were committed again and count once."""
    again = {}
    for table, keys in KEYS.items():
        rows = [row for _, commit in read_commits(store, table, keys) for row in commit]
        again[table] = len(rows) - len({tuple(row[name] for name in keys) for row in rows})
    return {table: count for table, count in again.items() if count}


def _differences(state: State, peace: State) -> list[str]:
    """What the two runs do not have in common, bit for bit."""
    ours, theirs = _content(state), _content(peace)
    return sorted(
        f"{kind} {name}"
        for kind, name in ours.keys() | theirs.keys()
        if ours.get((kind, name)) != theirs.get((kind, name))
    )


def _content(state: State) -> dict[tuple[str, str], Any]:
    """All results of a run by what they are of: keys, digests, numbers and tensors."""
    store = state.store
    content: dict[tuple[str, str], Any] = {}
    videos = read_table(store, "videos", ["clip_sha256"])
    clips = {(row["video_id"], row["video_key"]): row["clip_sha256"] for row in videos}
    for name, row in state.first.videos.items():
        clip = clips[name, row["video_key"]]
        content["video", name] = (row["video_key"], row["sha256"], clip)
    for name, caption in state.first.captions.items():
        content["caption", name] = caption
    content |= {
        ("control", f"{row['video_id']} {row['control_key']}"): row["sha256"]
        for row in read_table(store, "controls")
    }
    for row in read_table(store, "adapters"):
        name = f"{row['video_id']} {row['adapter_key']}"
        content["adapter", name] = (row["final_loss"], _tensors(store, row["uri"]))
    for row in read_table(store, "latents"):
        name = f"{row['video_id']} {row['adapter_key']} {row['inversion']}"
        content["latents", name] = row["latents"]
    for row in read_table(store, "artefacts"):
        name = f"{row['video_id']} {row['artefact_key']}"
        content["artefact", name] = _tensors(store, row["uri"])
    rows = read_table(store, "scores", ["values", "reasons"])
    scores = {(row["edit_id"], row["score_key"]): row for row in rows}
    for variant, view in state.views.items():
        for name, row in view.edits.items():
            found = (row["edit_key"], row["sha256"], row["prompt"])
            content["edit", f"{variant} {name}"] = found
        for (name, protocol), row in view.scores.items():
            whole = scores[name, row["score_key"]]
            measures = (whole["values"], whole["reasons"])
            content["score", f"{variant} {name} {protocol}"] = (row["score_key"], measures)
    for row in state.open_failures:
        content["failure", row["edit_id"] or row["video_id"]] = (row["step"], row["error_type"])
    return content


def _tensors(store: Store, uri: str) -> dict[str, bytes]:
    """An adapter's tensors; the file's own order of metadata is left to chance."""
    from safetensors.numpy import load

    return {name: array.tobytes() for name, array in load(store.read_bytes(uri)).items()}
