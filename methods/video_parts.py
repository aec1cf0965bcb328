"""The parts of a video model: which are taken, whether they belong together, how they are loaded.

All checks read configs alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from methods.method import ClipSize
from tav_model.config import DTypeName

DIFFUSERS_STEM, TRANSFORMERS_STEM = "diffusion_pytorch_model", "model"
_TOKENIZER_FILES = ("tokenizer.json", "spiece.model")


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoPart:
    """One folder of a model."""

    library: Literal["diffusers", "transformers"]
    kinds: tuple[str, ...]
    """Classes that a model may name; the first is loaded, and of schedulers the one named."""
    stem: str = ""
    """What its file of weights is called without its ending; empty where it has none."""
    fp32: bool = False
    """Whether it is held in fp32 whatever the dtype, as its authors advise."""

    def problem(self, config: Mapping[str, Any]) -> str | None:
        """Why the part's own config is not of such a part."""
        named = config.get("_class_name")
        if self.library == "transformers" or named in self.kinds:
            return None
        return f"is of {named!r}, but {' or '.join(self.kinds)} is needed"


def t5_encoder(kind: str) -> VideoPart:
    """The text encoder of these models."""
    return VideoPart(library="transformers", kinds=(kind,), stem=TRANSFORMERS_STEM)


def diffusers_model(kind: str, *, fp32: bool = False) -> VideoPart:
    """A transformer or a VAE."""
    return VideoPart(library="diffusers", kinds=(kind,), stem=DIFFUSERS_STEM, fp32=fp32)


def schedulers(*kinds: str) -> VideoPart:
    """A noise schedule of one of these classes."""
    return VideoPart(library="diffusers", kinds=kinds)


T5_TOKENIZER = VideoPart(library="transformers", kinds=("T5Tokenizer", "T5TokenizerFast"))


@dataclass(frozen=True, kw_only=True, slots=True)
class SizeRule:
    """Which clips a model takes: ``first``, ``first + every`` and so on of frames."""

    first: int = 1
    every: int = 1
    most: int | None = None
    """Frames at most."""
    side: int = 8
    """Width and height are multiples of it."""

    def nearest(self, size: ClipSize) -> ClipSize:
        """The nearest size that fits; of two the smaller one."""
        most = size.num_frames if self.most is None else min(self.most, size.num_frames)
        frames = _nearest(most, self.first, self.every)
        if self.most is not None and frames > self.most:
            frames -= self.every
        width, height = (_nearest(x, self.side, self.side) for x in (size.width, size.height))
        return dataclasses.replace(size, num_frames=frames, width=width, height=height)


def _nearest(value: int, first: int, every: int) -> int:
    below = first + max(value - first, 0) // every * every
    return below if value - below <= below + every - value else below + every


def check_index(
    where: str,
    index: Mapping[str, Any],
    parts: Mapping[str, VideoPart],
    *,
    kinds: Collection[str],
    options: Collection[str],
) -> None:
    """Hold a ``model_index.json`` against what a method loads.

    Args:
        where: Names the model in messages.
        index: The file.
        parts: What is loaded.
        kinds: Pipelines for which the model may have been saved.
        options: What beside parts may be set there.

    Raises:
        ValueError: names what is of another kind, missing or more than is loaded.
    """
    if index.get("_class_name") not in kinds:
        raise ValueError(
            f"{where} is a model for {index.get('_class_name')!r}, but one for "
            f"{' or '.join(kinds)} is needed"
        )
    for name, part in parts.items():
        found = _list(index.get(name))
        if len(found) != 2 or found[0] != part.library or found[1] not in part.kinds:  # noqa: PLR2004
            raise ValueError(
                f"{where}: its model_index.json names {found or 'nothing'} as {name}, but "
                f"{part.library}'s {' or '.join(part.kinds)} is needed"
            )
    for name, value in index.items():
        if name.startswith("_") or name in parts or name in options:
            continue
        if value not in (None, False) and set(_list(value)) != {None}:
            raise ValueError(
                f"{where} has {name}={value!r}, which this method would leave out: take a model "
                "without it"
            )


def own_config(where: str, model: str, revision: str | None, name: str) -> dict[str, Any]:
    """Read a JSON file of a model; of a hub model this file alone is downloaded.

    Args:
        where: Names the model in messages.
        model: Folder or hub id.
        revision: Branch, tag or commit of a hub id.
        name: The file's place in the model.

    Raises:
        ValueError: the file is missing or holds no JSON object, or the hub does not answer.
    """
    from tav_model.parts import model_file

    try:
        return model_file(model, revision, name)
    except (OSError, ValueError) as error:
        raise ValueError(f"{where}: cannot read {name}: {error}") from error


def number(config: Mapping[str, Any], name: str, default: int) -> int:
    """A positive whole number of a config.

    Raises:
        ValueError: it is something else.
    """
    value = config.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"a config says {name}={value!r}, but a number of 1 or more is needed")
    return value


def check_equal(where: str, one: tuple[str, int], other: tuple[str, int]) -> None:
    """Refuse parts of different models.

    Raises:
        ValueError: two widths that have to be equal are not.
    """
    if one[1] != other[1]:
        raise ValueError(
            f"{where}: {one[0]} is {one[1]}, but {other[0]} asks for {other[1]}: take all parts "
            "from one model, and a model of this kind"
        )


def load_part(folder: Path, part: VideoPart, kind: str, dtype: DTypeName) -> Any:
    """Load one part on the CPU, from safetensors alone, without any code of its folder.

    Args:
        folder: The part's.
        part: What it is.
        kind: Its class.
        dtype: Of its weights.

    Raises:
        BaseModelError: files are missing, damaged or pickled, or do not fit the config.
    """
    import diffusers
    import transformers

    from tav_model.load import DTYPES
    from tav_model.load_parts import fitting, quiet
    from tav_model.weights import check_whole, weight_files

    libraries = {"diffusers": diffusers, "transformers": transformers}
    made = getattr(libraries[part.library], kind)
    if not part.stem:
        return made.from_pretrained(folder, local_files_only=True)
    check_whole(weight_files(folder, part.stem, (None,)))
    named = "torch_dtype" if part.library == "diffusers" else "dtype"
    with fitting(folder), quiet():
        model, info = made.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **{named: DTYPES[dtype]},
        )
        if missing := sorted(map(str, {*info["missing_keys"], *info["mismatched_keys"]})):
            raise RuntimeError(f"{missing[0]} is missing or misshapen ({len(missing)} in all)")
    return model.requires_grad_(requires_grad=False).eval()


def load_tokenizer(folder: Path) -> Any:
    """Load a model's T5 tokenizer.

    Args:
        folder: The model's.

    Raises:
        BaseModelError: it is missing or damaged (of a folder without words transformers makes an
            empty one), or knows words that the text encoder does not.
    """
    from transformers import T5Tokenizer

    from tav_model.errors import BaseModelError
    from tav_model.parts import read_config

    place = folder / "tokenizer"
    if not any((place / name).is_file() for name in _TOKENIZER_FILES):
        raise BaseModelError(
            f"{place} holds none of {', '.join(_TOKENIZER_FILES)}: copy or download it again"
        )
    try:
        tokenizer = T5Tokenizer.from_pretrained(place, local_files_only=True)
    except Exception as error:  # the Rust library raises Exception itself
        raise BaseModelError(
            f"{place} is no tokenizer that can be read ({error}): copy or download it again"
        ) from error
    words = number(read_config(folder / "text_encoder" / "config.json"), "vocab_size", 1)
    if len(tokenizer) > words:
        raise BaseModelError(
            f"{place} has {len(tokenizer)} tokens, but the text encoder knows {words} "
            "(vocab_size): take both from one model"
        )
    return tokenizer


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
