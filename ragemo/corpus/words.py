"""What a word is.

Most scripts put blanks between words. Han, kana, Thai, Lao, Khmer and Burmese do not: there each
character, with the marks that are combined with it, stands for a word.
"""

from __future__ import annotations

import re
import unicodedata

HAN = r"\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Characters that mean a word or part of one, as a class of a regular expression."""

UNSPACED = rf"{HAN}\u3040-\u30ff\uff66-\uff9f\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Scripts without blanks: Han, kana, Thai and Lao, Burmese, Khmer; likewise."""

_MARKS = "".join(
    character
    for character in map(chr, [*range(0x0E00, 0x1100), *range(0x1780, 0x1800), 0x3099, 0x309A])
    if unicodedata.category(character)[0] == "M"
)

LETTER = rf"(?=\w)[{UNSPACED}]"
"""A letter of such a script, or a digit; vowel signs and other marks are no `\\w`."""

CHARACTER = rf"{LETTER}[{_MARKS}]*"
"""The same with its marks."""

_WORD = re.compile(rf"{CHARACTER}|(?:(?!{LETTER})\S)+")

APOSTROPHES = "'’"
"""They spell words (don't), where other punctuation stands between them."""

VARIATION_SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10)))
"""They style the symbol before them, such as an emoji, and mean nothing without it."""


def fold(text: str, apostrophe: str = "") -> str:
    """Text without case and punctuation, its words separated by single blanks.

    Invisible format characters vanish; Unicode punctuation, symbols and control characters become
    blanks. Letters of any script and their accents stay.

    Args:
        text: any text.
        apostrophe: what stands for an apostrophe: nothing ("he's" is one word, "hes", as
            recognisers without punctuation write it) or a blank (two words, "he" and "s", of
            which the first is told from its other forms).
    """
    return " ".join(text.casefold().translate(_foldings[apostrophe]).split())


def words(text: str, apostrophe: str = "") -> list[str]:
    """The words of a folded text; those of scripts without blanks are its characters."""
    return _WORD.findall(fold(text, apostrophe))


class _Folding(dict[int, int | str | None]):
    """A translation table that fills itself as characters come."""

    def __init__(self, apostrophe: str) -> None:
        super().__init__({ord(character): apostrophe for character in APOSTROPHES})

    def __missing__(self, code: int) -> int | str | None:
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Cf" or character in VARIATION_SELECTORS:
            self[code] = None
        elif category[0] in "PS" or category == "Cc":
            self[code] = " "
        else:
            self[code] = code
        return self[code]


_foldings = {"": _Folding(""), " ": _Folding(" ")}
