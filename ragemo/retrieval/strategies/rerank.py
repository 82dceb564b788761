"""The nearest examples, put in order anew by a model that reads query and example together.

After the examples that it has read the nearest others follow.

Source: Nogueira and Cho, "Passage re-ranking with BERT" (2019), with sentence-transformers'
CrossEncoder.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np

from ragemo.errors import ModelError, SettingsError
from ragemo.retrieval.index import Index
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.strategies import Queries, check_count, filled


class Rerank:
    """The best of the nearest examples by a cross-encoder's score of their target utterances.

    Args:
        index: what is chosen from.
        seed: of nothing here.
        model: a CrossEncoder's name on a hub that this machine reaches, or its folder.
        candidates: how many of the nearest are read, at least 1.

    Raises:
        SettingsError: if `model` is no text or empty, or `candidates` is below 1.
        ModelError: if the model cannot be loaded.
    """

    def __init__(self, index: Index, *, seed: int, model: str = "", candidates: int = 50) -> None:
        check_count("rerank.candidates", candidates)
        if not isinstance(model, str) or not model:
            raise SettingsError(
                "the strategy rerank needs a cross-encoder by name or folder, found "
                f"{model!r}: --set 'retrieval.options={{rerank: {{model: NAME}}}}'"
            )
        self._index = index
        self._candidates = candidates
        self._model = _cross_encoder(model)

    def choose(self, queries: Queries, k: int) -> Rows:
        """See `ragemo.retrieval.strategies.Strategy`."""
        near = self._index.search(
            queries.vectors, queries.turns, self._candidates, queries.guard
        ).rows
        chosen: list[list[int]] = []
        for turn, rows in zip(queries.turns, near, strict=True):
            rows = rows[rows >= 0]
            if not len(rows):
                chosen.append([])
                continue
            pairs = [(turn.text, self._index.turns[row].text) for row in rows]
            scores = np.asarray(
                self._model.predict(pairs, batch_size=32, show_progress_bar=False), dtype=float
            )
            if scores.ndim != 1:
                raise SettingsError(
                    f"the cross-encoder gives {scores.shape[1]} scores for a pair; expected one"
                )
            order = np.lexsort((np.arange(len(rows)), -scores.round(6)))
            chosen.append(rows[order].tolist())
        return filled(self._index, queries, chosen, k)


@cache  # a run has a strategy for each part of its index, and they all read with one model
def _cross_encoder(model: str) -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from sentence_transformers import CrossEncoder

    try:
        return CrossEncoder(model, device="cpu", trust_remote_code=False)
    except Exception as error:
        raise ModelError(
            f"cannot load the cross-encoder {model!r}: {error}; expected a folder, or the "
            "name of one on a hub that this machine reaches"
        ) from None
