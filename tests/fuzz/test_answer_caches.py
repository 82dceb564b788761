"""A file of kept answers may be anybody's: it answers, or is refused in words."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.errors import RunFolderError
from ragemo.llm.keeping.answer_cache import AnswerCache, answer_key
from ragemo.llm.keeping.cached_model import CachedModel
from ragemo.types import Message, Prompt
from tests.conftest import LABELS
from tests.fake_llm import FakeLLM
from tests.fuzz.damage import HOSTILE, damaged_bytes, damaged_data, fate, fuzz, only_our_errors

PROMPTS = [Prompt(f"u{n}", (Message("user", f"words {n}"),), 3) for n in range(4)]
KEY = answer_key(FakeLLM(), PROMPTS[0], LABELS, 0)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("caches")


def ask(cache, llm):
    async def everything():
        model = CachedModel(llm, cache)
        return [await model.ask(prompt, LABELS, [0]) for prompt in PROMPTS]

    return asyncio.run(everything())


@pytest.fixture(scope="module")
def sound(place):
    """The file's bytes, and the ballot of `KEY`."""
    path = place / "sound.sqlite"
    with closing(AnswerCache(path)) as cache:
        ask(cache, FakeLLM(lambda prompt, sample: "happy"))
    with closing(sqlite3.connect(path)) as base:
        base.execute("PRAGMA journal_mode=DELETE")
        [(ballot,)] = base.execute("SELECT ballot FROM answers WHERE key = ?", (KEY,))
    return path.read_bytes(), json.loads(ballot)


def use(path):
    """Everything that is done with such a file."""
    with closing(AnswerCache(path)) as cache:
        for ballots in ask(cache, FakeLLM()):
            for ballot in ballots:
                assert ballot.voter == "fake"
                assert ballot.distribution is None or len(ballot.distribution) == len(LABELS)
        cache.seconds_per_answer("fake")
        cache.kept()
        list(cache.records())
        cache.prune(older_than=5)


def victim(place, data):
    path = place / "victim.sqlite"
    for old in place.glob("victim.sqlite*"):
        old.unlink()
    path.write_bytes(data)
    return path


def test_files(place, sound):
    @fuzz(20)
    @given(st.one_of(damaged_bytes(sound[0]), damaged_bytes(sound[0][:200])))
    def try_one(data):
        whole = data if len(data) > 300 else data + sound[0][len(data) :]
        assert fate(lambda: use(victim(place, whole))) in {"done", "refused"}

    try_one()


def test_a_file_whose_own_words_are_no_text(place, sound):
    """SQLite repeats them when it says what is wrong."""
    damaged = sound[0].replace(b"TABLE answers (", b"TABLE answers \xa8")
    assert damaged != sound[0]
    with pytest.raises(RunFolderError, match="cannot be used"):
        use(victim(place, damaged))


def test_ballots(place, sound):
    @fuzz(40)
    @given(damaged_data(sound[1]))
    def try_one(data):
        path = victim(place, sound[0])
        put(path, "ballot", json.dumps(data))
        with only_our_errors():
            use(path)

    try_one()


def put(path, column, value):
    with closing(sqlite3.connect(path)) as base, base:
        base.execute(f"UPDATE OR IGNORE answers SET {column} = ? WHERE key = ?", (value, KEY))


def fits(value):
    """Whether SQLite has such a value."""
    if isinstance(value, int | float):
        return abs(value) < 2**63 or value == float("inf")
    return isinstance(value, str) and value != "\ud800"


@pytest.mark.parametrize("column", ["model", "answered", "ballot"])
def test_values(place, sound, column):
    for value in [*filter(fits, HOSTILE), b"\xff\xfe", -(2**62), 2**62, b""]:
        path = victim(place, sound[0])
        put(path, column, value)
        with only_our_errors():
            use(path)


# -- attacks that were thought of ------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"distribution": [1.0]},
        {"distribution": [0.25] * 4},
        {"distribution": [2.0, -1.0, 0.0]},
        {"log_likelihoods": [0.0]},
        {"error": "no answer came"},
        {"purpose": "x"},
        {"details": {"x": "\ud800"}},
        {"usage": {"cost": -5.0}},
        {"usage": None},
        {"unknown": 1},
    ],
)
def test_an_answer_on_other_labels_is_no_answer(place, sound, other):
    path = victim(place, sound[0])
    put(path, "ballot", json.dumps(sound[1] | other))
    with closing(AnswerCache(path)) as cache, pytest.raises(RunFolderError, match="cannot be used"):
        ask(cache, FakeLLM())


def test_an_answer_is_its_voter_s_whoever_the_file_names(place, sound):
    path = victim(place, sound[0])
    put(path, "ballot", json.dumps(sound[1] | {"voter": "neighbours", "utterance_id": "x"}))
    with closing(AnswerCache(path)) as cache:
        [[ballot], *_] = ask(cache, FakeLLM())
    assert (ballot.voter, ballot.utterance_id, ballot.from_cache) == ("fake", "u0", True)


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE more (x)",
        "CREATE TRIGGER t AFTER INSERT ON answers BEGIN DELETE FROM answers; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE INDEX i ON answers (model)",
        "ALTER TABLE answers ADD COLUMN more TEXT",
        "ALTER TABLE answers RENAME TO a; CREATE VIEW answers AS SELECT * FROM a",
        "DROP TABLE answers; CREATE TABLE answers (key, model, answered, ballot)",
    ],
)
def test_other_tables_are_not_read(place, sound, script):
    path = victim(place, sound[0])
    with closing(sqlite3.connect(path)) as base:
        base.executescript(script)
    before = path.read_bytes()
    with pytest.raises(RunFolderError, match="not a cache of answers that this ragemo reads"):
        AnswerCache(path)
    assert path.read_bytes() == before
