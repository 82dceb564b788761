"""Invented predictions shared by the scoring tests."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hypothesis import strategies as st

from ragemo.labels import LabelSet
from ragemo.scoring.predictions import Predictions, ScoredUtterance

LABELS = LabelSet.from_dict({"name": "five", "labels": ["neutral", "joy", "sad", "anger", "fear"]})

pairs = st.lists(
    st.tuples(
        st.sampled_from(LABELS.names),
        st.sampled_from([*LABELS.names, None]),
        st.integers(0, 6),
    ),
    min_size=1,
    max_size=60,
)
"""(gold, predicted or None, dialogue) of each utterance."""


def utterances(rows: list[tuple[str, str | None, int]]) -> list[ScoredUtterance]:
    return [
        ScoredUtterance(f"u{i}", f"d{dialogue}", gold, predicted, invalid=predicted is None)
        for i, (gold, predicted, dialogue) in enumerate(rows)
    ]


def invented(
    count: int, dialogues: int, right: float = 0.6, labels: LabelSet = LABELS
) -> list[ScoredUtterance]:
    """Predictions with distributions; about one in thirty has no label."""
    dice = random.Random(count * 1009 + dialogues)
    weights = [4.0] + [1.0] * (len(labels) - 1)
    made = []
    for i in range(count):
        gold = dice.choices(labels.names, weights)[0]
        predicted = gold if dice.random() < right else dice.choice(labels.names)
        place = (f"u{i}", f"d{i * dialogues // count}", gold)
        if dice.random() < 1 / 30:
            made.append(ScoredUtterance(*place, None, invalid=True))
            continue
        raw = [dice.random() + 2 * (name == predicted) for name in labels.names]
        distribution = tuple(value / sum(raw) for value in raw)
        made.append(ScoredUtterance(*place, predicted, distribution))
    return made


def predictions(rows: Iterable[ScoredUtterance], labels: LabelSet = LABELS) -> Predictions:
    return Predictions.of(rows, labels)
