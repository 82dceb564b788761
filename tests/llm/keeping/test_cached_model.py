"""A model behind a cache: asked only what was never answered, by nobody twice at once."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from dataclasses import replace

import pytest

from ragemo.errors import RunFolderError
from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.llm.keeping.cached_model import CachedModel
from tests.fake_llm import FakeLLM, ShortLLM
from tests.llm.keeping.prompts import LABELS, ask, prompt


def numbers(ballots):
    return [ballot.sample for ballot in ballots]


def test_who_waits_for_the_same_question_hears_as_many_answers_as_who_asked(cache):
    llm = ShortLLM(brings=2)
    one, two = ask(
        CachedModel(llm, cache), (prompt(), [0, 1, 2, 3]), (prompt(utterance="u2"), [0, 1, 2, 3])
    )
    assert numbers(one) == numbers(two) == [0, 1]
    assert llm.asked == [("u1", 0), ("u1", 1)]


def test_an_answer_that_is_known_is_not_heard_before_one_that_did_not_come(cache):
    llm = ShortLLM()
    model = CachedModel(llm, cache)
    assert [numbers(found) for found in ask(model, (prompt(), [2, 3]))] == [[2, 3]]
    llm.brings = 1
    assert [numbers(found) for found in ask(model, (prompt(), [0, 1, 2, 3]))] == [[0]]
    llm.answers_per_call = 128
    assert [numbers(found) for found in ask(model, (prompt(), [0, 1, 2, 3]))] == [[0, 1, 2, 3]]


def test_a_question_is_asked_once_whoever_it_is_about(cache):
    llm = ShortLLM()
    model = CachedModel(llm, cache)
    [first] = ask(model, (prompt(), [0, 1]))
    [again] = ask(model, (prompt(utterance="u2"), [1, 2]))
    assert llm.asked == [("u1", 0), ("u1", 1), ("u2", 2)]
    assert [(b.utterance_id, b.sample) for b in again] == [("u2", 1), ("u2", 2)]
    assert again[0] == replace(first[1], utterance_id="u2", from_cache=True)
    assert [b.from_cache for b in [*first, again[1]]] == [False] * 3


def test_the_same_question_in_flight_is_waited_for(cache):
    llm = FakeLLM()
    found = ask(CachedModel(llm, cache), *[(prompt(utterance=f"u{n}"), [0]) for n in range(9)])
    assert len(llm.asked) == 1
    assert [ballots[0].utterance_id for ballots in found] == [f"u{n}" for n in range(9)]


def test_who_asks_in_one_turn_is_told_by_one_look(cache, monkeypatch):
    """However many ask the very same: none of them waits for another one's look."""
    llm = FakeLLM()
    model = CachedModel(llm, cache)
    ask(model, (prompt(), [0]), (prompt("other"), [0]))
    looks = []
    read = cache.texts
    monkeypatch.setattr(cache, "texts", lambda keys: looks.append(keys) or read(keys))
    model = CachedModel(llm, cache)
    questions = [(prompt(text, f"u{n}"), [0]) for n in range(50) for text in ("hello", "other")]
    found = ask(model, *questions)
    assert all(ballot.from_cache for ballots in found for ballot in ballots)
    assert (len(llm.asked), [len(keys) for keys in looks]) == (2, [2])


def test_an_answer_that_is_stored_during_a_look_is_not_asked_for_again(cache, monkeypatch):
    llm = FakeLLM()
    read, write, writing, missed = cache.texts, cache.write, threading.Event(), threading.Event()

    def late(keys):
        """Tells of before, once another thread has written."""
        before = read(keys)
        missed.set()
        while writing.is_set() and not read(keys):
            time.sleep(0.001)
        return before

    def slow(answers):
        missed.clear()
        writing.set()
        missed.wait(10)
        write(answers)

    monkeypatch.setattr(cache, "texts", late)
    monkeypatch.setattr(cache, "write", slow)
    model = CachedModel(llm, cache)

    async def main():
        first = asyncio.create_task(model.ask(prompt(), LABELS, [0]))
        while not writing.is_set():
            await asyncio.sleep(0)
        await asyncio.gather(first, *(model.ask(prompt(), LABELS, [0]) for _ in range(5)))

    asyncio.run(main())
    assert len(llm.asked) == 1


@pytest.mark.parametrize("stop", ["cancelled", "damaged"])
def test_a_look_that_comes_to_nothing_keeps_nobody_waiting(cache, stop):
    llm = FakeLLM()
    model = CachedModel(llm, cache)

    async def main():
        asking = asyncio.create_task(model.ask(prompt(), LABELS, [0]))
        await asyncio.sleep(0)
        if stop == "cancelled":
            asking.cancel()
        else:
            cache.path.with_name("answers.sqlite-wal").write_bytes(b"")
            cache.path.write_bytes(b"damaged" * 1000)
        await asyncio.wait([asking])
        assert stop == "cancelled" or "cannot be used" in str(asking.exception())
        return await asyncio.wait_for(model.ask(prompt("other"), LABELS, [0]), 10)

    if stop == "cancelled":
        assert len(asyncio.run(main())) == 1
    else:
        with pytest.raises(RunFolderError):
            asyncio.run(main())


def test_an_exact_model_is_asked_once_for_all_samples(cache):
    llm = FakeLLM()
    llm.exact, llm.answers_per_call = True, 128
    [found] = ask(CachedModel(llm, cache), (prompt(), [0, 1, 2]))
    [again] = ask(CachedModel(llm, cache), (prompt(), [3]))
    assert (numbers(found), numbers(again)) == ([0, 1, 2], [3])
    assert llm.asked == [("u1", 0)]


def test_another_object_on_the_same_file_knows_it(cache):
    ask(CachedModel(FakeLLM(lambda p, s: "hap"), cache), (prompt(), [0]))
    other = AnswerCache(cache.path)
    llm = FakeLLM()
    [[ballot]] = ask(CachedModel(llm, other), (prompt(), [0]))
    assert (ballot.answer, llm.asked) == ("hap", [])
    other.close()


def test_a_failed_call_is_not_kept_and_no_label_is(cache):
    answers = iter([None, "purple"])
    llm = FakeLLM(lambda p, s: next(answers))
    model = CachedModel(llm, cache)
    assert ask(model, (prompt(), [0]))[0][0].failed
    assert ask(model, (prompt(), [0]))[0][0].invalid
    assert ask(model, (prompt(), [0]))[0][0].answer == "purple"
    assert len(llm.asked) == 2


class Slow(FakeLLM):
    """Takes as many at once as it says, and remembers how many there were."""

    concurrency = 2
    flying = most = closed = 0

    async def ask(self, prompt, labels, samples):
        self.flying += 1
        self.most = max(self.most, self.flying)
        await asyncio.sleep(0.002)
        self.flying -= 1
        return await super().ask(prompt, labels, samples)


def test_no_more_are_in_flight_than_the_model_takes(cache):
    llm = Slow()
    model = CachedModel(llm, cache)
    ask(model, *[(prompt(text=str(n)), [0]) for n in range(20)])
    assert (llm.most, len(llm.asked)) == (2, 20)


def test_who_is_stopped_while_an_answer_is_stored_finds_it_there_again(cache):
    llm = FakeLLM()
    model = CachedModel(llm, cache)
    write = cache.write

    def slow(answers):
        time.sleep(0.1)
        write(answers)

    cache.write = slow

    async def main():
        asking = asyncio.create_task(model.ask(prompt(), LABELS, [0]))
        while not llm.asked:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.wait([asking])
        await model.close()

    asyncio.run(main())
    [[ballot]] = ask(model, (prompt(), [0]))
    assert ballot.from_cache
    assert len(llm.asked) == 1


def test_who_asked_is_told_if_an_answer_cannot_be_stored(cache):
    def full(answers):
        raise RunFolderError("the disk is full")

    cache.write = full
    with pytest.raises(RunFolderError, match="the disk is full"):
        ask(CachedModel(FakeLLM(), cache), (prompt(), [0]))


@pytest.mark.parametrize("full", [False, True])
def test_who_is_stopped_alone_while_an_answer_is_stored_lets_others_wait_for_it(
    cache, full, caplog
):
    llm = FakeLLM()
    model = CachedModel(llm, cache)
    write, writing, stopped = cache.write, threading.Event(), threading.Event()

    def slow(answers):
        writing.set()
        stopped.wait(10)
        if full and len(llm.asked) == 1:
            raise RunFolderError("the disk is full")
        write(answers)

    cache.write = slow

    async def main():
        asking = asyncio.create_task(model.ask(prompt(), LABELS, [0]))
        while not writing.is_set():
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        others = [asyncio.create_task(model.ask(prompt(), LABELS, [0])) for _ in range(3)]
        await asyncio.sleep(0.05)
        stopped.set()
        return await asyncio.gather(*others, return_exceptions=True)

    heard = asyncio.run(main())
    assert len(llm.asked) == 1
    if full:
        assert [str(error) for error in heard] == 3 * ["the disk is full"]
        with pytest.raises(RunFolderError, match="the disk is full"):
            asyncio.run(model.close())
        ask(model, (prompt(), [0]))
        assert len(llm.asked) == 2  # what could not be stored is there to be asked again
    else:
        assert len({ballot.answer for [ballot] in heard}) == 1
    gc.collect()
    assert caplog.text == ""


def test_who_asks_as_a_write_fails_is_told_and_does_not_pay_again(cache, monkeypatch):
    """The look of who asks comes to its end when nobody asks any more."""

    commits = []

    class Commit:
        def __init__(self, write):
            self.stored = None
            commits.append(self)

        def add(self, items):
            self.stored = asyncio.get_running_loop().create_future()
            return self.stored

    monkeypatch.setattr("ragemo.llm.keeping.cached_model.GroupCommit", Commit)
    llm = FakeLLM()
    model = CachedModel(llm, cache)

    async def main():
        one = asyncio.create_task(model.ask(prompt(), LABELS, [0]))
        while not one.done() and not any(commit.stored for commit in commits):
            await asyncio.sleep(0)
        another = asyncio.create_task(model.ask(prompt(), LABELS, [0]))
        await asyncio.sleep(0)
        commits[0].stored.set_exception(RunFolderError("the disk is full"))
        return await asyncio.wait_for(asyncio.gather(one, another, return_exceptions=True), 10)

    assert [str(error) for error in asyncio.run(main())] == 2 * ["the disk is full"]
    assert len(llm.asked) == 1


def test_who_waits_for_the_answers_of_several_is_told_if_any_cannot_be_stored(cache):
    class SlowFirstSample(FakeLLM):
        async def ask(self, prompt, labels, samples):
            found = await super().ask(prompt, labels, samples)
            while 0 in samples and cache.write is not write:
                await asyncio.sleep(0.001)
            return found

    write, llm = cache.write, SlowFirstSample()
    llm.answers_per_call = 2

    def full_at_first(answers):
        cache.write = write  # sample 0 comes now
        raise RunFolderError("the disk is full")

    cache.write = full_at_first
    questions = [(prompt(), samples) for samples in ([0], [1], [0, 1])]

    async def main():
        model = CachedModel(llm, cache)
        asking = [asyncio.create_task(model.ask(p, LABELS, samples)) for p, samples in questions]
        return await asyncio.gather(*asking, return_exceptions=True)

    [first], second, both = asyncio.run(main())
    assert first.answer
    assert [str(second), str(both)] == 2 * ["the disk is full"]
    assert len(llm.asked) == 2
