"""What a job runs: ``python -m components.launch STEP CONFIG [--retry-failed]``."""

from __future__ import annotations

import sys

from components.config import run_config
from components.errors import EXIT_FAILED_ITEMS, EXIT_USER_ERROR, ItemError, UserError
from components.launch.job import decode, run_step
from components.launch.versions import check


def main(arguments: list[str]) -> int:
    """Run the step that the arguments describe, and return its exit code."""
    step, text, *flags = arguments
    try:
        sent = decode(text)
        check(sent["made_with"])
        config = run_config(sent["config"], "the job's configuration")
        done = run_step(step, config, retry_failed=flags == ["--retry-failed"])
    except (UserError, ItemError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return EXIT_USER_ERROR
    if done.problem:
        sys.stderr.write(f"{done.problem}\n")
        return EXIT_FAILED_ITEMS
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
