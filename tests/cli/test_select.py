"""`ragemo data select`: what to label first, without a look at any label."""

import csv
import io
import json
from pathlib import Path

import pytest

TOPICS = [
    "The train was late again this morning.",
    "My train was late this morning.",
    "Trains are late every morning.",
    "She baked a cherry cake for us.",
    "We ate a whole cherry cake.",
    "It rains and rains in the mountains.",
    "Mountains in the rain look sad.",
    "He sold the old car.",
]
HEADER = "id,dialogue_id,turn,speaker,text"


@pytest.fixture
def spoken(workplace, minilm_folder):
    """A corpus without a word on emotions."""
    file = workplace / "spoken.csv"
    rows = [f"d_{n},d,{n},{'AB'[n % 2]},{text}" for n, text in enumerate(TOPICS)]
    file.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return file


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_corpus_without_labels(command, spoken):
    done = command("data", "select", spoken, "--labels", "meld", "--count", 3)
    assert (done.code, done.err) == (0, "")
    rows = table(done.out)
    assert list(rows[0]) == ["place", "id", "dialogue_id", "speaker", "text"]
    assert [row["place"] for row in rows] == ["1", "2", "3"]
    texts = {f"d_{n}": text for n, text in enumerate(TOPICS)}
    assert all(texts[row["id"]] == row["text"] for row in rows)
    assert len({row["id"] for row in rows}) == 3

    done = command("data", "select", spoken, "--labels", "meld", "--count", 3, "--out", "some.csv")
    assert (done.code, done.out, done.err) == (0, "", "some.csv: 3 utterances\n")
    assert table(Path("some.csv").read_text(encoding="utf-8")) == rows


def test_what_is_there_is_not_overwritten_unasked(command, spoken):
    flags = ["--labels", "meld", "--count", 3]
    some = Path("some.csv")
    some.write_text("mine", encoding="utf-8")
    done = command("data", "select", spoken, *flags, "--out", some)
    assert (done.code, done.out) == (2, "")
    assert "some.csv is there already" in done.err
    assert "--overwrite" in done.err
    assert some.read_text(encoding="utf-8") == "mine"
    done = command("data", "select", spoken, *flags, "--out", some, "--overwrite")
    assert (done.code, done.err) == (0, "some.csv: 3 utterances\n")
    assert len(table(some.read_text(encoding="utf-8"))) == 3


def test_the_corpus_itself_is_never_overwritten(command, spoken):
    before = spoken.read_bytes()
    linked = Path("linked.csv")
    linked.symlink_to(spoken)
    for out in (spoken, linked):
        for more in ([], ["--overwrite"]):
            done = command("data", "select", spoken, "--labels", "meld", "--out", out, *more)
            assert (done.code, done.out) == (2, "")
            assert "spoken.csv itself, which would be lost" in done.err
            assert spoken.read_bytes() == before
    done = command("data", "select", spoken, "--labels", "meld", "--out", ".", "--overwrite")
    assert done.code == 2
    assert ". is no file" in done.err


def test_without_labels_or_a_label_set_it_says_what_to_give(command, spoken):
    done = command("data", "select", spoken, "--count", 3)
    assert (done.code, done.out) == (2, "")
    assert "labels" in done.err.splitlines()[-1]


def test_more_than_there_are(command, spoken):
    done = command("data", "select", spoken, "--labels", "meld", "--count", 1000)
    assert done.code == 0
    assert sorted(row["text"] for row in table(done.out)) == sorted(TOPICS)


@pytest.mark.parametrize("count", [0, -1])
def test_none_is_not_a_count(command, spoken, count):
    assert command("data", "select", spoken, "--labels", "meld", "--count", count).code == 2


def test_cells_are_no_formulas(command, workplace, minilm_folder):
    nasty = ["=1+1", "@SUM(A1)", "+49 123", "-2", "\t=3"]
    rows = [f'd_{n},d,{n},=HYPERLINK(1),"{text}"' for n, text in enumerate(nasty)]
    file = workplace / "nasty.csv"
    file.write_text("\n".join([HEADER, *rows, 'd_9,d,9,A,"two\nlines, ""both"" kept"']) + "\n")
    done = command("data", "select", file, "--labels", "meld")
    assert done.code == 0, done.err
    found = {row["id"]: row for row in table(done.out)}
    assert len(found) == len(nasty) + 1
    assert found["d_9"]["text"] == 'two lines, "both" kept'
    for row in found.values():
        for cell in row.values():
            assert not cell.lstrip().startswith(("=", "@", "+", "-"))


def test_it_is_deterministic_and_no_label_is_looked_at(command, train):
    rows = json.loads(train.read_text(encoding="utf-8"))
    names = ["neu", "hap", "sad", "ang"]
    turned = [
        row | {"emotion": names[(names.index(row["emotion"]) + 1) % 4]}
        if row["emotion"] in names
        else row
        for row in rows
    ]
    assert turned != rows
    Path("turned.json").write_text(json.dumps(turned), encoding="utf-8")
    tables = []
    for file in (train, train, "turned.json"):
        done = command("data", "select", file, "--count", 12)
        assert done.code == 0, done.err
        tables.append(done.out)
    assert tables[0] == tables[1] == tables[2]
    ids = {row["id"] for row in rows if row["need_prediction"] == "yes"}
    assert len(table(tables[0])) == 12
    assert {row["id"] for row in table(tables[0])} <= ids


def test_what_needs_no_label_or_says_nothing_is_passed_over(command, workplace, minilm_folder):
    file = workplace / "some.csv"
    file.write_text(
        "id,dialogue_id,turn,speaker,text,needs_prediction\n"
        "d_0,d,0,A,Hello there.,no\nd_1,d,1,B,Good day.,yes\nd_2,d,2,A,,yes\n"
    )
    done = command("data", "select", file, "--labels", "meld")
    assert [row["id"] for row in table(done.out)] == ["d_1"]
