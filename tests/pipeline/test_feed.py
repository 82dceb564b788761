"""Calls that wait for a stage, and which travel together; the stage itself is in `test_cluster`."""

import asyncio

from ragemo.pipeline.cluster.asking import TOGETHER, Call, Feed
from tests.conftest import LABELS


def run(test):
    asyncio.run(asyncio.wait_for(test(Feed()), 20))


async def fill(feed, numbers):
    for number in numbers:
        await feed.put(Call(number, 0, None, LABELS, [0]))


async def taken(feed):
    return [call.number for call in (await feed.take()).calls]


def test_every_call_is_taken_once_and_in_order_and_the_more_wait_the_more_travel_together():
    async def test(feed):
        await fill(feed, range(100))
        found = [await taken(feed)]
        while found[-1][-1] < 99:
            found.append(await taken(feed))
        assert [number for own in found for number in own] == [*range(100)]
        sizes = [len(own) for own in found]
        assert sizes == sorted(sizes, reverse=True)
        assert (sizes[0], sizes[-1]) == (TOGETHER, 1)

    run(test)


def test_who_comes_too_early_waits_for_a_call_or_the_end():
    async def test(feed):
        one, other = (asyncio.create_task(taken(feed)) for _ in range(2))
        await asyncio.sleep(0)
        await fill(feed, [7])
        assert await one == [7]
        assert not other.done()
        await feed.end()
        assert await other == []

    run(test)


def test_calls_that_wait_when_it_ends_are_still_made():
    async def test(feed):
        await fill(feed, [1, 2])
        await feed.end()
        assert [await taken(feed) for _ in range(4)] == [[1], [2], [], []]

    run(test)
