"""Other indexes made of one: nothing is embedded again, and what stays the same is shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ragemo.errors import SettingsError
from ragemo.retrieval.guards import Mask
from ragemo.retrieval.searcher import Searcher
from ragemo.retrieval.stores import EXACT, FarVectors, Rows
from ragemo.retrieval.stores.factory import Factory
from ragemo.retrieval.vectors import Composition

if TYPE_CHECKING:
    from ragemo.retrieval.index import Index
    from ragemo.retrieval.voters.fitting import FittedVoters

KEPT_PARTS = 8
"""Indexes without some examples that are kept: blocks of a stream ask for the same again and again,
one for each fold if its dialogues are the index's own."""


@dataclass
class Known:
    """What an index need not make again: its voters, and others that were made of it.

    Attributes:
        fitted: its voters; None: nobody has asked for them.
        lent: the voters of one with another number of neighbours. What does not depend on that
            need not be fitted again.
        alike: the voters of one with other window vectors, likewise.
        recomposed: the last one under another composition.
        reduced: those without some examples by what was left out, the last one asked for last.
    """

    fitted: FittedVoters | None = None
    lent: FittedVoters | None = None
    alike: FittedVoters | None = None
    recomposed: Index | None = None
    reduced: dict[tuple[bytes, str, int | None], Index] = field(default_factory=dict)


def recomposed(index: Index, composition: Composition) -> Index:
    """The same utterances under another weight, decay or length; nothing is embedded.

    The last one is kept, so that who asks for it again need not wait for its voters.
    """
    if composition == index.composition:
        return index
    known = index.known
    if known.recomposed is None or known.recomposed.composition != composition:
        known.recomposed = _changed(index, index.gold, composition, index.exclude, index.chosen)
        known.recomposed.known.alike = known.fitted or known.lent
        known.recomposed.cuts = index.cuts
    return known.recomposed


def with_neighbours(index: Index, count: int | None) -> Index:
    """The same index with so many neighbours voting, at least 0; None: as many as are fitted.

    What does not depend on it (the other voters, searches) is shared.
    """
    if count == index.neighbours:
        return index
    from ragemo.retrieval.voters.fitting import fit_voters, refit_neighbours

    other = copy(index)
    other.neighbours = count
    known = index.known.fitted or index.known.lent
    if known is None:
        fitted = index.known.lent = fit_voters(other, index.known.alike)
    else:
        fitted = refit_neighbours(other, known)
    other.known = replace(index.known, fitted=fitted, recomposed=None)
    vars(index).setdefault("soft_labels", other.soft_labels)
    other.__dict__.pop("fingerprint", None)  # it tells the voters, too
    return other


def without(index: Index, left_out: Mask, exclude: str = "dialogue") -> Index:
    """The exact index that would have been built if some examples had borne no label.

    The last ones are kept, see `KEPT_PARTS`.

    Args:
        index: the whole.
        left_out: which examples, shape (len(examples),); they stay as context.
        exclude: what a held-out window may not share with what a voter learned from, see
            `ragemo.retrieval.folds`.
    """
    key, reduced = (left_out.tobytes(), exclude, index.neighbours), index.known.reduced
    part = reduced.pop(key, None)
    if part is None:
        gold = list(index.gold)
        for row in index.examples[left_out].tolist():
            gold[row] = None
        # Exact whatever the whole's factory: that was chosen for more windows, FAISS may not
        # be able to train it on these ("IVF700" on fewer), and a run would wait for each part.
        part = _changed(index, gold, index.composition, exclude, EXACT)
        while len(reduced) >= KEPT_PARTS:
            del reduced[next(iter(reduced))]
    reduced[key] = part
    return part


def apart(index: Index, searching: Callable[[Rows], FarVectors]) -> Index:
    """The same index without its vectors, which are searched elsewhere.

    It finds the same neighbours, and its voters say the same; so do its parts that are kept,
    see `without`. Nothing else can be fitted on it.

    Args:
        index: the whole.
        searching: what searches the vectors of some rows, rising.
    """
    other = copy(index)
    vars(other)["fingerprint"] = index.fingerprint
    vars(other)["soft_labels"] = index.soft_labels
    parts = {key: apart(part, searching) for key, part in index.known.reduced.items()}
    other.known = Known(fitted=index.fitted, reduced=parts)
    other.label_searchers = {}
    # The first is kept that is not blank: an embedder is tried on it.
    tried = next((row for row, turn in enumerate(index.turns) if turn.text.strip()), 0)
    other.vectors = index.vectors[: tried + 1]
    other.window_vectors = index.window_vectors[:0]
    far, guarded = searching(index.examples), index.searcher.guarded
    other.searcher = Searcher(far, index.turns, index.examples, guarded=guarded)
    return other


def _changed(
    index: Index,
    gold: Sequence[str | None],
    composition: Composition,
    exclude: str,
    factory: Factory | str,
) -> Index:
    from ragemo.retrieval.index import Index  # it takes its words from here

    if len(index.window_vectors) < len(index.turns):
        raise SettingsError(
            "voters have to be fitted anew, and the index's vectors lie in pieces; go on "
            "without --index-shards"
        )
    return Index(
        turns=index.turns,
        gold=gold,
        vectors=index.vectors,
        labels=index.labels,
        composition=composition,
        embedder=index.embedder,
        transcript=index.transcript,
        corpus=index.corpus,
        factory=factory,
        window_vectors=index.window_vectors if composition == index.composition else None,
        exclude=exclude,
        neighbours=index.neighbours,
        guarded=index.searcher.guarded if gold is index.gold else None,
    )
