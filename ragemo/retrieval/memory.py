"""Far-back turns of the same conversation, recalled because they are like the present one.

The last few turns are shown as context anyway. In a long conversation what matters may have
been said long before; the turns most similar to the target are fetched back, as text without
any label. Only turns before the target are looked at, so the rule that nothing later is seen
holds by construction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.types import Turn


def recall(
    vectors: Vectors,
    turns: Sequence[Turn],
    targets: Sequence[int],
    *,
    count: int,
    context: int | None,
) -> list[tuple[Turn, ...]]:
    """For each target the turns recalled, oldest first.

    Args:
        vectors: utterance vectors, shape (at least max(targets) + 1, d).
        turns: all turns in corpus order.
        targets: rows of `turns`.
        count: how many are recalled at most.
        context: how many of the last turns are shown anyway; None: all of them.

    Turns without words are passed over; of equally similar ones the later is taken.
    """
    if not count:
        return [()] * len(targets)
    recalled: list[tuple[Turn, ...]] = []
    for target in targets:
        first = target
        while first > 0 and turns[first - 1].dialogue_id == turns[target].dialogue_id:
            first -= 1
        last = first if context is None else target - context
        rows = np.array(
            [row for row in range(first, last) if turns[row].text.strip()], dtype=np.int64
        )
        similarities = (vectors[rows].astype(np.float64) @ vectors[target]).round(6)
        kept = rows[np.lexsort((-rows, -similarities))[:count]]
        recalled.append(tuple(turns[row] for row in np.sort(kept).tolist()))
    return recalled
