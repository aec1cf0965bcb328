"""Whether the nets that steer edits, and what makes their maps, can be used as configured."""

from __future__ import annotations

from pathlib import Path

from components.controls.maker import check_maker, net_name
from components.errors import UserError
from components.records.models import model_config, part_config
from components.records.revisions import hub_revision
from components.steps.step import StepContext


def check_makers(context: StepContext) -> None:
    """Look at what makes the maps of a variant: libraries, and files that are named.

    Raises:
        UserError: names what is missing and the remedy.
    """
    for kind in sorted(context.maps):
        check_maker(context.config.control, kind)


def check_nets(context: StepContext, *, planning: bool = False) -> list[str]:
    """Look at the nets of a variant: kinds, whether they fit the base, and headers of weights.

    Args:
        context: Of the variant.
        planning: Download no weights, and do without where a net is a config alone.

    Returns:
        What a plan has to tell.

    Raises:
        UserError: names what is wrong and the remedy.
    """
    from tav_model.control_check import check_net
    from tav_model.identity import STEMS, resolve_model
    from tav_model.weights import check_whole, weight_files

    notes = []
    for net in context.nets:
        exact = context.control_revisions[net_name(net)]
        config = model_config("control.nets", net.model, exact, "config.json")
        parts = [
            part_config(context.config.model, context.base_revision, part)
            for part in ("unet", "vae")
        ]
        here = Path(net.model).is_dir()
        try:
            check_net(net, config, *parts)
            if not here and (planning or context.config.ray.address is not None):
                continue
            folder = resolve_model(net.model, hub_revision(exact), {"": STEMS["unet"]})
            if planning and not [*folder.glob("*.safetensors*")]:
                notes.append(f"{net.model} holds no weights: a run needs them")
                continue
            check_whole(weight_files(folder))
        except ValueError as error:
            raise UserError(f"control.nets {net.model!r} cannot be used: {error}") from error
    return notes
