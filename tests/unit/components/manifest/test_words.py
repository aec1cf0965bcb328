"""Words in all scripts: found in every form, cut at no character's inside."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

import pytest
import regex
from hypothesis import assume, example, given
from hypothesis import strategies as st

from components.errors import ItemError
from components.manifest.edits import EditEntry, expand_edit
from components.manifest.lint import Linter
from components.syntax.tree import ManifestError, Problems, to_node

Form = Literal["NFC", "NFD"]
NFC: Form = "NFC"
NFD: Form = "NFD"
FORMS = [(a, b) for a in (NFC, NFD) for b in (NFC, NFD)]


def expand(caption: str, replace: dict[str, str]) -> str:
    return expand_edit(EditEntry(name="e", replace=replace), caption)


@pytest.mark.parametrize(("caption_form", "word_form"), FORMS)
@pytest.mark.parametrize(
    ("caption", "replace", "expected"),
    [
        ("一只猫在跑", {"猫": "狗"}, "一只狗在跑"),
        ("一只猫追一只狗", {"猫": "狗", "狗": "猫"}, "一只狗追一只猫"),
        ("熊猫和猫", {"熊猫": "老虎", "猫": "狗"}, "老虎和狗"),
        ("黑cat在跑", {"cat": "dog"}, "黑dog在跑"),
        ("3只猫", {"3": "5"}, "5只猫"),
        ("猫がボールで遊ぶ", {"猫": "犬", "ボール": "紐"}, "犬が紐で遊ぶ"),
        ("ねこが走る", {"ねこ": "いぬ"}, "いぬが走る"),
        ("แมวกำลังวิ่ง", {"แมว": "หมา"}, "หมากำลังวิ่ง"),
        ("ແມວແລ່ນ", {"ແມວ": "ໝາ"}, "ໝາແລ່ນ"),
        ("ឆ្មាកំពុងរត់", {"ឆ្មា": "ឆ្កែ"}, "ឆ្កែកំពុងរត់"),
        ("고양이 가 달린다", {"고양이": "강아지"}, "강아지 가 달린다"),
        ("बिल्ली दौड़ रही है", {"बिल्ली": "कुत्ता"}, "कुत्ता दौड़ रही है"),
        ("قطة تجري، وقطة تنام", {"قطة": "كلب"}, "كلب تجري، وقطة تنام"),
        ("\u200fקִטָּה רצה", {"קִטָּה": "כלב"}, "\u200fכלב רצה"),
        ("Ёлка и кот", {"ёлка": "сосна", "КОТ": "пёс"}, "сосна и пёс"),
        ("một con mèo", {"MÈO": "chó"}, "một con chó"),
        ("a café, the CAFÉ", {"café": "bar"}, "a bar, the bar"),
        ("a café and a cafe", {"cafe": "bar"}, "a café and a bar"),
        ("cafés and café", {"café": "bar"}, "cafés and bar"),
        ("👩‍🚀 and 👩", {"👩": "🐶"}, "👩‍🚀 and 🐶"),
        ("👍🏽 or 👍", {"👍": "👎"}, "👍🏽 or 👎"),
        ("🇩🇪🇪🇸", {"🇪🇸": "🇫🇷"}, "🇩🇪🇫🇷"),
        ("a ❤️ beats", {"❤": "★"}, "a ★ beats"),
        ("一只🐱在跑", {"🐱": "🐶"}, "一只🐶在跑"),
        ("ｃａｔ 猫", {"ｃａｔ": "ｄｏｇ"}, "ｄｏｇ 猫"),
        ("İstanbul, KIRMIZI", {"istanbul": "Ankara", "kırmızı": "mavi"}, "Ankara, mavi"),
        ("Straße", {"STRAẞE": "Weg"}, "Weg"),
        ("x² and x", {"x": "y"}, "x² and y"),
    ],
)
def test_words_of_every_script_are_replaced_in_every_form(
    caption: str, replace: dict[str, str], expected: str, caption_form: Form, word_form: Form
) -> None:
    written = unicodedata.normalize(caption_form, caption)
    words = {unicodedata.normalize(word_form, word): new for word, new in replace.items()}
    found = expand(written, words)
    assert unicodedata.normalize(NFC, found) == unicodedata.normalize(NFC, expected)
    if expected.isascii() or caption_form == NFC:
        assert found == expected


@pytest.mark.parametrize(
    ("caption", "word", "message"),
    [
        ("a cafe\u0301", "cafe", "'cafe', which is not a word of the caption"),
        ("👩‍🚀", "🚀", "not a word"),
        ("🇩🇪🇪🇸", "🇪🇪", "not a word"),
        ("각", "가", "not a word"),
        ("क्षि", "क्ष", "not a word"),
        ("a catalogue", "cat", "not a word of .*, but a part of one: name the whole"),
        ("고양이가 달린다", "고양이", "but a part of one"),
        ("القطة تجري", "قطة", "but a part of one"),
        ("snake_case", "snake", "but a part of one"),
    ],
)
def test_no_part_of_a_character_or_word_is_replaced(caption: str, word: str, message: str) -> None:
    for form in (NFC, NFD):
        with pytest.raises(ItemError, match=message):
            expand(unicodedata.normalize(form, caption), {word: "x"})


@given(caption=st.text(max_size=30), words=st.lists(st.text(min_size=1, max_size=4), max_size=3))
@example(caption="e\u0301e", words=["e"])
def test_what_is_not_replaced_stays_and_no_character_is_cut(caption: str, words: list[str]) -> None:
    """Every cut lies between two characters of the caption as it was."""
    targets = {word: f"<{i}>" for i, word in enumerate(words) if word.strip()}
    caption = caption.strip()
    assume(targets and caption and "<" not in caption)
    try:
        found = expand(caption, targets)
    except ItemError:
        return
    kept = re.split(r"<\d>", found)
    ends, at = {0}, 0
    for character in regex.findall(r"\X", caption):
        at += len(character)
        ends.add(at)
    begin = 0
    for piece in kept:
        begin = caption.index(piece, begin)
        assert {begin, begin + len(piece)} <= ends
        begin += len(piece)


plain = st.lists(
    st.sampled_from(["cat", "Dog", "red", "a", "of", "cat's", "x-ray", "été", "кот", "Σίσυφος"]),
    min_size=1,
).map(" ".join)


@given(caption=plain, word=st.sampled_from(["cat", "dog", "RED", "x", "été", "КОТ", "σίσυφοσ"]))
def test_words_between_blanks_are_replaced_as_ever(caption: str, word: str) -> None:
    """Prompts, and so keys, of manifests that worked before are the same."""
    pattern = rf"(?<!\w){re.escape(word)}(?!\w)"
    if not re.search(pattern, caption, re.IGNORECASE):
        with pytest.raises(ItemError):
            expand(caption, {word: "<>"})
    else:
        assert expand(caption, {word: "<>"}) == re.sub(pattern, "<>", caption, flags=re.IGNORECASE)


def test_two_forms_of_a_word_are_one() -> None:
    problems = Problems("set")
    replace = {"café": "bar", unicodedata.normalize(NFD, "CAFÉ"): "inn"}
    videos = [{"id": "a", "uri": "/a.mp4", "edits": [{"replace": replace}]}]
    with pytest.raises(ManifestError, match="replace names 'CAFE\u0301' twice: keep one"):
        Linter(problems, "/").videos(to_node({"videos": videos}, 1))
