"""What several ask of an index is computed once, and nobody can tell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.searcher import Searcher
from ragemo.retrieval.vectors import Composition
from ragemo.retrieval.voters.fitting import fit_voters, questions_of
from tests.conftest import FakeEmbedder, make_turn
from tests.pipeline.inputs import telling_corpus
from tests.retrieval.worlds import build, scattered

COUNT, DIMENSION = 200, 16
VECTORS = np.repeat(scattered(COUNT // 2, DIMENSION), 2, axis=0)
TURNS = [make_turn(f"text {n % 9}", n, dialogue_id=f"d{n // 10}") for n in range(COUNT)]
EXAMPLES = np.arange(0, COUNT, 2)
ASKING = [make_turn("text 3", dialogue_id="q"), TURNS[4]]
QUERIES = np.concatenate([scattered(1, DIMENSION, 7), VECTORS[[4]]])


def made(factory="Flat"):
    return Searcher(VECTORS, TURNS, EXAMPLES, factory=factory)


def same(one, other):
    return np.array_equal(one.rows, other.rows) and np.array_equal(
        one.similarities, other.similarities
    )


@pytest.mark.parametrize("factory", ["Flat", "HNSW32"])
@settings(deadline=None, max_examples=10)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 40), st.booleans(), st.booleans()), min_size=2, max_size=9
    )
)
def test_a_searcher_that_was_asked_before_answers_like_a_new_one(factory, steps):
    asked = made(factory)
    for k, duplicates, reverse in steps:
        order = slice(None, None, -1) if reverse else slice(None)
        question = QUERIES[order], ASKING[order], k, Guard(duplicates=duplicates)
        found = asked.search(*question)
        assert same(found, made(factory).search(*question))
        found.rows[:] = -7  # whoever gets it may do with it what they like
        found.similarities[:] = 0


def test_the_same_search_is_made_once(monkeypatch):
    searcher = made()
    calls = []
    search = searcher.store.search
    monkeypatch.setattr(
        searcher,
        "store",
        type("Counted", (), {"search": lambda self, *q: calls.append(1) or search(*q)})(),
    )
    for k in (20, 3, 20):
        searcher.search(QUERIES, ASKING, k, Guard())
    assert len(calls) == 1
    searcher.search(QUERIES, ASKING, 3, Guard(duplicates=True))
    assert len(calls) == 2


@pytest.fixture(scope="module")
def index():
    return build()


@pytest.mark.parametrize("count", [0, 1, 5, 300])
def test_an_index_with_so_many_neighbours_is_the_one_fitted_for_them(index, count):
    other = index.with_neighbours(count)
    fresh = index.without(np.zeros(len(index.examples), dtype=bool))
    fresh.neighbours = count
    expected = fit_voters(fresh)
    assert other.voters["neighbours"].count == count
    for name, votes in expected.votes.items():
        np.testing.assert_array_equal(other.fitted.votes[name], votes)
    assert other.voters["neighbours"] == expected.voters["neighbours"]
    assert other.fingerprint != index.fingerprint


def test_no_neighbours_say_how_frequent_the_labels_are(index):
    other = index.with_neighbours(0)
    asked = questions_of(other, ASKING, vectors_of(other), Guard())
    said = other.voters["neighbours"].distributions(asked)
    np.testing.assert_allclose(said, [other.prior] * len(ASKING))


def vectors_of(index):
    return index.window_vectors[: len(ASKING)]


def test_more_neighbours_than_are_fitted_are_found(index):
    assert index.with_neighbours(300).voters["neighbours"].count == 300
    asked = questions_of(index.with_neighbours(300), ASKING, vectors_of(index), Guard())
    assert asked.similarities.shape[1] == 300


def test_parts_of_it_have_as_many(index):
    left_out = np.zeros(len(index.examples), dtype=bool)
    left_out[:3] = True
    assert index.with_neighbours(5).without(left_out).voters["neighbours"].count == 5


def test_asking_for_what_it_has_gives_the_same(index):
    assert index.with_neighbours(None) is index
    other = index.with_neighbours(4)
    assert other.with_neighbours(4) is other
    assert other.with_neighbours(None).voters["neighbours"] == index.voters["neighbours"]


def test_the_last_recomposition_is_kept(index):
    short = Composition(weight=0.2, decay=0.5, length=1)
    one = index.recomposed(short)
    assert index.recomposed(short) is one
    assert index.recomposed(Composition(weight=0.2, decay=0.5, length=2)) is not one
    assert one.with_neighbours(3).recomposed(index.composition).voters["neighbours"].count == 3


def test_more_neighbours_than_a_fit_looks_at_are_fitted_like_anew():
    corpus = telling_corpus(60, 10, "many")
    index = Index.build(corpus, FakeEmbedder())
    assert len(index.examples) > 400
    fresh = index.without(np.zeros(len(index.examples), dtype=bool))
    fresh.neighbours = 400
    expected, found = fit_voters(fresh), index.with_neighbours(400).fitted
    assert found.voters["neighbours"] == expected.voters["neighbours"]
    np.testing.assert_array_equal(found.votes["neighbours"], expected.votes["neighbours"])
