"""A run as a whole: what is there (``current``), what is missing (``plan``), who computes it.

``perform`` does a step, or all of them, for the command line, a job, a Kubeflow task and Python
alike; ``runner`` is what it drives, under the run's ``lease``.
"""

import difflib

from components.errors import UserError
from components.steps import STEPS

PERFORMED = ("run", *STEPS, "report")
"""What can be asked for: every step and the gallery, one step, or the gallery alone."""


def check_step(step: str) -> None:
    """Raise UserError if there is no such step."""
    if step not in PERFORMED:
        near = difflib.get_close_matches(step, PERFORMED, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(PERFORMED)}"
        raise UserError(f"there is no step {step!r}: {hint}")
