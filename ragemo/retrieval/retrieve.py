"""For each target: the demonstrations it is shown, and what the index's own voters say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from ragemo.errors import IndexFolderError, SettingsError
from ragemo.progress import Progress, Silent
from ragemo.retrieval.embedding.embedder import Embedder, load_index_embedder
from ragemo.retrieval.folds import Cell, Folds
from ragemo.retrieval.guards import Guard, Mask, words
from ragemo.retrieval.index import Index
from ragemo.retrieval.memory import recall
from ragemo.retrieval.restrict import SAME_CORPUS, Kinship, find_kinship, shut_out
from ragemo.retrieval.shared import choose_shared
from ragemo.retrieval.strategies import Queries, choose, load_strategies
from ragemo.retrieval.vectors import Composition, compose
from ragemo.retrieval.voters.beliefs import common_belief, votes_of
from ragemo.settings import OnlySettings
from ragemo.types import Demonstration, Distribution, Turn

SAME_WEIGHTS = 0.97
"""Cosine of a text's vectors above which the weights count as unchanged: int8 arithmetic differs
a little between processors, other weights differ a lot."""


@dataclass(frozen=True)
class Retrieved:
    """What the index has to say on one target.

    Attributes:
        demonstrations: most wanted first.
        votes: each of the index's voters' distribution over the labels.
        part: which of `Retrieval.parts` gave the demonstrations and the votes.
        own: whether the target's dialogue is one of the index's.
        memory: earlier turns of its dialogue from before the context, oldest first.
        repeated: whether an example that may speak to it has its very words.
    """

    demonstrations: tuple[Demonstration, ...]
    votes: Mapping[str, Distribution]
    part: Cell
    own: bool
    memory: tuple[Turn, ...] = ()
    repeated: bool = False


@dataclass(frozen=True)
class Retrieval:
    """What the index has to say on all targets.

    Attributes:
        index: as it was searched: under the composition asked for, without examples that do not
            count.
        found: one for each target, in order.
        parts: the index, or what of it a target may learn from. Targets whose dialogue (or
            session, or speaker) is none of the index's share a part that leaves nothing out.
        own: ids of the dialogues that the index holds itself.
        notes: what a person should know.
    """

    index: Index
    found: tuple[Retrieved, ...]
    parts: Mapping[Cell, Index]
    own: frozenset[str]
    notes: tuple[str, ...] = ()


def retrieve(
    index: Index,
    embedder: Embedder,
    turns: Sequence[Turn],
    targets: Sequence[int],
    *,
    k: int,
    strategy: Sequence[str] = ("knn",),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    sets: int | None = None,
    seed: int = 0,
    demonstration_context: int = 0,
    memory: int = 0,
    context: int | None = None,
    guard: Guard | None = None,
    only: OnlySettings | None = None,
    leave_out_twins: bool | None = None,
    composition: Composition | None = None,
    neighbours: int | None = None,
    same_corpus: bool = False,
    kinship: Kinship | None = None,
    progress: Progress | None = None,
) -> Retrieval:
    """Search an index for the targets among a corpus's turns, and let its voters vote.

    Args:
        index: the labelled windows.
        embedder: the index's embedder.
        turns: all turns in corpus order; a target's context is what stands before it there.
        targets: rows of `turns`, rising.
        k: demonstrations for each target; the votes may rest on more neighbours.
        strategy: how demonstrations are chosen, see `ragemo.retrieval.strategies`; of several
            each chooses in turn.
        options: of the strategies, by name.
        sets: how many sets of demonstrations there are, see `ragemo.retrieval.shared`; None: each
            target has its own.
        seed: of what a strategy draws.
        demonstration_context: earlier turns shown with each demonstration.
        memory: how many turns from before the context are recalled for each target.
        context: how many of the last turns are shown anyway; None: all.
        guard: what is shut out beside the target's own dialogue. Neither a voter nor a
            demonstration is of the target's own dialogue, session or speaker: voters that
            learned from it are fitted anew without it. Repeated and similar texts are shut out
            of demonstrations and neighbours alone.
        only: which examples count; default: all.
        leave_out_twins: whether dialogues of the index that are conversations of `turns` under
            other ids are left out; default: where the index is of several corpora.
        composition: how a window's vector weighs its context; default: the index's.
        neighbours: how many neighbours vote; default: as many as were fitted.
        same_corpus: whether `turns` are of the very file the index was built from, so that
            equal dialogue ids mean the same dialogue whatever the words.
        kinship: what of the index is also of the corpus, where `turns` are but a part of it.
        progress: told what is being done.

    Raises:
        IndexFolderError: if the embedder is not the index's.
        SettingsError: if what is shut out leaves no example, or a strategy cannot be used.
    """
    progress, guard = progress or Silent(), guard or Guard()
    check_fits(index, embedder)
    index = index.recomposed(composition or index.composition).with_neighbours(neighbours)
    kinship = kinship or find_kinship(index, turns, same_corpus=same_corpus)
    own = kinship.own
    index, notes = _restricted(index, kinship, only, leave_out_twins)
    asked = [turns[row] for row in targets]
    # What was said in the targets' own dialogues, up to the last target.
    dialogues = {turn.dialogue_id for turn in asked}
    last = targets[-1] + 1 if targets else 0
    needed = [row for row in range(last) if turns[row].dialogue_id in dialogues]
    heard = [turns[row] for row in needed]
    places = np.searchsorted(needed, targets)
    with progress.stage("embedding", len({turn.text for turn in heard})) as advance:
        vectors = embedder.embed([turn.text for turn in heard], advance)
    windows = compose(vectors, [turn.dialogue_id for turn in heard], index.composition)
    asked_vectors = windows[places]
    recalled = recall(vectors, heard, places.tolist(), count=memory, context=context)

    folds = index.folds(guard.exclude)
    cells = [folds.cell(turn, own_dialogue=turn.dialogue_id in own) for turn in asked]
    parts = {cell: _part(index, folds, cell, guard) for cell in sorted(set(cells))}
    rows_of: dict[Cell, list[int]] = defaultdict(list)
    for row, cell in enumerate(cells):
        rows_of[cell].append(row)
    found: dict[int, Retrieved] = {}
    with progress.stage("retrieval", len(targets)) as advance:
        for cell, rows in rows_of.items():
            part = parts[cell]
            there = [asked[row] for row in rows]
            votes = votes_of(part, there, asked_vectors[rows], guard)
            strategies = load_strategies(strategy, part, seed=seed, options=options or {})
            queries = Queries(there, asked_vectors[rows], common_belief(votes), guard)
            if sets is None or not k:
                chosen = choose(strategies, part, queries, k)
            else:
                chosen = choose_shared(strategies, part, queries, k, sets=sets, seed=seed)
            for place, row in enumerate(rows):
                found[row] = Retrieved(
                    demonstrations=part.demonstrations(chosen, place, k, demonstration_context),
                    votes={name: tuple(shares[place].tolist()) for name, shares in votes.items()},
                    part=cell,
                    own=asked[row].dialogue_id in own,
                    memory=recalled[row],
                    repeated=part.searcher.guarded.repeats(asked[row], guard.exclude),
                )
            advance(len(rows))
    return Retrieval(
        index, tuple(found[row] for row in range(len(asked))), parts, own, tuple(notes)
    )


def fit_parts(
    index: Index,
    kinship: Kinship,
    *,
    only: OnlySettings | None = None,
    leave_out_twins: bool | None = None,
) -> None:
    """Fit every part of an index that `retrieve` may ask about a corpus; the index keeps them.

    A target's own dialogue is left out, and not its session or speaker.

    Args:
        index: under the composition and with the neighbours that are asked for.
        kinship: of the corpus.
        only, leave_out_twins: see `retrieve`.

    Raises:
        SettingsError: if what is left out is all there is.
    """
    index, _ = _restricted(index, kinship, only, leave_out_twins)
    folds = index.folds("dialogue")
    cells = {folds.cell(turn) for turn in index.turns if turn.dialogue_id in kinship.own}
    for seen in map(folds.seen, sorted(cells)):
        if seen.any():  # else `retrieve` says so, if it comes to that
            _ = index.without(~seen).fitted


def _restricted(
    index: Index,
    kinship: Kinship,
    only: OnlySettings | None,
    leave_out_twins: bool | None,
) -> tuple[Index, list[str]]:
    """The index without examples that do not count, and what there is to say of it."""
    unwanted = np.zeros(len(index.examples), dtype=bool)
    if only is not None:
        unwanted |= shut_out(index, only)
    notes = []
    twin: Mask = np.array([index.turns[r].dialogue_id in kinship.twins for r in index.examples])
    if twin.any():
        dialogues = {index.turns[row].dialogue_id for row in index.examples[twin]}
        several = len({turn.corpus for turn in index.turns}) > 1
        left_out = several if leave_out_twins is None else leave_out_twins
        say = "left out" if left_out else "kept (retrieval.twins: leave-out leaves them out)"
        notes.append(
            f"{len(dialogues)} of the index's dialogues share rare passages with the corpus's; if "
            "they are the same conversations, gold labels of what is predicted are in the index; "
            f"they are {say}"
        )
        if left_out:
            unwanted |= twin
    if unwanted.all():
        raise SettingsError(
            "no example of the index is left: what retrieval.only and retrieval.twins leave out "
            "is all there is"
        )
    return (index.without(unwanted) if unwanted.any() else index), notes


def _part(index: Index, folds: Folds, cell: Cell, guard: Guard) -> Index:
    """What of an index may speak to the windows of a cell."""
    seen = folds.seen(cell)
    if not seen.any():
        raise SettingsError(
            f"leaving out a target's own {guard.exclude} leaves no labelled window to learn from; "
            f"the index needs a second {guard.exclude}"
        )
    if seen.all() and guard.exclude == index.exclude:
        return index
    return index.without(~seen, guard.exclude)


def same_words(pairs: Sequence[tuple[Turn, Turn]]) -> bool:
    """Whether turns of one id are of the same recording, judged by their words on the whole."""
    shares = []
    for one, other in pairs:
        ours, theirs = (set(words(turn.text)) for turn in (one, other))
        if ours | theirs:
            shares.append(len(ours & theirs) / len(ours | theirs))
    return not shares or fmean(shares) >= SAME_CORPUS


def search_text(
    index: Index, text: str, k: int, say: Callable[[str], None] = lambda line: None
) -> tuple[Demonstration, ...]:
    """The k labelled windows most similar to a text that nothing was said before."""
    embedder = load_index_embedder(index.embedder, say=say)
    check_fits(index, embedder)
    query = compose(embedder.embed([text]), [""], index.composition)
    found = index.search(query, [Turn("", "", 0, "", None, text, "")], k)
    return index.demonstrations(found, 0, k, 0)


def probing_row(index: Index) -> int | None:
    """The row of the utterance that an embedder is tried on; None if all are blank."""
    return next((row for row, turn in enumerate(index.turns) if turn.text.strip()), None)


def check_identity(wanted: Mapping[str, Any], embedder: Embedder) -> None:
    """Refuse a query side whose embedder is another one by name.

    Args:
        wanted: `Index.embedder`.
        embedder: the query side's.

    Raises:
        IndexFolderError: saying what differs.
    """
    if embedder.identity != wanted:
        keys = sorted(set(embedder.identity) | set(wanted))
        differing = [
            f"{key} {embedder.identity.get(key)!r} (index: {wanted.get(key)!r})"
            for key in keys
            if embedder.identity.get(key) != wanted.get(key)
        ]
        raise IndexFolderError(
            f"the query's embedder is not the index's: {'; '.join(differing)}. Use the index's "
            "embedder, or build the index anew"
        )


def check_fits(index: Index, embedder: Embedder) -> None:
    """Refuse a query side that embeds otherwise than the index was.

    Beside the names, the vector of one stored utterance is computed again: weights can change
    under a name.

    Raises:
        IndexFolderError: saying what differs.
    """
    check_identity(index.embedder, embedder)
    row = probing_row(index)
    if row is not None:
        stored, again = index.vectors[row], embedder.embed([index.turns[row].text])[0]
        if stored.shape != again.shape:
            difference = f"{len(again)} dimensions, the index has {len(stored)}"
        elif (cosine := float(again @ stored)) < SAME_WEIGHTS:
            difference = f"cosine {cosine:.3f}"
        else:
            return
        raise IndexFolderError(
            f"the embedder {index.embedder['name']!r} gives another vector than when the index "
            f"was built ({difference}): its weights have changed. Build the index anew"
        )
