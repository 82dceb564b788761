"""When a call may begin: the order of events, with a real event loop and no server."""

import asyncio
import itertools

import pytest

from ragemo.errors import EndpointError
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.llm.sending.pace import Limits, Pace, pace_of

ENDPOINT = Endpoint("m", "http://localhost:1/v1", "")


async def settle():
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(test, **limits):
    async def work():
        pace = Pace(Limits(**limits), "http://localhost:1/v1")
        await asyncio.wait_for(test(pace), 20)
        assert pace.concurrency.flying == 0

    asyncio.run(work())


def starts(pace, numbers, events, *, lasts=0.0):
    async def call(number):
        flight = await pace.begin(number, 1)
        events.append(number)
        try:
            await asyncio.sleep(lasts)
        finally:
            pace.end(flight)

    return [asyncio.create_task(call(number)) for number in numbers]


def test_no_more_calls_than_the_limit_and_the_first_begun_goes_first():
    async def test(pace):
        held = [await pace.begin(pace.number(), 1) for _ in range(2)]
        events = []
        tasks = starts(pace, [9, 7, 8, 1], events)
        await settle()
        assert events == []
        for flight in held:
            pace.end(flight)
        await asyncio.gather(*tasks)
        # Number 9 stood at the door already.
        assert events == [9, 1, 7, 8]

    run(test, concurrency=2)


def test_a_pause_holds_back_every_call():
    async def test(pace):
        loop = asyncio.get_running_loop()
        pace.leave_alone(0.2)
        pace.leave_alone(0.1)  # the longer one holds
        began, events = loop.time(), []
        await asyncio.gather(*starts(pace, range(5), events))
        assert loop.time() - began >= 0.19
        assert events == [0, 1, 2, 3, 4]

    run(test)


def test_a_pause_that_begins_while_a_call_waits_for_a_place_holds_it_back_too():
    async def test(pace):
        flight, events = await pace.begin(pace.number(), 1), []
        (task,) = starts(pace, [1], events)
        await settle()
        pace.leave_alone(0.2)
        pace.end(flight)
        await settle()
        assert events == []
        await task

    run(test, concurrency=1)


def test_nobody_is_left_alone_for_an_hour():
    async def test(pace):
        pace.leave_alone(3_600)
        await asyncio.gather(*starts(pace, range(3), []))

    run(test)


def test_cancelled_calls_leave_no_gap_and_take_no_place():
    async def test(pace):
        flight, events = await pace.begin(pace.number(), 1), []
        tasks = starts(pace, range(1, 6), events)
        await settle()
        for task in (tasks[0], tasks[2]):  # the one at the door, and one behind it
            task.cancel()
        await settle()
        pace.end(flight)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert events == [2, 4, 5]

    run(test, concurrency=1)


def test_requests_a_minute_are_sent_evenly():
    async def test(pace):
        loop, events = asyncio.get_running_loop(), []
        began = loop.time()
        await asyncio.gather(*starts(pace, range(6), events))
        # 1200 a minute are 20 a second; the first 20 may go at once, as may these 6.
        for number in range(6, 26):
            await asyncio.gather(*starts(pace, [number], events))
        assert loop.time() - began >= 0.25
        assert events == list(range(26))

    run(test, requests_per_minute=1_200)


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait: its clock is set to when it would have waited until."""

    def __init__(self):
        super().__init__()
        self.clock = 1_000.0
        self._selector.select = self.skip

    def skip(self, timeout=None):
        self.clock += (timeout or 0.0) + 1e-6  # any turn takes a moment
        return []

    def time(self):
        return self.clock


@pytest.mark.parametrize("most", [1, 2, 59, 60, 61, 90, 120, 1_000])
@pytest.mark.parametrize(("kind", "size"), [("requests", 1), ("tokens", 7)])
@pytest.mark.parametrize("held", [0, 30])  # seconds in the second minute in which nothing is sent
def test_no_minute_has_more_than_its_limit_and_few_have_less(kind, size, most, held):
    begun = []

    async def test(held):
        pace = Pace(Limits(**{f"{kind}_per_minute": most}), "here")
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in itertools.count():
            pace.end(await pace.begin(number, size))
            begun.append(loop.time() - began)
            if held and begun[-1] > 60:
                pace.leave_alone(held)
                held = 0
            if begun[-1] >= 180 and len(begun) > 3:
                return

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(test(held))
    counts = [size * sum(first <= at < first + 60 for at in begun) for first in begun]
    # All tokens of a call count when it begins, which is when the last of them may be sent.
    assert max(counts) <= most + size - 1
    assert size * sum(at < 180 for at in begun) >= 0.98 * (3 - held / 60) * most - size


def test_more_tokens_than_a_second_s_share_are_taken_in_pieces():
    async def test(pace):
        loop = asyncio.get_running_loop()
        began = loop.time()
        pace.end(await pace.begin(0, 250))  # 100 a second
        assert loop.time() - began >= 1.4

    run(test, tokens_per_minute=6_000)


class TestGivingUp:
    def test_too_many_failures_in_a_row_end_everything(self):
        async def test(pace):
            for _ in range(2):
                await pace.count_failure("HTTP 500")
            pace.count_success()
            for _ in range(2):
                await pace.count_failure("HTTP 500")
            with pytest.raises(EndpointError, match=r"3 calls in a row .*HTTP 502.*--resume"):
                await pace.count_failure("HTTP 502")
            with pytest.raises(EndpointError):
                await pace.begin(pace.number(), 1)
            pace.reset()
            pace.end(await pace.begin(pace.number(), 1))

        run(test, give_up_after=3)

    def test_the_calls_in_flight_may_end_and_those_that_wait_are_not_sent(self):
        async def test(pace):
            flight, events = await pace.begin(pace.number(), 1), []
            waiting = starts(pace, [1, 2], events)
            await settle()
            last = asyncio.create_task(pace.count_failure("HTTP 500"))
            await settle()
            assert not last.done()
            pace.end(flight)
            errors = await asyncio.gather(last, *waiting, return_exceptions=True)
            assert [type(error) for error in errors] == [EndpointError] * 3
            assert events == []

        run(test, concurrency=1, give_up_after=1)

    def test_never_if_so_wished(self):
        async def test(pace):
            for _ in range(100):
                await pace.count_failure("HTTP 500")

        run(test, give_up_after=None)


def test_two_models_at_an_endpoint_share_its_pace_and_each_event_loop_has_its_own():
    async def work():
        assert pace_of(ENDPOINT, Limits()) is pace_of(
            Endpoint("n", ENDPOINT.base_url, ""), Limits()
        )
        assert pace_of(ENDPOINT, Limits()) is not pace_of(
            Endpoint("m", "http://localhost:2/v1", ""), Limits()
        )
        return pace_of(ENDPOINT, Limits())

    assert asyncio.run(work()) is not asyncio.run(work())


def test_once_it_is_stopped_whoever_waits_is_cancelled_and_who_is_in_flight_lands():
    async def test(pace):
        events = []
        flying = [await pace.begin(pace.number(), 1) for _ in range(2)]
        waiting = starts(pace, [7, 8], events)
        await settle()
        pace.stop()
        landed = asyncio.create_task(pace.landed())
        for flight in flying:
            await settle()
            assert not landed.done()
            pace.end(flight)
        await landed
        await asyncio.wait(waiting)
        assert [task.cancelled() for task in waiting] == [True, True]
        assert events == []
        pace.reset()
        await asyncio.gather(*starts(pace, [9], events))
        assert events == [9]

    run(test, concurrency=2)


def test_who_waits_for_the_last_to_land_is_not_left_waiting_by_who_asks_again():
    async def test(pace):
        flight = await pace.begin(pace.number(), 1)
        (waiting,) = starts(pace, [1], [])
        await settle()
        pace.stop()
        await settle()
        pace.reset()
        await asyncio.wait([waiting], timeout=5)
        assert waiting.cancelled()
        pace.end(flight)

    run(test, concurrency=1)


def test_a_call_that_fails_after_the_stop_is_no_failure():
    async def test(pace):
        pace.stop()
        with pytest.raises(asyncio.CancelledError):
            await pace.count_failure("too busy")

    run(test)
