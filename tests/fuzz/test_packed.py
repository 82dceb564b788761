"""A packed corpus may be anybody's: it is read, or refused in words, and never fills the memory."""

from __future__ import annotations

import bz2
import gzip
import lzma

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.corpus import packed as packing
from ragemo.corpus import read_corpus
from ragemo.corpus.packed import packed
from ragemo.corpus.stream import CorpusStream
from ragemo.errors import DataError
from tests.conftest import LABELS
from tests.corpus.test_packed import ROWS, TEXT
from tests.fuzz.damage import damaged_bytes, fate, fuzz, only_our_errors

COMPRESSED = ("a.jsonl.gz", "a.jsonl.bz2", "a.jsonl.xz", "a.jsonl.zst")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("packed")


def read_whole(path):
    read_corpus(path, labels=LABELS)


def read_streamed(path):
    list(CorpusStream(path, LABELS).blocks(4))


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_files(place, name):
    path = place / name
    sound = packed(TEXT.decode(), path)

    @fuzz(20)
    @given(damaged_bytes(sound))
    def try_one(data):
        path.write_bytes(data)
        for read in (read_whole, read_streamed):
            with only_our_errors():
                read(path)

    try_one()


@pytest.mark.parametrize("nested", [False, True])
def test_tables(place, nested):
    path = place / "a.parquet"
    if nested:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
        sound = path.read_bytes()
    else:
        sound = packed(TEXT.decode(), path)

    @fuzz(10)
    @given(damaged_bytes(sound), st.sampled_from([read_whole, read_streamed]))
    def try_one(data, read):
        path.write_bytes(data)
        assert fate(lambda: read(path)) in {"done", "refused"}

    try_one()


def test_a_table_whose_texts_lie_beyond_those_that_are_there(place, monkeypatch):
    """As pyarrow says of a damaged dictionary."""

    def beyond(column):
        raise pyarrow.lib.ArrowIndexError("Index 9 out of bounds")

    path = place / "a.parquet"
    packed(TEXT.decode(), path)
    monkeypatch.setattr("ragemo.corpus.packed._cells", beyond)
    for read in (read_whole, read_streamed):
        with pytest.raises(DataError, match=r"a\.parquet"):
            read(path)


# -- files that stand for more than they are -------------------------------------------------------


@pytest.fixture
def small_limits(monkeypatch):
    monkeypatch.setattr(packing, "MOST_WHOLE", 1 << 21)
    monkeypatch.setattr(packing, "MOST_LINE", 1 << 20)


@pytest.mark.parametrize("name", COMPRESSED)
def test_one_endless_line_is_refused_before_it_fills_the_memory(place, small_limits, name):
    path = place / name
    path.write_bytes(packed("x" * (1 << 24), path))
    assert path.stat().st_size < 1 << 16
    with pytest.raises(DataError, match="more than 2 MiB unpacked, too much to be read whole"):
        read_whole(path)
    with pytest.raises(DataError, match="a line of more than 1 MiB"):
        read_streamed(path)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_no_more_is_unpacked_than_is_read(place, small_limits, compress):
    """A gigabyte without a line's end is refused at its first or second megabyte."""
    kind = {"gzip": "gz", "bz2": "bz2", "lzma": "xz"}[compress.__module__.removeprefix("_")]
    path = place / f"bomb.jsonl.{kind}"
    path.write_bytes(compress(b"x" * (1 << 24)) * 64)
    for read in (read_whole, read_streamed):
        assert fate(lambda read=read: read(path)) == "refused"


def test_a_text_that_all_rows_share_is_there_once(place):
    path = place / "shared.parquet"
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 2000), ["x" * (1 << 21)])
    ids = pyarrow.array([f"u{number}" for number in range(2000)])
    said = pyarrow.StructArray.from_arrays(
        [text.cast(pyarrow.dictionary("int32", "string"))], ["a"]
    )
    for hypotheses in (text, said):
        name = "hypotheses" if hypotheses is said else "hypothesis:a"
        pyarrow.parquet.write_table(pyarrow.table({"id": ids, name: hypotheses}), path)
        assert path.stat().st_size < 1 << 17
        assert fate(lambda: read_streamed(path)) == "refused"  # no dialogue; 4 GB would be others
