"""A model's own small files, wherever the model lies."""

from __future__ import annotations

from typing import Any

from components.errors import UserError
from components.records.revisions import hub_revision, pinned
from tav_model.config import ModelConfig


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


def part_config(model: ModelConfig, revision: str, part: str) -> dict[str, Any]:
    """Read the config of a base's part, with what is put on the base; see ``model_config``.

    Args:
        model: The base, as it is configured.
        revision: What ``base_revision`` made of it.
        part: One of ``tav_model.parts.CONFIG_FILES``.

    Raises:
        UserError: the file is missing or holds no JSON object, or the hub does not answer.
    """
    from tav_model.base import base_config
    from tav_model.parts import CONFIG_FILES

    try:
        return base_config(pinned(model, revision), part)
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {CONFIG_FILES[part]} of model.base {model.base!r}: {error}"
        ) from error
