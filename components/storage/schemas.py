"""The tables of a run, as Arrow schemas. docs/tables.md explains every column.

A ``uri`` column of a run's own object is relative to the run's root, so a run can be moved.
"""

from __future__ import annotations

import pyarrow as pa

TABLES_VERSION = "3"
"""Written into each part's schema metadata; a part of a version that is not read is refused."""
READ_VERSIONS = ("1", "2", TABLES_VERSION)
OF_VERSION_1: dict[str, dict[str, str]] = {
    "edits": {"method": "tune_a_video"},
    "scores": {"method": "tune_a_video"},
}
"""Columns by table that hold one value in all parts of version 1, when there was one method."""
MEASURES_OF_VERSION_2 = (
    *("frame_consistency", "textual_alignment"),
    *("edited_right", "unedited_kept", "motion_correlation", "flicker", "jitter"),
)
"""Columns of the scores of versions 1 and 2, in place of ``values``."""

_PROVENANCE = [
    ("config_hash", pa.string()),
    ("code_version", pa.string()),
    ("library_versions", pa.string()),
    ("device", pa.string()),
    ("seconds", pa.float64()),
    ("created_at", pa.timestamp("us", tz="UTC")),
]
_MODEL = [("base_model", pa.string()), ("base_revision", pa.string()), ("seed", pa.int64())]

_COLUMNS: dict[str, list[tuple[str, pa.DataType]]] = {
    "videos": [
        ("video_key", pa.string()),
        ("video_id", pa.string()),
        ("uri", pa.string()),
        ("source_version", pa.string()),
        ("sha256", pa.string()),
        ("num_frames", pa.int32()),
        ("source_frames", pa.int32()),
        ("fps", pa.float64()),
        ("source_width", pa.int32()),
        ("source_height", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("frame_indices", pa.list_(pa.int32())),
        ("fit", pa.string()),
        ("reading_version", pa.int32()),
        ("reading", pa.list_(pa.string())),
        ("true_fps", pa.float64()),
        ("mask_uri", pa.string()),
        ("mask_version", pa.string()),
        ("mask_sha256", pa.string()),
        ("clip_uri", pa.string()),
        ("clip_sha256", pa.string()),
        ("clip_fps", pa.float64()),
        *_PROVENANCE,
    ],
    "captions": [
        ("video_key", pa.string()),
        ("captioner", pa.string()),
        ("video_id", pa.string()),
        ("caption", pa.string()),
        ("source", pa.string()),
        *_PROVENANCE,
    ],
    "controls": [
        ("control_key", pa.string()),
        ("video_id", pa.string()),
        ("video_key", pa.string()),
        ("map", pa.string()),
        ("maker", pa.string()),
        ("settings", pa.string()),
        ("model", pa.string()),
        ("model_revision", pa.string()),
        ("source_uri", pa.string()),
        ("source_version", pa.string()),
        ("source_sha256", pa.string()),
        ("uri", pa.string()),
        ("sha256", pa.string()),
        ("nbytes", pa.int64()),
        ("num_frames", pa.int32()),
        ("preview_uri", pa.string()),
        ("preview_sha256", pa.string()),
        *_PROVENANCE,
    ],
    "adapters": [
        ("adapter_key", pa.string()),
        ("video_id", pa.string()),
        ("video_key", pa.string()),
        ("source_prompt", pa.string()),
        ("group_videos", pa.list_(pa.string())),
        ("uri", pa.string()),
        ("sha256", pa.string()),
        ("nbytes", pa.int64()),
        ("num_params", pa.int64()),
        ("steps", pa.int32()),
        ("final_loss", pa.float64()),
        ("peak_bytes", pa.int64()),
        ("encoding", pa.string()),
        ("decoded_sha256", pa.string()),
        ("stopped", pa.string()),
        *_MODEL,
        *_PROVENANCE,
    ],
    "latents": [
        ("adapter_key", pa.string()),
        ("inversion", pa.string()),
        ("video_id", pa.string()),
        ("latents", pa.list_(pa.float16())),
        ("latents_shape", pa.list_(pa.int32())),
        ("reconstruction_psnr", pa.float64()),
        *_MODEL,
        *_PROVENANCE,
    ],
    "artefacts": [
        ("artefact_key", pa.string()),
        ("before_key", pa.string()),
        ("kind", pa.string()),
        ("method", pa.string()),
        ("video_id", pa.string()),
        ("video_key", pa.string()),
        ("source_prompt", pa.string()),
        ("uri", pa.string()),
        ("sha256", pa.string()),
        ("nbytes", pa.int64()),
        ("facts", pa.string()),
        *_MODEL,
        *_PROVENANCE,
    ],
    "edits": [
        ("edit_key", pa.string()),
        ("edit_id", pa.string()),
        ("video_id", pa.string()),
        ("video_key", pa.string()),
        ("method", pa.string()),
        ("adapter_key", pa.string()),
        ("inversion", pa.string()),
        ("artefact_key", pa.string()),
        ("control_keys", pa.list_(pa.string())),
        ("given_uri", pa.string()),
        ("given_version", pa.string()),
        ("given_sha256", pa.string()),
        ("source_prompt", pa.string()),
        ("prompt", pa.string()),
        ("category", pa.string()),
        ("video_uri", pa.string()),
        ("sha256", pa.string()),
        ("frames_uri", pa.string()),
        ("num_frames", pa.int32()),
        ("fps", pa.float64()),
        ("peak_bytes", pa.int64()),
        *_MODEL,
        *_PROVENANCE,
    ],
    "scores": [
        ("edit_key", pa.string()),
        ("protocol", pa.string()),
        ("score_key", pa.string()),
        ("edit_id", pa.string()),
        ("video_id", pa.string()),
        ("prompt", pa.string()),
        ("category", pa.string()),
        ("method", pa.string()),
        ("values", pa.map_(pa.string(), pa.float64())),
        ("reasons", pa.map_(pa.string(), pa.string())),
        ("score_model", pa.string()),
        ("score_revision", pa.string()),
        *_PROVENANCE,
    ],
    "failures": [
        ("step", pa.string()),
        ("item_key", pa.string()),
        ("video_id", pa.string()),
        ("edit_id", pa.string()),
        ("error_type", pa.string()),
        ("message", pa.string()),
        ("traceback", pa.string()),
        ("attempt", pa.int32()),
        ("retryable", pa.bool_()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("config_hash", pa.string()),
        ("code_version", pa.string()),
    ],
}

SCHEMAS: dict[str, pa.Schema] = {
    name: pa.schema(columns, metadata={"tav_table": name, "tav_tables_version": TABLES_VERSION})
    for name, columns in _COLUMNS.items()
}

KEYS: dict[str, tuple[str, ...]] = {
    "videos": ("video_id", "video_key"),
    "captions": ("video_id", "video_key", "captioner"),
    "controls": ("video_id", "control_key"),
    "adapters": ("video_id", "adapter_key"),
    "latents": ("video_id", "adapter_key", "inversion"),
    "artefacts": ("video_id", "artefact_key"),
    "edits": ("edit_id", "edit_key"),
    "scores": ("edit_id", "edit_key", "protocol", "score_key"),
}
"""What makes a row of each table unique; of two rows with one key the later one counts."""

CONTENT: dict[str, str] = {
    "videos": "clip_uri",
    "controls": "uri",
    "adapters": "uri",
    "latents": "latents_shape",
    "artefacts": "uri",
    "edits": "video_uri",
}
"""The column without which a row stands for nothing: where it is null, the row withdraws those
before it that have its key, and their work is to be done anew."""
