"""Where a base model's files are and which model they are. Imports the standard library only."""

import hashlib
import json
import re
from pathlib import Path

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WEIGHTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
}
_CHUNK = 1 << 22


def resolve_base(base: str, revision: str | None = None) -> Path:
    """Find a base model's folder, downloading a hub model's needed files if they are not cached.

    Args:
        base: folder in the diffusers Stable Diffusion layout, or a hub id `owner/name`.
        revision: branch, tag or commit of a hub id.

    Returns:
        The local folder.

    Raises:
        ValueError: neither a folder nor a hub id, or a revision was given for a folder.
    """
    folder = Path(base).expanduser()
    if folder.is_dir():
        if revision is not None:
            msg = f"base {base!r} is a folder: it has no revision {revision!r}. Drop the revision."
            raise ValueError(msg)
        return folder
    if not _HUB_ID.fullmatch(base):
        msg = f"base {base!r} is neither an existing folder nor a hub id such as `owner/name`."
        raise ValueError(msg)
    from huggingface_hub import snapshot_download  # noqa: PLC0415 (heavy, and only needed here)

    always = ["model_index.json", "scheduler/*.json", "tokenizer/*.json", "tokenizer/*.txt"]
    always += [f"{part}/config.json" for part in _WEIGHTS]
    for variant in ("", ".fp16"):
        weights = [f"{p}/{s}{variant}*" for p, s in _WEIGHTS.items()]
        patterns = [
            w.removesuffix("*") + end
            for w in weights
            for end in (".safetensors", "-*-of-*.safetensors", ".safetensors.index.json")
        ]
        folder = Path(snapshot_download(base, revision=revision, allow_patterns=always + patterns))
        if list(folder.glob("unet/*.safetensors")):
            return folder
    msg = f"base {base!r} at revision {revision or 'main'} has no safetensors weights under unet/."
    raise ValueError(msg)


def weight_files(
    folder: Path, stem: str = "diffusion_pytorch_model"
) -> tuple[list[Path], str | None]:
    """List the safetensors files of one part of a model, full precision before fp16.

    Args:
        folder: the part's folder, such as `<base>/unet`.
        stem: file name without variant and ending.

    Returns:
        The files, and the variant (`fp16` or None) that they are.

    Raises:
        ValueError: there are none; if there are pickled ones, the message says how to convert them.
    """
    for variant in (None, "fp16"):
        name = f"{stem}.{variant}" if variant else stem
        if (single := folder / f"{name}.safetensors").is_file():
            return [single], variant
        for index in (folder / f"{stem}.safetensors.index{v}.json" for v in ("", f".{variant}")):
            if index.is_file() and (variant is None) == (index.name.count(".") == 3):  # noqa: PLR2004
                shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
                return [folder / shard for shard in shards], variant
    msg = f"no {stem}.safetensors in {folder}."
    if list(folder.glob("*.bin")):
        msg += (
            " The .bin files there are pickles, which can run code when loaded, so they are not"
            " read. Load and save the folder once with diffusers, which writes safetensors."
        )
    raise ValueError(msg)


def model_weights(folder: Path) -> list[Path]:
    """List the weight files of a base model's folder.

    Raises:
        ValueError: a part has no safetensors weights.
    """
    return [f for part, stem in _WEIGHTS.items() for f in weight_files(folder / part, stem)[0]]


def base_identity(folder: Path) -> str:
    """Name a base model by its content, so that an adapter can tell the model it belongs to.

    Args:
        folder: folder in the diffusers Stable Diffusion layout.

    Returns:
        `sha256:` and 32 hex digits over configs and weights of unet, vae, text encoder, and the
        tokenizer's and scheduler's files; equal wherever the same files lie.

    Raises:
        ValueError: a part has no safetensors weights.
    """
    files = sorted(
        p for d in ("tokenizer", "scheduler") for p in (folder / d).glob("*") if p.is_file()
    )
    for part, stem in _WEIGHTS.items():
        files += [folder / part / "config.json", *weight_files(folder / part, stem)[0]]
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        with path.open("rb") as stream:
            while block := stream.read(_CHUNK):
                digest.update(block)
    return f"sha256:{digest.hexdigest()[:32]}"
