import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.retrieval.voters.scale import SCALES, UNTRIED, fit_scale, scaled

PRIOR = (0.5, 0.3, 0.2)


def drawn(count, loudness, seed=0):
    """Scores, and labels drawn from what they say when they are made so much louder."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(count, 3))
    logits = loudness * scores + np.log(PRIOR)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return scores, np.array([rng.choice(3, p=row) for row in shares])


@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=1, max_size=5),
    st.sampled_from(SCALES),
)
def test_any_scores_become_distributions_above_zero(scores, scale):
    shares = scaled(np.array(scores), scale, PRIOR)
    assert (shares > 0).all()
    assert shares.sum(axis=1) == pytest.approx(1, abs=1e-8)


def test_they_follow_the_equation():
    scores = np.array([[1.0, -0.5, 0.25], [0.0, 0.0, 0.0]])
    weights = np.array(PRIOR) * np.exp(0.7 * scores)
    expected = weights / weights.sum(axis=1, keepdims=True)
    assert scaled(scores, 0.7, PRIOR) == pytest.approx(expected, abs=1e-9)
    assert scaled(scores, 0.7, PRIOR)[1].tolist() == list(PRIOR)


@pytest.mark.parametrize("loudness", [0.3, 1.0, 3.0])
def test_the_scale_that_made_the_labels_is_found(loudness):
    scores, gold = drawn(4000, loudness)
    assert fit_scale(scores, gold, PRIOR) == pytest.approx(loudness, rel=0.15)


def test_scores_that_mislead_or_say_nothing_are_not_heard():
    scores, gold = drawn(4000, 1.0)
    assert fit_scale(-scores, gold, PRIOR) == 0
    assert fit_scale(drawn(4000, 1.0, seed=1)[0], gold, PRIOR) < 0.1


def test_where_nothing_is_held_out_it_starts_from_what_is_usual():
    assert fit_scale(np.zeros((0, 3)), np.zeros(0, dtype=int), PRIOR) == UNTRIED
