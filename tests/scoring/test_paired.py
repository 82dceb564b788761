import random

import numpy as np
import pytest

from ragemo.errors import DataError
from ragemo.scoring.paired import paired_differences
from ragemo.scoring.score import score
from tests.scoring.inputs import LABELS, invented, predictions, utterances


def test_differences_are_those_of_the_two_scores():
    one, other = invented(200, 20, right=0.7), invented(200, 20, right=0.7)
    golds = {u.id: (u.dialogue_id, u.gold) for u in one}
    other = [u for u in invented(200, 20, right=0.4) if golds[u.id] == (u.dialogue_id, u.gold)]
    one = [u for u in one if u.id in {v.id for v in other}]
    found = paired_differences(predictions(one), predictions(other))
    first, second = (score(predictions(s), training_counts=None) for s in (one, other))
    for name, difference in found.items():
        assert difference.difference == pytest.approx(first.metrics[name] - second.metrics[name])
        assert difference.low <= difference.difference <= difference.high


def test_a_system_differs_from_itself_by_nothing():
    system = invented(100, 10)
    for difference in paired_differences(predictions(system), predictions(system)).values():
        assert (difference.difference, difference.low, difference.high) == (0, 0, 0)


def test_what_is_hard_for_both_cancels_out():
    """Dialogues that are all right or all wrong make each interval wide, the difference narrow."""
    dice = random.Random(0)
    rows, better = [], []
    for dialogue in range(40):
        hard = dice.random() < 0.5
        for turn in range(10):
            gold = dice.choice(LABELS.names)
            wrong = dice.choice([name for name in LABELS.names if name != gold])
            rows.append((gold, wrong if hard else gold, dialogue))
            better.append((gold, gold if turn == 0 else rows[-1][1], dialogue))
    one, other = utterances(better), utterances(rows)
    found = paired_differences(predictions(one), predictions(other))["accuracy"]
    low, high = score(predictions(one), training_counts=None).intervals["accuracy"]
    assert found.high - found.low < 0.25 * (high - low)
    assert found.low > 0


def test_both_orders_of_the_pair_and_of_the_utterances_agree():
    one, other = invented(150, 15, right=0.6), invented(150, 15, right=0.6)
    other = [type(u)(u.id, u.dialogue_id, u.gold, LABELS.names[n % 5]) for n, u in enumerate(other)]
    there = paired_differences(predictions(one), predictions(other))
    back = paired_differences(predictions(other[::-1]), predictions(one))
    for name in there:
        assert there[name].difference == pytest.approx(-back[name].difference)
        assert there[name].low == pytest.approx(-back[name].high)


def test_one_dialogue_has_no_interval():
    found = paired_differences(
        predictions(utterances([("joy", "joy", 0)])), predictions(utterances([("joy", "sad", 0)]))
    )
    assert found["accuracy"].difference == 1
    assert found["accuracy"].low is found["accuracy"].high is None


def test_other_utterances_are_refused():
    with pytest.raises(DataError, match="same utterances"):
        paired_differences(predictions(invented(20, 4)), predictions(invented(21, 4)))


def test_the_interval_covers_the_truth():
    """Two systems of equal worth: 0 lies inside about 95 of 100 times."""
    dice = random.Random(1)
    inside = 0
    for _ in range(60):
        rows = [
            [
                (gold, gold if dice.random() < 0.6 else "fear", n // 5)
                for n, gold in enumerate(golds)
            ]
            for golds in [[dice.choice(LABELS.names[:4]) for _ in range(150)]]
            for _ in range(2)
        ]
        both = [predictions(utterances(own)) for own in rows]
        found = paired_differences(*both, samples=200)["accuracy"]
        inside += found.low <= 0 <= found.high
    assert np.clip(inside / 60, 0.85, 1.0) == inside / 60
