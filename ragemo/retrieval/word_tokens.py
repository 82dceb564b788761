"""Texts cut into tokens, each distinct word once.

BERT's tokeniser makes every character plain by itself, parts a text at blanks and marks, and cuts
each word alone. So a text's tokens are those of its words in a row, and conversations say the same
words again and again. The tokeniser cuts the words; it is never asked about one that is known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""Tokens that the tokeniser finds in a text before it looks at words."""

MARKS = r"!-/:-@\[-`{-~"
"""The marks of ASCII, each of which is a word of its own."""

WORD = re.compile(rf"{'|'.join(map(re.escape, SPECIAL))}|[{MARKS}]|[^ {MARKS}]+")
"""What surely lies between two places where the tokeniser parts a text; it may part it further."""

KEPT_WORDS = 50_000
"""Words whose tokens are kept (10 MB)."""


class WordTokens:
    """A tokeniser of BERT's kind that remembers words.

    Args:
        tokenizer: of `tokenizers`, without padding.
        most: longer texts are cut to so many tokens, first and last one included.
    """

    def __init__(self, tokenizer: Any, most: int) -> None:
        self.tokenizer = tokenizer
        self._most = most
        self._known: dict[str, list[int]] = {}
        self._first, self._last = tokenizer.encode("").ids

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, those that begin and end it included.

        Raises:
            TypeError: if a text holds half a pair of surrogates, which is no character.
        """
        words = [WORD.findall(text) for text in texts]
        known = self._knowing({word for own in words for word in own})
        return [self._framed(own, known) for own in words]

    def _knowing(self, words: set[str]) -> dict[str, list[int]]:
        """The tokens of words, and of others."""
        if len(self._known) > KEPT_WORDS:
            self._known = {}  # another thread may still read the one before
        known = self._known
        missing = [word for word in words if word not in known]
        found = self.tokenizer.encode_batch_fast(missing, add_special_tokens=False)
        known.update(zip(missing, (encoding.ids for encoding in found), strict=True))
        return known

    def _framed(self, words: Sequence[str], known: dict[str, list[int]]) -> list[int]:
        tokens = [self._first]
        for word in words:
            tokens += known[word]
        del tokens[self._most - 1 :]
        tokens.append(self._last)
        return tokens
