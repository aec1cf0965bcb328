"""What the caption step calls where ``caption.backend`` is ``lavis``: a process, and how to ask it.

The process (``worker``) is kept for the next batch. When it dies, the batch fails for a passing
reason, and the next batch gets another process. It sees none of the worker's credentials.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.captioning.blip2 import DTYPES, find_device, load_processor, out_of_memory
from components.captioning.lavis.environment import PROJECT, find_python
from components.config import CaptionConfig
from components.errors import TransientError, UserError

if TYPE_CHECKING:
    from components.captioning.blip2 import Image

# Isolated (-I), so that neither PYTHONPATH nor a user's packages come before LAVIS's own; the
# project's come last, by PROJECT.
BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from components.captioning.lavis.worker import main; main()"
)
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL", "CUBLAS_WORKSPACE_CONFIG")
_PASSED_ON_GROUPS = ("CUDA_", "NVIDIA_", "OMP_", "MKL_", "PYTORCH_")
_BICUBIC = 3


class LavisCaptioner:
    """A BLIP-2 in LAVIS's process; gives what ``Blip2Captioner`` gives, by LAVIS's code."""

    def __init__(self, config: CaptionConfig, *, revision: str | None = None) -> None:
        """Start the process and let it load the model.

        Args:
            config: As for ``Blip2Captioner``; ``lavis_python`` names the interpreter.
            revision: Hub commit to load; none for a folder.

        Raises:
            UserError: interpreter or device are not there, or the model is none that LAVIS can run.
            TransientError: the process was killed while it loaded.
        """
        self._config = config
        python = find_python(config)
        self.device = find_device(config.device)
        self._settings = _settings(config, revision)
        self._command = [str(python), "-I", "-W", "ignore", "-c", BOOT, str(PROJECT)]
        self._process: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] = self.close
        self._running()

    def __call__(self, images: Sequence[Image]) -> list[str]:
        """As ``Blip2Captioner``.

        Raises:
            TransientError: the device is out of memory, or the process died.
        """
        if not images:
            return []
        request = {"shapes": [image.shape for image in images]}
        pixels = (image.tobytes() for image in images)
        answer = self._ask(self._running(), request, pixels, f"{len(images)} images in a batch")
        if "memory" in answer:
            raise out_of_memory(self.device, len(images), self._config)
        if "defect" in answer:
            raise RuntimeError(f"LAVIS failed: {answer['defect']}")
        captions: list[str] = answer["captions"]
        return captions

    def close(self) -> None:
        """End the process; the next batch starts another."""
        if self._process is not None:
            self._process = None
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        self._process = process = subprocess.Popen(  # noqa: S603 - our own program
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
        )
        self._end = weakref.finalize(self, _end, process)
        answer = self._ask(process, self._settings, (), f"{self._config.model!r} to be loaded")
        if "refused" in answer:
            self.close()
            raise UserError(
                f"LAVIS cannot load caption.model {self._config.model!r} ({answer['refused']}): "
                "set caption.backend=transformers, or, if it is a package that fails, make "
                "LAVIS's environment anew (`make lavis`)"
            )
        return process

    def _ask(
        self,
        process: subprocess.Popen[bytes],
        request: dict[str, Any],
        data: Iterable[bytes],
        what: str,
    ) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.writelines(data)
            process.stdin.flush()
            line = process.stdout.readline()
            if not line.endswith(b"\n"):
                raise BrokenPipeError  # noqa: TRY301 - it comes in two ways
            answer: dict[str, Any] = json.loads(line)
        except BrokenPipeError:
            raise TransientError(
                f"the LAVIS process died ({_death(process)}) with {what}: see its standard error; "
                f"if memory is short, lower caption.batch_size ({self._config.batch_size}) or "
                "ray.workers, or set caption.dtype=bf16"
            ) from None
        except BaseException:  # an interruption: the rest of the answer would meet the next
            self.close()
            raise
        return answer


def _settings(config: CaptionConfig, revision: str | None) -> dict[str, Any]:
    """What the process has to load, as JSON values.

    transformers resolves the model's configuration and tokenizer here: the version of it that LAVIS
    has reads neither all their defaults nor today's tokenizer.json.
    """
    found, processor = load_processor(config, revision)
    sizes = json.loads(found.to_json_string(use_diff=False))
    pixels, tokenizer = processor.image_processor, processor.tokenizer
    _check(config, sizes, pixels)
    special = {name: getattr(tokenizer, f"{name}_token") for name in ("bos", "eos", "unk", "pad")}
    return {
        "weights": [str(file) for file in _weights(config, revision)],
        "vision": sizes["vision_config"],
        "qformer": sizes["qformer_config"],
        "text": sizes["text_config"],
        "num_query_tokens": found.num_query_tokens,
        "mean": list(pixels.image_mean),
        "std": list(pixels.image_std),
        "tokenizer": {"special": special, **json.loads(tokenizer.backend_tokenizer.to_str())},
        "device": str(find_device(config.device)),
        "dtype": DTYPES[config.dtype],
        "prompt": config.prompt,
        "num_beams": config.num_beams,
        "max_new_tokens": config.max_new_tokens,
        "length_penalty": config.length_penalty,
    }


def _check(config: CaptionConfig, sizes: dict[str, Any], pixels: Any) -> None:
    """Refuse what LAVIS's own parts cannot express."""
    side = sizes["vision_config"]["image_size"]
    given = {
        "the images' size": ((pixels.size["height"], pixels.size["width"]), (side, side)),
        "the images' resampling": (int(pixels.resample), _BICUBIC),
        "the vision model's activation": (sizes["vision_config"]["hidden_act"], "gelu"),
    }
    for what, (value, needed) in given.items():
        if value != needed:
            raise UserError(
                f"caption.model {config.model!r}: {what} is {value}, but LAVIS can only {needed}: "
                "set caption.backend=transformers"
            )


def _weights(config: CaptionConfig, revision: str | None) -> list[Path]:
    """The model's safetensors files; a hub model's are downloaded first."""
    from tav_model.errors import BaseModelError
    from tav_model.weights import weight_files

    folder = Path(config.model)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        patterns = ["model*.safetensors", "model.safetensors.index.json"]
        folder = Path(snapshot_download(config.model, revision=revision, allow_patterns=patterns))
    try:
        return list(weight_files(folder, "model", (None,)).files)
    except BaseModelError as error:
        raise UserError(f"caption.model {config.model!r} cannot be used: {error}") from error


def _death(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with contextlib.suppress(BrokenPipeError), process:  # closes the pipes and waits
        pass


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_GROUPS)
    }
