"""Unpacks Ceph's RADOS gateway from Debian's packages into a folder, without root."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

PACKAGES = ("ceph-mon", "ceph-osd", "radosgw")
# Of all that apt fetches: the daemons and what they load.
_WANTED = re.compile(r"(ceph-(base|common|mon|osd)|radosgw|lib[^_]*)_")
_PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool")


class S3UnavailableError(Exception):
    """This machine cannot have the server; the message says why."""


def install(prefix: Path) -> None:
    """Unpack the packages under a folder, once.

    Raises:
        S3UnavailableError: this is no Debian, or its packages cannot be fetched.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise S3UnavailableError("the S3 server is of Debian's packages, and apt-get is absent")
    prefix.mkdir(parents=True, exist_ok=True)
    with (prefix / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may start at once
        if (prefix / "INSTALLED").exists():
            return
        for package in _fetch(prefix / "debs"):
            subprocess.run(["dpkg-deb", "-x", package, prefix], check=True, capture_output=True)
        for program in _PROGRAMS:
            answer = subprocess.run(
                ["ldd", prefix / "usr" / "bin" / program],
                env=environment(prefix),
                capture_output=True,
                text=True,
                check=False,
            ).stdout
            if not answer or "not found" in answer:
                raise S3UnavailableError(f"{program} lacks libraries on this system: {answer}")
        shutil.rmtree(prefix / "debs")
        (prefix / "INSTALLED").touch()


def _fetch(folder: Path) -> list[Path]:
    (folder / "partial").mkdir(parents=True, exist_ok=True)
    user = "APT::Sandbox::User=" + ("root" if os.getuid() == 0 else "")
    apt = ["apt-get", "-q", "-o", "Debug::NoLocking=1", "-o", user]
    options = ["-y", "--no-install-recommends", "--download-only"]
    get = [*apt, "install", *options, "-o", f"Dir::Cache::archives={folder}", *PACKAGES]
    done = subprocess.run(get, capture_output=True, text=True, check=False)
    if done.returncode:  # a bare container has no package lists, another may have stale ones
        subprocess.run([*apt, "update"], capture_output=True, check=False)
        done = subprocess.run(get, capture_output=True, text=True, check=False)
    if done.returncode:
        raise S3UnavailableError(f"apt-get cannot fetch {PACKAGES}: {done.stderr[-500:]}")
    return [package for package in folder.glob("*.deb") if _WANTED.match(package.name)]


def environment(prefix: Path) -> dict[str, str]:
    """Environment variables with which the unpacked programs run."""
    folders = [
        str(folder)
        for pattern in ("usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib/*-linux-gnu*/ceph")
        for folder in sorted(prefix.glob(pattern))
    ]
    return {"LD_LIBRARY_PATH": ":".join(folders), "PATH": f"{prefix}/usr/bin:/usr/bin:/bin"}
