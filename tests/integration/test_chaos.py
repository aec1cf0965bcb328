"""The short form of ``python -m benchmarks.chaos``: nothing is lost, doubled or spoiled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.s3_install import S3UnavailableError
from tests.integration.s3_server import unpacked

pytestmark = pytest.mark.soak

REPOSITORY = Path(__file__).parents[2]
TARGETS = {"worker", "actor", "raylet", "driver", "gateway"}


@pytest.mark.parametrize(("variants", "flow"), [(1, 0), (3, 1), (1, 1)])
def test_a_batch_outlives_kills_of_all_kinds(tmp_path: Path, variants: int, flow: int) -> None:
    try:
        unpacked()
    except S3UnavailableError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-m", "benchmarks.chaos", "--json", "--logs", str(tmp_path)]
    # RAY_AUTH_*: the driver starts a Ray of its own.
    environment = {name: value for name, value in os.environ.items() if "RAY_AUTH" not in name}
    size = ["--videos", "4", "--captioned", "0", "--workers", "1", "--plain"]
    size += ["--variants"] * (variants > 1) + ["--stepwise"] * (not flow)
    done = subprocess.run(
        [*command, "--kills", "8", "--seed", "1", *size],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    logs = "\n".join(path.read_text(errors="replace")[-5000:] for path in tmp_path.glob("*.log"))
    assert done.stdout, logs
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["verdict"]["ok"], (document, logs)
    assert done.returncode == 0
    assert len(document["kills"]) == 8
    targets = TARGETS - {"actor"} if flow else TARGETS
    assert {kill["target"] for kill in document["kills"]} == targets
    assert document["verdict"]["edits"] == 10 * variants
    assert document["verdict"]["scored_once"] == 8 * variants
    assert document["verdict"]["failed_once"] == 2 * variants
