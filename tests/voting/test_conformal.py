from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.voting.conformal import EVERY_LABEL, label_sets, threshold

LABELS = 4

raw_shares = st.lists(st.integers(0, 6), min_size=LABELS, max_size=LABELS).filter(any)
"""Small whole numbers, so that shares tie and vanish."""

labelled = st.lists(st.tuples(raw_shares, st.integers(0, LABELS - 1)), max_size=40)
coverages = st.floats(0.01, 0.99)


def arrays(rows):
    counts = np.array([raw for raw, _ in rows], dtype=float).reshape(-1, LABELS)
    gold = np.array([gold for _, gold in rows], dtype=np.int64)
    return counts / counts.sum(axis=1, keepdims=True), gold


def drawn(count, generator):
    """Overconfident beliefs, and gold labels that follow milder ones."""
    logits = generator.normal(size=(count, LABELS))
    gold = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
    beliefs = np.exp(3 * logits)
    return beliefs / beliefs.sum(axis=1, keepdims=True), gold


def two_labels(gold_shares):
    """Beliefs that give the gold label, the first of two, these shares."""
    shares = np.array(gold_shares)
    return np.column_stack([shares, 1 - shares]), np.zeros(len(shares), dtype=np.int64)


def test_the_threshold_is_the_score_of_the_corrected_rank():
    beliefs, gold = two_labels([0.9, 0.1, 0.7, 0.2, 0.8, 0.6, 0.4, 0.5, 0.3])
    assert threshold(beliefs, gold, 0.5) == pytest.approx(0.5)  # ceil(10 * 0.5): 5th of 9
    assert threshold(beliefs, gold, 0.51) == pytest.approx(0.6)  # the 6th
    assert threshold(beliefs, gold, 0.9) == pytest.approx(0.9)  # the 9th
    assert threshold(beliefs, gold, 0.91) == EVERY_LABEL  # there is no 10th


def test_a_rank_that_floating_point_pushes_over_a_whole_number_is_not_pushed():
    assert (99 + 1) * 0.55 > 55
    beliefs, gold = two_labels(np.arange(1, 100) / 100)
    assert threshold(beliefs, gold, 0.55) == pytest.approx(0.55)


@pytest.mark.parametrize(("coverage", "enough"), [(0.8, 4), (0.9, 9), (0.95, 19)])
def test_with_too_few_utterances_the_set_holds_every_label(coverage, enough):
    beliefs, gold = drawn(enough, np.random.default_rng(0))
    assert threshold(beliefs, gold, coverage) < EVERY_LABEL
    few = threshold(beliefs[:-1], gold[:-1], coverage)
    assert label_sets(beliefs, few).all()
    assert label_sets(np.array([[1.0, 0.0, 0.0, 0.0]]), few).all()


def test_the_set_holds_the_labels_up_to_the_threshold_and_always_the_greatest():
    beliefs = np.array([[0.5, 0.3, 0.2, 0.0], [0.25, 0.25, 0.3, 0.2]])
    assert label_sets(beliefs, 0.7).tolist() == [[1, 1, 0, 0], [0, 0, 1, 0]]
    assert label_sets(beliefs, 0.0).tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]


def test_labels_that_share_the_greatest_belief_are_all_in_the_set():
    shares = np.array([[(0.7 + 0.1) / 2, 0.8 / 2, 0.2, 0.0]])
    assert shares[0, 0] < shares[0, 1]
    assert label_sets(shares, 0.0).tolist() == [[True, True, False, False]]


@given(labelled, labelled, st.lists(coverages, min_size=2, max_size=5))
def test_sets_grow_with_the_coverage_and_are_never_empty(calibration, new, asked):
    beliefs, gold = arrays(calibration)
    others, _ = arrays(new)
    sets = [label_sets(others, threshold(beliefs, gold, coverage)) for coverage in sorted(asked)]
    for smaller, larger in pairwise(sets):
        assert (smaller <= larger).all()
    assert sets[0].any(axis=1).all()
    assert sets[0][np.arange(len(others)), others.argmax(axis=1)].all()


@given(labelled, coverages)
def test_the_calibration_utterances_are_covered_themselves(calibration, coverage):
    beliefs, gold = arrays(calibration)
    held = label_sets(beliefs, threshold(beliefs, gold, coverage))[np.arange(len(gold)), gold]
    assert held.sum() >= coverage * len(gold) - 1e-9


@given(labelled, coverages, st.randoms())
def test_the_order_of_the_calibration_utterances_does_not_matter(calibration, coverage, dice):
    first = threshold(*arrays(calibration), coverage)
    dice.shuffle(calibration)
    assert threshold(*arrays(calibration), coverage) == first


@given(st.integers(5, 40), st.floats(0.5, 0.95), st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_on_average_sets_hold_the_gold_label_as_often_as_stated(count, coverage, seed):
    generator = np.random.default_rng(seed)
    held = []
    for _ in range(400):
        beliefs, gold = drawn(count + 20, generator)
        sets = label_sets(beliefs[count:], threshold(beliefs[:count], gold[:count], coverage))
        held.append(sets[np.arange(20), gold[count:]].mean())
    # Without the correction for n it would be short by up to 2 / (n + 1).
    assert np.mean(held) >= coverage - 5 * np.std(held) / len(held) ** 0.5


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_are_no_larger_than_the_coverage_asks_for(coverage):
    generator = np.random.default_rng(5)
    beliefs, gold = drawn(20_000, generator)
    sets = label_sets(beliefs[10_000:], threshold(beliefs[:10_000], gold[:10_000], coverage))
    held = sets[np.arange(10_000), gold[10_000:]]
    assert held.mean() == pytest.approx(coverage, abs=0.015)
    assert sets.sum(axis=1).mean() < LABELS


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90, -0.1, float("nan")])
def test_a_coverage_that_is_no_share_is_refused(coverage):
    beliefs, gold = two_labels([0.5])
    with pytest.raises(SettingsError, match=rf"coverage is {coverage}: .* such as 0\.9"):
        threshold(beliefs, gold, coverage)
