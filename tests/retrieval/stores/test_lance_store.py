"""A store outside: what LanceDB proposes is what exact search does."""

import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import IndexFolderError, SettingsError
from ragemo.retrieval.guards import UNITS, Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.manifest import verify_index
from ragemo.retrieval.searcher import Searcher
from ragemo.retrieval.stores import ExactStore, lance_store, make_store
from tests.conftest import LABELS, make_turn
from tests.retrieval.test_folder import sign
from tests.retrieval.worlds import build, kin, scattered, vector_index


@pytest.fixture(autouse=True, scope="module")
def lancedb():
    """Looked for here: a worker that runs none of these tests need not import it."""
    pytest.importorskip("lancedb", reason="LanceDB is not installed: pip install 'ragemo[lancedb]'")


COUNT, DIMENSION = 320, 16
VECTORS = np.repeat(scattered(COUNT // 2, DIMENSION), 2, axis=0)
"""Each twice, so that there are ties."""

EXAMPLES = np.array([row for row in range(COUNT) if row % 16])
TURNS = [
    make_turn(f"text {n}", n, dialogue_id=f"d{n // 10}", session=f"s{n // 80}", speaker=f"p{n % 7}")
    for n in range(COUNT)
]


@pytest.fixture(scope="module")
def searchers():
    return {
        factory: Searcher(VECTORS, TURNS, EXAMPLES, factory=factory)
        for factory in ("Flat", "lancedb")
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lance") / "index"
    build(factory="lancedb").save(folder)
    return folder


@pytest.fixture
def victim(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "victim")


@settings(deadline=None, max_examples=15)
@given(
    rows=st.sets(st.integers(0, COUNT - 1), min_size=1).map(sorted),
    count=st.integers(0, 3),
    k=st.integers(0, 400),
    seed=st.integers(0, 99),
)
def test_it_proposes_what_exact_search_does(rows, count, k, seed):
    queries = scattered(3, DIMENSION, seed)[:count]
    stores = [make(VECTORS, np.array(rows)) for make in (lance_store.LanceStore.make, ExactStore)]
    (scores, found), (expected, _) = (store.search(queries, k) for store in stores)
    assert found.shape == scores.shape == (count, min(k, len(rows)))
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    for query in range(count):
        assert len(set(found[query].tolist())) == found.shape[1]
        true = VECTORS[rows][found[query]] @ queries[query]
        np.testing.assert_allclose(true, scores[query], atol=1e-6)


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    own=st.integers(0, COUNT - 1),
    exclude=st.sampled_from(UNITS),
    k=st.one_of(st.integers(1, 20), st.just(COUNT)),
)
def test_neighbours_are_those_of_flat(searchers, seed, own, exclude, k):
    """A stranger and one of the windows themselves ask; guards shut out many of the nearest."""
    queries = np.concatenate([scattered(1, DIMENSION, seed), VECTORS[[own]]])
    asking = [make_turn("?", dialogue_id="q", session="s1", speaker="p3"), TURNS[own]]
    flat, outside = (
        searchers[name].search(queries, asking, k, Guard(exclude)) for name in ("Flat", "lancedb")
    )
    assert np.array_equal(flat.rows, outside.rows)
    assert np.array_equal(flat.similarities, outside.similarities)
    for query, turn in enumerate(asking):
        allowed = {row for row in EXAMPLES.tolist() if not kin(turn, TURNS[row], exclude)}
        rows = [row for row in outside.rows[query].tolist() if row >= 0]
        assert set(rows) <= allowed
        assert len(rows) == min(k, len(allowed))


def test_more_queries_than_are_asked_at_once(monkeypatch):
    store = make_store(VECTORS, EXAMPLES, "lancedb")
    whole = store.search(VECTORS[:9], 5)
    monkeypatch.setattr(lance_store, "ASKED_AT_ONCE", 4)
    for one, other in zip(whole, store.search(VECTORS[:9], 5), strict=True):
        assert np.array_equal(one, other)


def test_an_index_s_folder_gives_the_same_results_back(tmp_path):
    gold = [LABELS.names[n % 3] if n % 16 else None for n in range(COUNT)]
    index = vector_index(VECTORS, gold, factory="lancedb")
    index.save(tmp_path / "index")
    files = json.loads((tmp_path / "index/manifest.json").read_text())["files"]
    assert any(name.startswith("windows.lancedb/") for name in files)
    loaded = Index.load(tmp_path / "index")
    copied = pickle.loads(pickle.dumps(loaded))
    flat = vector_index(VECTORS, gold)
    asked = np.hstack([scattered(20, DIMENSION, 4), np.zeros((20, DIMENSION), np.float32)])
    asking = [make_turn("?", dialogue_id="q")] * 20
    expected = flat.search(asked, asking, 9)
    for one in (index, loaded, copied):
        found = one.search(asked, asking, 9)
        assert np.array_equal(found.rows, expected.rows)
        assert np.array_equal(found.similarities, expected.similarities)
    assert loaded.fingerprint == index.fingerprint
    loaded.save(tmp_path / "again")
    assert verify_index(tmp_path / "again") == []


def files_of(folder):
    return sorted(path for path in (folder / "windows.lancedb").rglob("*") if path.is_file())


def test_any_damaged_file_of_the_table_is_found(victim):
    for file in files_of(victim):
        sound = file.read_bytes()
        file.write_bytes(bytes([sound[0] ^ 1]) + sound[1:])
        with pytest.raises(IndexFolderError, match=rf"{file.name}: SHA-256 differs"):
            Index.load(victim)
        file.unlink()
        with pytest.raises(IndexFolderError, match=rf"{file.name}: missing"):
            Index.load(victim)
        file.write_bytes(sound)
    assert verify_index(victim) == []


def test_a_file_that_the_manifest_does_not_name_is_found(victim):
    """Another version of the table, say, which would be read in the place of the first."""
    versions = next((victim / "windows.lancedb").rglob("_versions"))
    (versions / "1.manifest").write_bytes(b"another")
    with pytest.raises(IndexFolderError, match=r"1\.manifest: the manifest does not name it"):
        Index.load(victim)


def test_a_table_that_says_it_lies_elsewhere_is_not_followed(victim):
    manifest = next(file for file in files_of(victim) if file.suffix == ".manifest")
    manifest.write_bytes(manifest.read_bytes() + b"s3://elsewhere/windows")
    sign(victim)
    with pytest.raises(IndexFolderError, match="names another place"):
        Index.load(victim)


def test_a_table_of_others_is_refused(victim, tmp_path):
    """Fewer vectors, vectors of another length, and no table at all."""
    for vectors in (VECTORS[:5], scattered(26, 4)):
        shutil.rmtree(victim / "windows.lancedb")
        make_store(vectors, np.arange(len(vectors)), "lancedb").write(victim / "windows.lancedb")
        name_files(victim)
        with pytest.raises(IndexFolderError, match="does not hold 26 vectors of 16 numbers"):
            Index.load(victim)
    for file in files_of(victim):
        file.write_bytes(b"")
    sign(victim)
    with pytest.raises(IndexFolderError, match="not an index that ragemo wrote"):
        Index.load(victim)


def name_files(folder):
    """Sign the manifest for the files that are there."""
    files = json.loads((folder / "manifest.json").read_text())["files"]
    names = [name for name in files if "/" not in name]
    names += [file.relative_to(folder).as_posix() for file in files_of(folder)]
    sign(folder, files=dict.fromkeys(names, ""))


def test_without_lancedb_it_says_what_to_install(victim, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lancedb", None)
    with pytest.raises(SettingsError, match=r"pip install 'ragemo\[lancedb\]'"):
        build(factory="lancedb")
    with pytest.raises(IndexFolderError, match=r"victim: .*pip install 'ragemo\[lancedb\]'"):
        Index.load(victim)


def test_the_sample_s_neighbours(embedder):
    """Real vectors, with the equal ones of repeated words."""
    from ragemo import read_corpus

    corpus = read_corpus("ragemo/sample/train.json")
    corpus = replace(corpus, dialogues=corpus.dialogues[:24])
    flat = Index.build(corpus, embedder)
    outside = Searcher(flat.window_vectors, flat.turns, flat.examples, factory="lancedb")
    rows = flat.examples[::3]
    asking = [flat.turns[row] for row in rows]
    for k in (1, 8, 64):
        one = flat.search(flat.window_vectors[rows], asking, k)
        other = outside.search(flat.window_vectors[rows], asking, k, Guard())
        assert np.array_equal(one.rows, other.rows)
        assert np.array_equal(one.similarities, other.similarities)
