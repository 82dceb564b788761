"""An embedder in front of another, of which it keeps all but `embed`."""

from __future__ import annotations

from typing import Any

from ragemo.retrieval.embedding.embedder import Embedder


class WrappedEmbedder:
    """Is another embedder to whoever asks, but for `embed`, which it has to add.

    Args:
        embedder: the other one.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def identity(self) -> dict[str, Any]:
        """See `Embedder`."""
        return self._embedder.identity

    @property
    def dimension(self) -> int:
        """See `Embedder`."""
        return self._embedder.dimension
