"""What a voter says whatever it is asked."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.voting.bases import ENOUGH, SHRINKAGE, base_of
from ragemo.voting.log_pool import evidence, log_pool
from ragemo.voting.votes import votes_of_arrays
from tests.conftest import LABELS
from tests.voting.electorate import (
    SIZE,
    distributions,
    electorates,
    informed,
    names,
    says,
    some_examples,
    votes_of,
)

EVEN = [-math.log(SIZE)] * SIZE


def said(*rows, voter="llm"):
    """Votes of a voter that says these distributions, one an utterance."""
    return votes_of_arrays({voter: np.array(rows).reshape(-1, SIZE)}, names(len(rows)), SIZE)


def of_size(count, shares=(0.7, 0.2, 0.1)):
    return said(*[shares] * count)


@given(st.lists(distributions.filter(all), min_size=1, max_size=30), st.sampled_from([0, 16, 5.5]))
def test_a_base_is_the_equation(rows, shrinkage):
    """log b(l) = w mean_i log p(l | x_i) - (1 - w) log L, w = n / (n + shrinkage)."""
    weight = len(rows) / (len(rows) + shrinkage)
    expected = [
        weight * sum(math.log(row[label]) for row in rows) / len(rows)
        - (1 - weight) * math.log(SIZE)
        for label in range(SIZE)
    ]
    assert base_of("llm", said(*rows), shrinkage=shrinkage) == pytest.approx(expected, abs=1e-6)


def test_half_is_taken_off_at_as_many_windows_as_the_shrinkage():
    half = (np.log([0.7, 0.2, 0.1]) + EVEN) / 2
    assert base_of("llm", of_size(int(SHRINKAGE))) == pytest.approx(half, abs=1e-6)


@pytest.mark.parametrize("count", [1, 16, 400, 20_000])
def test_a_constant_voter_s_evidence_vanishes_as_the_windows_grow(count):
    """Of what it says, 16 / (n + 16) is left."""
    votes = of_size(count)
    found = evidence(votes, {"llm": base_of("llm", votes)})
    left = (np.log([0.7, 0.2, 0.1]) - EVEN) * 16 / (count + 16)
    assert found[0, 0] == pytest.approx(left, abs=2e-6)


def test_a_model_that_names_one_label_whatever_it_is_asked_decides_nothing():
    ballots = [says("hap", "llm", utterance) for utterance in names(500)]
    votes = votes_of(ballots, names(500))
    found = evidence(votes, {"llm": base_of("llm", votes)})
    prior = np.array([0.5, 0.3, 0.2])
    assert log_pool(found, np.ones(1), np.log(prior))[0] == pytest.approx(prior, abs=0.02)


def test_a_biased_model_is_heard_again():
    """Its leaning hides what it knows; no label of anything is needed to uncover it."""
    dice = np.random.default_rng(0)
    gold = dice.integers(SIZE, size=600)
    known = informed(gold, (1 / 3,) * 3, 1.5, dice)
    leaning = known * np.array([1.0, 50.0, 1.0])
    leaning /= leaning.sum(axis=1, keepdims=True)
    votes = said(*leaning)
    found = evidence(votes, {"llm": base_of("llm", votes)})
    before, after, unbiased = (
        (shares.argmax(axis=1) == gold).mean() for shares in (leaning, found[0], known)
    )
    assert before < 0.5
    assert unbiased > 0.75
    assert after > unbiased - 0.02


def test_a_voter_that_never_voted_has_an_even_base():
    assert base_of("nobody", of_size(9)) == pytest.approx(EVEN, abs=1e-6)
    assert base_of("llm", said(), shrinkage=0) == pytest.approx(EVEN, abs=1e-6)
    silent = votes_of_arrays({"llm": np.zeros((3, SIZE))}, names(3), SIZE)
    assert base_of("llm", silent) == pytest.approx(EVEN, abs=1e-6)


def test_windows_on_which_it_was_silent_do_not_count():
    votes = said((0.7, 0.2, 0.1), (0.0, 0.0, 0.0), (0.1, 0.2, 0.7))
    assert base_of("llm", votes) == base_of("llm", said((0.7, 0.2, 0.1), (0.1, 0.2, 0.7)))


def test_each_voter_has_its_own_base():
    one, other = np.array([[0.7, 0.2, 0.1]] * 20), np.array([[0.1, 0.1, 0.8]] * 20)
    both = votes_of_arrays({"one": one, "other": other}, names(20), SIZE)
    assert base_of("one", both) == base_of("one", said(*one, voter="one"))
    assert base_of("other", both) != base_of("one", both)


def test_the_first_place_with_enough_windows_is_used_or_else_the_largest():
    """What the voter was tried on comes first: a verdict shall not depend on the run's others."""
    tried, run = of_size(ENOUGH), of_size(900, (0.1, 0.1, 0.8))
    assert base_of("llm", tried, run) == base_of("llm", tried)
    few = of_size(ENOUGH - 1)
    assert base_of("llm", few, run) == base_of("llm", run)
    assert base_of("llm", few, of_size(3, (0.1, 0.1, 0.8))) == base_of("llm", few)
    assert base_of("llm", said(), few) == base_of("llm", few)


def test_what_is_said_of_windows_without_content_is_taken_off_in_full():
    votes = of_size(4)
    base = base_of("llm", votes, shrinkage=0)
    assert base == pytest.approx(np.log([0.7, 0.2, 0.1]), abs=1e-6)
    assert evidence(votes, {"llm": base}) == pytest.approx(0, abs=1e-6)


@some_examples
@given(electorates(utterances=8), st.randoms())
def test_the_order_of_windows_and_ballots_leaves_no_trace(electorate, dice):
    ballots, ids = electorate
    before = [base_of(voter, votes_of(ballots, ids)) for voter in ("v0", "v1")]
    dice.shuffle(ballots)
    dice.shuffle(ids)
    assert [base_of(voter, votes_of(ballots, ids)) for voter in ("v0", "v1")] == before


@given(st.lists(st.sampled_from(LABELS.names), min_size=1, max_size=30))
def test_bases_are_finite_even_of_bare_labels(labels):
    ballots = [says(label, "llm", f"u{row:03}") for row, label in enumerate(labels)]
    base = base_of("llm", votes_of(ballots, names(len(labels))))
    assert all(math.isfinite(share) and share < 0 for share in base)
