"""Search in FAISS's approximate indexes: guards and similarities are as exact as in Flat."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.retrieval.guards import UNITS, Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.searcher import JUDGED, Searcher
from ragemo.retrieval.similarities import similarities_of_each
from ragemo.retrieval.vectors import Composition
from tests.conftest import LABELS, make_turn
from tests.retrieval.worlds import kin, scattered, vector_index

COUNT, DIMENSION = 320, 32
APPROXIMATE = ["HNSW32", "IVF8,Flat", "PQ4x4", "IVF8,PQ4x4", "PCA16,Flat", "SQ8", "HNSW32_SQ8"]
"""Four bits a code: FAISS takes seconds to train one of eight, however few the windows."""

VECTORS = np.repeat(scattered(COUNT // 2, DIMENSION), 2, axis=0)
"""Each twice, so that there are ties."""

TURNS = [
    make_turn(f"text {n}", n, dialogue_id=f"d{n // 10}", session=f"s{n // 80}", speaker=f"p{n % 7}")
    for n in range(COUNT)
]
EXAMPLES = np.array([row for row in range(COUNT) if row % 16])
SEARCHERS: dict[str, Searcher] = {}


def searcher(factory):
    """Made once for each factory string."""
    if factory not in SEARCHERS:
        SEARCHERS[factory] = Searcher(VECTORS, TURNS, EXAMPLES, factory=factory)
    return SEARCHERS[factory]


def exact(query, rows):
    """In double precision; the last of six digits may be another in single precision."""
    return pytest.approx(VECTORS[rows].astype(float) @ query.astype(float), abs=1.6e-6)


@pytest.mark.parametrize("factory", APPROXIMATE)
@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    own=st.integers(0, COUNT - 1),
    exclude=st.sampled_from(UNITS),
    k=st.one_of(st.integers(1, 20), st.just(COUNT)),
)
def test_neighbours_are_allowed_exact_and_enough(factory, seed, own, exclude, k):
    """A stranger and one of the windows themselves ask."""
    queries = np.concatenate([scattered(1, DIMENSION, seed), VECTORS[[own]]])
    asking = [make_turn("?", dialogue_id="q", session="s1", speaker="p3"), TURNS[own]]
    found = searcher(factory).search(queries, asking, k, Guard(exclude))
    for query, turn in enumerate(asking):
        allowed = [row for row in EXAMPLES.tolist() if not kin(turn, TURNS[row], exclude)]
        rows = [row for row in found.rows[query].tolist() if row >= 0]
        assert set(rows) <= set(allowed)
        assert len(set(rows)) == len(rows) == min(k, len(allowed))
        assert (found.rows[query, len(rows) :] == -1).all()
        similarities = found.similarities[query, : len(rows)]
        assert np.array_equal(similarities, similarities.round(6))
        assert similarities == exact(queries[query], rows)
        order = list(zip(-similarities, rows, strict=True))
        assert order == sorted(order)  # of equals the first of the corpus
        if k == COUNT:
            assert set(rows) == set(allowed)
    alone = searcher(factory).search(queries[1:], asking[1:], k, Guard(exclude))
    assert np.array_equal(alone.rows[0], found.rows[1])
    assert np.array_equal(alone.similarities[0], found.similarities[1])


@pytest.mark.parametrize("factory", APPROXIMATE)
def test_enough_come_even_if_all_near_ones_are_forbidden(factory):
    """300 forbidden windows stand close around the query, 20 allowed ones on the other side."""
    rng = np.random.default_rng(0)
    centre = scattered(1, DIMENSION)
    near = centre + 0.1 * scattered(300, DIMENSION, 1)
    far = -centre + 0.1 * scattered(20, DIMENSION, 2)
    vectors = np.concatenate([near, far])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    order = rng.permutation(320)
    turns = [make_turn(str(n), n, dialogue_id="q" if n < 300 else f"d{n}") for n in order]
    crowded = Searcher(vectors[order], turns, np.arange(320), factory=factory)
    found = crowded.search(centre, [make_turn("?", dialogue_id="q")], 20, Guard())
    assert sorted(order[found.rows[0]].tolist()) == list(range(300, 320))
    assert (found.similarities[0] < 0).all()
    few = crowded.search(centre, [make_turn("?", dialogue_id="q")], 30, Guard())
    assert few.rows[0, 20:].tolist() == [-1] * 10


@pytest.mark.parametrize("factory", ["Flat", *APPROXIMATE])
def test_so_they_do_if_it_is_not_known_beforehand_how_many_are_forbidden(factory):
    """300 windows with almost the query's words stand closer than 20 with others."""
    centre = scattered(1, DIMENSION)
    vectors = np.concatenate(
        [centre + 0.1 * scattered(300, DIMENSION, 1), -scattered(20, DIMENSION)]
    )
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    turns = [
        make_turn(f"oh my God {n}" if n < 300 else f"word{n}", n, dialogue_id=f"d{n}")
        for n in range(320)
    ]
    crowded = Searcher(vectors, turns, np.arange(320), factory=factory)
    asking = [make_turn("Oh my God!", dialogue_id="q")]
    found = crowded.search(centre, asking, 5, Guard(near=0.8))
    allowed = np.arange(300, 320)
    similarities = (vectors[allowed].astype(float) @ centre[0].astype(float)).round(6)
    best = allowed[np.lexsort((allowed, -similarities))][:5].tolist()
    assert set(found.rows[0].tolist()) <= set(allowed.tolist())
    assert factory != "Flat" or found.rows[0].tolist() == best


@pytest.mark.parametrize("factory", APPROXIMATE)
def test_what_is_nearest_is_found(factory):
    """It trades recall for speed; of the nearest windows it still finds the most."""
    queries = scattered(40, DIMENSION, seed=5)
    asking = [make_turn("?", dialogue_id="q")] * 40
    found = searcher(factory).search(queries, asking, 8, Guard()).rows
    flat = searcher("Flat").search(queries, asking, 8, Guard()).rows
    pairs = zip(found.tolist(), flat.tolist(), strict=True)
    assert sum(len(set(one) & set(two)) for one, two in pairs) >= 0.85 * 8 * 40


def test_queries_that_several_cores_judge_find_what_each_finds_alone():
    queries = scattered(1500, DIMENSION, seed=7)
    asking = [make_turn("?", dialogue_id=f"d{n % 9}") for n in range(1500)]
    assert 100 * len(queries) > JUDGED
    together = searcher("Flat").search(queries, asking, 100, Guard())
    for n in range(0, 1500, 26):
        alone = searcher("Flat").search(queries[[n]], [asking[n]], 100, Guard())
        assert np.array_equal(together.rows[n], alone.rows[0])
        assert np.array_equal(together.similarities[n], alone.similarities[0])


@pytest.mark.parametrize("factory", APPROXIMATE)
def test_two_builds_find_the_same(factory):
    queries = scattered(30, DIMENSION, seed=3)
    asking = [make_turn("?", dialogue_id="q")] * 30
    one = searcher(factory).search(queries, asking, 12, Guard())
    again = Searcher(VECTORS, TURNS, EXAMPLES, factory=factory)
    two = again.search(queries, asking, 12, Guard())
    assert np.array_equal(one.rows, two.rows)
    assert np.array_equal(one.similarities, two.similarities)


@pytest.mark.parametrize("factory", ["Flat", *APPROXIMATE])
def test_an_index_s_folder_gives_the_same_results_back(factory, tmp_path):
    gold = [LABELS.names[n % 3] if n % 16 else None for n in range(COUNT)]
    index = vector_index(VECTORS, gold, factory=factory)
    index.save(tmp_path / "index")
    loaded = Index.load(tmp_path / "index")
    assert loaded.factory == factory
    assert loaded.fingerprint == index.fingerprint
    manifest = json.loads((tmp_path / "index/manifest.json").read_text())
    assert manifest["factory"] == factory
    asked = scattered(20, DIMENSION, seed=4)
    asked = np.hstack([asked, np.zeros_like(asked)])
    asking = [make_turn("?", dialogue_id="q")] * 20
    one, two = (each.search(asked, asking, 9) for each in (index, loaded))
    assert np.array_equal(one.rows, two.rows)
    assert np.array_equal(one.similarities, two.similarities)
    # It reads the file, so that nothing is trained anew, and looks as far as the one it wrote.
    for name in ("nprobe", "efSearch"):
        assert reach(loaded, name) == reach(index, name)


def reach(index, name):
    store = index.searcher.store
    return getattr(getattr(store, "hnsw", store), name, None)


@pytest.mark.parametrize("factory", ["IVF300,Flat", "HNSW32", "PQ8x4"])
def test_an_index_without_some_labels_is_exact(factory):
    """What is left may be too little to train such an index on."""
    index = vector_index(VECTORS, factory=factory)
    part = index.without(np.arange(COUNT) >= 12)
    assert part.searcher.exact
    assert part.factory == part.summary()["factory"] == "Flat"
    plain = vector_index(VECTORS).without(np.arange(COUNT) >= 12)
    assert part.fingerprint == plain.fingerprint
    found, expected = (one.search(one.window_vectors[:9], TURNS[:9], 5) for one in (part, plain))
    assert np.array_equal(found.rows, expected.rows)


@pytest.mark.parametrize("factory", ["IVF8,Flat", "HNSW32"])
def test_another_composition_keeps_the_factory(factory):
    index = vector_index(VECTORS, factory=factory)
    other = index.recomposed(Composition(weight=0.5))
    assert other.factory == factory
    assert not other.searcher.exact


@pytest.mark.parametrize(
    "factory",
    [
        *("nonsense", "", "flat", "Flat ", "IVF8", "PQ0", "PQ7", "HNSW0", "HNSW1", "HNSW0,Flat"),
        *("LSH", "IDMap,Flat", "PCA999,Flat", "HNSW999999999", "NSG1", "NSG0,Flat", "IVF0,Flat"),
        *("RQ2x0", "RQ0x8", "LSQ0x8", "PLSQ2x0x8", "PQ4x0", "ZnLattice0x10_6", "HNSW4,PQ4x0"),
        *("IVF2,PQ4x0", "IVF2,FlatPanorama0"),
    ],
)
def test_a_factory_string_that_cannot_be_is_refused(factory):
    """Also where FAISS itself would end the process."""
    with pytest.raises(SettingsError) as caught:
        Searcher(VECTORS, TURNS, EXAMPLES, factory=factory)
    said = str(caught.value)
    assert said.startswith(f"index.factory {factory!r}: FAISS cannot make such an index of 300 w")
    assert "such as Flat, HNSW32" in said
    assert "/faiss/" not in said  # the place in FAISS's source


@pytest.mark.parametrize("factory", ["PQ8", "IVF8,PQ8", "IVF64,Flat", "PCA32,Flat"])
def test_too_few_windows_to_train_are_refused(factory):
    with pytest.raises(SettingsError, match=rf"index\.factory '{factory}'.* of 20 windows"):
        Searcher(VECTORS, TURNS, EXAMPLES[:20], factory=factory)


@pytest.mark.parametrize("factory", ["Flat", "IVF8,Flat"])
def test_what_was_asked_before_changes_no_answer(factory):
    """The last searches are kept; neither may a caller change them by its own arrays."""
    one = Searcher(VECTORS, TURNS, EXAMPLES, factory=factory)
    queries, turns = scattered(6, DIMENSION, 1), [make_turn("?", dialogue_id="q")] * 6
    kin_of = [make_turn("?", dialogue_id="q", session="s1", speaker="p3")] * 6
    for asking, k, guard in [
        (turns, 8, Guard()),
        (turns, 3, Guard()),
        (turns, 20, Guard()),
        (kin_of, 8, Guard("session")),
        (kin_of, 8, Guard("speaker")),
        (turns, 8, Guard()),
    ]:
        for _ in range(2):
            queries[:] = scattered(6, DIMENSION, k)
            found = one.search(queries, asking, k, guard)
            fresh = Searcher(VECTORS, TURNS, EXAMPLES, factory=factory)
            expected = fresh.search(scattered(6, DIMENSION, k), asking, k, guard)
            assert found.rows.tolist() == expected.rows.tolist()
            assert found.similarities.tolist() == expected.similarities.tolist()
            queries[:] = 0
            found.rows[:] = found.similarities[:] = 0


def test_similarities_of_other_windows_than_there_are_are_refused():
    rows = np.array([[0, -1, 3]])
    found = similarities_of_each(VECTORS, rows, VECTORS[:1])
    assert found[0, 1] == -np.inf
    with pytest.raises(IndexError, match="row 320 of 320 windows"):
        similarities_of_each(VECTORS, np.array([[COUNT]]), VECTORS[:1])
    for queries in (VECTORS[:2], VECTORS[:1, :5]):
        with pytest.raises(ValueError, match="queries of shape"):
            similarities_of_each(VECTORS, rows, queries)
