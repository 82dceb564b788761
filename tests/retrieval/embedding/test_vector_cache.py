"""Vectors on disk: the same bytes, never a damaged one, and nothing lost by several at once."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ragemo.retrieval.embedding.embedder import SentenceTransformerEmbedder
from ragemo.retrieval.embedding.vector_cache import (
    CachedEmbedder,
    kept_vectors,
    vectors_folder,
    with_cache,
)
from tests.conftest import FakeEmbedder

TEXTS = ["Yes.", "No.", "Yes.", "", "Perhaps.", "\ud800"]


class Counting(FakeEmbedder):
    def __init__(self, **options):
        super().__init__(**options)
        self.asked = []

    def embed(self, texts, progress=lambda done: None):
        self.asked += texts
        progress(len(texts))
        return super().embed([text.encode("utf-8", "replace").decode() for text in texts])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAGEMO_CACHE", str(tmp_path))
    monkeypatch.delenv("RAGEMO_VECTORS", raising=False)


def test_what_was_embedded_once_is_not_embedded_again():
    plain = Counting().embed(TEXTS)
    first, second = Counting(), Counting()
    assert np.array_equal(with_cache(first).embed(TEXTS), plain)
    assert first.asked == ["Yes.", "No.", "", "Perhaps.", "\ud800"]
    done = []
    again = with_cache(second).embed([*TEXTS, "New."][::-1], done.append)
    assert second.asked == ["New."]
    assert sum(done) == 6
    assert np.array_equal(again[1:][::-1], plain)
    assert kept_vectors()[0] == 1


def test_texts_themselves_are_not_kept():
    with_cache(Counting()).embed(["a secret text"])
    assert all(b"secret" not in file.read_bytes() for file in vectors_folder().iterdir())


def test_another_identity_is_another_cache():
    with_cache(Counting(salt="one")).embed(TEXTS)
    other = Counting(name="other", salt="two")
    assert np.array_equal(with_cache(other).embed(TEXTS), Counting(salt="two").embed(TEXTS))
    assert kept_vectors()[0] == 2


def test_it_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("RAGEMO_VECTORS", "off")
    embedder = Counting()
    assert with_cache(embedder) is embedder


@pytest.mark.parametrize("vector", ["zeroblob(32)", "zeroblob(4)", "'text'", "5", "1.5"])
def test_a_damaged_vector_is_embedded_again_and_mended(tmp_path, vector):
    file = tmp_path / "own.sqlite"
    plain = CachedEmbedder(Counting(), file).embed(TEXTS)
    with sqlite3.connect(file) as opened:
        opened.execute(f"UPDATE vectors SET vector = {vector} WHERE number = 2")
    opened.close()
    for asked in (1, 0):
        embedder = Counting()
        assert np.array_equal(CachedEmbedder(embedder, file).embed(TEXTS), plain)
        assert len(embedder.asked) == asked


def test_a_file_that_is_no_cache_is_replaced(tmp_path):
    file = tmp_path / "own.sqlite"
    file.write_bytes(b"this is no database, and long enough to be seen as none" * 100)
    for asked in (5, 0):
        embedder = Counting()
        found = CachedEmbedder(embedder, file).embed(TEXTS)
        assert np.array_equal(found, Counting().embed(TEXTS))
        assert len(embedder.asked) == asked


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    found = CachedEmbedder(Counting(), tmp_path / "file" / "own.sqlite").embed(TEXTS)
    assert np.array_equal(found, Counting().embed(TEXTS))


def test_the_newest_are_kept(tmp_path):
    file = tmp_path / "own.sqlite"
    for number in range(6):
        CachedEmbedder(Counting(), file, most=4).embed([f"text {number}"])
    embedder = Counting()
    CachedEmbedder(embedder, file).embed([f"text {number}" for number in range(6)])
    assert embedder.asked == ["text 0", "text 1"]


def test_several_may_write_at_once(tmp_path):
    file = tmp_path / "own.sqlite"

    def work(part):
        for start in range(0, 40, 4):
            texts = [f"{part % 2} {number}" for number in range(start, start + 4)]
            CachedEmbedder(Counting(), file).embed(texts)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    embedder = Counting()
    CachedEmbedder(embedder, file).embed([f"{part} {n}" for part in range(2) for n in range(40)])
    assert embedder.asked == []


def test_a_folder_s_weights_are_in_its_identity(minilm_folder):
    one = SentenceTransformerEmbedder.load(str(minilm_folder))
    assert len(one.identity["content_sha256"]) == 64
    one.model[0].auto_model.embeddings.word_embeddings.weight.data[5] += 1
    assert SentenceTransformerEmbedder.of(one.name, one.model).identity != one.identity
