"""Builds the Dockerfile's targets and runs programs in them, with Debian's tools and no engine.

buildah builds on a root that debootstrap makes, so no registry of images is asked. What runs in an
image has a root that cannot be written, but for /tmp and /data, and processes of its own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.checkout import REPOSITORY

TOOLS = ("buildah", "debootstrap", "unshare", "mount", "pip")
FREE_GB = 40
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_BASE = "localhost/tav-base"
# What a machine reaches its packages by; other settings of pip's are about other things.
_PIP = ("index-url", "trusted-host", "proxy", "timeout")


class NoImageError(Exception):
    """This machine cannot build an image; the message says why."""


def check(folder: Path) -> None:
    """Look for all that a build in this folder takes.

    Raises:
        NoImageError: something is absent.
    """
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        raise NoImageError(f"{', '.join(absent)} absent (apt-get install buildah debootstrap)")
    if os.getuid() or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        raise NoImageError("building and running an image takes root's rights to mount")
    free = shutil.disk_usage(folder).free / 1e9
    if free < FREE_GB:
        raise NoImageError(f"{folder} has {free:.0f} GB free, and the images take {FREE_GB}")


class Images:
    """A storage of images below a folder, which `remove` must empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets = folder / "secrets"
        self.secrets.mkdir()

    def buildah(self, *arguments: str, fail: bool = True) -> subprocess.CompletedProcess[str]:
        """Run buildah on this storage; its output is one text."""
        (self.folder / "tmp").mkdir(exist_ok=True)
        places = ["--root", f"{self.folder}/store", "--runroot", f"{self.folder}/state"]
        done = subprocess.run(
            ["buildah", *places, *arguments],
            env=os.environ | {"BUILDAH_ISOLATION": "chroot", "TMPDIR": f"{self.folder}/tmp"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if fail and done.returncode:
            raise RuntimeError(f"buildah {shlex.join(arguments)}:\n{done.stdout[-5000:]}")
        return done

    def make_base(self) -> None:
        """Debian with its Python, as the Dockerfile's own base is, and the machine's certificates.

        Raises:
            NoImageError: Debian's packages cannot be had.
        """
        dockerfile = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
        suite = re.findall(r"^ARG BASE=.*-slim-([a-z]+)$", dockerfile, re.MULTILINE)[0]
        root = self.folder / "base"
        packages = "--include=python3,python3-venv,python3-pip,ca-certificates"
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", packages, suite, root],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NoImageError(f"debootstrap {suite}: {done.stdout[-300:]}")
        (root / "usr/bin/python").symlink_to("python3")
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        if _CERTIFICATES.is_file():
            shutil.copy(_CERTIFICATES, root / _CERTIFICATES.relative_to("/"))
        container = self.buildah("from", "scratch").stdout.strip()
        self.buildah("add", "--quiet", container, str(root), "/")
        self.buildah("commit", "--quiet", container, _BASE)
        self.buildah("rm", container)
        shutil.rmtree(root)

    def take_settings(self, mark: str) -> None:
        """This machine's own settings of pip and uv, as secrets that hold a mark."""
        told = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=True)
        pairs = re.findall(
            r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", told.stdout, re.MULTILINE
        )
        lines = [f"{name} = {value}" for name, value in dict(pairs).items() if name in _PIP]
        pip = "\n".join([f"# {mark}", "[global]", *lines, ""])
        (self.secrets / "pip.conf").write_text(pip, encoding="utf-8")
        index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
        own = [Path.home() / ".config/uv/uv.toml", Path("/etc/uv/uv.toml")]
        text = next((path.read_text(encoding="utf-8") for path in own if path.is_file()), "")
        if not text and index:
            text = f"index-url = {json.dumps(index)}\n"
        if "native-tls" not in text:
            text = f"native-tls = true\n{text}"
        (self.secrets / "uv.toml").write_text(f"# {mark}\n{text}", encoding="utf-8")

    def build(self, target: str, context: Path, *, fail: bool = True) -> str:
        """Build a target from a folder; what was said, or the failure's words without `fail`."""
        secrets = [f"--secret=id={path.name},src={path}" for path in self.secrets.iterdir()]
        return self.buildah(
            *("build", "--layers", "--format=docker", f"--build-arg=BASE={_BASE}", *secrets),
            *(f"--target={target}", f"--tag={target}", str(context)),
            fail=fail,
        ).stdout

    def config(self, target: str) -> dict[str, Any]:
        """What the image says of itself: environment, user, command, history."""
        found: dict[str, Any] = json.loads(self.buildah("inspect", "--type=image", target).stdout)
        return found

    def mount(self, target: str) -> Path:
        """The image's files, in a container of their own."""
        container = self.buildah("from", "--pull-never", target).stdout.split()[-1]
        return Path(self.buildah("mount", container).stdout.strip())

    def run(self, target: str, root: Path, user: int, data: Path, command: str) -> str:
        """Run a shell's command in the image, the root read-only; what it wrote.

        Args:
            target: Whose environment variables it gets, and no others.
            root: From `mount`.
            user: Number of user and group.
            data: Folder that is /data inside, where the command is run.
            command: For sh.
        """
        variables = self.config(target)["Docker"]["config"]["Env"]
        inside = ["chroot", f"--userspec={user}:{user}", str(root), "env", "-i", *variables]
        script = f"""
            mount --bind {root} {root}
            mount --rbind /dev {root}/dev
            mount -t tmpfs -o size=2g tmpfs {root}/dev/shm
            mount -t tmpfs -o mode=1777 tmpfs {root}/tmp
            mount --bind {data} {root}/mnt
            mount -t proc proc {root}/proc
            mount -o remount,bind,ro {root}
            exec {shlex.join([*inside, "sh", "-c", f"cd /mnt && {command}"])}
        """
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout[-8000:]}")
        return done.stdout

    def remove(self) -> None:
        """Empty the storage."""
        self.buildah("rm", "--all", fail=False)
        self.buildah("rmi", "--all", "--force", fail=False)
        shutil.rmtree(self.folder)
