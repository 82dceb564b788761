"""Texts of equally many tokens are put into batches, which need no padding then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BATCH_TOKENS = 384
"""Tokens of a batch, all texts together: enough to keep a core busy, few enough for its cache."""


@dataclass(frozen=True)
class TokenBatch:
    """Texts of equally many tokens.

    Attributes:
        rows: of the texts, shape (B,).
        tokens: shape (B, tokens).
    """

    rows: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]


class TokenBatches:
    """Gathers texts that come in blocks: a batch is given out when it is full.

    So blocks make no more batches than all texts at once, if the rest is asked for at the end only.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, list[tuple[int, list[int]]]] = {}

    def add(self, first: int, tokens: Sequence[list[int]]) -> list[TokenBatch]:
        """Take texts by their tokens; the batches that they fill.

        Args:
            first: the first one's row.
            tokens: of each, one or more.
        """
        full = []
        for row, ids in enumerate(tokens, first):
            own = self._waiting.setdefault(len(ids), [])
            own.append((row, ids))
            if (len(own) + 1) * len(ids) > BATCH_TOKENS:
                full.append(_batch(self._waiting.pop(len(ids))))
        return full

    def rest(self) -> list[TokenBatch]:
        """The batches that nothing has filled, the longest texts first."""
        lengths = sorted(self._waiting, reverse=True)
        return [_batch(self._waiting.pop(length)) for length in lengths]


def _batch(texts: Sequence[tuple[int, list[int]]]) -> TokenBatch:
    rows, tokens = zip(*texts, strict=True)
    return TokenBatch(np.array(rows), np.array(tokens))
