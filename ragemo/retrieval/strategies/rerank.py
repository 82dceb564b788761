"""The nearest examples, put in order anew by a model that reads query and example together.

Source: Nogueira and Cho, "Passage re-ranking with BERT" (2019), with sentence-transformers'
CrossEncoder.
"""

from __future__ import annotations

import os

import numpy as np

from ragemo.errors import ModelError, SettingsError
from ragemo.retrieval.index import Index
from ragemo.retrieval.searcher import Rows
from ragemo.retrieval.strategies import Queries, check_count


class Rerank:
    """The best of the nearest examples by a cross-encoder's score of their target utterances.

    Args:
        index: what is chosen from.
        seed: of nothing here.
        model: a CrossEncoder's name on a hub that this machine reaches, or its folder.
        candidates: how many of the nearest are read, at least 1.

    Raises:
        SettingsError: if no model is named, or `candidates` is below 1.
        ModelError: if the model cannot be loaded.
    """

    def __init__(self, index: Index, *, seed: int, model: str = "", candidates: int = 50) -> None:
        check_count("rerank.candidates", candidates)
        if not model:
            raise SettingsError(
                "the strategy rerank needs a cross-encoder by name or folder: "
                "--set 'retrieval.options={rerank: {model: NAME}}'"
            )
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from sentence_transformers import CrossEncoder

        self._index = index
        self._candidates = candidates
        try:
            self._model = CrossEncoder(model, device="cpu", trust_remote_code=False)
        except Exception as error:
            raise ModelError(
                f"cannot load the cross-encoder {model!r}: {error}; expected a folder, or the "
                "name of one on a hub that this machine reaches"
            ) from None

    def choose(self, queries: Queries, k: int) -> Rows:
        """See `ragemo.retrieval.strategies.Strategy`."""
        near = self._index.search(
            queries.vectors, queries.turns, max(self._candidates, k), queries.guard
        ).rows
        chosen = np.full((len(queries.turns), k), -1, dtype=np.int64)
        for query, (turn, rows) in enumerate(zip(queries.turns, near, strict=True)):
            rows = rows[rows >= 0]
            if not len(rows):
                continue
            pairs = [(turn.text, self._index.turns[row].text) for row in rows]
            scores = np.asarray(
                self._model.predict(pairs, batch_size=32, show_progress_bar=False), dtype=float
            )
            if scores.ndim != 1:
                raise SettingsError(
                    f"the cross-encoder gives {scores.shape[1]} scores for a pair; expected one"
                )
            order = np.lexsort((np.arange(len(rows)), -scores.round(6)))[:k]
            chosen[query, : len(order)] = rows[order]
        return chosen
