"""A corpus that is read block by block is the corpus that is read whole."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.corpus import packed, read_corpus
from ragemo.corpus.blocks import WholeCorpus
from ragemo.corpus.read import read_with_problems
from ragemo.corpus.stream import CorpusStream, can_stream
from ragemo.errors import DataError
from tests.conftest import LABELS


def row(number, dialogue, turn, **others):
    return {
        "id": f"u{number}",
        "dialogue_id": dialogue,
        "turn": turn,
        "speaker": "A",
        "text": f"words {number}",
        "emotion": LABELS.names[number % 3],
    } | others


def rows_of(lengths):
    places = [(f"d{n}", turn) for n, length in enumerate(lengths) for turn in range(length)]
    return [row(number, *place) for number, place in enumerate(places)]


def put(path, rows):
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return path


def read(path, size=2):
    return list(CorpusStream(path, LABELS).blocks(size))


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=8), size=st.integers(1, 12))
def test_blocks_are_whole_dialogues_in_order(tmp_path_factory, lengths, size):
    path = put(tmp_path_factory.mktemp("stream") / "a.jsonl", rows_of(lengths))
    whole = read_corpus(path, labels=LABELS)
    blocks = read(path, size)
    assert tuple(one for block in blocks for one in block.dialogues) == whole.dialogues
    assert {(b.path, b.sha256, b.format, b.labels) for b in blocks} == {
        (whole.path, whole.sha256, whole.format, whole.labels)
    }
    sizes = [len(block.utterances) for block in blocks]
    assert all(size <= count < size + max(lengths) for count in sizes[:-1])


def test_it_can_be_read_again_and_again(tmp_path):
    stream = CorpusStream(put(tmp_path / "a.jsonl", rows_of([2, 3, 2])), LABELS)
    assert list(stream.blocks(2)) == list(stream.blocks(2))


FAULTS = {
    "no JSON": (4, "{"),
    "unknown key": (3, row(3, "d1", 1, mood="odd")),
    "unknown label": (5, row(5, "d2", 0, emotion="odd")),
    "no turn": (2, row(2, "d1", -1)),
    "id twice": (6, row(1, "d3", 0)),
    "id twice in one block": (3, row(2, "d1", 1)),
    "turn twice": (4, row(4, "d1", 0)),
    "surrogate": (4, row(4, "d1", 2, text="\ud800")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_those_of_a_file_read_whole(tmp_path, name):
    place, wrong = FAULTS[name]
    rows = rows_of([2, 3, 1, 1, 2])
    lines = [json.dumps(one) for one in rows]
    lines[place] = wrong if isinstance(wrong, str) else json.dumps(wrong)
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines) + "\n")
    problem = read_with_problems(path, labels=LABELS).problems[0]
    with pytest.raises(DataError) as caught:
        read(path)
    told = caught.value
    assert (told.line, told.field, told.record) == (problem.line, problem.field, problem.record)
    if name != "id twice":  # where the first one stands is not kept
        assert told.message == problem.message


def test_a_byte_order_mark_inside_a_file_is_a_fault_wherever_pieces_end(tmp_path, monkeypatch):
    path = put(tmp_path / "a.jsonl", rows_of([4]))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1], b"\xef\xbb\xbf" + lines[2], lines[3]]))
    for piece in (1, len(lines[0]), 1 << 20):
        monkeypatch.setattr(packed, "PIECE", piece)
        with pytest.raises(DataError, match="JSON") as caught:
            read(path)
        assert caught.value.line == 3


def test_a_line_that_is_not_utf_8_is_named(tmp_path):
    path = put(tmp_path / "a.jsonl", rows_of([30_000]))
    lines = path.read_bytes().split(b"\n")
    lines[20_000] = b"\xff"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match="not UTF-8") as caught:
        read(path)
    assert caught.value.line == 20_001


def test_a_dialogue_in_two_pieces_is_refused_with_what_to_do(tmp_path):
    rows = [*rows_of([2, 2, 2]), row(6, "d0", 2)]
    with pytest.raises(DataError, match=r"7: dialogue 'd0' goes on here.*sort it by dialogue"):
        read(put(tmp_path / "a.jsonl", rows))
    with pytest.raises(DataError, match=r"7: dialogue 'd0' goes on here"):
        read(tmp_path / "a.jsonl", 1000)  # whatever the blocks are


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=8), size=st.integers(1, 12))
def test_a_corpus_in_memory_comes_in_the_same_blocks(tmp_path_factory, lengths, size):
    path = put(tmp_path_factory.mktemp("whole") / "a.jsonl", rows_of(lengths))
    whole = WholeCorpus(read_corpus(path, labels=LABELS))
    assert list(whole.blocks(size)) == read(path, size)


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_file_without_utterances_is_refused(tmp_path, text):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match="no utterances in it"):
        read(path)
    with pytest.raises(DataError, match="no such file"):
        CorpusStream(tmp_path / "b.jsonl", LABELS)


def test_a_name_tells_what_can_be_streamed(tmp_path):
    can = ["a.jsonl", "a.b.JSONL", "a.ndjson", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"]
    cannot = ["a.json", "a.csv", "a.csv.gz", "a.json.xz", "jsonl", "a.gz"]
    assert [name for name in [*can, *cannot] if can_stream(tmp_path / name)] == can
