"""The page's files: nothing of theirs comes from elsewhere, and what is put in stays text."""

from __future__ import annotations

import json
import re

from components.study.page import message, page, script, style
from tests.study_run import HOSTILE


def test_nothing_is_fetched_from_elsewhere() -> None:
    for text in (page(), script(), style(), message("a", "b")):
        assert not re.search(r"https?://|@import|url\(", text)


def test_the_script_sets_texts_and_no_markup() -> None:
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "onclick"):
        assert word not in script()


def test_a_message_is_text() -> None:
    text = message(HOSTILE, HOSTILE)
    assert "<script" not in text
    assert "<img" not in text


def test_a_sequence_cannot_end_its_element() -> None:
    text = page(root="../", policy="default-src 'none'", sequence=json.dumps({"a": HOSTILE}))
    (found,) = re.findall(r'id="sequence">(.*?)</script>', text)
    assert json.loads(found) == {"a": HOSTILE}
    assert text.count("</script>") == 2
    assert 'content="default-src &#39;none&#39;"' in text
    assert 'src="../study.js"' in text
