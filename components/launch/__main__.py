"""What a job runs: ``python -m components.launch STEP CONFIG [--retry-failed]``."""

from __future__ import annotations

import sys

from components.errors import ItemError, UserError
from components.launch.job import EXIT_USER_ERROR, decode, run_step
from components.launch.versions import check


def main(arguments: list[str]) -> int:
    """Run the step that the arguments describe, and return its exit code."""
    step, text, *flags = arguments
    try:
        sent = decode(text)
        check(sent["made_with"])
        return run_step(step, sent["config"], retry_failed=flags == ["--retry-failed"])
    except (UserError, ItemError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return EXIT_USER_ERROR


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
