"""Whether the models can be used as configured, before any work.

What is wrong with a model is wrong for every video: it stops the run with one message, on the
driver if it can be seen there, else when the first worker loads the model.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import UserError
from components.records.keys import content_key
from components.records.models import model_config, part_config
from components.records.provenance import CODE_VERSION, library_versions
from components.records.revisions import cache_folder, hub_revision, pinned
from components.steps.control_models import check_makers, check_nets
from components.steps.methods import answering, make_method
from components.steps.step import StepContext
from methods.method import Method

if TYPE_CHECKING:
    from tav_model.base import BaseFiles
    from tav_model.weights import Weights

logger = logging.getLogger(__name__)

_PROCESSOR = ("processor_config.json", "preprocessor_config.json")


def check_models(
    context: StepContext, steps: Sequence[str], *, planning: bool = False
) -> list[str]:
    """Look at the models that steps need.

    Of a base that lies here, folder or file, all is looked at: configs against each other and
    against the run's settings, and weights, VAE and LoRAs against the configs. Of a hub's base the
    configs are, and the rest where it will be loaded on this machine. Of other models' folders the
    files are.

    Args:
        context: With the revisions of the models that the run asks for.
        steps: By name.
        planning: Download no weights, and do without where a base is configs alone.

    Returns:
        What a plan has to tell.

    Raises:
        UserError: names what is wrong and the remedy.
    """
    notes = []
    if {"tune", "sample"} & set(steps):
        for variant in context.variants.values() or [context]:
            method = make_method(variant.config, variant.base_revision, variant.own_revisions)
            if method.uses_base:
                notes += _check_base(variant, method, planning=planning)
            notes += _check_own(variant, method, planning=planning)
            if method.uses_control:
                notes += check_nets(variant, planning=planning)
    if "control" in steps:
        for variant in context.variants.values() or [context]:
            check_makers(variant)
    if "caption" in steps and context.caption_revision:
        _check_captioner(context)
    if "score" in steps and context.score_revision:
        _check_scorer(context)
    return list(dict.fromkeys(notes))  # variants mostly share a base


def _check_base(context: StepContext, method: Method, *, planning: bool) -> list[str]:
    from tav_model.identity import STEMS, has_weights
    from tav_model.lora import read_lora
    from tav_model.parts import CONFIG_FILES, check_parts
    from tav_model.schedule import check_steps, schedule_settings
    from tav_model.weights import check_whole

    model = context.config.model
    base = model.base
    configs = {part: part_config(model, context.base_revision, part) for part in CONFIG_FILES}
    with _refusing("model.base", base):
        check_parts(configs)
        settings = schedule_settings(configs["scheduler"])
        for name, steps in method.schedule_steps().items():
            check_steps(settings, steps, name)
        method.check_schedule(settings)
        for lora in model.loras:
            read_lora(lora.path)
        if (files := _base_files(context, planning=planning)) is None:
            return []
        if planning and files.checkpoint is None and not has_weights(files.folder):
            return [f"{base} holds no weights: a run needs them"]
        for part in STEMS:
            check_whole(files.weights(part))
        _once(context.base_revision, lambda: _check_loading(files))
    return []


def _check_own(context: StepContext, method: Method, *, planning: bool) -> list[str]:
    """Look at the models that a method's section names: configs, and headers of weights."""
    from tav_model.weights import check_whole

    with answering(context.config.method):
        method.check_own_models()
        loaded = method.weights()
    notes = []
    for field, parts in loaded.items():
        setting = f"{context.config.method}.{field}"
        model = getattr(method.settings.own, field)
        with _refusing(setting, model):
            if (folder := _own_folder(context, method, field, planning=planning)) is None:
                continue
            if planning and not any([*(folder / part).glob("*.safetensors*")] for part in parts):
                notes.append(f"{model} holds no weights: a run needs them")
                continue
            for weights in own_weights(folder, parts).values():
                check_whole(weights)
    return notes


def own_weights(folder: Path, parts: Mapping[str, str]) -> dict[str, Weights]:
    """The files of weights of a model's parts, by part (see ``Method.weights``).

    Raises:
        BaseModelError: there are none, or not as they have to be.
    """
    from tav_model.weights import weight_files

    return {part: weight_files(folder / part, stem, (None,)) for part, stem in parts.items()}


def least_bytes(method: Method) -> float | None:
    """Memory that the weights of a method's own models take, by their headers.

    Of models that lie in folders here: a hub model is not downloaded for it.
    """
    from tav_model.weights import tensors

    numbers: dict[str, int] = {}
    for field, parts in method.weights().items():
        folder = Path(getattr(method.settings.own, field))
        if not folder.is_dir():
            return None
        try:
            for part, weights in own_weights(folder, parts).items():
                shapes = (view.get_shape() for _, _, view in tensors(weights))
                numbers[f"{field}/{part}"] = sum(math.prod(shape) for shape in shapes)
        except ValueError:
            return None  # as `check_models` told, where there are any
    return method.least_bytes(numbers) if numbers else None


def _own_folder(context: StepContext, method: Method, field: str, *, planning: bool) -> Path | None:
    """Where a model's files are or will be; none where that is another machine's matter."""
    from tav_model.identity import resolve_model

    model = getattr(method.settings.own, field)
    if Path(model).is_dir():
        return Path(model)
    if planning or context.config.ray.address is not None:
        return None
    revision = hub_revision(context.own_revisions[field])
    return resolve_model(model, revision, method.weights()[field])


def _check_loading(files: BaseFiles) -> None:
    from tav_model.check import check_base  # 20 s, once for each model

    logger.info("looking through the base model, this once")
    check_base(files)


def _base_files(context: StepContext, *, planning: bool) -> BaseFiles | None:
    """The base model's files; none where they are another machine's matter."""
    from tav_model.base import find_base

    model = context.config.model
    here = all(Path(one).exists() for one in (model.base, model.vae) if one is not None)
    if not here and (planning or context.config.ray.address is not None):
        return None
    return find_base(pinned(model, context.base_revision))


def _check_captioner(context: StepContext) -> None:
    from tav_model.parts import check_vocabulary
    from tav_model.weights import check_whole, weight_files

    model = context.config.caption.model
    if not (folder := Path(model)).is_dir():
        return
    found = model_config("caption.model", model, context.caption_revision, "config.json")
    kind, text = found.get("model_type"), found.get("text_config") or {}
    decoder = text.get("model_type", "opt") if isinstance(text, dict) else text
    if kind != "blip-2" or decoder != "opt":
        raise UserError(
            f"caption.model {model!r} is a {kind} with a {decoder} decoder, but a blip-2 with an "
            "opt decoder is needed: try Salesforce/blip2-opt-2.7b"
        )
    if not any((folder / name).is_file() for name in _PROCESSOR):
        raise UserError(
            f"caption.model {model!r} has no {_PROCESSOR[0]}: give a folder to which a "
            "Blip2Processor was saved beside the model"
        )
    with _refusing("caption.model", model):
        check_vocabulary(folder)
        check_whole(weight_files(folder, "model", (None,)))


def _check_scorer(context: StepContext) -> None:
    from eval.clip_encoder import HUB_PREFIX, model_folder
    from eval.errors import EncoderError

    model = context.config.score.model
    if model.startswith(HUB_PREFIX):  # its worker fetches it
        return
    try:
        model_folder(model)
    except EncoderError as error:
        raise UserError(f"score.model {model!r} cannot be used: {error}") from error


@contextmanager
def _refusing(setting: str, model: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UserError(f"{setting} {model!r} cannot be used: {error}") from error


def _once(revision: str, check: Callable[[], None]) -> None:
    """Do a check that depends on a model's content alone, unless it went through before."""
    key = content_key(revision=revision, code=CODE_VERSION, libraries=library_versions())
    mark = cache_folder() / "checked" / key
    if mark.exists():
        return
    check()
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        logger.warning("cannot keep %s (%s): the model is looked through anew", mark, error)
