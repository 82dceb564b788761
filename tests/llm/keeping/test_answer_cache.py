"""What was answered once is kept and found, by whatever process, whatever became of the first."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import RunFolderError, SettingsError
from ragemo.labels import LabelSet, load_labels
from ragemo.llm.keeping.answer_cache import APPLICATION, AnswerCache, answer_key
from ragemo.types import Ballot, Usage
from tests.fake_llm import FakeLLM
from tests.llm.keeping.prompts import LABELS, prompt

NUMBERS = itertools.count()
RENAMED = LabelSet.from_dict(
    {
        **LABELS.to_dict(),
        "labels": [
            {**one, "aliases": [*one["aliases"], f"very {one['word']}"]}
            for one in LABELS.to_dict()["labels"]
        ],
    }
)
"""The same labels, of which more is understood."""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """One file for many answers: to make one takes longer than to use it."""
    cache = AnswerCache(tmp_path_factory.mktemp("cache") / "a.sqlite")
    yield cache
    cache.close()


@settings(deadline=None)
@given(
    st.sampled_from(LABELS.names).map(LABELS.one_hot) | st.none(),
    st.text(),
    st.integers(0, 10**6),
    st.none() | st.floats(0, 10),
)
def test_a_ballot_comes_back_as_it_was(large, shares, answer, tokens, cost):
    key = str(next(NUMBERS))
    one = Ballot(
        "u", "m", 2, shares, shares, answer, None, Usage(tokens, 1, 2, cost, 0.5), "v", "check",
        {"evidence": answer},
    )  # fmt: skip
    large.write({key: one})
    assert large.read([key, "other"], LABELS) == {key: one}
    assert large.has([key, "other"]) == {key}


def test_what_determines_an_answer_tells_keys_apart():
    one, two = FakeLLM(), FakeLLM()
    two.name = "other"  # stands in its identity
    keys = [
        answer_key(one, prompt(), LABELS, 0),
        answer_key(two, prompt(), LABELS, 0),
        answer_key(one, prompt("bye"), LABELS, 0),
        answer_key(one, prompt(form="evidence"), LABELS, 0),
        answer_key(one, prompt(form="evidence", said="bye"), LABELS, 0),
        answer_key(one, prompt(form="cause"), LABELS, 0),
        answer_key(one, prompt(form="cause", utterance="u2"), LABELS, 0),
        answer_key(one, prompt(), load_labels("meld"), 0),
        answer_key(one, prompt(), RENAMED, 0),
        answer_key(one, prompt(), LABELS, 1),
    ]
    assert all(a != b for a, b in combinations(keys, 2))


def test_what_does_not_determine_an_answer_leaves_keys_the_same():
    one = FakeLLM()
    # Of a bare label nothing is held against the turns; of a quote their words, of a cause their
    # ids.
    for form, others in {
        "label": [{"said": "bye", "utterance": "u2"}],
        "rated": [{"said": "bye", "utterance": "u2"}],
        "evidence": [{"utterance": "u2"}],
        "cause": [{"said": "bye"}],
    }.items():
        for other in others:
            assert answer_key(one, prompt(form=form), LABELS, 0) == answer_key(
                one, prompt(form=form, **other), LABELS, 0
            )
    drawn = {
        **LABELS.to_dict(),
        "name": "other",
        "labels": [one | {"colour": "#000000"} for one in LABELS.to_dict()["labels"]],
    }
    slow = FakeLLM()
    slow.concurrency = 1
    counted = replace(prompt(), tokens=99, dropped_context=1)
    key = answer_key(one, prompt(), LABELS, 0)
    assert key == answer_key(slow, counted, LabelSet.from_dict(drawn), 0)
    slow.exact = True
    assert answer_key(slow, prompt(), LABELS, 3) == key


def test_latency_is_the_mean_of_a_models_answers(cache):
    assert cache.seconds_per_answer("m") is None
    cache.write({str(n): Ballot("u", "m", usage=Usage(seconds=n)) for n in (1, 2, 6)})
    cache.write({"x": Ballot("u", "other", usage=Usage(seconds=100))})
    assert cache.seconds_per_answer("m") == pytest.approx(3)


WRITER = """
import sys
from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.types import Ballot
cache = AnswerCache(sys.argv[1])
for number in range(10**6):
    cache.write({f"{sys.argv[2]}-{number}": Ballot("u", "m", number)})
    print(number, flush=True)
"""


def test_what_was_stored_survives_a_kill_beside_another_writer(tmp_path):
    path = tmp_path / "answers.sqlite"
    AnswerCache(path).close()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, name], stdout=subprocess.PIPE)
        for name in "ab"
    ]
    for writer in writers:
        assert writer.stdout.readline() == b"0\n"  # until both are at it
    time.sleep(0.3)
    said = {}
    for name, writer in zip("ab", writers, strict=True):
        os.kill(writer.pid, signal.SIGKILL)
        said[name] = 1 + len(writer.communicate()[0].splitlines())
    cache = AnswerCache(path)
    for name, count in said.items():
        assert count > 0
        keys = [f"{name}-{number}" for number in range(count)]
        assert cache.has(keys) == set(keys)
    cache.close()


@pytest.mark.parametrize("content", [b"not a database at all, but long enough" * 30])
def test_a_file_that_is_no_cache_is_told(tmp_path, content):
    (tmp_path / "answers.sqlite").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"answers\.sqlite.*cannot be used"):
        AnswerCache(tmp_path / "answers.sqlite")


OPENER = """
import sys
from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.types import Ballot
sys.stdin.readline()
AnswerCache(sys.argv[1]).write({sys.argv[2]: Ballot("u", "m")})
"""


def test_several_processes_may_be_the_first_at_once(tmp_path):
    path = tmp_path / "answers.sqlite"
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, path, str(number)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(4)
    ]
    time.sleep(0.5)  # until they wait for the start
    for one in openers:
        one.stdin.write(b"go\n")
        one.stdin.flush()
    said = [one.communicate()[1].decode() for one in openers]
    assert said == [""] * 4
    cache = AnswerCache(path)
    assert cache.has("0123") == set("0123")
    cache.close()


def test_files_of_other_programs_and_other_layouts_are_refused_by_name_and_left(tmp_path):
    path = tmp_path / "a.sqlite"
    for script, said in [
        ("CREATE TABLE cookies (x)", "not a cache of answers that this ragemo reads"),
        ("CREATE TABLE answers (key, model, ballot)", "not a cache of answers that this ragemo"),
        (
            f"CREATE TABLE answers (key); PRAGMA application_id = {APPLICATION}; "
            "PRAGMA user_version = 99",
            "answers in layout 99, this ragemo reads 2",
        ),
    ]:
        base = sqlite3.connect(path)
        base.executescript(script)
        base.close()
        before = path.read_bytes()
        with pytest.raises(RunFolderError, match=rf"a\.sqlite: {said}"):
            AnswerCache(path)
        assert path.read_bytes() == before
        path.unlink()


def test_an_answer_that_is_there_stays_as_it_is(cache):
    first, second = Ballot("u", "m", answer="joy"), Ballot("u", "m", answer="anger")
    cache.write({"k": first})
    cache.write({"k": second, "l": second})
    assert cache.read(["k", "l"], LABELS) == {"k": first, "l": second}


def test_who_reads_does_not_wait_for_who_writes(cache):
    """A write that is being synced, in this or another process, holds nobody up."""
    cache.write({"k": Ballot("u", "m")})
    other = sqlite3.connect(cache.path)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO answers VALUES ('l', 'm', 0, '{}')")
    assert cache.has(["k", "l"]) == {"k"}
    other.commit()
    assert cache.has(["k", "l"]) == {"k", "l"}
    other.close()


def test_a_full_disk_is_an_error_and_earlier_answers_stay(tmp_path):
    """The system's own limit stops the write after some bytes, as a full disk does."""
    cache = AnswerCache(tmp_path / "a.sqlite")
    cache.write({"k": Ballot("u", "m")})
    room = (tmp_path / "a.sqlite-wal").stat().st_size + 100
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(RunFolderError, match=r"a\.sqlite: .*--no-cache"):
            cache.write({"l": Ballot("u", "m", answer="x" * 9000)})
        assert cache.has(["k", "l"]) == {"k"}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    cache.write({"l": Ballot("u", "m")})
    assert cache.has(["k", "l"]) == {"k", "l"}
    cache.close()


@pytest.mark.parametrize("name", [":memory:", "./:memory:"])
def test_a_cache_that_would_keep_nothing_is_refused(name):
    with pytest.raises(SettingsError, match=r"cache :memory: would keep nothing.*--no-cache"):
        AnswerCache(name)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunFolderError, match="--cache FILE"):
        AnswerCache(tmp_path / "file" / "answers.sqlite")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunFolderError, match="--cache FILE"):
        AnswerCache(tmp_path / "folder")
