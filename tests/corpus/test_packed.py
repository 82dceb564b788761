"""Compressed files and tables hold the same corpus as the plain file."""

import bz2
import gzip
import json
import lzma
from dataclasses import replace

import pyarrow
import pyarrow.parquet
import pytest

from ragemo.corpus import convert_corpus, read_corpus
from ragemo.corpus.stream import CorpusStream
from ragemo.errors import DataError, SettingsError
from tests.conftest import LABELS, make_corpus

ROWS = [
    {
        "id": f"u{n}",
        "dialogue_id": f"d{n // 3}",
        "turn": n % 3,
        "speaker": "Ann" if n % 2 else "",
        "hypotheses": {"one": f"words {n} – “so”", "two": "" if n % 4 else "other"},
        "emotion": LABELS.names[n % 3],
        "needs_prediction": n != 4,
        **({"session": "s1"} if n < 5 else {}),
    }
    for n in range(9)
]
TEXT = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def write_zstd(path, data):
    with pyarrow.CompressedOutputStream(str(path), "zstd") as file:
        file.write(data)


def write_flat(path, rows):
    """Hypotheses as columns of their own."""
    flat = [
        {
            **{key: value for key, value in row.items() if key != "hypotheses"},
            **{f"hypothesis:{name}": text for name, text in row["hypotheses"].items()},
        }
        for row in rows
    ]
    columns = {key: [row.get(key) for row in flat] for key in flat[0]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=4)


def write_nested(path, rows):
    """Hypotheses as one column, of the type map or struct."""
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


WRITERS = {
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(TEXT)),
    "a.jsonl.bz2": lambda path: path.write_bytes(bz2.compress(TEXT)),
    "a.jsonl.xz": lambda path: path.write_bytes(lzma.compress(TEXT)),
    "a.jsonl.zst": lambda path: write_zstd(path, TEXT),
    "flat.parquet": lambda path: write_flat(path, ROWS),
    "nested.parquet": lambda path: write_nested(path, ROWS),
}


@pytest.fixture
def plain(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(TEXT)
    return read_corpus(tmp_path / "a.jsonl", labels=LABELS)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_packed_file_is_the_plain_one(tmp_path, plain, name, streamed):
    path = tmp_path / name
    WRITERS[name](path)
    if streamed:
        blocks = list(CorpusStream(path, LABELS).blocks(4))
        dialogues = tuple(dialogue for block in blocks for dialogue in block.dialogues)
        assert len(blocks) == 2
    else:
        dialogues = read_corpus(path, labels=LABELS).dialogues
    assert dialogues == plain.dialogues
    rows = [utterance.row for dialogue in dialogues for utterance in dialogue.utterances]
    assert rows == list(range(9))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"no" + data])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_damaged_one_is_told_by_its_name(tmp_path, name, damage, streamed):
    path = tmp_path / name
    WRITERS[name](path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f"{name}.*(not a|damaged|not JSON|no known format)"):
        if streamed:
            list(CorpusStream(path, LABELS).blocks(4))
        else:
            read_corpus(path, labels=LABELS)


def test_what_a_table_has_of_the_wrong_type_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    write_flat(path, [{**row, "speaker": 7} for row in ROWS])
    with pytest.raises(DataError, match=r"'speaker'.*expected a string, found 7"):
        list(CorpusStream(path, LABELS).blocks(4))
    with pytest.raises(DataError, match=r"'speaker'.*expected a string, found 7"):
        read_corpus(path, labels=LABELS)


def both_ways(path):
    """All ways to read a file."""
    return (
        lambda: read_corpus(path, labels=LABELS),
        lambda: list(CorpusStream(path, LABELS).blocks(4)),
    )


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "a.parquet"
    table = pyarrow.Table.from_pylist(ROWS)
    said = pyarrow.array(["happy"] * len(ROWS))
    pyarrow.parquet.write_table(table.append_column("emotion", said), path)
    for read in both_ways(path):
        with pytest.raises(DataError, match=r"a\.parquet.*columns given more than once: 'emotion'"):
            read()


@pytest.mark.parametrize("pairs", [[("one", "a"), ("one", "b")], [("one", "a"), ("two", "b")]])
@pytest.mark.parametrize("first", [False, True])
def test_two_hypotheses_of_one_system_are_refused(tmp_path, pairs, first):
    path = tmp_path / "a.parquet"
    table = pyarrow.Table.from_pylist(ROWS).drop_columns("hypotheses")
    kind = pyarrow.map_(pyarrow.string(), pyarrow.string())
    maps = pyarrow.array([pairs] * len(ROWS), kind)
    table = table.append_column("hypotheses", maps)
    if pairs[1][0] == "two":  # a column of its own, too
        said = pyarrow.array(["c"] * len(ROWS))
        table = table.add_column(0 if first else len(table.column_names), "hypothesis:one", said)
    pyarrow.parquet.write_table(table, path)
    for read in both_ways(path):
        with pytest.raises(DataError, match=r"'u0'.*hypotheses.*'one' given more than once"):
            read()


def test_other_formats_may_be_compressed_too(tmp_path):
    from tests.corpus.examples import MELD

    (tmp_path / "a.csv").write_text(MELD, encoding="utf-8", newline="")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    one, other = (read_corpus(tmp_path / name) for name in ("a.csv", "a.csv.gz"))
    assert replace(other, path=one.path, sha256=one.sha256) == one


@pytest.mark.parametrize("name", ["b.jsonl.gz", "b.jsonl.bz2", "b.jsonl.xz", "b.jsonl.zst"])
def test_what_is_written_packed_is_read_again(tmp_path, plain, name):
    for path in (tmp_path / name, tmp_path / "b.parquet", tmp_path / "b.csv.gz"):
        convert_corpus(plain, path, "plain")
        assert read_corpus(path, labels=LABELS).dialogues == plain.dialogues
        before = path.read_bytes()
        convert_corpus(plain, path, "plain")
        assert path.read_bytes() == before


def test_a_text_may_hold_any_end_of_a_line(tmp_path):
    said = "one\u2028two\u2029three\x85four\x1cfive"
    corpus = make_corpus([{"dialogue": "d", "text": said}])
    for name in ("b.parquet", "b.jsonl.gz", "b.csv"):
        convert_corpus(corpus, tmp_path / name, "plain")
        (utterance,) = read_corpus(tmp_path / name, labels=LABELS).utterances
        assert list(utterance.hypotheses.values()) == [said]


def test_only_ragemo_s_own_format_is_a_table(tmp_path, plain):
    with pytest.raises(SettingsError, match="only the format plain"):
        convert_corpus(plain, tmp_path / "b.parquet", "meld", transcript=lambda u: "x")
