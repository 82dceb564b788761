"""An embedder that embeds no text twice, for whoever asks about the same texts again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ragemo.retrieval.embedding.embedder import Embedder, Vectors
from ragemo.retrieval.embedding.wrapped import WrappedEmbedder


class RememberingEmbedder(WrappedEmbedder):
    """Vectors are kept in memory; a text's vector does not depend on the others.

    Args:
        embedder: asked for what is not known.
        known: text -> vector, of what is.
        most: so many texts are kept, the first ones; None: all. With minilm 100,000 take 150 MB.
    """

    def __init__(
        self,
        embedder: Embedder,
        known: Mapping[str, Vectors] | None = None,
        *,
        most: int | None = None,
    ) -> None:
        super().__init__(embedder)
        self._known: dict[str, Vectors] = dict(known or {})
        self._most = most

    @property
    def known(self) -> Mapping[str, Vectors]:
        """Text -> vector, of all that is kept."""
        return self._known

    def embed(
        self, texts: Sequence[str], progress: Callable[[int], None] = lambda done: None
    ) -> Vectors:
        """See `Embedder.embed`."""
        distinct = dict.fromkeys(texts)
        new = [text for text in distinct if text not in self._known]
        progress(len(distinct) - len(new))
        found = dict(zip(new, self._embedder.embed(new, progress), strict=True)) if new else {}
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = found[text] if text in found else self._known[text]
        if self._most is None or len(self._known) + len(found) <= self._most:
            self._known |= found
        return vectors
