"""Who asks in one turn of the event loop is told by one look."""

import asyncio

import pytest

from ragemo.llm.keeping.group_read import GroupRead


class Shelf:
    """What is there, and each look at it."""

    def __init__(self, **there):
        self.there = there
        self.looks = []

    def read(self, keys):
        self.looks.append(sorted(keys))
        if "broken" in keys:
            raise OSError("a scratch")
        return {key: self.there[key] for key in keys if key in self.there}


def ask(group, *asked):
    async def work():
        return await asyncio.gather(*map(group.of, asked), return_exceptions=True)

    return asyncio.run(work())


def test_many_share_one_look_and_each_hears_of_its_own():
    shelf = Shelf(a=1, b=2)
    found = ask(GroupRead(shelf.read), ["a", "none"], ["b", "a"], [], ["none"])
    assert found == [{"a": 1}, {"b": 2, "a": 1}, {}, {}]
    assert shelf.looks == [["a", "b", "none"]]


def test_who_comes_later_hears_what_is_there_then():
    shelf = Shelf(a=1)
    group = GroupRead(shelf.read)

    async def work():
        before = await group.of(["a", "b"])
        shelf.there["b"] = 2
        return before, await group.of(["a", "b"])

    assert asyncio.run(work()) == ({"a": 1}, {"a": 1, "b": 2})
    assert ask(group, ["b"]) == [{"b": 2}], "in another event loop, too"
    assert len(shelf.looks) == 3


def test_a_look_that_fails_is_told_to_all_and_the_next_one_is_another():
    group = GroupRead(Shelf(a=1).read)
    assert [str(error) for error in ask(group, ["a"], ["broken"])] == ["a scratch"] * 2
    assert ask(group, ["a"]) == [{"a": 1}]


@pytest.mark.parametrize("key", ["a", "broken"])
def test_who_is_stopped_meanwhile_keeps_nobody_waiting(key):
    shelf = Shelf(a=1)
    group = GroupRead(shelf.read)

    async def work():
        stopped = asyncio.create_task(group.of([key]))
        other = asyncio.create_task(group.of([key]))
        await asyncio.sleep(0)
        stopped.cancel()
        return await asyncio.gather(stopped, other, return_exceptions=True)

    cancelled, told = asyncio.run(asyncio.wait_for(work(), 10))
    assert isinstance(cancelled, asyncio.CancelledError)
    assert told == {"a": 1} if key == "a" else str(told) == "a scratch"


def test_who_interrupts_a_look_stops_all_who_wait_for_it():
    shelf = Shelf(a=1)

    def read(keys):
        shelf.read(keys)
        if len(shelf.looks) == 1:
            raise KeyboardInterrupt
        return shelf.there

    group = GroupRead(read)
    loop = asyncio.new_event_loop()
    asking = [loop.create_task(group.of(["a"])) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.wait(map(loop.create_task, [group.of(["a"])])))
    found = loop.run_until_complete(asyncio.gather(*asking, return_exceptions=True))
    assert [type(error) for error in found] == [asyncio.CancelledError] * 2
    assert loop.run_until_complete(group.of(["a"])) == {"a": 1}
    loop.close()
