"""Sets of demonstrations that targets share: nobody sees what it may not, nobody sways another."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.retrieval.shared import choose_shared, middles_of
from ragemo.retrieval.strategies import choose, load_strategies
from tests.retrieval.test_strategies import among, forbidden, leaks
from tests.retrieval.worlds import at, queries_of, scattered, vector_index


def knn(index):
    return load_strategies(["knn"], index, seed=0, options={})


def share(index, queries, k, sets, seed=0):
    return choose_shared(knn(index), index, queries, k, sets=sets, seed=seed)


def shown(found):
    return [tuple(row for row in rows if row >= 0) for rows in found.rows.tolist()]


@settings(deadline=None, max_examples=150)
@given(leaks(), st.integers(1, 6), st.integers(1, 6), st.data())
def test_every_demonstration_is_allowed_for_every_target_that_is_shown_it(world, k, sets, data):
    index, queries = world
    found = share(index, queries, k, sets)
    for turn, rows in zip(queries.turns, shown(found), strict=True):
        assert not [row for row in rows if forbidden(turn, index.turns[row], queries.guard)]
        assert len(set(rows)) == len(rows) <= k

    # A target's set is its own affair, whoever else asks, and in whatever order.
    count = len(queries.turns)
    order = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=count))
    again = share(index, among(queries, order), k, sets)
    assert np.array_equal(again.rows, found.rows[order])
    assert np.array_equal(again.similarities, found.similarities[order])


@settings(deadline=None, max_examples=40)
@given(leaks(), st.integers(1, 5))
def test_who_may_see_no_set_whole_is_shown_its_own(world, k):
    index, queries = world
    everything = len(index.examples)
    # One set of all the examples: nobody of the index may see it whole.
    found = share(index, queries, everything, 1)
    own = choose(knn(index), index, queries, everything)
    assert [
        row
        for row, turn in enumerate(queries.turns)
        if set(shown(found)[row]) != set(shown(own)[row])
    ] == []


def test_targets_share_the_set_of_the_nearest_cluster():
    index = vector_index(at(0, 1, 2, 90, 91, 92, 180, 181, 182))
    queries = queries_of(at(5, 80, 175, -10, 100))
    found = share(index, queries, 3, 3)
    assert [set(rows) for rows in shown(found)] == [
        {0, 1, 2},
        {3, 4, 5},
        {6, 7, 8},
        {0, 1, 2},
        {3, 4, 5},
    ]
    assert shown(found)[0] == shown(found)[3], "in one order, so that prompts begin alike"
    assert shown(found)[0][0] == 1, "the middle of its cluster"
    for query, rows in enumerate(shown(found)):
        exact = index.window_vectors[list(rows)].astype(float) @ queries.vectors[query]
        assert found.similarities[query] == pytest.approx(exact, abs=2e-6)


def test_more_sets_than_examples_are_as_many_as_examples():
    index = vector_index(at(0, 45, 90))
    assert len(set(shown(share(index, queries_of(at(1, 44, 89)), 1, 50)))) == 3


def test_more_sets_are_nearer():
    vectors = scattered(200, 8)
    index, queries = vector_index(vectors), queries_of(scattered(60, 8, seed=1))
    nearness = [share(index, queries, 4, sets).similarities.mean() for sets in (1, 8, 64)]
    assert all(one < other for one, other in pairwise(nearness))


def test_middles_are_drawn_by_seed_and_distinct():
    vectors = scattered(100, 4)
    for seed in (0, 5_000_000_000):
        assert np.array_equal(middles_of(vectors, 10, seed), middles_of(vectors, 10, seed))
    assert len(middles_of(np.tile(vectors[:1], (20, 1)), 5, 0)) == 1
