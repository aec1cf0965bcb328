"""Where the parts of a base model are, of whatever kind it is, and what is put on it.

A base is a folder (of a hub model, its files here) or one file; a VAE of its own and LoRAs may come
on top. All loaders, checks and digests read a base through `BaseFiles`. Loads no torch but where
weights are read.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav_model.config import LoraConfig, ModelConfig
from tav_model.errors import BaseModelError
from tav_model.identity import STEMS, base_identity, content_digest, resolve_base, resolve_model
from tav_model.lora import PARTS, merge_loras, read_lora
from tav_model.parts import CONFIG_FILES, TOKENIZER_FILE, model_file, read_config
from tav_model.single_file import (
    CONFIGS,
    config_folder,
    converted,
    is_file,
    part_weights,
    vae_weights,
    weights_file,
)
from tav_model.weights import Weights, read_state, weight_files

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseFiles:
    """The files of a base model on this machine."""

    folder: Path
    """In the diffusers layout: of a base in one file the configs, else all."""
    checkpoint: Path | None = None
    """The file of a base in one file."""
    vae: Path | None = None
    """Folder or file of a VAE in place of the base's."""
    loras: tuple[LoraConfig, ...] = ()

    def config(self, part: str) -> dict[str, Any]:
        """Read the config of one of `CONFIG_FILES`.

        Raises:
            BaseModelError: it is missing or unreadable.
        """
        if part in STEMS:
            return read_config(self.place(part) / "config.json")
        return read_config(self.folder / CONFIG_FILES[part])

    def configs(self) -> dict[str, dict[str, Any]]:
        """Read all of them, as `tav_model.parts.check_parts` takes them."""
        return {part: self.config(part) for part in CONFIG_FILES}

    def place(self, part: str) -> Path:
        """The folder with the config of a part, and with its weights where they are in none."""
        if part == "vae" and self.vae is not None and self.vae.is_dir():
            return _inner(self.vae)
        folder = self.folder / part
        if part == "unet" and not folder.is_dir() and (self.folder / "config.json").is_file():
            return self.folder  # a UNet's own
        return folder

    def places(self, part: str) -> tuple[Path, Path]:
        """What a part's weights are from, and the folder of its config."""
        return self._file(part) or self.place(part), self.place(part)

    def weights(self, part: str) -> Weights:
        """The tensors of a part as they are stored, without LoRAs.

        Raises:
            BaseModelError: see `tav_model.weights.weight_files`.
        """
        if (file := self._file(part)) is None:
            return weight_files(self.place(part), STEMS[part])
        return vae_weights(file) if file == self.vae else part_weights(file, part)

    def as_stored(self, part: str) -> bool:
        """Whether a part's weights are used under the names and with the values of its files."""
        return self._file(part) is None and not (self.loras and part in PARTS)

    def state(self, part: str) -> "dict[str, Tensor]":
        """Read the weights of a part, with its LoRAs merged.

        Returns:
            Tensors by diffusers' or transformers' names.

        Raises:
            BaseModelError: a file is missing, damaged or pickled, or does not fit the others.
        """
        state = read_state(self.weights(part))
        if (file := self._file(part)) is not None:
            try:
                state = converted(part, state, self.place(part))
            except MemoryError:
                raise
            except Exception as err:  # whatever the library stumbles over in a file of anybody's
                own = file == self.vae
                msg = (
                    f"the {part} in {file} does not go with the config in {self.place(part)}: "
                    f"{err}. "
                    + ("Take a VAE for this base, or give" if own else "Give")
                    + f" the folder of its configs as model.{'vae' if own else 'config'}."
                )
                raise BaseModelError(msg) from err
        return merge_loras(part, state, self.loras) if part in PARTS else state

    def identity(self) -> str:
        """Name the base by its content, so that an adapter can tell the model it belongs to.

        Returns:
            `sha256:` and 32 hex digits; of a folder alone those of its files (`base_identity`).

        Raises:
            BaseModelError: a part has no safetensors weights.
        """
        if self.checkpoint is None and self.vae is None and not self.loras:
            return base_identity(self.folder)
        lines = [base_identity(self.folder)] if self.checkpoint is None else []
        lines += [content_digest(path) for path in self._beside()]
        lines += [f"{content_digest(Path(one.path))} {float(one.weight)}" for one in self.loras]
        return f"sha256:{hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:32]}"

    def _file(self, part: str) -> Path | None:
        """The one file that a part is in."""
        if part == "vae" and self.vae is not None:
            return self.vae if self.vae.is_file() else None
        return self.checkpoint

    def _beside(self) -> Iterator[Path]:
        if self.checkpoint is not None:
            yield from (self.checkpoint, *config_files(self.folder))
        if self.vae is not None and self.vae.is_file():
            yield self.vae
        elif self.vae is not None:
            yield from (_inner(self.vae) / "config.json", *self.weights("vae").files)


def find_base(config: ModelConfig) -> BaseFiles:
    """Find the files of a base model, downloading what is not cached of hub models.

    Args:
        config: Which base, and what is put on it.

    Raises:
        BaseModelError: a file or folder is not there, is a pickle or of another kind, or the hub
            does not give its files.
    """
    for lora in config.loras:
        read_lora(lora.path)
    vae = None if config.vae is None else _vae(config.vae, config.vae_revision)
    if is_file(config.base):
        _check_revision("base", config.base, config.revision)
        checkpoint = weights_file("model.base", config.base)
        folder = config_folder(checkpoint, config.config)
        return BaseFiles(folder=folder, checkpoint=checkpoint, vae=vae, loras=config.loras)
    _check_config(config)
    folder = resolve_base(config.base, config.revision)
    return BaseFiles(folder=folder, vae=vae, loras=config.loras)


def files_of(base: BaseFiles | Path) -> BaseFiles:
    """A base's files; a folder is one with nothing put on it."""
    return BaseFiles(folder=base) if isinstance(base, Path) else base


def base_config(config: ModelConfig, part: str) -> dict[str, Any]:
    """Read the config of one of `CONFIG_FILES`; of a hub model this file alone is downloaded.

    Args:
        config: Which base, and what is put on it.
        part: A part of `CONFIG_FILES`.

    Raises:
        BaseModelError: there is no such file, or it holds no JSON object.
        OSError, ValueError: the hub does not give it.
    """
    if part == "vae" and config.vae is not None and not is_file(config.vae):
        vae = Path(config.vae).expanduser()
        place = str(_inner(vae)) if vae.is_dir() else config.vae
        return model_file(place, config.vae_revision, "config.json")
    name = CONFIG_FILES[part]
    if is_file(config.base):
        checkpoint = weights_file("model.base", config.base)
        return read_config(config_folder(checkpoint, config.config) / name)
    _check_config(config)
    return model_file(config.base, config.revision, name)


def config_files(folder: Path) -> Sequence[Path]:
    """The files that a base in one file takes from its folder of configs, in order.

    Raises:
        BaseModelError: a config is not there.
    """
    names = [*CONFIG_FILES.values()]
    for name in names:
        read_config(folder / name)
    words = sorted(p for p in (folder / "tokenizer").glob("*") if p.is_file())
    return [*(folder / name for name in names if name != TOKENIZER_FILE), *words]


def is_shipped(folder: Path) -> bool:
    """Whether a folder is one of the configs here, whose tokenizer's words are elsewhere."""
    return folder.parent == CONFIGS


def _vae(vae: str, revision: str | None) -> Path:
    if not is_file(vae):
        return resolve_model(vae, revision, {"": STEMS["vae"]})
    _check_revision("vae", vae, revision)
    return weights_file("model.vae", vae)


def _inner(vae: Path) -> Path:
    """A VAE's own folder, where a whole base's is given."""
    return vae / "vae" if (vae / "vae").is_dir() else vae


def _check_revision(what: str, path: str, revision: str | None) -> None:
    if revision is not None:
        msg = f"{what} {path!r} is a file: it has no revision {revision!r}. Drop the revision."
        raise BaseModelError(msg)


def _check_config(config: ModelConfig) -> None:
    if config.config is not None:
        msg = (
            f"model.config is {config.config!r}, but model.base {config.base!r} is no file: a "
            "folder and a hub model have configs of their own. Remove model.config."
        )
        raise BaseModelError(msg)
