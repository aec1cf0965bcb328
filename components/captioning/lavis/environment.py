"""LAVIS's own environment: its packages, laid over the environment that this program runs in.

LAVIS needs versions of transformers and others that this project cannot have. They are installed
from ``requirements.lock`` into an environment whose path goes on to this one's packages, so torch,
numpy and all else are there once. ``python -m components.captioning.lavis.environment`` makes it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

from components.config import CaptionConfig
from components.errors import UserError

LOCK = Path(__file__).with_name("requirements.lock")
_LAST_PYTHON = (3, 11)
"""The last that the lock holds for: tokenizers 0.13.3 has no wheels for later ones."""
_SHARED = ("numpy", "pillow", "safetensors", "torch", "torchvision")
"""Packages that the worker must see in this environment's version."""
_REMEDY = "make it with `make lavis`, or `python -m components.captioning.lavis.environment`"
PROJECT = Path(__file__).parents[3]
"""Where ``components`` is imported from; the worker looks there last."""
_IMPORT = """
import sys
sys.path.append(sys.argv[1])
from components.captioning.lavis.model import import_lavis
import_lavis()
"""
_PROBE = """
import json, sys
from importlib import metadata
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
found = {name: version(name) for name in sys.argv[1:]}
print(json.dumps(found | {"python": "%d.%d" % sys.version_info[:2]}))
"""


def default_folder() -> Path:
    """Where the environment is unless told otherwise: beside this one, ``-lavis`` appended."""
    here = Path(sys.prefix)
    return here.with_name(f"{here.name}-lavis")


def find_python(config: CaptionConfig) -> Path:
    """The environment's interpreter, looked at but not imported from; takes a tenth of a second.

    Args:
        config: Its ``lavis_python``, none for the default folder's.

    Raises:
        UserError: this Python is later than LAVIS's packages reach, or the interpreter is missing,
            does not run, or holds other versions than the lock file's.
    """
    _check_python()
    python = Path(config.lavis_python or default_folder() / "bin" / "python")
    if not (python.is_file() and os.access(python, os.X_OK)):
        raise UserError(
            f"caption.backend is 'lavis', but its environment's interpreter {python} is missing: "
            f"{_REMEDY}, name another by caption.lavis_python, or set caption.backend=transformers"
        )
    expected = _expected_versions()
    found = _versions(python, expected)
    wrong = [
        f"{name} {found[name] or 'absent'} instead of {version}"
        for name, version in expected.items()
        if found[name] != version
    ]
    if wrong:
        raise UserError(f"{python} is no environment for LAVIS ({', '.join(wrong)}): {_REMEDY}")
    return python


def _check_python() -> None:
    """Refuse a Python that LAVIS's packages do not reach; its environment has this one's."""
    here = sys.version_info[:2]
    if here > _LAST_PYTHON:
        raise UserError(
            "caption.backend=lavis needs Python {}.{} or earlier, and this is {}.{}: make this "
            "environment with that one, or set caption.backend=transformers".format(
                *_LAST_PYTHON, *here
            )
        )


def _expected_versions() -> dict[str, str]:
    locked = re.findall(r"^([\w.-]+)==([\w.]+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    shared = {name: metadata.version(name) for name in _SHARED}
    return {"python": "{}.{}".format(*sys.version_info[:2]), **shared, **dict(locked)}


def _versions(python: Path, names: dict[str, str]) -> dict[str, str | None]:
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that the configuration names
            [python, "-I", "-c", _PROBE, *names],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        found: dict[str, str | None] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UserError(f"{python} does not run as a Python ({error}): {_REMEDY}") from error
    return found


def install(folder: Path) -> None:
    """Make the environment, anew where it is already.

    Raises:
        UserError: this Python is later than LAVIS's packages reach, the folder holds something
            else, uv is missing, or the packages cannot be had or imported.
    """
    _check_python()
    if folder.exists() and not (folder / "pyvenv.cfg").is_file():
        raise UserError(f"{folder} exists and is no environment: name another folder")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        raise UserError("uv is missing: install it (`pip install uv`)")
    venv.EnvBuilder(clear=True, symlinks=True, with_pip=False).create(folder)
    python = folder / "bin" / "python"
    version = "python{}.{}".format(*sys.version_info[:2])
    below = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    paths = folder / "lib" / version / "site-packages" / "project.pth"
    paths.write_text("".join(f"{path}\n" for path in sorted(below)), encoding="utf-8")
    # Two packages come as sources: the setuptools from below builds them, no unpinned one.
    options = ["--no-deps", "--no-build-isolation", "--require-hashes", "--quiet"]
    done = subprocess.run(  # noqa: S603 - uv, with our own arguments
        [uv, "pip", "install", "--python", python, *options, "-r", LOCK],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"uv cannot install {LOCK} into {folder}:\n{done.stderr.strip()}")
    find_python(CaptionConfig(backend="lavis", lavis_python=str(python)))
    command = [str(python), "-I", "-W", "ignore", "-c", _IMPORT, str(PROJECT)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise UserError(f"LAVIS cannot be imported in {folder}:\n{done.stderr.strip()}")


def main() -> None:
    """Make the environment in the folder that the command line names, or the default one."""
    parser = argparse.ArgumentParser(description="Make LAVIS's environment.")
    parser.add_argument("folder", nargs="?", type=Path, default=default_folder())
    folder = parser.parse_args().folder.absolute()
    try:
        install(folder)
    except UserError as error:
        sys.exit(str(error))
    print(f"caption.backend=lavis runs in {folder}")  # noqa: T201 - a program's own output


if __name__ == "__main__":
    main()
