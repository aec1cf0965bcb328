"""A model's own small files, wherever the model lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.errors import UserError
from components.records.revisions import hub_revision


def model_config(setting: str, model: str, revision: str, name: str) -> dict[str, Any]:
    """Read a JSON object of a model; of a hub model this file alone is downloaded.

    Args:
        setting: What the configuration calls the model, such as ``model.base``.
        model: Folder or hub id.
        revision: What ``resolve_revision`` made of it.
        name: The file's place in the model.

    Raises:
        UserError: the file is missing or holds no JSON object, or the hub does not answer.
    """
    from tav_model.parts import read_config

    try:
        if Path(model).is_dir():
            return read_config(Path(model, name))
        from huggingface_hub import hf_hub_download

        return read_config(Path(hf_hub_download(model, name, revision=hub_revision(revision))))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {name} of {setting} {model!r}: {error}") from error
