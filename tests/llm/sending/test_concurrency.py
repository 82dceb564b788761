"""How many calls an endpoint takes at once: servers of several kinds, simulated without a clock."""

import heapq
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.llm.sending.concurrency import FIRST, Concurrency


def answer_all(concurrency, calls, *, latency=1.0, slots=None, workers=10**6, refuses=None):
    """The limits that were seen while a server answers so many calls, in simulated time.

    With slots, it works on as many at once and the others wait for them; it refuses a call at
    once where `refuses(calls in flight)` says so.
    """
    now, ends, free, limits = 0.0, [], [0.0] * (slots or 0), []
    order = itertools.count()
    while calls or ends:
        while calls and concurrency.has_room and concurrency.flying < workers:
            calls -= 1
            flight = concurrency.begin()
            refused = refuses is not None and refuses(concurrency.flying)
            start = max(now, heapq.heappop(free)) if free else now
            if slots:
                heapq.heappush(free, start + latency)
            over = now + 0.01 if refused else start + latency
            heapq.heappush(ends, (over, next(order), flight, now, refused))
        now, _, flight, began, refused = heapq.heappop(ends)
        concurrency.end(flight, seconds=None if refused else now - began, busy=refused)
        limits.append(concurrency.limit)
    return now, limits


def test_a_far_server_soon_has_as_many_calls_as_it_may():
    seconds, limits = answer_all(Concurrency(64), 2_000, latency=1.0)
    assert limits[: FIRST + 1] == [FIRST] * (FIRST - 1) + [2 * FIRST] * 2
    assert max(limits) == limits[-1] == 64
    assert seconds < 2_000 / 64 + 4, "three rounds to get there"


@pytest.mark.parametrize("slots", [1, 2, 4, 8])
def test_a_server_with_few_places_is_not_flooded_and_never_idle(slots):
    seconds, limits = answer_all(Concurrency(64), 10_000, latency=0.1, slots=slots)
    assert slots <= min(limits)
    flooded = sum(limit > 2 * FIRST + 8 for limit in limits[200:])
    assert flooded < 0.15 * len(limits), "but for a look whether more pay, now and then"
    assert seconds == pytest.approx(1_000 / slots, rel=0.01)


def test_a_server_with_many_places_is_filled():
    seconds, limits = answer_all(Concurrency(64), 3_000, latency=0.1, slots=32)
    assert 32 <= limits[-1] <= 64
    assert seconds < 1.1 * 300 / 32


def test_a_burst_of_refusals_halves_once():
    concurrency = Concurrency(64)
    answer_all(concurrency, 500)
    flights = [concurrency.begin() for _ in range(64)]
    for flight in flights:
        concurrency.end(flight, busy=True)
    assert concurrency.limit == 32
    later = [concurrency.begin() for _ in range(2)]
    for flight in later:
        concurrency.end(flight, busy=True)
    assert concurrency.limit == 16


def test_after_a_refusal_it_grows_by_one_a_round():
    concurrency = Concurrency(64)
    concurrency.end(concurrency.begin(), busy=True)
    _, limits = answer_all(concurrency, 200)
    assert limits[0] == FIRST // 2
    assert {later - earlier for earlier, later in itertools.pairwise(limits)} == {0, 1}
    assert limits[-1] > FIRST


def test_a_server_that_refuses_more_than_it_takes_is_asked_about_as_many():
    _, limits = answer_all(Concurrency(64), 5_000, refuses=lambda flying: flying > 20)
    assert max(limits[1_000:]) <= 22
    assert sum(limits[1_000:]) / len(limits[1_000:]) > 13, "three quarters on average"


def test_a_few_quick_answers_do_not_hold_it_back_for_good():
    """Those of an endpoint that was just left alone."""
    concurrency = Concurrency(64)
    for _ in range(3):
        concurrency.end(concurrency.begin(), busy=True)
    assert concurrency.limit == 1
    answer_all(concurrency, 4, latency=0.3)
    _, limits = answer_all(concurrency, 3_000, latency=0.5)
    assert limits[-1] > 32


def test_a_limit_that_is_not_used_does_not_grow():
    _, limits = answer_all(Concurrency(64), 500, workers=FIRST - 1)
    assert set(limits) == {FIRST}


@given(
    st.integers(1, 100),
    st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 100)), max_size=300),
)
def test_the_limit_stays_between_one_and_the_most(most, events):
    concurrency, flights = Concurrency(most), []
    for begins, busy, seconds in events:
        if begins and concurrency.has_room:
            flights.append(concurrency.begin())
        elif flights:
            concurrency.end(flights.pop(0), seconds=None if busy else seconds, busy=busy)
        assert 1 <= concurrency.limit <= most
        assert concurrency.flying == len(flights)
