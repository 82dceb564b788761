"""Stores propose neighbours, from memory or from a file that is mapped into it."""

import os
import pickle
import re
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.retrieval import checksums
from ragemo.retrieval.checksums import remembered_sha256
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.manifest import verify_index
from ragemo.retrieval.searcher import Searcher
from ragemo.retrieval.stores import ExactStore, faiss_store, make_store, read_store
from tests.conftest import make_turn
from tests.retrieval.worlds import build, scattered, vector_index

VECTORS = scattered(600, 16)
PLANTED, CHUNK = 6000, 500


@settings(deadline=None, max_examples=40)
@given(
    rows=st.sets(st.integers(0, 599), min_size=1).map(sorted),
    k=st.integers(0, 700),
    seed=st.integers(0, 99),
)
def test_exact_search_among_some_of_the_rows(rows, k, seed):
    queries = scattered(3, 16, seed)
    scores, found = ExactStore(VECTORS, np.array(rows)).search(queries, k)
    expected = queries @ VECTORS[rows].T
    assert found.shape == scores.shape == (3, min(k, len(rows)))
    for query in range(3):
        assert len(set(found[query].tolist())) == found.shape[1]
        best = np.sort(expected[query])[::-1][: found.shape[1]]
        np.testing.assert_allclose(scores[query], best, atol=1e-6)
        np.testing.assert_allclose(expected[query][found[query]], best, atol=1e-6)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@settings(deadline=None, max_examples=40)
@given(
    left_out=st.sets(st.integers(0, 599), max_size=20),
    bad=st.sets(st.integers(0, 599)).map(sorted),
    k=st.integers(0, 700),
    queries=st.sampled_from([1, 3]),
    lost=st.booleans(),
)
def test_a_search_ends_whatever_is_no_number(left_out, bad, k, queries, lost):
    rows = sorted(set(range(600)) - left_out)
    vectors, asked = VECTORS.copy(), scattered(queries, 16)
    vectors[bad] = np.nan
    if lost:
        asked[0] = np.inf
    _, found = ExactStore(vectors, np.array(rows)).search(asked, k)
    assert found.shape == (queries, min(k, len(rows)))
    fine = np.setdiff1d(rows, bad)
    for query, one in enumerate(found):
        there = one[one >= 0]
        assert len(set(there.tolist())) == len(there)
        assert (there < len(rows)).all()
        if query or not lost:
            nearest = fine[np.argsort(-(vectors[fine] @ asked[query]))][:k]
            assert set(nearest) <= set(np.array(rows)[there])


FACTORIES = ("HNSW16", "IVF16,Flat", "IVF16,SQ8", "IVF16,PQ4", "OPQ4_16,IVF16,PQ4", "SQ8", "PQ4x4")


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_file_answers_as_what_was_written(factory, tmp_path):
    made = make_store(VECTORS, np.arange(600), factory)
    made.write(tmp_path / "store")
    read = read_store(tmp_path / "store", factory, count=600, dimension=16)
    again = pickle.loads(pickle.dumps(read))  # as a worker of a cluster gets it
    expected = made.search(VECTORS[:9], 5)
    for store in (read, again, read):
        for one, other in zip(expected, store.search(VECTORS[:9], 5), strict=True):
            assert np.array_equal(one, other)
    read.write(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "store").read_bytes()
    with pytest.raises(ValueError, match="holds 600 vectors of 16 dimensions"):
        read_store(tmp_path / "store", factory, count=599, dimension=16)


def test_a_graph_that_is_not_just_as_long_as_its_parts_is_not_mapped(tmp_path):
    """FAISS reads on past the end of what it maps."""
    file = tmp_path / "store"
    make_store(VECTORS, np.arange(600), "HNSW8").write(file)
    whole = file.read_bytes()
    vectors = 4 * VECTORS.size
    file.write_bytes(whole[:-vectors] + bytes(3) + whole[-vectors:])  # FAISS passes over the rest
    read_store(file, "HNSW8", count=600, dimension=16).search(VECTORS[:9], 5)
    assert str(file) not in Path("/proc/self/maps").read_text(encoding="utf-8")
    file.write_bytes(whole[:-1])
    with pytest.raises(RuntimeError):
        read_store(file, "HNSW8", count=600, dimension=16)


def test_an_inverted_file_that_names_another_file_is_refused(tmp_path):
    """FAISS can keep lists in a file of their own, which would be anywhere."""
    index = faiss.index_factory(16, "IVF4,Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(VECTORS)
    lists = faiss.OnDiskInvertedLists(4, index.code_size, str(tmp_path / "elsewhere"))
    index.replace_invlists(lists, False)
    index.add(VECTORS)
    faiss.write_index(index, str(tmp_path / "store"))
    with pytest.raises(ValueError, match="elsewhere"):
        read_store(tmp_path / "store", "IVF4,Flat", count=600, dimension=16)


@pytest.mark.parametrize("number", [-2, -(10**12), 600, 10**12])
def test_windows_that_an_inverted_file_makes_up_are_no_neighbours(number):
    index = faiss.index_factory(16, "IVF4,Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(VECTORS)
    rows = np.arange(600)
    rows[::2] = number
    index.add_with_ids(VECTORS, rows)
    turns = [make_turn(f"{n}", n, dialogue_id=f"d{n}") for n in range(600)]
    store = faiss_store.FaissStore(index)
    searcher = Searcher(VECTORS, turns, np.arange(600), factory="IVF4,Flat", store=store)
    found = searcher.search(VECTORS[:9], [make_turn("?", dialogue_id="q")] * 9, 5, Guard())
    assert ((found.rows >= -1) & (found.rows < 600)).all()


@pytest.mark.parametrize("factory", ["IVF2,SQ8", "HNSW8"])
def test_an_index_s_vectors_and_lists_or_graph_are_mapped_and_not_copied(tmp_path, factory):
    build(factory=factory).save(tmp_path / "index")
    loaded = Index.load(tmp_path / "index")
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8")
    for name in ("vectors.npy", "windows.npy", "windows.faiss"):
        assert str(tmp_path / "index" / name) in mapped
    assert not loaded.window_vectors.flags.owndata
    assert not loaded.window_vectors.flags.writeable


@pytest.mark.parametrize("factory", ["IVF8,SQ8", "IVF8,PQ4x4", "HNSW8"])
def test_a_store_is_the_same_each_time_though_several_threads_fill_it(factory):
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(4)
    try:
        first, *others = (
            faiss.serialize_index(make_store(VECTORS, np.arange(600), factory).index)
            for _ in range(4)
        )
    finally:
        faiss.omp_set_num_threads(threads)
    assert all(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize("factory", ["IVF8,Flat", "HNSW8", "SQ8"])
def test_windows_are_added_in_chunks_and_learned_from_by_lot(factory, monkeypatch):
    rows = np.arange(0, 600, 2)
    whole = make_store(VECTORS, rows, factory)
    monkeypatch.setattr(faiss_store, "ADDED_AT_ONCE", 37)
    pieces = make_store(VECTORS, rows, factory)
    one, other = (store.search(VECTORS[:40], 5)[1] for store in (whole, pieces))
    assert np.mean(one == other) > 0.98  # a graph is another one, and finds the same
    monkeypatch.setattr(faiss_store, "TRAINED_ON", 100)
    first, second = (make_store(VECTORS, rows, factory).search(VECTORS[:40], 5) for _ in "ab")
    assert np.array_equal(first[1], second[1])


@pytest.fixture(scope="module", params=["Flat", "IVF32,Flat", "HNSW16", "SQ8"])
def crowd(request):
    """Of 6,000 windows 5,000 are of dialogues that are asked about, and stand nearest."""
    rng = np.random.default_rng(0)
    centre = scattered(1, 32, 7)
    vectors = np.concatenate([centre + 0.3 * scattered(5000, 32, 1), scattered(1000, 32, 2)])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    order = rng.permutation(PLANTED)
    turns = [
        make_turn(f"text {n}", n, dialogue_id=f"q{n % 2}" if n < 5000 else f"d{n // 10}")
        for n in order.tolist()
    ]
    vectors = vectors[order]
    return (
        centre,
        vectors,
        turns,
        Searcher(vectors, turns, np.arange(PLANTED), factory=request.param),
    )


@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 300), own=st.sampled_from(["q0", "q1", "d510"]))
def test_guards_are_exact_though_thousands_of_neighbours_are_forbidden(crowd, seed, k, own):
    """A query is of a dialogue that fills its first thousands of neighbours."""
    centre, vectors, turns, searcher = crowd
    query = centre + 0.05 * scattered(1, 32, seed)
    query = (query / np.linalg.norm(query)).astype(np.float32)
    asked = make_turn("?", dialogue_id=own, session="s")
    for guard in (Guard(), Guard("speaker")):
        found = searcher.search(query, [asked], k, guard)
        allowed = [row for row, turn in enumerate(turns) if turn.dialogue_id != own]
        if guard.exclude == "speaker":  # all are of one speaker
            assert (found.rows == -1).all()
            continue
        rows = found.rows[0].tolist()
        assert len(set(rows)) == k
        assert all(turns[row].dialogue_id != own for row in rows)
        if searcher.exact:
            exact = vectors[allowed].astype(float) @ query[0].astype(float)
            theirs = vectors[rows].astype(float) @ query[0].astype(float)
            assert theirs == pytest.approx(-np.sort(-exact)[:k], abs=1.6e-6)


@pytest.mark.parametrize("factory", ["IVF32,Flat", "HNSW16", "SQ8"])
def test_where_all_that_is_near_is_forbidden_search_is_exact(factory):
    vectors = np.concatenate([np.repeat(scattered(1, 32), 3000, axis=0), scattered(50, 32, 3)])
    turns = [make_turn(f"{n}", n, dialogue_id="q" if n < 3000 else "d") for n in range(3050)]
    searcher = Searcher(vectors, turns, np.arange(3050), factory=factory)
    found = searcher.search(vectors[:1], [make_turn("?", dialogue_id="q")], 50, Guard())
    exact = (vectors[3000:].astype(float) @ vectors[0].astype(float)).round(6)
    assert found.rows[0].tolist() == (3000 + np.lexsort((np.arange(50), -exact))).tolist()


# -- checksums -------------------------------------------------------------------------------------


@pytest.fixture
def remembering(tmp_path, monkeypatch):
    """Every file counts as large, and as settled at once; tells which were really read."""
    monkeypatch.setenv("RAGEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checksums, "LARGE", 0)
    monkeypatch.setattr(checksums, "SETTLED", -1.0)
    read = []
    whole = checksums.sha256_file
    monkeypatch.setattr(
        checksums, "sha256_file", lambda path: read.append(path.name) or whole(path)
    )
    return read


def test_a_large_file_is_read_once_and_again_when_it_has_changed(tmp_path, remembering):
    build().save(tmp_path / "index")
    for _ in range(3):
        Index.load(tmp_path / "index")
    assert sorted(remembering) == ["utterances.jsonl", "vectors.npy", "voters.npz", "windows.npy"]
    file = tmp_path / "index" / "windows.npy"
    times = file.stat()
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a careful forger would
    assert verify_index(tmp_path / "index", remembered=True) == verify_index(tmp_path / "index")
    assert re.search("windows.npy: SHA-256 differs", verify_index(tmp_path / "index")[0])


def test_what_has_just_changed_is_not_remembered(tmp_path, remembering, monkeypatch):
    monkeypatch.setattr(checksums, "SETTLED", 60.0)
    file = tmp_path / "file"
    file.write_bytes(b"one")
    assert remembered_sha256(file) == remembered_sha256(file)
    assert remembering == ["file", "file"]


def test_a_cache_that_cannot_be_used_costs_time_alone(tmp_path, remembering, monkeypatch):
    (tmp_path / "blocked").write_text("a file")
    monkeypatch.setenv("RAGEMO_CACHE", str(tmp_path / "blocked"))
    file = tmp_path / "file"
    file.write_bytes(b"one")
    assert remembered_sha256(file) == remembered_sha256(file)
    assert remembering == ["file", "file"]


def test_recomposed_it_chooses_as_before():
    index = vector_index(VECTORS, factory="HNSW16")
    assert index.chosen.name == index.factory == "HNSW16"
