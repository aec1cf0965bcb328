"""What makers of maps have in common: what a map is, and how their models are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.errors import ItemError, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Maps = NDArray[np.uint8]
    """(F, H, W, 3), uint8; frame for frame those of a clip."""


def load_model(setting: str, model: str, revision: str | None, kinds: tuple[Any, Any]) -> Any:
    """Load a model of transformers' from safetensors, with its processor.

    Args:
        setting: What the configuration calls it.
        model: Folder or hub id.
        revision: Commit of a hub id.
        kinds: The processor's class and the model's.

    Returns:
        Processor and model.

    Raises:
        UserError: it is not there, a pickle, damaged or of another kind.
    """
    from safetensors import SafetensorError

    from tav_model.identity import resolve_model
    from tav_model.weights import weight_files

    try:
        folder = resolve_model(model, revision, {"": "model"})
        weight_files(folder, "model", (None,))
        processor = kinds[0].from_pretrained(folder)
        found, told = kinds[1].from_pretrained(
            folder, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, LookupError, SafetensorError) as error:
        raise UserError(f"{setting} {model!r} cannot be used: {error}") from error
    # transformers draws what is not there, and goes on.
    if missing := sorted(told["missing_keys"]):
        raise UserError(
            f"{setting} {model!r} lacks {len(missing)} tensor(s), {missing[0]} first: it is "
            "damaged, or of another kind than its config says"
        )
    return processor, found.eval()


def checked(kind: str, maps: Maps, frames: Maps) -> Maps:
    """Maps as a maker has to give them.

    Raises:
        ItemError: they are something else.
    """
    if maps.shape != frames.shape or maps.dtype != "uint8":
        raise ItemError(
            f"the maker of {kind} gave {maps.dtype}{list(maps.shape)}, but uint8 of the clip's "
            f"shape {list(frames.shape)} is needed"
        )
    return maps
