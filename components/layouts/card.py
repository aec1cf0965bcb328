"""The card of a Hugging Face dataset: what is in it, by what it was made and judged.

Nothing of the machine stands in it: a model is named where the hub or this package has it, and
else by the digest of its folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from components.results.export import markdown_cell
from components.results.scored import ScoredEdit
from components.storage.tables import Row
from eval.protocols.registry import PROTOCOLS, measure_of, shown
from tinyworld.shipped import NAME

_LOCAL = "sha256:"
"""What the revision of a folder begins with (see ``components.records.revisions``)."""
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_SHOWN = 12
"""Digits of a revision."""
_HUB_ID = re.compile(r"(?:hf-hub:)?(\w[\w.-]*/\w[\w.-]*)", re.ASCII)
_SIZES = (
    *((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")),
    (10_000_000, "1M<n<10M"),
)
_COLUMNS = {
    "video": "the edit, an mp4 (`file_name` in metadata.parquet)",
    "source": "the clip that was edited, frame for frame (`source_file_name`)",
    "video_id, edit_id": "which clip, and which edit of it",
    "variant, method": "which settings of the run, and what edited",
    "category": "what the edit changes",
    "source_prompt, prompt": "what the clip shows, and what the edit was to show",
    "num_frames, fps, seed": "frames of the edit, at which rate they play, and the run's seed",
    "base_model, base_revision": "the model that edited, where a hub has it; its commit or "
    "digest, and those of what is put on it",
    "edit_key, code_version": "what the edit was computed from, and by which release",
}


def public_model(name: str, revision: str) -> str | None:
    """What a model is called everywhere; none where it is a folder of somebody's."""
    if name == NAME or name.startswith(f"{NAME}/"):
        return name
    known = _HUB_ID.fullmatch(name)
    # An old row without a revision may name a relative folder.
    return known[1] if known is not None and _COMMIT.fullmatch(revision) else None


def public_base(edit: Row) -> str | None:
    """The same of the base of an edit."""
    own = (edit["base_revision"] or "").partition("+")[0]  # what follows is put on it
    return public_model(edit["base_model"] or "", own)


def measure_columns(edits: Iterable[ScoredEdit]) -> list[str]:
    """``protocol.measure`` of all that the edits were scored by, protocols by name."""
    return [
        f"{protocol}.{name}"
        for protocol, found in sorted(_protocols(edits).items())
        for name in shown(protocol, found)
    ]


def dataset_card(edits: Sequence[ScoredEdit], count: int, license_id: str) -> str:
    """A card with its header.

    Args:
        edits: Of all variants.
        count: Rows of the table.
        license_id: By the hub's names.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    bases = sorted({base for one in edits if (base := public_base(one.edit)) and "/" in base})
    data = DatasetCardData(
        license=license_id,
        pretty_name="Edited videos",
        task_categories=["text-to-video"],
        tags=["video-editing"],
        size_categories=[next((name for limit, name in _SIZES if count < limit), "n>10M")],
        configs=[
            {
                "config_name": "default",
                "drop_labels": True,
                "data_files": [
                    {
                        "split": "train",
                        "path": ["metadata.parquet", "edits/**/*.mp4", "sources/**/*.mp4"],
                    }
                ],
            }
        ],
    )
    if bases:
        data["base_model"] = bases
    body = "\n\n".join(_sections(edits, count, license_id))
    return str(DatasetCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n"))


def _sections(edits: Sequence[ScoredEdit], count: int, license_id: str) -> Iterable[str]:
    videos = {one.edit["video_id"] for one in edits}
    yield "# Edited videos"
    yield (
        f"{count} edit(s) of {len(videos)} video(s), each with its source clip, prompts and "
        "scores; all are in the one split. Written by `tav export --layout huggingface`."
    )
    if license_id == "unknown":
        yield (
            "The licence was not said. The clips are their owners', and models may bind what is "
            "made with them: find out before you share it."
        )
    yield '```python\nimport datasets\n\nedits = datasets.load_dataset(FOLDER)["train"]\n```'
    yield "## Columns"
    yield _cells(("column", "meaning"), [(f"`{n}`", told) for n, told in _COLUMNS.items()])
    yield "## Variants"
    yield _cells(("variant", "method", "base model", "edits"), _variants(edits))
    if protocols := _protocols(edits):
        yield "## Scores"
        yield (
            "A column is called by protocol and measure. A missing value could not be computed of "
            "that edit, or has no meaning of it. Numbers of two protocols, or of two models, are "
            "never to be mixed."
        )
        yield _cells(("column", "measure", "better"), _measures(edits))
        rows = [(f"`{name}`", _source(name), _judges(edits, name)) for name in sorted(protocols)]
        yield _cells(("protocol", "definition", "judged by"), rows)


def _variants(edits: Iterable[ScoredEdit]) -> list[tuple[str, ...]]:
    counted: dict[tuple[str, str, str], int] = {}
    for one in edits:
        own, *more = (one.edit["base_revision"] or "").split("+")
        base = public_base(one.edit) or _digest(own)
        put_on = [part[: part.find(":") + 1 + len(_LOCAL) + _SHOWN] + "…" for part in more]
        key = (one.variant, one.method, " with ".join([base, *put_on]))
        counted[key] = counted.get(key, 0) + 1
    return [
        (*(markdown_cell(name) if name else "–" for name in key), str(count))
        for key, count in counted.items()
    ]


def _protocols(edits: Iterable[ScoredEdit]) -> dict[str, set[str]]:
    """Names of measures that have a value, by protocol."""
    found: dict[str, set[str]] = {}
    for one in edits:
        for score in one.scores:
            found.setdefault(score["protocol"], set()).update(score["values"])
    return found


def _measures(edits: Sequence[ScoredEdit]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for column in measure_columns(edits):
        protocol, _, name = column.partition(".")
        measure = measure_of(protocol, name)
        better = "lower" if measure.lower_is_better else "higher"
        rows.append((f"`{column}`", markdown_cell(measure.label), better))
    return rows


def _source(protocol: str) -> str:
    return markdown_cell(PROTOCOLS[protocol].source) if protocol in PROTOCOLS else "–"


def _judges(edits: Iterable[ScoredEdit], protocol: str) -> str:
    """The models that judged, each by its public name or its digest."""
    found: dict[str, None] = {}
    for one in edits:
        for score in one.scores:
            if score["protocol"] == protocol:
                found |= dict.fromkeys(_judged(score))
    return "; ".join(found) or "–"


def _judged(score: Mapping[str, str]) -> Iterable[str]:
    revisions = [one for one in score["score_revision"].split("+") if one]
    models = score["score_model"].split("+")
    for place, revision in enumerate(revisions):
        # A folder's name may hold a + too; then none of the names is told.
        name = models[place] if len(models) == len(revisions) else ""
        known = public_model(name, revision)
        shown = revision.removeprefix(_LOCAL)[:_SHOWN]
        yield markdown_cell(f"{known} at {shown}") if known else _digest(revision)


def _digest(revision: str) -> str:
    if not revision:
        return ""
    return f"a model in a folder, {revision[: len(_LOCAL) + _SHOWN]}…"


def _cells(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
