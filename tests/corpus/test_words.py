"""What a word is, in any script."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.corpus.words import fold, words


@pytest.mark.parametrize(
    ("text", "together", "apart"),
    [
        ("He's  HERE, isn’t he?!", "hes here isnt he", "he s here isn t he"),
        ("a_b-c/d", "a b c d", "a b c d"),
        ("so glad 🙂\ufe0f!", "so glad", "so glad"),
        ("Stra\u00adße", "strasse", "strasse"),
        ("one\x00two\tthree", "one two three", "one two three"),
        ("\t…", "", ""),
    ],
)
def test_texts_are_folded(text, together, apart):
    assert fold(text) == together
    assert fold(text, apostrophe=" ") == apart
    assert words(text) == together.split()
    assert words(text, apostrophe=" ") == apart.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好，世界", [*"你好世界"]),
        ("我love你 OK吗", ["我", "love", "你", "ok", "吗"]),
        ("カタカナ・ｶﾅ", [*"カタカナｶﾅ"]),
        (unicodedata.normalize("NFD", "が"), [unicodedata.normalize("NFD", "が")]),
        ("𠮷野", ["𠮷", "野"]),
        ("ที่นี่", ["ที่", "นี่"]),  # Thai
        ("ພາສາ", ["ພ", "າ", "ສ", "າ"]),  # Lao: this vowel is a letter
        ("ភាសា", ["ភា", "សា"]),  # Khmer
        ("မြန်မာ", ["မြ", "န်", "မာ"]),  # Burmese
        ("हिन्दी में", ["हिन्दी", "में"]),  # blanks divide words, marks do not
        ("한국어 말", ["한국어", "말"]),
        (unicodedata.normalize("NFD", "Déjà vu"), [unicodedata.normalize("NFD", "déjà"), "vu"]),
    ],
)
def test_words_of_any_script(text, expected):
    assert words(text) == expected


@given(st.text())
def test_no_character_of_the_folded_text_is_lost(text):
    assert "".join(words(text)) == fold(text).replace(" ", "")


@given(st.text(st.characters(max_codepoint=0x2FF)))
def test_blanks_alone_divide_the_words_of_other_scripts(text):
    assert words(text) == fold(text).split()
