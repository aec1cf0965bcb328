"""Base models in one file: which they are, and their parts' weights under diffusers' names.

Such a file holds UNet, VAE and text encoder in the layout of the original Stable Diffusion code
(LDM), without configs and without the tokenizer. The configs come from here or from the user; the
names and shapes are converted by diffusers' own loader, which is kept from asking the hub.
"""

import contextlib
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav_model.errors import BaseModelError
from tav_model.weights import Weights, tensors

if TYPE_CHECKING:
    from torch import Tensor

CONFIGS = Path(__file__).parent / "configs"
"""Folders with the configs of the published models, as `model.config` names them."""
ENDING = ".safetensors"
_PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
_PREFIXES = {
    "unet": "model.diffusion_model.",
    "vae": "first_stage_model.",
    "text_encoder": "cond_stage_model.",
}
_TO_TEXT = ".attn2.to_k.weight"
_KNOWN = {768: "sd1", 1024: "sd2"}
"""By the width of the text that the UNet attends to."""
_PREDICTIONS = {"epsilon": "sd2", "v": "sd2_v", "v_prediction": "sd2_v"}
"""What modelspec.prediction_type, which some trainers write into the header, says of 2.x."""
_GIVE = "Give the folder of its configs as model.config"


def is_file(model: str) -> bool:
    """Whether a model's name means one file, be it there or not."""
    path = Path(model).expanduser()
    return path.is_file() or (path.suffix in (ENDING, *_PICKLES) and not path.is_dir())


def weights_file(what: str, path: str) -> Path:
    """Look whether a file of weights is there and of a kind that is read.

    Args:
        what: Names it in messages, such as `model.vae`.
        path: The file.

    Raises:
        BaseModelError: there is no such file, or it is none of safetensors.
    """
    found = Path(path).expanduser()
    if found.suffix in _PICKLES:
        msg = (
            f"{what} {path!r} is a pickle, which can run code when loaded, so it is not read. Take "
            f"the model as {ENDING}, which most are also published as."
        )
        raise BaseModelError(msg)
    if found.is_dir():
        inside = sorted(one.name for one in found.glob(f"*{ENDING}"))
        more = f", such as {inside[0]} in it" if inside else ""
        raise BaseModelError(f"{what} {path!r} is a folder. Name a {ENDING} file{more}.")
    if found.suffix != ENDING:
        raise BaseModelError(f"{what} {path!r} is no {ENDING} file. Name one.")
    if not found.is_file():
        raise BaseModelError(f"{what} {path!r} is not there. Check its place and name.")
    return found


def part_weights(checkpoint: Path, part: str) -> Weights:
    """The tensors of one part of a base in one file.

    Args:
        checkpoint: The file.
        part: `unet`, `vae` or `text_encoder`.

    Raises:
        BaseModelError: it is no whole safetensors file, or holds no such part.
    """
    prefix = _PREFIXES[part]
    with _opened(checkpoint) as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
        first = next(iter(sorted(file.keys())), "no tensor")
    if not names:
        remedy = "Give one as model.vae." if part == "vae" else "Take the file of a whole model."
        msg = f"{checkpoint} holds no {part} ({prefix}…), but {first} and others. {remedy}"
        raise BaseModelError(msg)
    return Weights((checkpoint,), None, dict.fromkeys(names, checkpoint))


def vae_weights(path: Path) -> Weights:
    """The tensors of a VAE in one file: those of a whole model's, or all."""
    with _opened(path) as file:
        names = list(file.keys())
    own = [name for name in names if name.startswith(_PREFIXES["vae"])]
    return Weights((path,), None, dict.fromkeys(own or names, path))


def config_folder(checkpoint: Path, config: str | None) -> Path:
    """Find the configs of a base in one file.

    Args:
        checkpoint: The file.
        config: `ModelConfig.config`.

    Returns:
        A folder in the diffusers layout; of those here the tokenizer's words are not in it.

    Raises:
        BaseModelError: there is no such folder, or the file does not say which it needs.
    """
    if config is None:
        return CONFIGS / _named(checkpoint)
    if config in (known := sorted(path.name for path in CONFIGS.iterdir())):
        return CONFIGS / config
    if (folder := Path(config).expanduser()).is_dir():
        return folder
    near = difflib.get_close_matches(config, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "Give such a folder."
    msg = f"model.config {config!r} is no folder and none of {', '.join(known)}. {hint}"
    raise BaseModelError(msg)


def _named(checkpoint: Path) -> str:
    """Which of the published models' configs a file needs, by its header."""
    with _opened(checkpoint) as file:
        metadata = file.metadata() or {}
        names = set(file.keys())
    unet = [n for n in names if n.startswith(_PREFIXES["unet"])]
    if not unet:
        first = ", ".join(sorted(names)[:3])
        msg = (
            f"{checkpoint} is no base in one file: it holds {first} and others, but nothing named "
            f"{_PREFIXES['unet']}…. A LoRA goes to model.loras, a VAE to model.vae."
        )
        raise BaseModelError(msg)
    shapes = {name: view.get_shape() for name, _, view in tensors(part_weights(checkpoint, "unet"))}
    widths = {shape[-1] for name, shape in shapes.items() if name.endswith(_TO_TEXT)}
    kind = _KNOWN.get(next(iter(widths))) if len(widths) == 1 else None
    if kind is None:
        found = ", ".join(map(str, sorted(widths))) or "none"
        msg = (
            f"{checkpoint} is of no kind that is known: its UNet attends to text of width {found}, "
            f"Stable Diffusion 1.x to 768, 2.x to 1024. {_GIVE}, or take a base of these kinds."
        )
        raise BaseModelError(msg)
    if kind == "sd1":
        return kind
    said = metadata.get("modelspec.prediction_type", "")
    if said not in _PREDICTIONS:
        msg = (
            f"{checkpoint} is of Stable Diffusion 2.x's kind and does not say what its UNet "
            f"predicts (modelspec.prediction_type is {said!r}). Set model.config to sd2 for the "
            "noise (2.0 and 2.1 base, 512 pixels), to sd2_v for the velocity (768 pixels)."
        )
        raise BaseModelError(msg)
    return _PREDICTIONS[said]


def converted(part: str, state: "dict[str, Tensor]", configs: Path) -> "dict[str, Tensor]":
    """Rename and reshape the tensors of one part, by diffusers' own loader.

    Args:
        part: `unet`, `vae` or `text_encoder`.
        state: Its tensors as the file has them.
        configs: Folder with the part's config.json.

    Returns:
        fp32 tensors under the names of diffusers and transformers; what the file lacks is missing.

    Raises:
        Exception: they do not go together.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: PLC0415 (heavy)
    from diffusers.loaders import single_file_utils  # noqa: PLC0415
    from transformers import CLIPTextModel  # noqa: PLC0415

    where: Any = {"config": str(configs), "local_files_only": True}
    if part == "text_encoder":
        # What the pipelines' loader calls: transformers' models have no loader of single files.
        model = single_file_utils.create_diffusers_clip_model_from_ldm(
            CLIPTextModel, state, **where
        )
    else:
        kind = UNet2DConditionModel if part == "unet" else AutoencoderKL
        model = kind.from_single_file(state, **where)
    return {name: t for name, t in model.state_dict().items() if not t.is_meta}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 (only needed here)

    try:
        with safe_open(path, framework="np") as file:
            yield file
    except (OSError, SafetensorError) as err:
        msg = f"{path} is no whole safetensors file ({err}). Copy or download it again."
        raise BaseModelError(msg) from err


def tokenizer_of(settings: Mapping[str, Any]) -> Any:
    """Make CLIP's tokenizer, whose words every published base shares, without the hub.

    The words are those that open_clip comes with; the numbers agree with the published files'.

    Args:
        settings: Of tokenizer_config.json.
    """
    import gzip  # noqa: PLC0415
    import importlib.util  # noqa: PLC0415

    from tokenizers.pre_tokenizers import ByteLevel  # noqa: PLC0415
    from transformers import CLIPTokenizer  # noqa: PLC0415

    spec = importlib.util.find_spec("open_clip")  # importing it would take seconds
    assert spec is not None
    assert spec.origin is not None
    packed = Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(packed.read_bytes()).decode("utf-8").split("\n")
    pairs = [line.split() for line in lines[1 : 49152 - 256 - 2 + 1]]
    letters = _byte_letters(set(ByteLevel.alphabet()))
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(p) for p in pairs)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)},
        merges=[(left, right) for left, right in pairs],
        model_max_length=settings["model_max_length"],
        pad_token=settings["pad_token"],
    )


def _byte_letters(alphabet: set[str]) -> list[str]:
    """The letters that stand for bytes, in the order of CLIP's numbers: printable bytes first."""
    own = sorted(letter for letter in alphabet if ord(letter) < 256)  # noqa: PLR2004 (bytes)
    return own + sorted(alphabet - set(own))
