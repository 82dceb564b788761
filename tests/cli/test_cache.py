"""`ragemo cache`: what is kept, what is removed, what is written out."""

import json
import sqlite3
import time
from pathlib import Path

import pytest

from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.types import Ballot, Usage

DAY = 86_400


def ballot(number, model="m"):
    return Ballot(f"u{number}", model, answer="j\u00f6y", usage=Usage(100, 0, 2, cost=0.25))


@pytest.fixture
def kept(answers_file):
    """Three answers of today, and one of another model."""
    cache = AnswerCache(answers_file)
    cache.write({str(n): ballot(n) for n in range(3)})
    cache.write({"other": ballot(9, "other")})
    cache.close()
    return answers_file


def given(file, key, seconds):
    """Say that an answer was given at another time."""
    base = sqlite3.connect(file)
    base.execute("UPDATE answers SET answered = ? WHERE key = ?", (int(seconds), key))
    base.commit()
    base.close()


def keys(file):
    cache = AnswerCache(file)
    found = cache.has([*"0123", "other"])
    cache.close()
    return found


def test_info_tells_models_days_and_dollars(command, kept):
    given(kept, "1", time.time() - 40 * DAY)
    done = command("cache", "info")
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    today = time.strftime("%Y-%m-%d", time.gmtime())
    before = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 40 * DAY))
    assert rows[1] == ["m", "3", before, today, "0.7500"]
    assert rows[2] == ["other", "1", today, today, "0.2500"]
    assert done.out.splitlines()[-1].startswith(f"{kept}: 4 answers, ")
    assert done.out.endswith(" MB, $1.0000 not paid again\n")


def test_prune_says_what_would_go_and_removes_it_when_told(command, kept):
    given(kept, "1", time.time() - 40 * DAY)
    given(kept, "other", time.time() - 40 * DAY)
    done = command("cache", "prune", "--older-than", "30d")
    assert done.out == f"{kept}: 2 answers would go; --yes removes\n"
    assert len(keys(kept)) == 4
    done = command("cache", "prune", "--older-than", "30d", "--model", "m", "--yes")
    assert done.out == f"{kept}: 1 answers removed\n"
    assert keys(kept) == {"0", "2", "other"}
    assert command("cache", "prune", "--model", "m", "--yes").code == 0
    assert keys(kept) == {"other"}


def test_a_clock_that_jumps_back_removes_nothing_new_and_breaks_nothing(command, kept):
    given(kept, "2", time.time() + 400 * DAY)  # given when the clock was a year ahead
    assert command("cache", "prune", "--older-than", "0h", "--yes").code == 0
    assert "2" in keys(kept)
    assert command("cache", "info").code == 0


def test_export_writes_each_answer_as_a_line(command, kept):
    done = command("cache", "export")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert sorted(line["utterance_id"] for line in lines) == ["u0", "u1", "u2", "u9"]
    assert {line["answer"] for line in lines} == {"j\u00f6y"}
    assert all(line["answered"].endswith("+00:00") for line in lines)
    assert command("cache", "export", "--out", "all.jsonl").out == ""
    assert Path("all.jsonl").read_text("utf-8") == done.out


@pytest.mark.parametrize("end", ["", "-wal"])
def test_export_replaces_no_file_unasked_and_never_the_cache(command, kept, end):
    Path("thesis.txt").write_text("years of work")
    done = command("cache", "export", "--out", "thesis.txt")
    assert (done.code, done.err.count("--overwrite")) == (2, 1)
    assert Path("thesis.txt").read_text() == "years of work"
    assert command("cache", "export", "--out", "thesis.txt", "--overwrite").code == 0
    assert Path("thesis.txt").read_text() != "years of work"
    for place in (".", "long" * 99):
        done = command("cache", "export", "--out", place, "--overwrite")
        assert (done.code, done.out) == (2, "")
    own = Path(f"{kept}{end}")
    own.touch()
    done = command("cache", "export", "--out", own, "--overwrite")
    assert (done.code, done.err.count(f"{own} itself, which would be lost")) == (2, 1)


def test_export_never_replaces_a_cache_whose_name_is_a_pattern(command, kept):
    own = kept.rename(kept.with_name("a[1].sqlite"))
    before = own.read_bytes()
    done = command("cache", "export", "--cache", own, "--out", own, "--overwrite")
    assert (done.code, own.read_bytes()) == (2, before)


def test_it_works_while_another_process_writes(command, kept):
    writer = AnswerCache(kept)
    writer.write({"3": ballot(3)})
    for arguments in (("info",), ("export",), ("prune", "--model", "other", "--yes")):
        assert command("cache", *arguments).code == 0
    writer.write({"4": ballot(4)})
    assert writer.has(["3", "4", "other"]) == {"3", "4"}
    writer.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prune"], "say which answers"),
        (["prune", "--older-than", "soon"], "--older-than soon: expected hours, days or weeks"),
    ],
)
def test_what_cannot_be_done_is_told(command, kept, arguments, said):
    done = command("cache", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize("arguments", [["info"], ["export"], ["prune", "--model", "m", "--yes"]])
def test_where_nothing_is_kept_nothing_is_made(command, arguments):
    done = command("cache", *arguments, "--cache", "none.sqlite")
    assert (done.code, done.out) == (0, "")
    assert done.err == "none.sqlite: no answers are kept there yet\n"
    assert not Path("none.sqlite").exists()
