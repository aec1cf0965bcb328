"""Where a base model's files are and which model they are. Loads no torch."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tav_model.errors import BaseModelError
from tav_model.weights import file_names, weight_files

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
STEMS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
}
"""Parts with weights, and their files' names without variant and ending."""
_OWN_FILES = ["open_clip_config.json", *("*token*.json", "vocab.*", "merges.txt")]
"""What a model that is a part by itself may have beside weights."""
_CHUNK = 1 << 22


def resolve_base(base: str, revision: str | None = None) -> Path:
    """Find a base model's folder, downloading a hub model's needed files if they are not cached.

    Args:
        base: folder in the diffusers Stable Diffusion layout, or a hub id `owner/name`.
        revision: branch, tag or commit of a hub id.

    Returns:
        The local folder.

    Raises:
        BaseModelError: neither a folder nor a hub id, a revision was given for a folder, or the hub
            does not give the files.
    """
    patterns: list[str] = []
    for variant in (None, "fp16"):
        patterns += _patterns(STEMS, variant)
        folder = _find_folder(base, revision, patterns)
        if all(_has_weights(folder / part, stem) for part, stem in STEMS.items()):
            break
    return folder


def resolve_model(model: str, revision: str | None, parts: Mapping[str, str]) -> Path:
    """Find the folder of a model of any parts, downloading what is not cached of a hub model.

    Args:
        model: folder in a diffusers layout, or a hub id `owner/name`.
        revision: branch, tag or commit of a hub id.
        parts: folders with weights, "" for the model's own, and their files' names without ending.

    Returns:
        The local folder.

    Raises:
        BaseModelError: see `resolve_base`.
    """
    return _find_folder(model, revision, _patterns(parts, None))


def _patterns(parts: Mapping[str, str], variant: str | None) -> list[str]:
    """The files of these parts, and what has no weights."""
    found = ["model_index.json", "scheduler/*.json"]
    found += [f"tokenizer/*.{kind}" for kind in ("json", "txt", "model")]
    middle = "" if variant is None else f".{variant}"
    for part, stem in parts.items():
        names = ("config.json", *file_names(stem, variant), f"{stem}{middle}-*-of-*.safetensors")
        found += [f"{part}/{name}" if part else name for name in names]
        found += [] if part else _OWN_FILES
    return found


def _find_folder(base: str, revision: str | None, patterns: Sequence[str]) -> Path:
    folder = Path(base).expanduser()
    if folder.is_dir():
        if revision is not None:
            msg = f"base {base!r} is a folder: it has no revision {revision!r}. Drop the revision."
            raise BaseModelError(msg)
        return folder
    if not _HUB_ID.fullmatch(base):
        msg = f"base {base!r} is neither an existing folder nor a hub id such as `owner/name`."
        raise BaseModelError(msg)
    from huggingface_hub import snapshot_download  # noqa: PLC0415 (heavy, and only needed here)
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    try:
        return Path(snapshot_download(base, revision=revision, allow_patterns=list(patterns)))
    except (OSError, ValueError, HfHubHTTPError) as err:
        msg = f"base {base!r} at revision {revision or 'main'} cannot be downloaded: {err}"
        raise BaseModelError(msg) from err


def _has_weights(folder: Path, stem: str) -> bool:
    return any((folder / name).is_file() for v in (None, "fp16") for name in file_names(stem, v))


def has_weights(folder: Path) -> bool:
    """Whether any part of a base model's folder holds anything beside configs."""
    return any(
        path.suffix not in ("", ".json") for part in STEMS for path in (folder / part).glob("*.*")
    )


def base_identity(folder: Path) -> str:
    """Name a base model by its content, so that an adapter can tell the model it belongs to.

    Args:
        folder: folder in the diffusers Stable Diffusion layout.

    Returns:
        `sha256:` and 32 hex digits over configs and weights of unet, vae, text encoder, and the
        tokenizer's and scheduler's files; equal wherever the same files lie.

    Raises:
        BaseModelError: a part has no safetensors weights.
    """
    files = sorted(
        p for d in ("tokenizer", "scheduler") for p in (folder / d).glob("*") if p.is_file()
    )
    for part, stem in STEMS.items():
        files += [folder / part / "config.json", *weight_files(folder / part, stem).files]
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        _add(digest, path)
    return f"sha256:{digest.hexdigest()[:32]}"


def content_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex digits.

    Raises:
        BaseModelError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        _add(digest, path)
    except OSError as err:
        raise BaseModelError(f"{path} cannot be read ({err.strerror}).") from err
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", path: Path) -> None:
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            digest.update(block)
