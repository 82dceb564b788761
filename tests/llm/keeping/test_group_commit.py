"""Many that wait for the disk at once wait for one write together."""

import asyncio
import gc
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.llm.keeping.group_commit import APART, GroupCommit


class Disk:
    """Takes its time, in its own thread, one write at a time; remembers each write."""

    def __init__(self, seconds=0.01, full=()):
        self.seconds = seconds
        self.full = full
        self.writes = []
        self.lock = threading.Lock()

    def write(self, items):
        assert self.lock.acquire(blocking=False), "two writes at once"
        assert threading.current_thread() is not threading.main_thread()
        time.sleep(self.seconds)
        self.writes.append(list(items))
        self.lock.release()
        if len(self.writes) in self.full:
            raise OSError(f"write {len(self.writes)} failed")

    @property
    def items(self):
        return [item for write in self.writes for item in write]


def test_whoever_waits_during_a_write_shares_the_next_one():
    disk = Disk()

    async def main():
        commit = GroupCommit(disk.write)

        async def caller(number):
            await commit.add([number])
            assert number in disk.items
            await commit.add([100 + number])
            assert 100 + number in disk.items

        await asyncio.gather(*map(caller, range(20)))

    asyncio.run(main())
    assert sorted(disk.items) == [*range(20), *range(100, 120)]
    assert len(disk.writes) == 2


def test_the_event_loop_goes_on_during_a_write():
    async def main():
        commit = GroupCommit(Disk(seconds=0.2).write)
        writing = commit.add([1])
        turns = 0
        while not writing.done():
            await asyncio.sleep(0.001)
            turns += 1
        return turns

    assert asyncio.run(main()) > 5


def test_who_is_cancelled_stops_waiting_and_the_items_are_written():
    disk = Disk(seconds=0.2)

    async def main():
        commit = GroupCommit(disk.write)
        callers = [commit.add([number]) for number in range(5)]
        await asyncio.sleep(0)
        late = commit.add([5])  # during the first write
        await asyncio.sleep(0.001)
        for one in (*callers, late):
            one.cancel()
        await asyncio.wait([*callers, late])
        assert disk.writes == []
        await commit.finish()

    asyncio.run(main())
    assert disk.items == list(range(6))


def test_a_write_that_fails_is_told_to_those_who_wait_for_it(capsys):
    disk = Disk(full={1})

    async def main():
        commit = GroupCommit(disk.write)
        first = commit.add([1])
        await asyncio.sleep(0.002)
        second = commit.add([2])
        with pytest.raises(OSError, match="write 1 failed"):
            await first
        await second
        with pytest.raises(OSError, match="write 1 failed"):  # not all is on disk
            await commit.finish()
        await commit.finish()

    asyncio.run(main())
    assert disk.writes == [[1], [2]]
    assert "never retrieved" not in capsys.readouterr().err


@pytest.mark.parametrize("later", [0, 1, 2])
def test_a_failure_that_nobody_waits_for_is_told_at_the_end_whatever_came_later(later):
    async def main():
        commit = GroupCommit(Disk(full={1}).write)
        lost = commit.add([1])
        await asyncio.sleep(0.001)
        lost.cancel()
        for number in range(later):
            await commit.add([2 + number])
        with pytest.raises(OSError, match="write 1 failed"):
            await commit.finish()
        await commit.finish()

    asyncio.run(main())


@pytest.mark.parametrize("turns", range(4))
def test_what_waits_when_an_event_loop_ends_is_left(turns):
    written = []

    async def leave():
        commit = GroupCommit(written.extend)
        await asyncio.to_thread(int)  # a thread is there, and takes a moment to wake
        commit.add([1])
        for _ in range(turns):
            await asyncio.sleep(0)
        return commit

    asyncio.run(leave()).write_left()
    assert written == [1]


class Left:
    """A commit whose event loop stands still while it has something to write, then goes on."""

    def __init__(self, write, monkeypatch):
        monkeypatch.setattr("ragemo.llm.keeping.group_commit.APART", 1.0)  # a busy machine's turn
        self.runner = asyncio.Runner()
        self.commit, self.written = self.runner.run(self.leave(write))

    async def leave(self, write):
        commit = GroupCommit(write)
        await commit.add([1])
        return commit, commit.add([2])  # so soon that it has to wait

    async def wait(self):
        await asyncio.wait_for(self.written, 10)
        await self.commit.finish()


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_waits_when_an_event_loop_ends_or_stands_still_can_be_written_at_once(
    goes_on, monkeypatch
):
    written = []
    left = Left(written.extend, monkeypatch)
    if not goes_on:
        left.runner.close()
    left.commit.write_left()
    assert written == [1, 2]
    if goes_on:
        left.runner.run(left.wait())
        left.runner.close()
    left.commit.write_left()
    assert written == [1, 2]


def test_what_was_left_and_cannot_be_written_is_left_again(monkeypatch):
    written, full = [], []

    def write(items):
        if full:
            raise OSError("the disk is full")
        written.extend(items)

    left = Left(write, monkeypatch)
    full.append("full")
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is full"):
            left.commit.write_left()
    full.clear()
    left.runner.run(left.wait())
    left.runner.close()
    assert written == [1, 2]


@pytest.mark.parametrize("turns", range(3))
def test_an_event_loop_that_is_ending_may_still_give_something_and_wait_for_it(turns):
    written = []

    async def late(commit, number):
        try:
            await asyncio.sleep(10)
        finally:
            for _ in range(turns):  # the write to come is being cancelled meanwhile
                await asyncio.sleep(0)
            await asyncio.wait_for(commit.add([number]), 10)

    async def main():
        commit = GroupCommit(written.extend)
        several = [asyncio.create_task(late(commit, number)) for number in range(3, 20)]
        await commit.add([1])
        commit.add([2])
        return several

    asyncio.run(main())
    assert written[:2] == [1, 2]
    assert sorted(written) == list(range(1, 20))


def test_what_is_given_when_the_next_write_is_being_cancelled_has_a_write_of_its_own():
    written = []

    async def main():
        commit = GroupCommit(written.extend)
        await commit.add([1])
        commit.add([2])
        for beginning in asyncio.all_tasks() - {asyncio.current_task()}:
            assert beginning.cancel()  # as an event loop that ends does, to whatever is there
        await asyncio.wait_for(commit.add([3]), 10)

    asyncio.run(main())
    assert written == [1, 2, 3]


def test_what_no_thread_takes_any_more_is_left(caplog):
    written = []

    async def main():
        commit = GroupCommit(written.extend)
        await asyncio.get_running_loop().shutdown_default_executor()
        for number in range(2):
            with pytest.raises(RuntimeError, match="shutdown"):
                await asyncio.wait_for(commit.add([number]), 10)
            gc.collect()
            assert caplog.text == ""  # of an error that nobody has heard of
        with pytest.raises(RuntimeError, match="shutdown"):
            await asyncio.wait_for(commit.finish(), 10)
        return commit

    asyncio.run(main()).write_left()
    assert written == [0, 1]


def test_what_was_queued_for_a_thread_that_could_not_be_started_is_written_once(monkeypatch):
    written = []

    async def main():
        commit = GroupCommit(written.extend)
        loop = asyncio.get_running_loop()
        run_in_executor = loop.run_in_executor

        def full(executor, call, *args):
            run_in_executor(executor, call, *args)
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(loop, "run_in_executor", full)
        hold = threading.Event()
        held = [run_in_executor(None, hold.wait) for _ in range(64)]  # all threads there may be
        try:
            with pytest.raises(RuntimeError, match="can't start"):
                await asyncio.wait_for(commit.add([1]), 10)
        finally:
            hold.set()
        await asyncio.gather(*held)
        monkeypatch.undo()
        await commit.finish()

    asyncio.run(main())
    assert written == [1]


def test_a_write_does_not_begin_too_soon_after_another():
    async def main():
        commit = GroupCommit(Disk(seconds=0).write)
        began = time.monotonic()
        for number in range(5):
            await commit.add([number])
        return time.monotonic() - began

    assert asyncio.run(main()) > 3.9 * APART


def test_who_stops_waiting_for_the_end_lets_it_come_all_the_same():
    disk = Disk(seconds=0.1)

    async def main():
        commit = GroupCommit(disk.write)
        commit.add([1])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(commit.finish(), 0.02)
        commit.add([2])
        await commit.finish()

    asyncio.run(main())
    assert disk.writes == [[1], [2]]


def test_a_write_that_fails_as_its_event_loop_ends_is_no_warning(caplog):
    begun = threading.Event()

    def write(items):
        begun.set()
        time.sleep(0.05)
        raise OSError("the disk is full")

    async def leave():
        GroupCommit(write).add([1])
        while not begun.is_set():
            await asyncio.sleep(0)

    asyncio.run(leave())
    gc.collect()
    assert caplog.text == ""


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=4), max_size=8))
def test_all_that_is_given_is_written_once_and_in_each_caller_s_order(scripts):
    disk = Disk(seconds=0)

    async def main():
        commit = GroupCommit(disk.write)

        async def caller(number, script):
            for step, (pauses, stops) in enumerate(script):
                for _ in range(pauses):
                    await asyncio.sleep(0)
                adding = commit.add([(number, step)])
                await asyncio.sleep(0)
                if stops:
                    adding.cancel()
                await asyncio.wait([adding])
                assert stops or (number, step) in disk.items

        await asyncio.gather(*(caller(n, script) for n, script in enumerate(scripts)))
        await commit.finish()

    asyncio.run(main())
    for number, script in enumerate(scripts):
        assert [item for item in disk.items if item[0] == number] == [
            (number, step) for step in range(len(script))
        ]
