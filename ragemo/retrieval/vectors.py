"""Window vectors composed from utterance vectors, so context costs no embedding.

With u_i the unit vector of utterance i of a dialogue, the context of i is the decayed sum of
the turns before it, and the window's vector joins both by a weight a:

    c_i = normalise( sum_{j=1..n} d^(j-1) u_{i-j} )
    w_i = [ sqrt(1-a) u_i , sqrt(a) c_i ]

The inner product of two windows is then (1-a) cos(u, u') + a cos(c, c'): plain inner-product
search serves it, and any length n, decay d and weight a are free once the utterances are
embedded. Text glued together drowns the target in its context; its own vector does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ragemo.cores import cores
from ragemo.errors import ModelError, SettingsError
from ragemo.retrieval.embedding.embedder import Vectors

COMPOSED_AT_ONCE = 512
"""So many windows are composed at a time: they and the turns before them stay in the cache."""

LARGEST = 1e6
"""A vector's numbers are no larger. Those of a unit vector are 1 at most, which an embedder of
somebody's own may not care about; with far larger ones similarities are no numbers any more."""


@dataclass(frozen=True)
class Composition:
    """How a window's vector weighs its context.

    Attributes:
        weight: a, the context's share of the similarity, in [0, 1).
        decay: d, the weight of a turn against the next one, in (0, 1].
        length: n, how many earlier turns count, at least 0.

    Raises:
        SettingsError: if a value is out of its range.
    """

    weight: float = 0.3
    decay: float = 0.6
    length: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.weight < 1:
            raise SettingsError(f"context weight {self.weight}: expected 0 <= weight < 1")
        if not 0 < self.decay <= 1:
            raise SettingsError(f"context decay {self.decay}: expected 0 < decay <= 1")
        if self.length < 0:
            raise SettingsError(f"context length {self.length}: expected 0 or more turns")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for manifests."""
        return {"weight": self.weight, "decay": self.decay, "length": self.length}


def compose(vectors: Vectors, dialogue_ids: Sequence[str], how: Composition) -> Vectors:
    """Window vectors of all utterances.

    Args:
        vectors: utterance vectors in corpus order, shape (n, d); a dialogue's rows are adjacent.
        dialogue_ids: the dialogue of each row, length n.
        how: weight, decay and length of the context.

    Returns:
        Shape (n, 2 d), float32. A row depends on its own and earlier rows of its dialogue only.

    Raises:
        ModelError: if a vector holds what is no number, or a far too large one.
    """
    count, dimension = vectors.shape
    starts = np.zeros(count, dtype=np.int64)
    for row in range(1, count):
        starts[row] = starts[row - 1] if dialogue_ids[row] == dialogue_ids[row - 1] else row
    before: npt.NDArray[np.int64] = np.arange(count) - starts
    _check_numbers(vectors, before, dialogue_ids)
    deepest = min(how.length, int(before.max(initial=0)))
    composed = np.empty((count, 2 * dimension), dtype=np.float32)

    def fill(start: int) -> None:
        part = slice(start, start + COMPOSED_AT_ONCE)
        context = np.zeros_like(vectors[part])
        for back in range(1, deepest + 1):
            rows = np.flatnonzero(before[part] >= back)
            context[rows] += np.float32(how.decay ** (back - 1)) * vectors[start + rows - back]
        norms = np.linalg.norm(context, axis=1, keepdims=True)
        np.divide(context, norms, out=context, where=norms > 0)
        composed[part, :dimension] = np.float32(np.sqrt(1 - how.weight)) * vectors[part]
        composed[part, dimension:] = np.float32(np.sqrt(how.weight)) * context

    if count <= COMPOSED_AT_ONCE:  # threads would take longer to begin
        fill(0)
        return composed
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(fill, range(0, count, COMPOSED_AT_ONCE)))  # raises what a part raised
    return composed


def _check_numbers(
    vectors: Vectors, before: npt.NDArray[np.int64], dialogue_ids: Sequence[str]
) -> None:
    """Raise a ModelError if a vector holds what is no number, or too large a one; see `compose`."""
    for start in range(0, len(vectors), COMPOSED_AT_ONCE):
        some = vectors[start : start + COMPOSED_AT_ONCE]
        # What is no number is not within any bounds, and the least and largest of all then.
        if some.size and not (some.min() >= -LARGEST and some.max() <= LARGEST):
            row, place = np.argwhere(~(np.abs(some) <= LARGEST))[0]
            raise ModelError(
                f"the vector of turn {before[start + row] + 1} of dialogue "
                f"{dialogue_ids[start + row]!r} holds {some[row, place]:g}, expected a unit "
                "vector; look at the embedder that gave it, or build anew the index that it lies in"
            )
