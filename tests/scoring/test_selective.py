import json
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.scoring.predictions import ScoredUtterance
from ragemo.scoring.selective import RiskCoverage, risk_coverage, selective
from tests.scoring.inputs import invented, predictions

rows = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=60)
"""(confidence in eighths, right): few enough values that they tie."""


def curve_of(rows):
    return risk_coverage(
        np.array([confidence / 8 for confidence, _ in rows]),
        np.array([right for _, right in rows]),
    )


def area_in_order(rights):
    """The area, and the accuracy of the first k, of predictions that stand in order."""
    accuracies = [sum(rights[:k]) / k for k in range(1, len(rights) + 1)]
    return sum(1 - accuracy for accuracy in accuracies) / len(rights), accuracies


def test_a_curve_worked_out_by_hand():
    confidence = np.array([0.3, 0.9, 0.5, 0.7])
    found = risk_coverage(confidence, np.array([False, True, True, False]))
    assert found.n == 4
    by_coverage = {point.coverage: point for point in found.curve}
    assert [by_coverage[c].accuracy for c in (0.25, 0.5, 0.75, 1)] == [1, 1 / 2, 2 / 3, 1 / 2]
    assert [by_coverage[c].threshold for c in (0.25, 0.5, 0.75, 1)] == [0.9, 0.7, 0.5, 0.3]
    assert (by_coverage[0.3].accuracy, by_coverage[0.3].threshold) == (1 / 2, 0.7), "2 of 4"
    assert found.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert found.excess_aurc == pytest.approx(found.aurc - (0 + 0 + 1 / 3 + 1 / 2) / 4)


@given(rows)
def test_the_curve_has_twenty_points_and_ends_at_the_plain_accuracy(given_rows):
    found = curve_of(given_rows)
    assert [point.coverage for point in found.curve] == [k / 20 for k in range(1, 21)]
    assert found.curve[-1].accuracy == sum(right for _, right in given_rows) / len(given_rows)
    assert found.curve[-1].threshold == min(confidence for confidence, _ in given_rows) / 8
    for one, two in pairwise(found.curve):
        assert one.threshold >= two.threshold


@given(rows, st.randoms())
def test_the_order_of_the_predictions_does_not_matter(given_rows, dice):
    first = curve_of(given_rows)
    dice.shuffle(given_rows)
    assert curve_of(given_rows) == first


@given(rows.filter(lambda found: len({c for c, _ in found}) == len(found)))
def test_without_ties_it_is_the_curve_of_the_predictions_in_order(given_rows):
    found = curve_of(given_rows)
    area, accuracies = area_in_order([right for _, right in sorted(given_rows, reverse=True)])
    assert found.aurc == pytest.approx(area)
    for number, point in enumerate(found.curve, 1):
        assert point.accuracy == pytest.approx(accuracies[-(-number * len(given_rows) // 20) - 1])


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
def test_with_ties_it_is_the_mean_over_all_orders_of_the_equals(given_rows):
    orders = [
        area_in_order([right for _, right in order])[0]
        for order in permutations(given_rows)
        if all(one[0] >= two[0] for one, two in pairwise(order))
    ]
    assert curve_of(given_rows).aurc == pytest.approx(sum(orders) / len(orders))


@given(rows)
def test_abstaining_below_a_threshold_keeps_the_coverage(given_rows):
    for point in curve_of(given_rows).curve:
        kept = [c for c, _ in given_rows if c / 8 >= point.threshold]
        assert len(kept) >= point.coverage * len(given_rows) - 1e-9


@given(rows)
def test_the_excess_is_none_for_the_best_order_and_never_negative(given_rows):
    assert curve_of(given_rows).excess_aurc >= -1e-12
    best = curve_of([(8 if right else 1, right) for _, right in given_rows])
    assert best.excess_aurc == 0
    worst = curve_of([(1 if right else 8, right) for _, right in given_rows])
    assert worst.aurc >= curve_of(given_rows).aurc - 1e-12


@given(rows)
def test_equal_confidence_is_flat(given_rows):
    found = curve_of([(4, right) for _, right in given_rows])
    accuracy = sum(right for _, right in given_rows) / len(given_rows)
    assert [point.accuracy for point in found.curve] == pytest.approx([accuracy] * 20)
    assert found.aurc == pytest.approx(1 - accuracy)


def test_confidence_is_the_probability_of_the_predicted_label():
    # "joy" is predicted with 0.3 although "neutral" has more: 0.3 counts.
    made = [
        ScoredUtterance("u1", "d", "joy", "joy", (0.6, 0.3, 0.1, 0.0, 0.0)),
        ScoredUtterance("u2", "d", "joy", "sad", (0.2, 0.2, 0.5, 0.1, 0.0)),
    ]
    found = selective(predictions(made))
    assert found is not None
    assert (found.curve[0].threshold, found.curve[0].accuracy) == (0.5, 0)
    assert (found.curve[-1].threshold, found.curve[-1].accuracy) == (0.3, 0.5)


def test_what_has_no_confidence_is_left_out():
    made = invented(200, 20)
    kept = [u for u in made if u.distribution is not None]
    bare = ScoredUtterance("bare", "d", "joy", "joy")
    found = selective(predictions([*made, bare]))
    assert found is not None
    assert found.n == len(kept) < 200
    assert found == selective(predictions(kept))
    assert found.curve[-1].accuracy == sum(u.gold == u.predicted for u in kept) / len(kept)
    assert selective(predictions([bare])) is None


@given(rows)
def test_it_survives_json(given_rows):
    found = curve_of(given_rows)
    data = json.loads(json.dumps(found.to_dict()))
    assert data == found.to_dict()
    assert RiskCoverage.from_dict(data) == found
