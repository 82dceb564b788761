import itertools
import random
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as judge_mcnemar
from statsmodels.stats.multitest import multipletests

from ragemo.errors import SettingsError
from ragemo.scoring.confusion import dialogue_confusions
from ragemo.scoring.metrics import METRICS, metrics_of
from ragemo.scoring.significance import EXACT_BELOW, holm, mcnemar, randomisation
from tests.scoring.inputs import LABELS, invented, predictions, utterances

COUNTS = st.integers(0, 60) | st.integers(0, 3000)


@given(COUNTS, COUNTS)
def test_mcnemar_agrees_with_statsmodels(fixed, broken):
    found = mcnemar(fixed, broken)
    assert found.exact == (fixed + broken < EXACT_BELOW)
    if fixed + broken == 0:
        assert found.p == 1
        return
    if fixed == broken:  # where statsmodels corrects beyond nothing
        assert found.p == 1
        return
    expected = judge_mcnemar([[5, broken], [fixed, 7]], exact=found.exact, correction=True)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)


def test_the_exact_test_is_scipys_binomial_test():
    for fixed, broken in itertools.product(range(12), repeat=2):
        if fixed + broken:
            expected = stats.binomtest(fixed, fixed + broken).pvalue
            assert mcnemar(fixed, broken).p == pytest.approx(expected, abs=1e-9)


def test_what_was_fixed_and_broken_stands_in_the_test_and_their_order_does_not_matter():
    found = mcnemar(3, 9)
    assert (found.fixed, found.broken) == (3, 9)
    assert mcnemar(9, 3).p == found.p


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(deadline=None)
def test_holm_agrees_with_statsmodels(values):
    with mock.patch("gc.collect"):  # statsmodels collects garbage, of all tests, each time
        expected = multipletests(values, method="holm")[1]
    np.testing.assert_allclose(holm(values), expected, atol=1e-9)


def confusions(rows):
    return dialogue_confusions(predictions(utterances(rows)))


few = st.lists(
    st.tuples(
        st.sampled_from(LABELS.names),
        st.sampled_from([*LABELS.names, None]),
        st.sampled_from([*LABELS.names, None]),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=30,
)
"""(gold, one system, another, dialogue)."""


@given(few)
@settings(max_examples=25, deadline=None)
def test_p_is_that_of_all_swaps_of_whole_dialogues(rows):
    one = confusions([(gold, a, d) for gold, a, _, d in rows])
    other = confusions([(gold, b, d) for gold, _, b, d in rows])
    found = randomisation(one, other, METRICS, samples=4000)
    for name, metric in METRICS.items():
        observed = abs(metric(one.sum(axis=0)) - metric(other.sum(axis=0)))
        far = []
        for swaps in itertools.product([False, True], repeat=len(one)):
            sides = [
                (b, a) if swap else (a, b) for a, b, swap in zip(one, other, swaps, strict=True)
            ]
            left, right = sum(s[0] for s in sides), sum(s[1] for s in sides)
            far.append(abs(metric(left) - metric(right)) >= observed - 1e-12)
        exact = sum(far) / len(far)
        # Four standard errors, and what the +1 of the estimate adds.
        margin = 4 * (exact * (1 - exact) / 4000) ** 0.5 + 1 / 4000
        assert found[name] == pytest.approx(exact, abs=margin)


def test_a_system_does_not_differ_from_itself():
    counts = dialogue_confusions(predictions(invented(100, 10)))
    metrics = metrics_of(LABELS)
    assert randomisation(counts, counts, metrics, samples=50) == dict.fromkeys(metrics, 1.0)


def test_a_clear_difference_reaches_the_lowest_p_there_is():
    rows = [(gold, d) for d in range(30) for gold in LABELS.names]
    good = confusions([(gold, gold, d) for gold, d in rows])
    bad = confusions([(gold, "fear", d) for gold, d in rows])
    assert set(randomisation(good, bad, METRICS, samples=99).values()) == {0.01}


def test_dialogues_are_swapped_whole():
    """One dialogue that differs in fifty utterances is one coin: nothing is told by it."""
    good = confusions([("joy", "joy", 0)] * 50 + [("sad", "sad", 1)] * 5)
    bad = confusions([("joy", "sad", 0)] * 50 + [("sad", "sad", 1)] * 5)
    assert randomisation(good, bad, METRICS, samples=100)["accuracy"] == 1


def test_equal_systems_have_a_low_p_as_seldom_as_it_says():
    dice = random.Random(2)
    low = 0
    for _ in range(200):
        golds = [dice.choice(LABELS.names[:3]) for _ in range(60)]
        one, other = (
            confusions(
                [(g, g if dice.random() < 0.6 else "fear", n // 3) for n, g in enumerate(golds)]
            )
            for _ in range(2)
        )
        low += randomisation(one, other, METRICS, samples=100)["accuracy"] <= 0.1
    assert 8 <= low <= 32


def test_a_seed_gives_the_same_p_and_the_order_of_the_systems_does_not_matter():
    one = dialogue_confusions(predictions(invented(300, 30, right=0.6)))
    other = np.roll(one, 1, axis=2)
    found = randomisation(one, other, METRICS, samples=200, seed=3)
    assert randomisation(one, other, METRICS, samples=200, seed=3) == found
    assert randomisation(other, one, METRICS, samples=200, seed=3) == found


def test_no_samples_are_refused():
    counts = dialogue_confusions(predictions(invented(20, 4)))
    with pytest.raises(SettingsError, match="0 bootstrap samples"):
        randomisation(counts, counts, METRICS, samples=0)
