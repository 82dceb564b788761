"""One pace for all workers of a cluster that ask the same endpoint.

Limits a minute, calls in flight, an endpoint's wish to be left alone, and failures in a row are
the whole cluster's. So the `Pace` lies in an actor of its own, and a worker's connection asks that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ragemo.errors import EndpointError
from ragemo.llm.sending.concurrency import Flight
from ragemo.llm.sending.pace import Limits, Pace

if TYPE_CHECKING:
    from ray.actor import ActorHandle


@dataclass(frozen=True)
class Asking:
    """A worker that asks an endpoint.

    Attributes:
        worker: the actor's id, which it keeps when it begins anew.
        life: another one each time it begins.
        place: the endpoint's URL, without a password.
        limits: what the user allows.
    """

    worker: str
    life: str
    place: str
    limits: Limits


class Limiter:
    """An actor that holds the paces of all endpoints.

    The calls in flight of a worker that was lost count until it begins anew.
    """

    def __init__(self) -> None:
        self._paces: dict[tuple[str, Limits], Pace] = {}
        self._lives: dict[str, str] = {}
        self._flights: dict[str, dict[int, tuple[Pace, Flight]]] = defaultdict(dict)
        self._numbers = count()

    async def begin(self, who: Asking, tokens: int) -> int:
        """See `Pace.begin`; the flight's number.

        Calls begin in the order in which they come here.
        """
        if self._lives.get(who.worker) != who.life:
            for pace, flight in self._flights.pop(who.worker, {}).values():
                pace.end(flight)
            self._lives[who.worker] = who.life
        pace = self._pace(who)
        flight = await pace.begin(pace.number(), tokens)
        if self._lives[who.worker] != who.life:  # lost while it waited
            pace.end(flight)
            return -1
        number = next(self._numbers)
        self._flights[who.worker][number] = pace, flight
        return number

    async def end(self, who: Asking, number: int, seconds: float | None, busy: bool) -> None:
        """See `Pace.end`."""
        if number in self._flights[who.worker]:
            pace, flight = self._flights[who.worker].pop(number)
            pace.end(flight, seconds=seconds, busy=busy)

    async def leave_alone(self, who: Asking, seconds: float) -> None:
        """See `Pace.leave_alone`."""
        self._pace(who).leave_alone(seconds)

    async def count_success(self, who: Asking) -> None:
        """See `Pace.count_success`."""
        self._pace(who).count_success()

    async def count_failure(self, who: Asking, reason: str) -> None:
        """See `Pace.count_failure`."""
        await self._pace(who).count_failure(reason)

    def _pace(self, who: Asking) -> Pace:
        key = (who.place, who.limits)
        if key not in self._paces:
            self._paces[key] = Pace(who.limits, who.place)
        return self._paces[key]


class SharedPace:
    """The `Pacing` of a worker: it asks the limiter.

    Args:
        limiter: a `Limiter`.
        worker: the actor's id.
        place: the endpoint's URL, without a password.
        limits: what the user allows.
    """

    def __init__(self, limiter: ActorHandle, worker: str, place: str, limits: Limits) -> None:
        self._limiter = limiter
        self._who = Asking(worker, uuid4().hex, place, limits)
        self._numbers = count()
        self.is_over = False

    def number(self) -> int:
        """See `Pace.number`; the limiter numbers calls itself."""
        return next(self._numbers)

    async def begin(self, number: int, tokens: int) -> int:
        """See `Pace.begin`."""
        flight: int = await self._told(self._limiter.begin.remote(self._who, tokens))
        return flight

    def end(self, flight: int, *, seconds: float | None = None, busy: bool = False) -> None:
        """See `Pace.end`."""
        self._limiter.end.remote(self._who, flight, seconds, busy)

    def leave_alone(self, seconds: float) -> None:
        """See `Pace.leave_alone`."""
        if seconds > 0:
            self._limiter.leave_alone.remote(self._who, seconds)

    def count_success(self) -> None:
        """See `Pace.count_success`."""
        self._limiter.count_success.remote(self._who)

    async def count_failure(self, reason: str) -> None:
        """See `Pace.count_failure`."""
        await self._told(self._limiter.count_failure.remote(self._who, reason))

    def reset(self) -> None:
        """A worker's connections last as long as it does, and so do its failures."""

    async def _told(self, call: Awaitable[Any]) -> Any:
        from ragemo.pipeline.cluster.connection import awaited

        try:
            return await awaited(call)
        except EndpointError:
            self.is_over = True
            raise
