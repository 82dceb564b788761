"""Event loops that share one cached model: one after the other, in turn, or in threads."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from ragemo.errors import RunFolderError
from ragemo.llm.keeping.cached_model import CachedModel
from tests.fake_llm import FakeLLM
from tests.llm.keeping.prompts import LABELS, ask, prompt


def test_what_an_event_loop_that_ended_left_to_be_stored_is_not_asked_for_again(cache):
    said = []
    model = CachedModel(FakeLLM(lambda p, _: said.append(p.utterance_id) or "hap"), cache)

    async def leave():
        await model.ask(prompt("first", "u1"), LABELS, [0])
        asking = asyncio.create_task(model.ask(prompt("second", "u2"), LABELS, [0]))
        while "u2" not in said:
            await asyncio.sleep(0)
        asking.cancel()  # so soon after the first one that its answer waits to be stored

    asyncio.run(leave())
    [_], [ballot] = ask(model, (prompt("third", "u3"), [0]), (prompt("second", "u2"), [0]))
    assert ballot.from_cache
    assert said == ["u1", "u2", "u3"]


def test_what_an_event_loop_that_ended_could_not_store_is_told_at_the_end(cache, monkeypatch):
    model = CachedModel(FakeLLM(), cache)
    writing = threading.Event()

    def full(answers):
        writing.set()
        raise RunFolderError("the disk is full")

    async def leave():
        asking = asyncio.create_task(model.ask(prompt(), LABELS, [0]))
        while not writing.is_set():
            await asyncio.sleep(0)
        asking.cancel()

    with monkeypatch.context() as patch:
        patch.setattr(cache, "write", full)
        asyncio.run(leave())
    ask(model, (prompt("other"), [0]))
    with pytest.raises(RunFolderError, match="the disk is full"):
        asyncio.run(model.close())
    asyncio.run(model.close())


@pytest.mark.parametrize("turns", range(12))
def test_event_loops_that_take_turns_all_hear_of_an_answer(cache, turns):
    """One stands still at any moment of asking while another asks, then goes on."""
    model = CachedModel(FakeLLM(), cache)

    async def go_on(asking, turns=None):
        while turns != 0 and not all(task.done() for task in asking):
            await asyncio.sleep(0 if turns else 0.001)
            turns = turns and turns - 1

    async def begin(*texts):
        return [asyncio.create_task(model.ask(prompt(text), LABELS, [0])) for text in texts]

    with asyncio.Runner() as one, asyncio.Runner() as other:
        asking = one.run(begin("a", "b"))
        one.run(go_on(asking, turns))
        theirs = other.run(begin("b", "c"))
        other.run(go_on(theirs, turns))
        asking += one.run(begin("a", "c"))
        for runner, tasks in ((one, asking), (other, theirs)):
            runner.run(asyncio.wait_for(go_on(tasks), 10))
        assert all(task.result()[0].answer for task in asking + theirs)
    assert len(model.model.asked) <= 5  # "a" once, for both that ask it in the first one
    [again] = ask(model, (prompt("a"), [0]))
    assert again[0].from_cache


class LeftWaiting:
    """An event loop that stands still while an answer of it waits for the disk."""

    def __init__(self, cache, monkeypatch):
        monkeypatch.setattr("ragemo.llm.keeping.group_commit.APART", 1.0)  # a busy machine's turn
        self.cache, self.monkeypatch = cache, monkeypatch
        self.model = CachedModel(FakeLLM(), cache)
        self.runner = asyncio.Runner()
        self.runner.run(self.model.ask(prompt("first"), LABELS, [0]))
        self.asking = self.runner.run(self.leave("one"))

    async def leave(self, text):
        """Ask so soon after another answer that this one has to wait."""
        commit = self.model._loops.here().commit
        before = list(commit._waiting)
        asking = asyncio.create_task(self.model.ask(prompt(text), LABELS, [0]))
        while all(one in before for one in commit._waiting):
            await asyncio.sleep(0)
        return asking

    async def hear(self):
        return await asyncio.wait_for(self.asking, 10)

    def held_up(self, fails=False):
        """Another thread asks, and is held up by the disk until the event is set."""
        begun, go_on, write = threading.Event(), threading.Event(), self.cache.write

        def slow(answers):
            if threading.current_thread() is thread:
                begun.set()
                go_on.wait(10)
                if fails:
                    raise RunFolderError("the disk is full")
            write(answers)

        def asks():
            with suppress(RunFolderError):
                ask(self.model, (prompt("other"), [0]))

        self.monkeypatch.setattr(self.cache, "write", slow)
        thread = threading.Thread(target=asks)
        thread.start()
        assert begun.wait(10)
        return thread, go_on


def test_what_waits_in_an_event_loop_that_stands_still_is_not_asked_for_again(cache, monkeypatch):
    left = LeftWaiting(cache, monkeypatch)
    [[again]] = ask(left.model, (prompt("one"), [0]))
    assert again.from_cache
    with left.runner:
        [mine] = left.runner.run(left.hear())
        assert mine.answer
    assert len(left.model.model.asked) == 2


def test_what_is_left_while_another_thread_writes_what_was_left_before_is_kept(cache, monkeypatch):
    left = LeftWaiting(cache, monkeypatch)
    thread, go_on = left.held_up()
    left.runner.run(left.leave("two"))
    left.runner.close()
    go_on.set()
    thread.join(10)
    [ballot], _ = ask(left.model, (prompt("two"), [0]), (prompt("one"), [0]))
    assert ballot.from_cache
    assert len(left.model.model.asked) == 4  # first, one, two, and other


def test_who_goes_on_while_another_thread_fails_to_write_what_was_left_is_told(cache, monkeypatch):
    left = LeftWaiting(cache, monkeypatch)
    thread, go_on = left.held_up(fails=True)
    threading.Timer(0.1, go_on.set).start()
    with left.runner:
        [mine] = left.runner.run(left.hear())
    assert mine.answer
    thread.join(10)


def test_an_event_loop_that_stands_still_gathers_nothing_while_another_one_asks(cache):
    model = CachedModel(FakeLLM(), cache)
    with asyncio.Runner() as still:
        still.run(model.ask(prompt(), LABELS, [0]))
        ask(model, *[(prompt(), [0]) for _ in range(100)])
        assert len(still.get_loop()._ready) < 10


def test_several_threads_may_ask_at_once(cache):
    model = CachedModel(FakeLLM(), cache)
    questions = [(prompt(str(n)), [0]) for n in range(30)]
    found = {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: ask(model, *questions)}))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [len(found[n]) for n in range(4)] == [30] * 4
    before = len(model.model.asked)
    assert all(ballot.from_cache for [ballot] in ask(model, *questions))
    assert len(model.model.asked) == before


class SlowAtFirst(FakeLLM):
    """Takes its time for the first answer."""

    async def ask(self, prompt, labels, samples):
        found = await super().ask(prompt, labels, samples)
        await asyncio.sleep(0.3 if len(self.asked) == 1 else 0)
        return found


def test_nobody_waits_for_who_asks_in_an_event_loop_that_stands_still(cache):
    model = CachedModel(SlowAtFirst(), cache)

    async def begin():
        asking = asyncio.create_task(model.ask(prompt(), LABELS, [0]))
        while not model.model.asked:
            await asyncio.sleep(0)
        return asking

    async def meanwhile():
        return await asyncio.wait_for(model.ask(prompt(), LABELS, [0]), 10)

    with asyncio.Runner() as runner:
        asking = runner.run(begin())
        assert len(asyncio.run(meanwhile())) == 1
        runner.get_loop().run_until_complete(asking)
    assert len(model.model.asked) == 2
