"""A model's own small files, wherever the model lies."""

from __future__ import annotations

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
    from tav_model.parts import model_file

    try:
        return model_file(model, hub_revision(revision), name)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {name} of {setting} {model!r}: {error}") from error
