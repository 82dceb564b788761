"""Calls wait for those that hand them on to the workers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from ragemo.labels import LabelSet
from ragemo.types import Prompt

TOGETHER = 8
"""Calls that travel together at most. One that is answered waits for the others of its item."""

SHARE = 4
"""The part of those that queue up that travels together, as a divisor."""


@dataclass(frozen=True)
class Call:
    """Something to ask.

    Attributes:
        number: of the call.
        place: of the model among those of the run.
        prompt, labels, samples: see `LanguageModel.ask`.
    """

    number: int
    place: int
    prompt: Prompt
    labels: LabelSet
    samples: Sequence[int]


@dataclass(frozen=True)
class Sent:
    """Calls that travel together.

    Attributes:
        calls: in the order in which they came up.
        is_last: whether there are no more.
    """

    calls: Sequence[Call]
    is_last: bool = False


class Feed:
    """An actor that gives each call to one of the readers.

    A reader that was lost and begins anew is given the same once more, as far as it is not
    answered: what it had handed on by then, Ray Data does not take from it again. Whatever is said
    to it may be said twice, as by Ray where a connection broke.
    """

    def __init__(self) -> None:
        self._calls: dict[int, Call] = {}  # not known to be answered
        self._known: set[int] = set()
        self._waiting: list[int] = []
        self._given: defaultdict[int, list[Sequence[int]]] = defaultdict(list)
        self._ended = False
        self._changed = asyncio.Condition()

    async def put(self, call: Call, answered: Sequence[int] = ()) -> None:
        """One more; and which of those before are answered since the last time."""
        for number in answered:
            self._calls.pop(number, None)
        if call.number in self._known:
            return
        self._known.add(call.number)
        async with self._changed:
            self._calls[call.number] = call
            self._waiting.append(call.number)
            self._changed.notify_all()

    async def end(self) -> None:
        """There will be no more."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def take(self, reader: int, place: int) -> Sent:
        """What a reader hands on, once it is there; the more calls wait, the more at once.

        Args:
            reader: its number.
            place: how many it has taken since it began.
        """
        given = self._given[reader]
        async with self._changed:
            # A reader that was lost may be waiting here still, and be given what the next one
            # at the same place waits for.
            await self._changed.wait_for(lambda: place < len(given) or self._waiting or self._ended)
            if place == len(given):
                some = min(TOGETHER, ceil(len(self._waiting) / SHARE))
                given.append(self._waiting[:some])
                self._waiting = self._waiting[some:]
                self._changed.notify_all()
        calls = [self._calls[number] for number in given[place] if number in self._calls]
        return Sent(calls, is_last=not given[place])
