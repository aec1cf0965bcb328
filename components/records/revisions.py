"""What a model is exactly: the commit of a hub model, or the digest of its content here.

Keys hold this revision and never the model's address, so that a changed folder or a moved branch
recomputes what depends on it, and a copied folder recomputes nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from components.errors import UserError
from components.storage.store import file_sha256
from tav_model.config import ModelConfig

logger = logging.getLogger(__name__)

_FOLDER = "sha256:"
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_RACY_SECONDS = 2.0
"""A file changed this recently may change again without its time stamp showing it."""


def resolve_revision(model: str, revision: str | None = None) -> str:
    """Say which version of a model a name stands for.

    Args:
        model: A folder, a hub id ``org/name``, or either in open_clip's form ``local-dir:folder``
            and ``hf-hub:org/name``. An existing folder wins over a hub id of the same name.
        revision: Hub branch, tag or commit; none is ``main``. A commit is taken at its word.

    Returns:
        ``sha256:`` and 64 hex digits for a folder, the 40 hex digits of the commit for a hub id.

    Raises:
        UserError: neither folder nor hub id, a revision given for a folder, an empty or
            unreadable folder, or a hub that cannot be asked or does not know model or revision.
    """
    name = model.removeprefix("local-dir:")
    folder = Path(name)
    if not model.startswith("hf-hub:") and folder.is_dir():
        if revision is not None:
            raise UserError(
                f"model {model!r} is a folder, which has no revision {revision!r}: "
                "remove the revision, or give a hub id"
            )
        return _folder_digest(folder)
    name = model.removeprefix("hf-hub:")
    if model.startswith("local-dir:") or not _HUB_ID.fullmatch(name):
        raise UserError(
            f"model {model!r} is no folder here and no hub id: "
            "give a model's folder or a hub id such as org/name"
        )
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    return _hub_commit(name, revision or "main")


Named = tuple[str, str | None] | ModelConfig
"""A model by name and revision, or a base with all that is put on it."""


def exact_revision(model: Named) -> str:
    """Which version of a model its name stands for; see ``resolve_revision``, ``base_revision``."""
    if isinstance(model, ModelConfig):
        return base_revision(model)
    if model[0].endswith(ONNX):
        return _onnx_digest(Path(model[0]))
    return resolve_revision(*model)


ONNX = ".onnx"
"""What files of models of ONNX end in: each is a model by itself."""


def _onnx_digest(file: Path) -> str:
    """Name, size and digest of one file's content.

    Raises:
        UserError: it is not there.
    """
    try:
        return f"{file.name}:{file.stat().st_size}:{_FOLDER}{file_sha256(file)}"
    except OSError as error:
        raise UserError(
            f"the model's file {str(file)!r} cannot be read ({error.strerror}): name an ONNX file"
        ) from error


def base_revision(model: ModelConfig) -> str:
    """Say which base a configuration stands for, with all that is put on it.

    Returns:
        The base's own revision; then, each after a ``+``, what is there of the configs of a base in
        one file, a VAE of its own, and LoRAs with their weights. A LoRA of weight 0 changes
        nothing and is not among them.

    Raises:
        UserError: see ``resolve_revision``; or a file is not there, a pickle or of another kind.
    """
    from tav_model.base import config_files
    from tav_model.single_file import config_folder, is_file, weights_file

    def exactly(what: str, name: str, revision: str | None) -> str:
        if is_file(name):
            return _single_digest(what, name, revision)
        return resolve_revision(name, revision)

    parts = [exactly("model.base", model.base, model.revision)]
    if is_file(model.base):
        try:
            folder = config_folder(weights_file("model.base", model.base), model.config)
            parts.append(f"config:{_digest_of(folder, config_files(folder))}")
        except ValueError as error:
            raise UserError(f"model.base {model.base!r} cannot be used: {error}") from error
    if model.vae is not None:
        parts.append(f"vae:{exactly('model.vae', model.vae, model.vae_revision)}")
    for lora in model.loras:
        digest = _single_digest("LoRA", lora.path, None)
        if lora.weight:
            parts.append(f"lora:{digest}@{float(lora.weight)}")
    return "+".join(parts)


def hub_revision(resolved: str) -> str | None:
    """The ``revision=`` to load a resolved model with: its commit, or none for what is here."""
    own = resolved.partition("+")[0]
    return None if own.startswith(_FOLDER) else own


def pinned(model: ModelConfig, resolved: str) -> ModelConfig:
    """A base as its revision names it, so that a branch that moves on changes nothing.

    What lies here, folder or file, stays as it is.

    Args:
        model: Of the configuration.
        resolved: What ``base_revision`` made of it; empty changes nothing.
    """
    if not resolved:
        return model
    vae = next((one for one in resolved.split("+")[1:] if one.startswith("vae:")), "vae:")
    pins: dict[str, Any] = {}
    if not Path(model.base).exists():
        pins["revision"] = hub_revision(resolved)
    if model.vae is not None and not Path(model.vae).exists():
        pins["vae_revision"] = hub_revision(vae.removeprefix("vae:"))
    return dataclasses.replace(model, **pins) if pins else model


def _hub_commit(name: str, revision: str) -> str:
    import huggingface_hub
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        cached = Path(constants.HF_HUB_CACHE, f"models--{name.replace('/', '--')}")
        try:
            return (cached / "refs" / revision).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UserError(
                f"model {name!r} at {revision!r} is neither a folder here nor in the hub's cache "
                f"{constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set: download it first, unset "
                "HF_HUB_OFFLINE, or give a folder"
            ) from error
    try:
        commit = huggingface_hub.HfApi().model_info(name, revision=revision).sha
    except Exception as error:  # whatever kept the hub from answering, the user has to settle it
        raise UserError(
            f"model {name!r} is no folder here, and the hub gives no commit of {revision!r} "
            f"({type(error).__name__}: {error}): check name, revision and network, give a commit "
            "of 40 hex digits, or set HF_HUB_OFFLINE=1 to use what is cached"
        ) from error
    if not commit:
        raise UserError(f"the hub names no commit of model {name!r} at {revision!r}: give one")
    return str(commit)


def _single_digest(what: str, model: str, revision: str | None) -> str:
    """Digest of one file's content."""
    from tav_model.single_file import weights_file

    if revision is not None:
        raise UserError(
            f"{what} {model!r} is a file, which has no revision {revision!r}: remove the revision"
        )
    try:
        file = weights_file(what, model)
    except ValueError as error:
        raise UserError(str(error)) from error
    known, fresh = _read_cache(), dict[str, Any]()
    try:
        digest = _file_digest(file, known, fresh)
    except OSError as error:
        raise UserError(f"cannot read the model in {file} ({error.strerror})") from error
    if fresh:
        _write_cache(known | fresh)
    return _FOLDER + digest


def _folder_digest(folder: Path) -> str:
    """Digest of every file's relative path and content; hidden files and folders do not count."""
    return _digest_of(folder, None)


def _digest_of(folder: Path, files: Iterable[Path] | None) -> str:
    """Digest of files' relative paths and content; none are all of the folder's."""
    known = _read_cache()
    fresh: dict[str, Any] = {}
    whole = hashlib.sha256()
    try:
        chosen = _files(folder, frozenset()) if files is None else files
        files = sorted(chosen, key=lambda file: file.relative_to(folder).parts)
        for file in files:
            digest = _file_digest(file, known, fresh)
            line = json.dumps([file.relative_to(folder).as_posix(), digest])
            whole.update(line.encode() + b"\n")
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename} of the model in {folder} ({error.strerror}): "
            "repair the folder or its permissions"
        ) from error
    if not files:
        raise UserError(f"model folder {folder} holds no file: give a model's folder or a hub id")
    if fresh:
        _write_cache(known | fresh)
    return _FOLDER + whole.hexdigest()


def _files(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Files below a folder, through links too (rglob would miss a linked ``unet/``)."""
    here = folder.resolve()
    if here in above:
        return
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files(entry, above | {here})
        else:
            yield entry


def _file_digest(file: Path, known: dict[str, Any], fresh: dict[str, Any]) -> str:
    """SHA-256 of a file, from the cache while size, inode and times are those it was taken at."""
    place = str(file.resolve())
    before = file.stat()
    stamp = [before.st_size, before.st_mtime_ns, before.st_ctime_ns, before.st_ino]
    match known.get(place):
        case {"stamp": old, "sha256": str(digest)} if old == stamp:
            return digest
    digest = file_sha256(file)
    if time.time() - max(before.st_mtime, before.st_ctime) > _RACY_SECONDS:
        fresh[place] = {"stamp": stamp, "sha256": digest}
    return digest


def cache_folder() -> Path:
    """Where this user's other runs find what this one found out about models."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "tav")


def _cache_path() -> Path:
    return cache_folder() / "digests.json"


def _read_cache() -> dict[str, Any]:
    """Digests by file. A cache that is absent or damaged only costs time, so it counts as empty."""
    try:
        document = json.loads(_cache_path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        logger.warning("ignoring the digests in %s: %s", _cache_path(), error)
        return {}
    return document if isinstance(document, dict) else {}


def _write_cache(digests: dict[str, Any]) -> None:
    path = _cache_path()
    kept = {place: entry for place, entry in digests.items() if Path(place).exists()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".digests-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
                json.dump(kept, handle)
            Path(name).replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
    except OSError as error:
        logger.warning("cannot keep digests in %s (%s): they are taken anew", path, error)
