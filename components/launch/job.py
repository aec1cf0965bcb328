"""One step as a job: its name, the text that carries it, and what runs it there.

``python -m components.launch STEP CONFIG`` is a job's entrypoint. A RayJob's entrypoint passes
through two shells with `ray job submit` between them, which quotes for neither of them. So the
configuration travels as URL-safe base64, whose letters mean nothing to any shell.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from components.config import RunConfig, to_document
from components.errors import UserError
from components.launch.versions import installed
from components.run import check_step

if TYPE_CHECKING:
    from components.run.perform import Performed
from components.records.keys import content_key

_DIGEST_LENGTH = 12
_MAX_TEXT = 100_000
"""Characters; Linux gives a single argument 128 KiB."""


@dataclass(frozen=True, slots=True)
class Job:
    """A step of a run, as it is sent."""

    step: str
    run: str
    text: str
    """The configuration, and what it was made with, as base64."""
    retry_failed: bool
    base_name: str
    """Equal for equal steps, runs and configurations: what is adopted is found by it."""

    def name(self, attempt: int) -> str:
        """Name of one attempt: a DNS label of at most 47 characters, KubeRay's limit."""
        return f"{self.base_name}-{attempt}"

    @property
    def entrypoint(self) -> str:
        """The command line; safe in any number of shells."""
        words = ["python", "-m", "components.launch", self.step, self.text]
        return " ".join(words + ["--retry-failed"] * self.retry_failed)


def make_job(step: str, config: RunConfig, *, retry_failed: bool = False) -> Job:
    """Put a step and its configuration into a job.

    Raises:
        UserError: the step is unknown, or the configuration holds a password or is too long.
    """
    check_step(step)
    for name in ("run", "manifest", "manifest_root"):
        if urlsplit(getattr(config, name) or "").password:
            raise UserError(
                f"{name} holds a password, which a job would show to everyone on its cluster: "
                "give credentials to the cluster, as a Kubernetes secret or by its profile"
            )
    document = portable_document(config)
    text = encode({"config": document, "made_with": installed()})
    if len(text) > _MAX_TEXT:
        raise UserError(
            f"the configuration of {config.run} takes {len(text)} characters, but a job carries "
            f"{_MAX_TEXT}: shorten its longest value"
        )
    digest = content_key(step=step, config=document, retry_failed=retry_failed)[:_DIGEST_LENGTH]
    return Job(step, config.run, text, retry_failed, f"tav-{step}-{digest}")


def portable_document(config: RunConfig) -> dict[str, Any]:
    """The configuration as another machine reads it: on its own Ray, with its own shipped models.

    Local paths are left as they are: they must be of a file system that both machines share.
    """
    from tinyworld import shipped

    on_cluster = dataclasses.replace(config, ray=dataclasses.replace(config.ray, address="auto"))
    document: dict[str, Any] = yaml.safe_load(_dumped(_plain(to_document(on_cluster))))
    for section, key, part in (
        ("model", "base", shipped.shipped_model("base")),
        ("caption", "model", shipped.shipped_model("blip2")),
        ("score", "model", shipped.shipped_model("clip")),
    ):
        for one in (document, *document.get("variants", {}).values()):
            if one.get(section, {}).get(key) == str(part):
                one[section][key] = shipped.NAME
    for one in (document, *document.get("variants", {}).values()):
        for net in one.get("control", {}).get("nets") or ():
            net["model"] = shipped.public_name(net["model"])
    return document


def _plain(value: Any) -> Any:
    """Tuples as lists, which is what YAML has."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _dumped(document: dict[str, Any]) -> str:
    """A document as YAML in its own order, which is also the variants'."""
    return yaml.safe_dump(document, sort_keys=False)


def encode(document: dict[str, Any]) -> str:
    """A document as text of letters, digits, ``-``, ``_`` and ``=`` alone."""
    return base64.urlsafe_b64encode(_dumped(document).encode()).decode("ascii")


def decode(text: str) -> dict[str, Any]:
    """The inverse of ``encode``.

    Raises:
        UserError: the text is not of its making.
    """
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        document = yaml.safe_load(raw)
    except (binascii.Error, UnicodeError, yaml.YAMLError) as error:
        raise UserError(f"the job's configuration is damaged ({error}): submit it anew") from error
    if not isinstance(document, dict):
        raise UserError("the job's configuration is no mapping: submit it anew")
    return document


def run_step(step: str, config: RunConfig, *, retry_failed: bool = False) -> Performed:
    """Run a step in this process, with its records in the run's format and its outcome as JSON.

    Raises:
        UserError: the step cannot start as asked.
        KeyboardInterrupt: the process was told to stop.
    """
    from components.log import setup_logging
    from components.run.perform import perform

    setup_logging(config=config)
    done = perform(step, config, retry_failed=retry_failed)
    sys.stdout.write(f"{json.dumps(done.document())}\n")
    return done
