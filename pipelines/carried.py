r"""Texts of the user as parameters of a pipeline, so that they arrive byte for byte.

What a parameter holds passes through others' templates: Kubeflow fills in ``{{$...}}``, here as on
a server, Argo below it ``{{...}}``, Kubeflow's schedules ``[[...]]``, and Kubernetes ``$(...)`` in
a pod's arguments. So such a text travels as JSON whose strings hold none of these marks: JSON may
write any character as ``\u007b``, and any JSON parser reads it back. The rest of the text stays
readable on Kubeflow's page.
"""

from __future__ import annotations

import json
import re
from typing import Any

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_MARKS = {"{{": r"{\u007b", "[[": r"[\u005b", "$(": r"$\u0028"}
_MARK = re.compile("|".join(map(re.escape, _MARKS)))


def carried(value: Any) -> str:
    """JSON values as JSON text without marks of templates in its strings.

    Raises:
        ValueError: they nest lists without anything between, which no such text can hold.
    """
    text = _STRING.sub(
        lambda string: _MARK.sub(lambda mark: _MARKS[mark[0]], string[0]), json.dumps(value)
    )
    if found := _MARK.search(text):
        raise ValueError(f"{text[:80]!r} holds {found[0]!r} outside its texts")
    return text


def carried_text(text: str) -> str:
    """One text: as it stands where that is safe, else as JSON."""
    return carried(text) if _MARK.search(text) or text.startswith('"') else text


def original_text(parameter: str) -> str:
    """The inverse of ``carried_text``."""
    return str(json.loads(parameter)) if parameter.startswith('"') else parameter
