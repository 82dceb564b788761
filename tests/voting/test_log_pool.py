"""The weighted logarithmic pool and the weights that minimise its log loss."""

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.voting.log_pool import evidence, fit_weights, log_pool
from ragemo.voting.votes import votes_of_arrays
from tests.voting.electorate import (
    SIZE,
    distributions,
    electorates,
    informed,
    names,
    some_examples,
    votes_of,
)

PRIOR = (0.5, 0.3, 0.2)
LOG_PRIOR = np.log(PRIOR)

weights_of = st.lists(st.floats(0, 2), min_size=4, max_size=4)


@st.composite
def problems(draw, voters=2):
    """Evidence, gold labels, a start, a guess and a spread for a few windows."""
    size = draw(st.integers(0, 12))
    dice = np.random.default_rng(draw(st.integers(0, 2**32)))
    found = dice.normal(scale=1.5, size=(voters, size, SIZE))
    found[dice.random((voters, size)) < 0.2] = 0
    guess, spread = dice.uniform(0, 1, voters), dice.uniform(0.1, 1.5, voters)
    return found, dice.integers(SIZE, size=size), LOG_PRIOR, guess, spread


def objective(weights, found, gold, start, guess, spread):
    """The module's equation, literally."""
    loss = sum((w - g) ** 2 / (2 * s**2) for w, g, s in zip(weights, guess, spread, strict=True))
    for window, label in enumerate(gold):
        scores = [
            start[other]
            + sum(w * own[window, other] for w, own in zip(weights, found, strict=True))
            for other in range(len(start))
        ]
        loss += math.log(sum(map(math.exp, scores))) - scores[label]
    return loss


def evidence_of(shares, prior=PRIOR):
    """Evidence of voters whose base is the prior."""
    votes = votes_of_arrays(shares, names(len(next(iter(shares.values())))), SIZE)
    return evidence(votes, dict.fromkeys(shares, np.log(prior)))


def fitted(shares, gold, guess=0.5, spread=0.5):
    found = evidence_of(shares)
    even = np.ones(len(found))
    return dict(
        zip(
            sorted(shares),
            fit_weights(found, gold, LOG_PRIOR, guess * even, spread * even).tolist(),
            strict=True,
        )
    )


# -- the pool ------------------------------------------------------------------------------------


@some_examples
@given(
    electorates(),
    distributions.filter(all),
    st.lists(distributions.filter(all), min_size=4),
    weights_of,
)
def test_the_pool_is_the_equation(electorate, prior, bases, weights):
    """P(l | x) proportional to pi_l prod_v (p_v(l | x) / b_v(l))^w_v, computed as it stands."""
    votes = votes_of(*electorate)
    bases = dict(zip(votes.voters, bases, strict=False))
    logs = {voter: np.log(base) for voter, base in bases.items()}
    weights = np.array(weights[: len(votes.voters)])
    pooled = log_pool(evidence(votes, logs), weights, np.log(prior))
    for row in range(len(votes.utterances)):
        products = []
        for label in range(SIZE):
            product = prior[label]
            for place, voter in enumerate(votes.voters):
                if votes.present[place, row]:
                    share = math.exp(votes.logs()[place, row, label])
                    product *= (share / bases[voter][label]) ** weights[place]
            products.append(product)
        assert pooled[row] == pytest.approx([part / sum(products) for part in products])


def test_a_worked_example():
    """Naive Bayes: two voters who start from the prior, each with all its weight."""
    found = evidence_of({"a": np.array([[0.6, 0.2, 0.2]]), "b": np.array([[0.25, 0.15, 0.6]])})
    products = np.array([0.6 * 0.25 / 0.5, 0.2 * 0.15 / 0.3, 0.2 * 0.6 / 0.2])
    pooled = log_pool(found, np.ones(2), LOG_PRIOR)
    assert pooled[0] == pytest.approx(products / products.sum())


def test_a_voter_without_a_base_has_an_even_one():
    votes = votes_of_arrays({"a": np.array([[0.5, 0.3, 0.2]])}, names(1), SIZE)
    assert np.exp(evidence(votes, {}))[0, 0] == pytest.approx([1.5, 0.9, 0.6])


def test_a_voter_that_says_its_base_says_nothing():
    found = evidence_of({"a": np.array([PRIOR])})
    assert log_pool(found, np.array([0.7]), LOG_PRIOR)[0] == pytest.approx(PRIOR)


def test_the_start_may_be_another_one_for_each_window():
    start = np.log([[0.2, 0.2, 0.6], [0.1, 0.8, 0.1]])
    assert log_pool(np.zeros((0, 2, SIZE)), np.zeros(0), start) == pytest.approx(np.exp(start))


def test_the_order_of_the_voters_leaves_no_trace_in_the_last_digit():
    dice = np.random.default_rng(0)
    found, weights = dice.normal(size=(7, 50, SIZE)), dice.uniform(size=7)
    pooled = log_pool(found, weights, LOG_PRIOR)
    for _ in range(20):
        order = dice.permutation(7)
        assert np.array_equal(log_pool(found[order], weights[order], LOG_PRIOR), pooled)


@some_examples
@given(electorates(), weights_of, st.integers(0, 3))
def test_a_constant_added_to_a_voter_s_logs_changes_nothing(electorate, weights, voter):
    found = evidence(votes_of(*electorate), {})
    weights = np.array(weights[: len(found)])
    moved = found.copy()
    moved[voter:] += 3.0
    before, after = (log_pool(some, weights, LOG_PRIOR) for some in (found, moved))
    assert after == pytest.approx(before, abs=1e-12)


# -- the weights ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(problems(voters=2))
def test_no_weights_of_a_grid_are_better(problem):
    weights = fit_weights(*problem)
    best = objective(weights, *problem)
    for tried in product(np.linspace(0, 3, 13), repeat=2):
        assert best <= objective(tried, *problem) + 1e-6


@some_examples
@given(problems(voters=3))
def test_no_step_from_the_weights_lowers_the_loss(problem):
    """The slope is 0 in each direction, or points below a weight of 0."""
    weights = fit_weights(*problem)
    step = 1e-3
    for voter in range(3):
        up, down = weights.copy(), weights.copy()
        up[voter] += step
        down[voter] -= step
        slope = (objective(up, *problem) - objective(down, *problem)) / (2 * step)
        if weights[voter] > 0:
            assert slope == pytest.approx(0, abs=0.05)  # the weights are rounded
        else:
            assert slope >= -0.05


@some_examples
@given(problems(voters=3))
def test_weights_are_never_negative(problem):
    assert (fit_weights(*problem) >= 0).all()


@some_examples
@given(problems(voters=3), st.permutations(range(3)), st.randoms())
def test_the_order_of_windows_and_voters_changes_nothing(problem, order, dice):
    found, gold, start, guess, spread = problem
    rows = list(range(len(gold)))
    dice.shuffle(rows)
    rows = np.array(rows, dtype=np.int64)
    moved = fit_weights(found[order][:, rows], gold[rows], start, guess[order], spread[order])
    # Rounded to four digits: on the edge between two, one may be the other.
    assert moved == pytest.approx(fit_weights(*problem)[order], abs=1.01e-4)


def test_weights_are_what_the_voters_are_worth():
    dice = np.random.default_rng(0)
    gold = dice.choice(SIZE, size=3000, p=PRIOR)
    shares = {
        "useless": informed(dice.permutation(gold), PRIOR, 1.0, dice),
        "mediocre": informed(gold, PRIOR, 1.0, dice, confidence=2.0),
        "good": informed(gold, PRIOR, 1.0, dice),
    }
    weights = fitted(shares, gold)
    assert weights["useless"] < 0.05 < 0.4 < weights["mediocre"] < weights["good"]
    perfect = fitted({**shares, "perfect": 0.97 * np.eye(SIZE)[gold] + 0.01}, gold)
    assert max(perfect, key=perfect.__getitem__) == "perfect"


def test_calibrated_voters_that_err_independently_count_in_full():
    """Naive Bayes is right about them, so the log loss finds weights of 1."""
    dice = np.random.default_rng(1)
    gold = dice.choice(SIZE, size=4000, p=PRIOR)
    shares = {name: informed(gold, PRIOR, 0.8, dice) for name in "abc"}
    assert list(fitted(shares, gold).values()) == pytest.approx([1, 1, 1], abs=0.1)


def test_voters_that_say_the_same_share_one_weight():
    dice = np.random.default_rng(2)
    gold = dice.choice(SIZE, size=4000, p=PRIOR)
    shares = informed(gold, PRIOR, 1.0, dice)
    together = fitted({"a": shares, "b": shares}, gold)
    assert together["a"] == pytest.approx(together["b"], abs=2e-4)
    alone = fitted({"a": shares}, gold, guess=1.0)["a"]
    assert together["a"] + together["b"] == pytest.approx(alone, abs=0.01)


def test_a_voter_that_is_too_sure_is_toned_down():
    dice = np.random.default_rng(3)
    gold = dice.choice(SIZE, size=4000, p=PRIOR)
    found = np.log(informed(gold, (1 / 3,) * 3, 1.0, dice, confidence=4.0))
    weights = fit_weights(found[None], gold, LOG_PRIOR, np.array([1.0]), np.array([0.5]))
    assert weights[0] == pytest.approx(1 / 4, abs=0.02)


@given(st.lists(st.floats(0, 2).map(lambda weight: round(weight, 4)), max_size=4))
def test_without_windows_the_weights_are_the_guess(guess):
    guess = np.array(guess)
    nobody = np.zeros((len(guess), 0, SIZE))
    found = fit_weights(nobody, np.zeros(0, dtype=np.int64), LOG_PRIOR, guess, guess * 0 + 0.5)
    assert found == pytest.approx(guess)


@some_examples
@given(problems(voters=2))
def test_the_narrower_the_spread_the_nearer_the_weights_stay_to_the_guess(problem):
    found, gold, start, guess, _ = problem
    distances = [
        np.linalg.norm(fit_weights(found, gold, start, guess, np.full(2, spread)) - guess)
        for spread in (0.01, 0.1, 0.5, 2.0)
    ]
    assert distances[0] < 0.02
    assert all(near <= far + 1e-3 for near, far in pairwise(distances))


def test_a_few_windows_move_the_weights_less_than_many():
    dice = np.random.default_rng(4)
    gold = dice.choice(SIZE, size=1000, p=PRIOR)
    shares = {"a": informed(gold, PRIOR, 2.0, dice)}
    guess = 0.2
    few, some, many = (
        fitted({"a": shares["a"][:count]}, gold[:count], guess, 0.4)["a"] - guess
        for count in (2, 20, 1000)
    )
    assert 0 < few < some < many
    assert few < 0.3
    assert many == pytest.approx(0.8, abs=0.1)


def test_many_voters_of_one_mind_are_no_trouble():
    """What their product leaves of the other labels is too small for a floating-point number."""
    gold = np.arange(60) % SIZE
    shares = {f"v{number:02}": np.eye(SIZE)[(gold + 1) % SIZE] for number in range(60)}
    weights = fitted({**shares, "right": np.eye(SIZE)[gold]}, gold, guess=2.0)
    assert max(weights, key=weights.__getitem__) == "right"
    assert max(weights[voter] for voter in shares) < 0.1


def test_without_voters_there_are_no_weights():
    nobody = np.zeros(0)
    gold = np.zeros(5, dtype=np.int64)
    assert fit_weights(np.zeros((0, 5, SIZE)), gold, LOG_PRIOR, nobody, nobody).shape == (0,)
