"""Strategies: which labelled windows are shown for a query, and which first.

A strategy is a class with the members of `Strategy` in a file of its own, and a line in
`STRATEGIES`. It is made for one index and asked about many queries. It chooses among the
examples that a query may see; that it did is checked afterwards, whatever it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from typing import Any, Protocol

import numpy as np

from ragemo.errors import SettingsError
from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.searcher import Neighbours
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.voters.neighbours import Floats
from ragemo.types import Turn

STRATEGIES: dict[str, str] = {
    "knn": "ragemo.retrieval.strategies.knn:Knn",
    "hybrid": "ragemo.retrieval.strategies.hybrid:Hybrid",
    "mmr": "ragemo.retrieval.strategies.mmr:Mmr",
    "dpp": "ragemo.retrieval.strategies.dpp:Dpp",
    "balanced": "ragemo.retrieval.strategies.balanced:Balanced",
    "emotion": "ragemo.retrieval.strategies.emotion:Emotion",
    "ambiguous": "ragemo.retrieval.strategies.ambiguous:Ambiguous",
    "rerank": "ragemo.retrieval.strategies.rerank:Rerank",
    "vote-k": "ragemo.retrieval.strategies.vote_k:VoteK",
    "random": "ragemo.retrieval.strategies.random:Random",
}
"""Name -> where its class is."""


@dataclass(frozen=True)
class Queries:
    """Windows that examples are chosen for.

    Attributes:
        turns: the n target turns.
        vectors: composed window vectors, shape (n, 2 d).
        beliefs: what the index's voters together say of them, shape (n, L); no voter has
            learned from a query's own dialogue.
        guard: what is shut out beside a query's own dialogue.
    """

    turns: Sequence[Turn]
    vectors: Vectors
    beliefs: Floats
    guard: Guard


class Strategy(Protocol):
    """A way to choose examples. Its class is made with (index, seed=, and options by name)."""

    def choose(self, queries: Queries, k: int) -> Rows:
        """Rows of the index's utterances, shape (n, k), the most wanted first.

        Each is an example that the query may see (`Index.search` gives such, `Index.allowed`
        tells), none comes twice for a query, and a query's do not depend on the other queries.
        Where fewer than k are allowed, -1 stands in the last places.

        Whoever asks for more gets the same ones first: for n > k the first k of
        `choose(queries, n)` are `choose(queries, k)`, so that prompts with further examples
        begin alike. (What an approximate index finds may change with how many are sought.)
        """
        ...


def load_strategies(
    names: Sequence[str], index: Index, *, seed: int, options: Mapping[str, Mapping[str, Any]]
) -> list[Strategy]:
    """Strategies by name, for one index.

    Args:
        names: of `STRATEGIES`.
        index: what is chosen from.
        seed: of what is drawn.
        options: strategy -> its options by name.

    Raises:
        SettingsError: if there is no such strategy or option, options are of a strategy that is
            not among `names`, or a value cannot be used.
    """
    for name in [*names, *options]:
        if name not in STRATEGIES:
            raise SettingsError(
                f"no retrieval strategy {name!r}: expected one of {', '.join(STRATEGIES)}"
            )
    for name in options:
        if name not in names:
            raise SettingsError(
                f"retrieval.options.{name}: options of a strategy that is not used; "
                f"retrieval.strategy is {', '.join(names)}: add {name} there, or leave them out"
            )
    strategies = []
    for name in names:
        module, _, class_name = STRATEGIES[name].partition(":")
        strategy_class = getattr(import_module(module), class_name)
        own = options.get(name, {})
        known = [option for option in signature(strategy_class).parameters if option not in _GIVEN]
        for option in own:
            if option not in known:
                raise SettingsError(
                    f"retrieval.options.{name}: no option {option!r}; expected "
                    f"{'one of ' + ', '.join(known) if known else 'none'}"
                )
        strategies.append(strategy_class(index, seed=seed, **own))
    return strategies


_GIVEN = ("index", "seed")
"""What a strategy is made with beside its options."""


def choose(strategies: Sequence[Strategy], index: Index, queries: Queries, k: int) -> Neighbours:
    """What the strategies choose, by turns, with their similarities to each query.

    Raises:
        SettingsError: if a strategy chose what a query may not see.
    """
    chosen = [strategy.choose(queries, k) for strategy in strategies]
    in_turn = np.stack(chosen, axis=2).reshape(len(queries.turns), k * len(chosen))
    rows = np.full((len(queries.turns), k), -1, dtype=np.int64)
    for query, wanted in enumerate(in_turn.tolist()):
        own = [row for row in dict.fromkeys(wanted) if row >= 0][:k]
        rows[query, : len(own)] = own
    _check(index, rows, queries)
    return Neighbours(rows, index.searcher.similarities(rows, queries.vectors))


def best(index: Index, queries: Queries, query: int, scores: Floats, k: int) -> Rows:
    """The k examples of the highest scores that one query may see, highest first; shape (k,).

    Args:
        index, queries, k: as everywhere.
        query: which of the queries.
        scores: of all examples, shape (len(index.examples),); ties go to the first example.
    """
    allowed = np.flatnonzero(index.allowed(queries.turns[query], queries.guard))
    own = scores[allowed]
    if 0 < k < len(own):  # those above the k-th score, and all that have it
        near = own >= np.partition(own, len(own) - k)[len(own) - k]
        allowed, own = allowed[near], own[near]
    order = np.lexsort((allowed, -own))[:k]
    return padded(index.examples[allowed[order]], k)


def filled(index: Index, queries: Queries, chosen: Sequence[Sequence[int]], k: int) -> Rows:
    """What was chosen for each query, then the nearest others that it may see; shape (n, k)."""
    missing = any(len(own) < k for own in chosen)
    nearest = index.search(queries.vectors, queries.turns, k * missing, queries.guard).rows
    rows = np.empty((len(queries.turns), k), dtype=np.int64)
    for query, own in enumerate(chosen):
        in_order = dict.fromkeys([*own, *nearest[query].tolist()])
        found = [row for row in in_order if row >= 0]
        rows[query] = padded(np.array(found, dtype=np.int64), k)
    return rows


def check_count(option: str, value: object) -> None:
    """Refuse what is not a whole number of 1 or above; `option` such as "mmr.candidates"."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(
            f"retrieval.options.{option}: {value!r}, expected a whole number of 1 or above"
        )


def check_number(option: str, value: object, most: float) -> None:
    """Refuse what is not a number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise SettingsError(
            f"retrieval.options.{option}: {value!r}, expected a number from 0 to {most:g}"
        )


def padded(rows: Rows, k: int) -> Rows:
    """`rows` with -1 in the places up to k."""
    return np.concatenate([rows[:k], np.full(max(k - len(rows), 0), -1, dtype=np.int64)])


def _check(index: Index, rows: Rows, queries: Queries) -> None:
    """Refuse what a query may not see among the rows chosen for each; -1 is nothing chosen."""
    positions = np.searchsorted(index.examples, rows)
    known = positions < len(index.examples)
    known[known] = index.examples[positions[known]] == rows[known]
    positions[~known] = -1
    allowed = index.searcher.guarded.allowed_of_each(positions, queries.turns, queries.guard)
    if (wrong := ((rows >= 0) & ~allowed).any(axis=1)).any():
        turn = queries.turns[int(wrong.argmax())]
        raise SettingsError(
            f"a retrieval strategy chose an example for {turn.utterance_id!r} that it may not "
            "see; a strategy has to choose among what Index.search and Index.allowed give"
        )
