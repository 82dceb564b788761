"""One pace for several workers: the order of events, with a real event loop and no cluster."""

import asyncio

import pytest

from ragemo.errors import EndpointError
from ragemo.llm.sending.pace import Limits
from ragemo.pipeline.cluster.pace import Asking, Limiter

PLACE = "http://localhost:1/v1"


def of(worker, life="1", **limits):
    return Asking(worker, life, PLACE, Limits(**limits))


async def settle():
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(test):
    asyncio.run(asyncio.wait_for(test(Limiter()), 20))


def test_calls_in_flight_are_those_of_all_workers():
    async def test(limiter):
        one, other = (of(worker, concurrency=1) for worker in "ab")
        flight = await limiter.begin(one, 1)
        waiting = asyncio.create_task(limiter.begin(other, 1))
        await settle()
        assert not waiting.done()
        await limiter.end(one, flight, 0.1, False)
        await limiter.end(one, flight, 0.1, False)  # said twice it counts once
        second = await waiting
        third = asyncio.create_task(limiter.begin(one, 1))
        await settle()
        assert not third.done()
        await limiter.end(other, second, 0.1, False)
        assert await third >= 0

    run(test)


def test_a_limit_a_minute_is_that_of_all_workers():
    async def test(limiter):
        one, other = (of(worker, requests_per_minute=60) for worker in "ab")
        await limiter.begin(one, 1)
        waiting = asyncio.create_task(limiter.begin(other, 1))
        await settle()
        assert not waiting.done()
        assert await waiting >= 0

    run(test)


def test_a_worker_that_was_lost_and_begins_anew_has_no_calls_in_flight():
    async def test(limiter):
        lost, again = (of("a", life, concurrency=1) for life in "12")
        flight = await limiter.begin(lost, 1)
        waiting = asyncio.create_task(limiter.begin(lost, 1))
        await settle()
        new = asyncio.create_task(limiter.begin(again, 1))
        await settle()
        assert await waiting == -1, "nobody is there any more whose turn it is"
        number = await new
        await limiter.end(lost, flight, None, False)
        other = asyncio.create_task(limiter.begin(of("b", concurrency=1), 1))
        await settle()
        assert not other.done(), "what a lost worker says last ends no call of the new one"
        await limiter.end(again, number, None, False)
        assert await other >= 0

    run(test)


def test_failures_in_a_row_are_those_of_all_workers():
    async def test(limiter):
        one, other = (of(worker, give_up_after=3) for worker in "ab")
        await limiter.count_failure(one, "gone")
        await limiter.count_failure(other, "gone")
        await limiter.count_success(one)
        await limiter.count_failure(other, "gone")
        await limiter.count_failure(one, "gone")
        with pytest.raises(EndpointError, match="3 calls in a row have failed"):
            await limiter.count_failure(other, "gone")
        with pytest.raises(EndpointError, match="no more are made"):
            await limiter.begin(one, 1)

    run(test)


def test_an_endpoint_that_wants_to_be_left_alone_is_by_all_workers():
    async def test(limiter):
        one, other = of("a"), of("b")
        await limiter.leave_alone(one, 0.2)
        waiting = asyncio.create_task(limiter.begin(other, 1))
        await settle()
        assert not waiting.done()
        assert await waiting >= 0

    run(test)
