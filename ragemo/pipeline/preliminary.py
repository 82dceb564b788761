"""What language models are asked beforehand, to learn what they are worth and how they lean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ragemo.errors import SettingsError
from ragemo.llm.protocol import ModelOutline
from ragemo.pipeline.hints import held_out_hints
from ragemo.pipeline.questions import Question, Seen, prompt_of
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.memory import recall
from ragemo.retrieval.retrieve import Retrieval
from ragemo.retrieval.searcher import Neighbours
from ragemo.retrieval.shared import choose_shared
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.strategies import Queries, choose, load_strategies
from ragemo.retrieval.voters.beliefs import common_belief, votes_of
from ragemo.settings import Settings
from ragemo.types import Demonstration, Turn, Window
from ragemo.voting.weighing import ENOUGH

CONTENTLESS = ("N/A", "[MASK]", "")
"""Texts that say nothing, as Zhao et al. (2021) have them."""

CONTENTLESS_ID = "contentless"
"""Begins the ids of windows that say nothing."""


def checks_of(
    seen: Seen,
    retrieval: Retrieval | None,
    targets: Sequence[str],
    settings: Settings,
    models: Sequence[ModelOutline],
) -> list[Question]:
    """Questions about labelled windows of the index, each with its own dialogue held out.

    The windows are drawn from those that the index's own voters were held out of, so that all
    are tried on the same. A window that is a target itself is not asked about twice. Where the
    weights are given there is nothing to try.
    """
    how, asked = settings.voting, settings.retrieval
    if retrieval is None or how.pool == "majority" or how.weights:
        return []
    index = retrieval.index
    held_out = index.fitted.held_out
    count = min(how.checks, len(targets), len(held_out))
    if count < ENOUGH:  # too few to weigh anybody by
        return []
    rows = np.sort(np.random.default_rng(settings.seed).choice(held_out, count, replace=False))
    own = {t for t, one in zip(targets, retrieval.found, strict=True) if one.own}
    rows = np.array(
        [row for row in rows.tolist() if index.turns[row].utterance_id not in own], dtype=np.int64
    )
    turns = [index.turns[row] for row in rows]
    ids = [turn.utterance_id for turn in turns]
    shown = _shown(index, rows, seen, settings)
    tried = Seen(
        windows={
            turn.utterance_id: index.window(row, len(index.turns))
            for turn, row in zip(turns, rows.tolist(), strict=True)
        },
        labels=seen.labels,
        templates=seen.templates,
        demonstrations=dict(zip(ids, shown, strict=True)),
        memory=dict(
            zip(
                ids,
                recall(
                    index.vectors,
                    index.turns,
                    rows.tolist(),
                    count=asked.memory,
                    context=settings.prompt.context,
                ),
                strict=True,
            )
        ),
        hints=held_out_hints(index, how) if seen.hints else {},
    )
    return [
        Question(prompt_of(tried, utterance, settings, model), position, (0,))
        for position, model in _distinct(models)
        for utterance in ids
    ]


def _shown(
    index: Index, rows: Rows, seen: Seen, settings: Settings
) -> list[tuple[Demonstration, ...]]:
    """The demonstrations of labelled windows of an index, by their rows.

    Where what is shown depends on what the index's voters have learned, they are asked without
    the window's own fold: its label would have swayed them.
    """
    asked, k = settings.retrieval, settings.retrieval.k
    learned = asked.strategy != ("knn",) or any("shares" in t.uses for t in seen.templates.values())
    folds = index.folds(asked.exclude)
    guard = Guard(asked.exclude, asked.exclude_duplicates, asked.near_duplicates)
    turns = [index.turns[row] for row in rows]
    cells = [folds.cell(turn) if learned else () for turn in turns]
    shown: dict[int, tuple[Demonstration, ...]] = {}
    for cell in sorted(set(cells)):
        own = [query for query, other in enumerate(cells) if other == cell]
        part = index.without(~folds.seen(cell), asked.exclude) if learned else index
        strategies = load_strategies(
            asked.strategy, part, seed=settings.seed, options=asked.options
        )
        vectors = index.window_vectors[rows[own]]
        there = [turns[query] for query in own]
        beliefs = common_belief(votes_of(part, there, vectors, guard))
        queries = Queries(there, vectors, beliefs, guard)
        if asked.sets is None or not k:
            found = choose(strategies, part, queries, k)
        else:
            found = choose_shared(strategies, part, queries, k, sets=asked.sets, seed=settings.seed)
        for number, query in enumerate(own):
            context = settings.prompt.demonstration_context
            shown[query] = part.demonstrations(found, number, k, context)
    return [shown[query] for query in range(len(rows))]


def contentless_of(
    seen: Seen,
    retrieval: Retrieval | None,
    settings: Settings,
    models: Sequence[ModelOutline],
) -> list[Question]:
    """Questions about windows that say nothing, with demonstrations drawn by lot.

    Raises:
        SettingsError: if there is an index that has fewer examples than a prompt shows.
    """
    if settings.voting.calibration != "contextual" or settings.voting.pool == "majority":
        return []
    index = retrieval.index if retrieval else None
    examples: Rows = np.zeros(0, dtype=np.int64)
    if retrieval is not None and settings.retrieval.k:
        examples = _foreign(retrieval, settings.retrieval.k)
    questions = []
    rng = np.random.default_rng(settings.seed)
    for number, text in enumerate(CONTENTLESS):
        turn = Turn(f"{CONTENTLESS_ID}-{number}", CONTENTLESS_ID, 0, "", None, text, "")
        shown: tuple[Demonstration, ...] = ()
        if index is not None and settings.retrieval.k:
            drawn = rng.choice(examples, (1, settings.retrieval.k), replace=False)
            shown = index.demonstrations(
                Neighbours(drawn, np.zeros(drawn.shape)),
                0,
                settings.retrieval.k,
                settings.prompt.demonstration_context,
            )
        own = Seen(
            windows={turn.utterance_id: Window((turn,))},
            labels=seen.labels,
            templates=seen.templates,
            demonstrations={turn.utterance_id: shown},
            # Of what says nothing nothing is believed but how frequent the labels are.
            hints={turn.utterance_id: index.prior} if index is not None and seen.hints else {},
        )
        for position, model in _distinct(models):
            prompt = prompt_of(own, turn.utterance_id, settings, model)
            questions.append(Question(prompt, position, tuple(range(settings.llm.samples))))
    return [replace(q, samples=(0,)) if models[q.model].exact else q for q in questions]


def _foreign(retrieval: Retrieval, k: int) -> Rows:
    """The examples to draw from: of dialogues that are not the corpus's own, if there are k.

    Raises:
        SettingsError: if the index has fewer than k examples at all.
    """
    index = retrieval.index
    if len(index.examples) < k:
        raise SettingsError(
            f"voting.calibration contextual draws {k} demonstrations, and the index has "
            f"{len(index.examples)}; use batch"
        )
    foreign = [row for row in index.examples if index.turns[row].dialogue_id not in retrieval.own]
    return np.array(foreign, dtype=np.int64) if len(foreign) >= k else index.examples


def _distinct(models: Sequence[ModelOutline]) -> list[tuple[int, ModelOutline]]:
    """The first model of each name, with its position: one voter each."""
    first = {model.name: position for position, model in reversed(list(enumerate(models)))}
    return [(position, models[position]) for position in sorted(first.values())]
