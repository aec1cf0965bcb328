"""Drivers in processes of their own, which hold a run's lease or race for it."""

from __future__ import annotations

import subprocess
import sys

HOLD = """
import sys, time
from components.run.lease import Lease
from components.storage.open import open_store
with Lease(open_store(sys.argv[1]), float(sys.argv[2])):
    print("held", flush=True)
    time.sleep(60)
"""

_RACE = """
import sys, time
from components.run.lease import Lease, LeaseHeldError
from components.storage.open import open_store
store = open_store(sys.argv[1])
store.stat("run.json")  # the client is made, and the imports are done
print("ready", flush=True)
sys.stdin.readline()
try:
    with Lease(store, float(sys.argv[2])) as held:
        print("held", flush=True)
        sys.stdin.read()
        held.check()
        print("kept", flush=True)
except LeaseHeldError as error:
    print(error, flush=True)
"""


def race(root: str, *, drivers: int, seconds: float) -> int:
    """Start drivers at one moment; return how many got the lease (and kept it to the end)."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _RACE, root, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(drivers)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = []
    for process in processes:
        assert process.stdout is not None
        said.append(process.stdout.readline())
    winners = [one for one, words in zip(processes, said, strict=True) if words == "held\n"]
    for process in processes:
        output, _ = process.communicate()
        assert process.returncode == 0
        assert output == ("kept\n" if process in winners else "")
    assert all("another driver is at work" in words for words in said if words != "held\n")
    return len(winners)
