"""Vectors in pieces are searched as if they lay together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.searcher import Searcher
from tests.retrieval.worlds import PiecesHere, build, scattered, vector_index

VECTORS = np.repeat(scattered(60, 8), 5, axis=0)
"""Each five times, so that there are ties to be broken."""


@settings(deadline=None, max_examples=30)
@given(
    examples=st.sets(st.integers(0, 299), min_size=1).map(sorted),
    count=st.integers(1, 400),
    k=st.integers(1, 320),
    exclude=st.sampled_from(["dialogue", "speaker"]),
)
def test_neighbours_are_those_of_one_search(examples, count, k, exclude):
    """To the last digit, guards and ties included, however they are cut."""
    index, rows = vector_index(VECTORS), np.array(examples)
    far = PiecesHere(VECTORS, rows, count)
    whole, apart = (Searcher(one, index.turns, rows) for one in (VECTORS, far))
    queries, targets = VECTORS[::37] + np.float32(0.01), index.turns[::37]
    found, there = (one.search(queries, targets, k, Guard(exclude)) for one in (apart, whole))
    assert (found.rows == there.rows).all()
    assert (found.similarities == there.similarities).all()


def test_an_index_without_its_vectors_finds_and_votes_as_before():
    index = build()
    apart = index.apart(lambda examples: PiecesHere(index.window_vectors, examples, 3))
    rows = np.arange(6)
    asked = index.window_vectors[rows], [index.turns[row] for row in rows], 5
    found, there = (Index.search(one, *asked) for one in (apart, index))
    assert (found.rows == there.rows).all()
    shown = [one.demonstrations(found, 2, 5, 1) for one in (apart, index)]
    assert shown[0] == shown[1]
    assert apart.fingerprint == index.fingerprint
    assert not apart.window_vectors.size
    nobody = np.arange(len(index.examples)) == 0
    with pytest.raises(SettingsError, match="--index-shards"):
        apart.without(nobody)
