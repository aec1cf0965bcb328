"""A user's texts as parameters: what a template is made of never leaves this machine."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.carried import carried, carried_text, original_text

TEMPLATES = [
    "{{$.pipeline_job_name}}",
    "{{$}}",
    "{{workflow.name}}",
    "{{$.inputs.parameters['config']}}",
    "$(AWS_SECRET_ACCESS_KEY)",
    "[[ScheduledTime]]",
    '"{{{[[$$((',
]
MARKS = re.compile(r"\{\{|\[\[|\$\(")

texts = st.text(alphabet='{}[]$()\\"u007b5 a猫\n') | st.sampled_from(TEMPLATES) | st.text()
documents = st.recursive(
    texts | st.integers() | st.booleans() | st.none(),
    lambda inner: st.dictionaries(texts, inner) | st.dictionaries(texts, st.lists(texts)),
)


@given(documents)
def test_a_document_arrives_equal_and_without_marks(document: object) -> None:
    text = carried(document)
    assert json.loads(text) == document
    assert not MARKS.search(text)


@given(texts)
def test_a_text_arrives_equal_and_without_marks(text: str) -> None:
    parameter = carried_text(text)
    assert original_text(parameter) == text
    assert not MARKS.search(parameter)


def test_what_holds_no_marks_stays_as_it_is() -> None:
    document = {"run": "s3://b/r", "score": {"protocols": ["a", "b"]}, "ray": {"address": None}}
    assert carried(document) == json.dumps(document)
    assert carried_text("s3://b/base {x}") == "s3://b/base {x}"
    with pytest.raises(ValueError, match="outside its texts"):
        carried([["a"]])
