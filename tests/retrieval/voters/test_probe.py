import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from ragemo.retrieval.voters.probe import SHRINKAGE, Probe
from ragemo.retrieval.voters.scale import UNTRIED
from tests.retrieval.worlds import ask, examples_of

seeds = st.integers(0, 2**32 - 1)


def clouds(labels, dimension, distance=1.0, seed=0):
    """Vectors of length 1, in a cloud for each label."""
    rng = np.random.default_rng(seed)
    middles = distance * rng.normal(size=(max(labels) + 1, dimension))
    vectors = middles[list(labels)] + rng.normal(size=(len(labels), dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def fit(labels, folds, vectors, count=3):
    return Probe.fit(examples_of(labels, folds, vectors=vectors, count=count))


def scores_of(probe, vectors):
    return vectors.astype(float) @ probe.weights + probe.offsets


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(2, 30), seeds)
def test_its_discriminants_are_those_of_scikit_learn(more, dimension, seed):
    labels = [0, 0, 1, 1, 2, 2, 3, 3, *more]
    vectors = clouds(labels, dimension, seed=seed)
    probe, _ = fit(labels, [0] * len(labels), vectors, count=4)
    known = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE)
    known.fit(vectors.astype(float), labels)
    # Its discriminants hold the prior, with each label's share as it is.
    expected = known.decision_function(vectors.astype(float)) - np.log(known.priors_)
    assert scores_of(probe, vectors) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def by_the_equation(vectors, labels, count, x):
    """The scores of one vector, sum by sum; a label without examples has everybody's mean."""
    dimension = len(x)
    shown = [[] for _ in range(count)]
    for vector, label in zip(vectors, labels, strict=True):
        shown[label].append(vector)
    means = [np.mean(own if own else vectors, axis=0) for own in shown]
    pooled = np.zeros((dimension, dimension))
    for vector, label in zip(vectors, labels, strict=True):
        pooled += np.outer(vector - means[label], vector - means[label]) / len(vectors)
    shrunk = (1 - SHRINKAGE) * pooled + SHRINKAGE * pooled.trace() / dimension * np.eye(dimension)
    solved = [np.linalg.inv(shrunk) @ mean for mean in means]
    return [x @ s - mean @ s / 2 for s, mean in zip(solved, means, strict=True)]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 2), min_size=4, max_size=20), st.integers(2, 6), seeds)
def test_votes_follow_the_equation(labels, dimension, seed):
    vectors = clouds([*labels, 3], dimension, seed=seed)
    vectors, asked = vectors[:-1], vectors[-1:]
    probe, _ = fit(labels, [0] * len(labels), vectors, count=5)
    scores = by_the_equation(vectors.astype(float), labels, 5, asked[0].astype(float))
    if max(map(labels.count, labels)) > 1:  # else there is no variance within labels
        assert scores_of(probe, asked)[0] == pytest.approx(scores, rel=1e-6, abs=1e-6)
        prior = [(labels.count(label) + 1) / (len(labels) + 5) for label in range(5)]
        top = max(scores)
        shares = [p * math.exp(probe.scale * (s - top)) for p, s in zip(prior, scores, strict=True)]
        votes = probe.distributions(ask([""], asked))[0]
        assert votes == pytest.approx([share / sum(shares) for share in shares], abs=2e-9)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=2, max_size=40), seeds)
def test_what_is_held_out_is_asked_of_a_probe_that_never_saw_it(rows, seed):
    labels, folds = [label for label, _ in rows] + [0, 1], [fold for _, fold in rows] + [0, 1]
    vectors = clouds([*labels, 2], 6, seed=seed)[:-1]
    probe, votes = fit(labels, folds, vectors)
    for fold in set(folds):
        inside = np.array(folds) == fold
        others = np.flatnonzero(~inside)
        alone, _ = fit([labels[n] for n in others], [0] * len(others), vectors[others])
        alone = Probe(alone.weights, alone.offsets, probe.scale, probe.prior)
        said = alone.distributions(ask([""] * inside.sum(), vectors[inside]))
        assert votes[inside] == pytest.approx(said, abs=2e-9)


def test_overlapping_folds_each_see_their_own_examples():
    """As where speakers are left out: an example is left out of several fits."""
    labels, chance = [0, 1, 2] * 20, np.random.default_rng(0)
    vectors = clouds(labels, 6)
    examples = examples_of(labels, [n % 4 for n in range(60)], vectors=vectors)
    masks = [(chance.random(60) < 0.5, asked) for _, asked in examples.folds]
    object.__setattr__(examples, "folds", masks)
    probe, votes = Probe.fit(examples)
    for seen, asked in masks:
        alone, _ = fit([labels[n] for n in np.flatnonzero(seen)], [0] * seen.sum(), vectors[seen])
        alone = Probe(alone.weights, alone.offsets, probe.scale, probe.prior)
        said = alone.distributions(ask([""] * asked.sum(), vectors[asked]))
        assert votes[asked] == pytest.approx(said, abs=2e-9)


def test_the_order_of_the_examples_leaves_no_trace():
    labels, folds = [n % 3 for n in range(300)], [n % 5 for n in range(300)]
    vectors, chance = clouds(labels, 40), np.random.default_rng(0)
    probe, votes = fit(labels, folds, vectors)
    order = chance.permutation(300)
    shuffled, theirs = fit([labels[n] for n in order], [folds[n] for n in order], vectors[order])
    assert shuffled.scale == probe.scale
    assert theirs == pytest.approx(votes[order], abs=2e-9)
    asked = ask([""] * 300, vectors)
    assert shuffled.distributions(asked) == pytest.approx(probe.distributions(asked), abs=2e-9)


def test_it_knows_labels_that_lie_apart():
    labels = [n % 3 for n in range(300)]
    _, votes = fit(labels, [n % 5 for n in range(300)], clouds(labels, 16))
    assert (votes.argmax(axis=1) == labels).mean() > 0.95


def test_in_many_dimensions_it_is_no_surer_than_it_may_be():
    labels = [n % 3 for n in range(600)]
    probe, votes = fit(labels, [n % 5 for n in range(600)], clouds(labels, 200, distance=0.15))
    right = votes.argmax(axis=1) == labels
    assert 0.4 < right.mean() < 0.9
    assert votes.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.05)
    assert probe.scale < 0.9  # at 1 it would be surer than it may be


def test_labels_drawn_by_lot_teach_it_to_be_silent():
    labels = np.random.default_rng(1).integers(0, 3, 600).tolist()
    probe, votes = fit(labels, [n % 5 for n in range(600)], clouds([0] * 600, 100))
    assert probe.scale < 0.05
    assert -np.log(votes[np.arange(600), labels]).mean() == pytest.approx(math.log(3), abs=0.01)


def test_a_label_without_examples_keeps_a_share():
    labels = [0, 1] * 20
    probe, votes = fit(labels, [n % 4 for n in range(40)], clouds(labels, 5))
    assert (votes > 0).all()
    asked = ask([""] * 40, clouds(labels, 5))
    assert (probe.distributions(asked) > 0).all()
    assert (probe.distributions(asked)[:, 2] < 1 / 3).all()


def test_a_fold_that_has_all_examples_of_a_label_is_asked_all_the_same():
    labels = [0, 1] * 10 + [2] * 5
    _, votes = fit(labels, [n % 3 for n in range(20)] + [3] * 5, clouds(labels, 5))
    assert (votes > 0).all()
    assert votes.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("labels", [[0], [0, 1], [0, 0, 1, 2, 1]])
@pytest.mark.parametrize("blank", [False, True])
def test_fewer_examples_than_dimensions_are_enough_to_say_something(labels, blank):
    vectors = clouds(labels, 40) * (not blank)
    probe, votes = fit(labels, list(range(len(labels))), vectors)
    asked = ask([""] * 3, np.vstack([clouds([0, 1], 40), np.zeros((1, 40), np.float32)]))
    for said in (votes, probe.distributions(asked)):
        assert (said > 0).all()
        assert said.sum(axis=1) == pytest.approx(1)


def test_one_dialogue_alone_is_not_asked_about_itself():
    probe, votes = fit([0, 1, 2, 0], [0, 0, 0, 0], clouds([0, 1, 2, 0], 5))
    assert votes.shape == (0, 3)
    assert probe.scale == UNTRIED


def test_its_parts_make_it_again():
    labels = [0, 1, 2] * 10
    vectors = clouds(labels, 5)
    probe, _ = fit(labels, [n % 5 for n in range(30)], vectors)
    again = Probe.from_parts(json.loads(json.dumps(probe.to_dict())), probe.arrays())
    asked = ask([""] * 30, vectors)
    assert np.array_equal(again.distributions(asked), probe.distributions(asked))
    assert probe.to_dict()["shrinkage"] == SHRINKAGE


@pytest.mark.parametrize(
    ("weights", "offsets", "prior"),
    [
        ((5, 3), (3,), (0.5, 0.5)),
        ((5, 3), (2,), (0.4, 0.3, 0.3)),
        ((5, 2), (3,), (0.4, 0.3, 0.3)),
        ((5, 2), (2,), (0.4, 0.3, 0.3)),
        ((3,), (3,), (0.4, 0.3, 0.3)),
        ((5, 3), (3, 1), (0.4, 0.3, 0.3)),
    ],
)
def test_parts_that_do_not_fit_are_refused(weights, offsets, prior):
    arrays = {"weights": np.zeros(weights), "offsets": np.zeros(offsets)}
    with pytest.raises(ValueError, match="the probe has weights of shape"):
        Probe.from_parts({"scale": 1.0, "prior": list(prior)}, arrays)
