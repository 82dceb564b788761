"""What language models are asked beforehand, to learn what they are worth and how they lean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ragemo.errors import SettingsError
from ragemo.llm.protocol import LanguageModel
from ragemo.pipeline.hints import held_out_hints
from ragemo.pipeline.questions import Question, Seen, prompt_of
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.memory import recall
from ragemo.retrieval.retrieve import Retrieval, common_belief
from ragemo.retrieval.searcher import Neighbours
from ragemo.retrieval.strategies import Queries, choose, load_strategies
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
    models: Sequence[LanguageModel],
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
    place = np.searchsorted(held_out, rows)
    queries = Queries(
        turns,
        index.window_vectors[rows],
        common_belief({name: votes[place] for name, votes in index.fitted.votes.items()}),
        Guard(asked.exclude, asked.exclude_duplicates, asked.near_duplicates),
    )
    strategies = load_strategies(asked.strategy, index, seed=settings.seed, options=asked.options)
    found = choose(strategies, index, queries, asked.k)
    tried = Seen(
        windows={
            turn.utterance_id: index.window(row, len(index.turns))
            for turn, row in zip(turns, rows.tolist(), strict=True)
        },
        labels=seen.labels,
        templates=seen.templates,
        demonstrations={
            turn.utterance_id: index.demonstrations(
                found, query, asked.k, settings.prompt.demonstration_context
            )
            for query, turn in enumerate(turns)
        },
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
        Question(
            prompt_of(tried, utterance, settings, model),
            position,
            (0,),
        )
        for position, model in _distinct(models)
        for utterance in ids
    ]


def contentless_of(
    seen: Seen,
    retrieval: Retrieval | None,
    settings: Settings,
    models: Sequence[LanguageModel],
) -> list[Question]:
    """Questions about windows that say nothing, with demonstrations drawn by lot.

    Raises:
        SettingsError: if there is an index that has fewer examples than a prompt shows.
    """
    if settings.voting.calibration != "contextual" or settings.voting.pool == "majority":
        return []
    index = retrieval.index if retrieval else None
    questions = []
    rng = np.random.default_rng(settings.seed)
    for number, text in enumerate(CONTENTLESS):
        turn = Turn(f"{CONTENTLESS_ID}-{number}", CONTENTLESS_ID, 0, "", None, text, "")
        shown: tuple[Demonstration, ...] = ()
        if index is not None and settings.retrieval.k:
            if len(index.examples) < settings.retrieval.k:
                raise SettingsError(
                    f"voting.calibration contextual draws {settings.retrieval.k} demonstrations, "
                    f"and the index has {len(index.examples)}; use batch"
                )
            drawn = rng.choice(index.examples, (1, settings.retrieval.k), replace=False)
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


def _distinct(models: Sequence[LanguageModel]) -> list[tuple[int, LanguageModel]]:
    """The first model of each name, with its position: one voter each."""
    first = {model.name: position for position, model in reversed(list(enumerate(models)))}
    return [(position, models[position]) for position in sorted(first.values())]
