"""A run that is killed for good, at any moment, repeats nothing and ends as if it had not been."""

import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.pipeline import predict
from ragemo.runs.run import Run
from tests.fake_llm import FakeLLM
from tests.llm.servers.counting import question_hash
from tests.pipeline.inputs import settings_with, telling_corpus, varied
from tests.zygote import CONCURRENCY

UTTERANCES = 200
KILLS = 50
MOST_UNSTORED = 4 * CONCURRENCY
"""Answers that may be waiting for the disk: each worker has one at most, see `ask_all`."""

DERIVED = (
    *("manifest.json", "utterances.jsonl", "prompts.jsonl", "verdicts.jsonl", "examples.jsonl"),
    *("predictions.csv", "panel.json", "review.csv"),
)
SERVER = Path(__file__).parent / "llm" / "servers" / "counting.py"


class Process:
    """A process that says a line and is told a line."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def hear(self):
        assert select.select([self.process.stdout], [], [], 60)[0], "it said nothing for a minute"
        return self.process.stdout.readline().strip()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def place():
    """A folder in memory where there is one: what is killed here is a process, not the machine."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def port():
    process = Process(SERVER, "neutral", "happy", "angry")
    yield process.hear()
    process.end()


@pytest.fixture(scope="module")
def zygote(port, place):
    first = {"run": str(place / "first"), "cache": str(place / "first.sqlite")}
    process = Process("-m", "tests.zygote", port, json.dumps(first))
    assert process.hear() == "ready"
    yield process
    process.end()


class Trial:
    """One run and its own cache, begun, killed and gone on with."""

    def __init__(self, folder, port, zygote):
        folder.mkdir()
        self.folder, self.port, self.zygote = folder, port, zygote
        self.run, self.cache = folder / "run", folder / "answers.sqlite"
        self.begun = len(self.all_seen())

    def go(self, lines=None, seconds=0.0):
        """Run, or go on; killed so long after so many lines. How it ended."""
        order = {"run": str(self.run), "cache": str(self.cache), "said": f"{self.folder}/said"}
        status = int(self.zygote.tell(json.dumps(order | {"lines": lines, "seconds": seconds})))
        if status not in (0, signal.SIGKILL):
            raise AssertionError((self.folder / "said").read_text())
        return status

    def all_seen(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}", timeout=10) as response:
            return json.load(response)

    def seen(self):
        """The questions that the server was asked so far, in this trial."""
        return self.all_seen()[self.begun :]

    def on_disk(self):
        """Utterances whose answer is in the run, and those whose answer is in the cache."""
        run, cache = set(), set()
        if (self.run / "ballots.jsonl").exists():
            whole = (self.run / "ballots.jsonl").read_bytes().split(b"\n")[:-1]
            run = {json.loads(line)["utterance_id"] for line in whole}
        if self.cache.exists():
            base = sqlite3.connect(self.cache)
            try:
                rows = base.execute("SELECT ballot FROM answers").fetchall()
                cache = {json.loads(text)["utterance_id"] for (text,) in rows}
            except sqlite3.OperationalError:  # killed before there was a table
                pass
            base.close()
        return run, cache

    def derived(self):
        return {name: (self.run / name).read_bytes() for name in DERIVED}


@pytest.fixture(scope="module")
def whole(place, port, zygote):
    """What a run that nothing stopped ends in, and the hash of each utterance's question."""
    trial = Trial(place / "whole", port, zygote)
    assert trial.go() == 0
    questions = {
        record["utterance_id"]: question_hash(record["messages"])
        for record in map(json.loads, (trial.run / "prompts.jsonl").read_text().splitlines())
    }
    assert Counter(trial.seen()) == Counter(questions.values())
    assert len(set(questions.values())) == UTTERANCES
    return trial.derived(), questions


def test_killed_at_any_moment_a_run_repeats_nothing_that_was_on_disk(place, port, zygote, whole):
    derived, questions = whole
    chance = random.Random(6)
    killed = 0
    for number in range(KILLS):
        trial = Trial(place / str(number), port, zygote)
        for _ in range(chance.choice((1, 1, 2))):
            # Before the first answer, between two, and while the decisions are written.
            lines = round(chance.uniform(-0.1, 1.1) * UTTERANCES)
            seconds = chance.uniform(0, 0.01 if 0 <= lines < UTTERANCES else 0.1)
            stopped = trial.go(min(max(lines, 0), UTTERANCES), seconds)
            killed += stopped == signal.SIGKILL
            run, cache = trial.on_disk()
            assert run <= cache, "an answer is in the cache before it is in the run"
            before = trial.seen()
            there = {questions[name] for name in cache}
            assert len(set(before) - there) <= MOST_UNSTORED
        assert trial.go() == 0
        again = trial.seen()[len(before) :]
        assert there.isdisjoint(again), "a call whose answer was on disk was made again"
        assert sorted(again) == sorted(set(questions.values()) - there)
        assert trial.derived() == derived
        written = [ballot.utterance_id for ballot in Run.open(trial.run).ballots()]
        assert sorted(written) == sorted(questions)
        assert (trial.run / "ballots.jsonl").read_bytes().count(b"\n") == UTTERANCES
    assert killed > 0.6 * KILLS


class Watching(FakeLLM):
    """Looks, at each call, at what is on disk of the utterance's earlier answers."""

    def __init__(self, folder, cache):
        super().__init__(varied)
        self.folder, self.cache = folder, cache
        self.missing = []

    async def ask(self, prompt, labels, samples):
        stored = {(b.utterance_id, b.sample) for b in Run.open(self.folder).ballots()}
        kept = sqlite3.connect(self.cache)
        texts = [text for (text,) in kept.execute("SELECT ballot FROM answers")]
        kept.close()
        cached = {(one["utterance_id"], one["sample"]) for one in map(json.loads, texts)}
        earlier = {one for one in self.asked if one[0] == prompt.utterance_id}
        self.missing += [one for one in earlier if one not in stored or one not in cached]
        return await super().ask(prompt, labels, samples)


def test_an_answer_is_on_disk_before_the_utterance_s_next_call(tmp_path):
    settings = settings_with(
        retrieval__k=0, llm__samples=3, voting__stop="none", voting__vary=["context"]
    )
    llm = Watching(tmp_path / "run", tmp_path / "answers.sqlite")
    cache = AnswerCache(tmp_path / "answers.sqlite")
    predict(telling_corpus(3, 4, "d"), settings, tmp_path / "run", llm=llm, cache=cache)
    cache.close()
    assert len(llm.asked) == 3 * 4 * 3
    assert len(llm.prompts) > 12, "some utterances are asked about in several calls"
    assert llm.missing == []
