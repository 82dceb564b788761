"""What belongs to an event loop is there in that one alone, and is settled when that is left."""

import asyncio

import pytest

from ragemo.llm.event_loop import PerLoop


def test_each_event_loop_has_its_own_and_one_that_ended_is_forgotten():
    made, settled = [], []

    def make():
        asyncio.get_running_loop()
        made.append([])
        return made[-1]

    held = PerLoop(make, settled.append)

    async def work():
        assert held.here() is held.here()
        return held.here()

    with asyncio.Runner() as still:
        mine = still.run(work())
        ended = [asyncio.run(work()) for _ in range(3)]
        assert still.run(work()) is mine
        assert [id(one) for one in [mine, *ended]] == [id(one) for one in made]
        assert [sum(one is each for one in settled) for each in ended] == [1, 1, 1]
    settled.clear()
    asyncio.run(work())
    assert any(one is mine for one in settled)


def test_what_cannot_be_settled_is_tried_again():
    full = ["full", "full"]

    def settle(held):
        if full:
            raise OSError(full.pop())
        settled.append(held)

    held, settled = PerLoop(list, settle), []

    async def work():
        return held.here()

    left = asyncio.run(work())
    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            asyncio.run(work())
    asyncio.run(work())
    assert any(one is left for one in settled)


def test_what_is_taken_away_is_made_anew():
    held = PerLoop(list)

    async def work():
        assert held.pop() is None
        mine = held.here()
        assert held.pop() is mine
        assert held.here() is not mine

    asyncio.run(work())
