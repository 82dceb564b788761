"""When a call to an endpoint may begin: one queue for all that ask it.

A call waits until

1. the endpoint no longer asks to be left alone (`waits.py`), which holds back every call,
2. fewer calls are in flight than the endpoint takes at once (`concurrency.py`),
3. the limits that the user set leave room (requests and tokens a minute).

Of those that wait, the one that was begun first goes first, a second try before a new call. Time
is that of the event loop, which no change of the clock moves.

After a number of failed calls in a row nothing more is sent: see `Pace.count_failure`. Nor is
anything once the whole work is stopped: see `stop_paces`.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from ragemo.errors import EndpointError, SettingsError
from ragemo.llm.event_loop import PerLoop
from ragemo.llm.sending.concurrency import Concurrency, Flight
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.llm.sending.waits import LONGEST_WAIT

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter


def check_least(setting: str, value: int | None) -> None:
    """Whether a setting of `llm` that counts something is at least 1, or None.

    Raises:
        SettingsError: if it is not.
    """
    if value is not None and value < 1:
        raise SettingsError(f"llm.{setting} is {value}, expected 1 or more")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an endpoint may be asked, by the user's word.

    Attributes:
        concurrency: calls in flight at most.
        requests_per_minute, tokens_per_minute: at most, in each event loop; None: no limit.
        give_up_after: failed calls in a row after which nothing more is asked; None: never.

    Raises:
        SettingsError: if one of them is below 1.
    """

    concurrency: int = 64
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    give_up_after: int | None = 20

    def __post_init__(self) -> None:
        for setting in ("concurrency", "requests_per_minute", "tokens_per_minute", "give_up_after"):
            check_least(setting, getattr(self, setting))


class Pacing(Protocol):
    """What a connection asks when its calls may begin; see `Pace`."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is sent."""
        ...

    def number(self) -> int:
        """A new call's place in the order of all."""
        ...

    async def begin(self, number: int, tokens: int) -> Any:
        """Wait until a call may be sent; what `end` is told of it."""
        ...

    def end(self, flight: Any, *, seconds: float | None = None, busy: bool = False) -> None:
        """A call that was sent is over."""
        ...

    def leave_alone(self, seconds: float) -> None:
        """Send nothing for so many seconds."""
        ...

    def count_success(self) -> None:
        """A call was answered."""
        ...

    async def count_failure(self, reason: str) -> None:
        """A call has failed for good."""
        ...

    def reset(self) -> None:
        """Forget the failures, so that it can be asked again."""
        ...


class Pace:
    """The queue before one endpoint, in one event loop; `pace_of` gives it.

    Args:
        limits: what the user allows.
        place: the endpoint's URL, for messages.
    """

    def __init__(self, limits: Limits, place: str) -> None:
        self.concurrency = Concurrency(limits.concurrency)
        self._limits = limits
        self._place = place
        self._requests = _Minute(limits.requests_per_minute)
        self._tokens = _Minute(limits.tokens_per_minute)
        self._numbers = itertools.count()
        self._door = _Door()
        self._news = asyncio.Event()  # something has changed for the call at the door
        self._left_alone_until = 0.0
        self._failures = 0
        self._last_failure: str | None = None  # why nothing more is sent
        self._stopped = False
        self._all_landed = asyncio.Event()

    def number(self) -> int:
        """A new call's place in the order of all."""
        return next(self._numbers)

    async def begin(self, number: int, tokens: int) -> Flight:
        """Wait until a call may be sent.

        Args:
            number: the call's, from `number`; the same one for each of its tries.
            tokens: of the prompt and of the longest answers.

        Raises:
            EndpointError: if too many calls have failed; see `count_failure`.
            CancelledError: if the work was stopped; see `stop`.
        """
        await self._door.enter(number)
        try:
            taken = False
            while not self.is_over:
                left = self._left_alone_until - _now()
                if left > 0 or not self.concurrency.has_room:
                    taken = False  # a call counts in the minute in which it is sent
                    self._news.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(left if left > 0 else None):
                            await self._news.wait()
                elif taken:
                    return self.concurrency.begin()
                else:
                    await self._requests.take(1)
                    await self._tokens.take(tokens)
                    taken = True
        finally:
            self._door.leave()
        return await self._give_up()

    def end(self, flight: Flight, *, seconds: float | None = None, busy: bool = False) -> None:
        """A call that was sent is over; see `Concurrency.end`."""
        self.concurrency.end(flight, seconds=seconds, busy=busy)
        self._news.set()
        if self.is_over and not self.concurrency.flying:
            self._all_landed.set()

    def leave_alone(self, seconds: float) -> None:
        """Send nothing for so many seconds; more than `LONGEST_WAIT` are not waited for."""
        if seconds <= LONGEST_WAIT:
            self._left_alone_until = max(self._left_alone_until, _now() + seconds)

    def count_success(self) -> None:
        """A call was answered."""
        self._failures = 0

    async def count_failure(self, reason: str) -> None:
        """A call has failed for good.

        When too many have in a row, nothing more is sent, and whoever waits or comes is told so,
        but not before the calls in flight have ended: their answers are paid for and shall be
        kept. They end within their timeout, and are not tried again.

        Raises:
            EndpointError: if these were too many.
            CancelledError: if the work was stopped, which may be why it failed.
        """
        self._failures += 1
        most = self._limits.give_up_after
        if most is not None and self._failures >= most and not self.is_over:
            self._last_failure = reason
            self._send_nothing_more()
        if self.is_over:
            await self._give_up()

    def stop(self) -> None:
        """Send nothing more. Who waits for a turn is cancelled; calls in flight end as they do."""
        self._stopped = True
        self._send_nothing_more()

    def _send_nothing_more(self) -> None:
        self._news.set()
        if not self.concurrency.flying:
            self._all_landed.set()

    async def landed(self) -> None:
        """Come back when no call is in flight any more, after `stop`."""
        await self._all_landed.wait()

    @property
    def is_over(self) -> bool:
        """Whether nothing more is sent."""
        return self._stopped or self._last_failure is not None

    def reset(self) -> None:
        """Forget the failures, so that it can be asked again."""
        self._failures, self._last_failure, self._stopped = 0, None, False
        self._all_landed.set()  # for who waits for it
        self._all_landed.clear()

    async def _give_up(self) -> NoReturn:
        reason = self._last_failure
        await self._all_landed.wait()
        if reason is None:
            raise asyncio.CancelledError
        raise EndpointError(
            f"{self._limits.give_up_after} calls in a row have failed at {self._place}, and no "
            f"more are made (llm.give_up_after). The last one: {reason}. All that was answered is "
            "kept; when the cause is gone, go on with the same command and --resume",
            retryable=True,
        )


class _Door:
    """A lock that lets the lowest number in first."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    async def enter(self, number: int) -> None:
        if not self._taken:
            self._taken = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (number, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        while self._waiting:
            _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)  # the door stays taken
                return
        self._taken = False


class _Minute:
    """So much in any minute, and at most the share of a second at once.

    Args:
        most: a minute; None: no limit.
    """

    def __init__(self, most: int | None) -> None:
        self._bucket: AsyncLimiter | None = None
        if most is not None:
            from aiolimiter import AsyncLimiter

            # A bucket of a portion that leaks `rest` a minute lets less than both together through
            # in whatever minute: no more than is allowed, in whole numbers.
            portion = max(1.0, most / 60)
            rest = most - portion + 1
            self._bucket = AsyncLimiter(portion, portion * 60 / rest)

    async def take(self, amount: float) -> None:
        """Wait until an amount may be taken; more than a portion is taken piece by piece."""
        while self._bucket is not None and amount > 0:
            piece = min(amount, self._bucket.max_rate)
            await self._bucket.acquire(piece)
            amount -= piece


_PACES: PerLoop[dict[tuple[str, str, Limits], Pace]] = PerLoop(dict)


def pace_of(endpoint: Endpoint, limits: Limits) -> Pace:
    """The one pace of all models at an endpoint, in the running event loop."""
    paces = _PACES.here()
    key = (endpoint.base_url, endpoint.key, limits)
    if key not in paces:
        paces[key] = Pace(limits, endpoint.url)
    return paces[key]


def stop_paces() -> list[Pace]:
    """Let no call begin any more in the running event loop; the paces that still have some."""
    paces = [*_PACES.here().values()]
    for pace in paces:
        pace.stop()
    return [pace for pace in paces if pace.concurrency.flying]


def _now() -> float:
    return asyncio.get_running_loop().time()
