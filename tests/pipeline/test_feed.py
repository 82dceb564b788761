"""Calls that wait for a stage, and which travel together; the stage itself is in `test_cluster`."""

import asyncio

from ragemo.pipeline.cluster.feed import TOGETHER, Call, Feed
from tests.conftest import LABELS


def run(test):
    asyncio.run(asyncio.wait_for(test(Feed()), 20))


async def fill(feed, numbers):
    for number in numbers:
        await feed.put(Call(number, 0, None, LABELS, [0]))


async def taken(feed, place, reader=0):
    return [call.number for call in (await feed.take(reader, place)).calls]


def test_every_call_is_taken_once_and_in_order_and_the_more_wait_the_more_travel_together():
    async def test(feed):
        await fill(feed, range(100))
        found = [await taken(feed, 0)]
        while found[-1][-1] < 99:
            found.append(await taken(feed, len(found)))
        assert [number for own in found for number in own] == [*range(100)]
        sizes = [len(own) for own in found]
        assert sizes == sorted(sizes, reverse=True)
        assert (sizes[0], sizes[-1]) == (TOGETHER, 1)

    run(test)


def test_who_comes_too_early_waits_for_a_call_or_the_end():
    async def test(feed):
        one, other = (asyncio.create_task(feed.take(reader, 0)) for reader in range(2))
        await asyncio.sleep(0)
        await fill(feed, [7])
        assert [call.number for call in (await one).calls] == [7]
        assert not other.done()
        await feed.end()
        assert (await other).is_last

    run(test)


def test_calls_that_wait_when_it_ends_are_still_made():
    async def test(feed):
        await fill(feed, [1, 2])
        await feed.end()
        sent = [await feed.take(0, place) for place in range(3)]
        assert [[call.number for call in one.calls] for one in sent] == [[1], [2], []]
        assert [one.is_last for one in sent] == [False, False, True]
        assert (await feed.take(1, 0)).is_last

    run(test)


def test_a_reader_that_begins_anew_is_given_the_same_but_what_is_answered():
    async def test(feed):
        await fill(feed, range(3))
        assert [await taken(feed, 0), await taken(feed, 0, reader=1)] == [[0], [1]]
        assert await taken(feed, 1) == [2]
        await feed.put(Call(3, 0, None, LABELS, [0]), answered=[0])
        await fill(feed, [0, 2, 3])  # said twice
        again = [await feed.take(0, place) for place in range(3)]
        assert [[call.number for call in one.calls] for one in again] == [[], [2], [3]]
        assert not any(one.is_last for one in again)
        await feed.end()
        assert (await feed.take(0, 3)).is_last

    run(test)


def test_a_reader_that_begins_anew_while_the_lost_one_still_waits_is_given_the_same_call():
    async def test(feed):
        lost, again = (asyncio.create_task(feed.take(0, 0)) for _ in range(2))
        await asyncio.sleep(0)
        await fill(feed, [5])
        for sent in (await lost, await again):
            assert [call.number for call in sent.calls] == [5]

    run(test)
