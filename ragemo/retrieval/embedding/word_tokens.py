"""Texts cut into tokens, each distinct word once.

BERT's tokeniser parts a text at blanks and marks, and cuts each word by itself, whatever stands
beside it. So a text's tokens are those of its words in a row, and conversations say the same words
again and again. The tokeniser cuts the words; it is not asked about one that is known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

MARKS = r"!-/:-@\[-`{-~"
"""The marks of ASCII, each of which is a word of its own."""

KEPT_CHARACTERS = 250_000
"""The words that are kept have no more characters in all (10 MB, with their tokens)."""


class WordTokens:
    """A tokeniser of BERT's kind that remembers words.

    Args:
        tokenizer: of `tokenizers`, without padding.
        most: longer texts are cut to so many tokens, first and last one included.
    """

    def __init__(self, tokenizer: Any, most: int) -> None:
        self.tokenizer = tokenizer
        self._most = most
        self._first, self._last = tokenizer.encode("").ids
        # These are found before a text is parted. What lies between two places where it is surely
        # parted is called a word here; the tokeniser may part it further.
        special = (token.content for token in tokenizer.get_added_tokens_decoder().values())
        self._word = re.compile("|".join([*map(re.escape, special), f"[{MARKS}]", f"[^ {MARKS}]+"]))
        self._known: dict[str, list[int]] = {}
        self._characters = 0

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, those that begin and end it included.

        Raises:
            TypeError: if a text holds half a pair of surrogates, which is no character.
        """
        words = [self._word.findall(text) for text in texts]
        known = self._knowing({word for own in words for word in own})
        return [self._framed(own, known) for own in words]

    def _knowing(self, words: set[str]) -> dict[str, list[int]]:
        """The tokens of words, and of others."""
        known = self._known
        missing = [word for word in words if word not in known]
        found = self.tokenizer.encode_batch_fast(missing, add_special_tokens=False)
        known.update(zip(missing, (encoding.ids for encoding in found), strict=True))
        self._characters += sum(map(len, missing))
        if self._characters > KEPT_CHARACTERS:
            self._known, self._characters = {}, 0  # who reads those before goes on with them
        return known

    def _framed(self, words: Sequence[str], known: dict[str, list[int]]) -> list[int]:
        tokens = [self._first]
        for word in words:
            tokens += known[word]
        del tokens[self._most - 1 :]
        tokens.append(self._last)
        return tokens
