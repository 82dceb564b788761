import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.types import Ballot
from ragemo.voting.calibration import batch_calibrate


def scored(number, scores, voter="llm"):
    largest = max(scores)
    weights = [math.exp(score - largest) for score in scores]
    distribution = tuple(weight / sum(weights) for weight in weights)
    return Ballot(
        f"u{number}", voter, distribution=distribution, log_likelihoods=tuple(map(float, scores))
    )


def invented(count, bias=(0.0, 0.0, 0.0), seed=0, voter="llm"):
    dice = random.Random(seed)
    return [scored(number, [dice.gauss(0, 2) + b for b in bias], voter) for number in range(count)]


def log_odds(ballot):
    first = math.log(ballot.distribution[0])
    return [math.log(share) - first for share in ballot.distribution]


@pytest.mark.parametrize("count", [1, 16, 2000])
def test_a_constant_bias_is_taken_off_but_for_the_weight(count):
    """Of a bias b, b * 16 / (n + 16) is left."""
    bias = (0.0, 8.0, -3.0)
    plain, biased = (batch_calibrate(invented(count, b)) for b in ((0.0, 0.0, 0.0), bias))
    for one, other in zip(plain[:50], biased[:50], strict=True):
        for before, after, shift in zip(log_odds(one), log_odds(other), bias, strict=True):
            assert after - before == pytest.approx(shift * 16 / (count + 16), abs=1e-9)


def test_a_model_that_says_one_label_whatever_it_is_asked_is_heard_again():
    biased = invented(400, (0.0, 30.0, 0.0))
    assert all(ballot.distribution.index(max(ballot.distribution)) == 1 for ballot in biased)
    firsts = [b.distribution.index(max(b.distribution)) for b in batch_calibrate(biased)]
    assert min(firsts.count(label) for label in range(3)) > 80


def test_a_single_ballot_is_nearly_unchanged():
    (calibrated,) = batch_calibrate([scored(0, [2.0, 0.0, -1.0])])
    assert log_odds(calibrated) == pytest.approx([0, -2 * 16 / 17, -3 * 16 / 17])


@settings(deadline=None)
@given(st.integers(1, 30), st.randoms())
def test_the_order_of_the_ballots_changes_nothing(count, dice):
    ballots = invented(count, (1.0, 0.0, 0.3)) + invented(count, seed=1, voter="other")
    shuffled = ballots[:]
    dice.shuffle(shuffled)
    expected = {(b.utterance_id, b.voter): b for b in batch_calibrate(ballots)}
    calibrated = batch_calibrate(shuffled)
    assert [b.utterance_id for b in calibrated] == [b.utterance_id for b in shuffled]
    for ballot in calibrated:
        assert ballot == expected[ballot.utterance_id, ballot.voter]


def test_each_voter_is_calibrated_on_its_own_ballots():
    one, other = invented(20, (5.0, 0.0, 0.0)), invented(7, (0.0, 0.0, 5.0), voter="other")
    assert batch_calibrate([*one, *other]) == batch_calibrate(one) + batch_calibrate(other)


def test_ballots_without_likelihoods_are_left_alone():
    others = [
        Ballot("u0", "llm", distribution=(1.0, 0.0, 0.0)),
        Ballot("u1", "llm", answer="perhaps"),
        Ballot("u2", "llm", error="timeout"),
    ]
    ballots = [others[0], *invented(5, (3.0, 0.0, 0.0)), *others[1:]]
    calibrated = batch_calibrate(ballots)
    assert [calibrated[0], *calibrated[-2:]] == others
    assert calibrated[1:-2] == batch_calibrate(ballots[1:-2])
    assert batch_calibrate(others) == others
    assert batch_calibrate([]) == []


@given(st.lists(st.lists(st.floats(-800, 0), min_size=3, max_size=3), min_size=1, max_size=20))
def test_calibrated_ballots_are_distributions_and_keep_what_was_said(rows):
    ballots = [scored(number, row) for number, row in enumerate(rows)]
    for before, after in zip(ballots, batch_calibrate(ballots), strict=True):
        assert sum(after.distribution) == pytest.approx(1)
        assert min(after.distribution) >= 0
        assert after.log_likelihoods == before.log_likelihoods


def test_the_index_s_leaning_takes_the_place_of_the_model_s():
    """A model that says the same of every prompt leaves half of the index's leaning, in logs."""
    ballots = [scored(str(i), (-9.0, -1.0, -4.0)) for i in range(20_000)]
    prior = (0.64, 0.32, 0.04)
    shares = batch_calibrate(ballots, prior)[0].distribution
    assert shares == pytest.approx(
        [root / (0.8 + 0.32**0.5 + 0.2) for root in (0.8, 0.32**0.5, 0.2)], abs=5e-3
    )


def test_a_label_without_examples_stays_possible():
    shares = batch_calibrate([scored("a", (-1.0, -1.0, -9.0))] * 50, (0.5, 0.5, 0.0))[
        0
    ].distribution
    assert all(share > 0 for share in shares)
