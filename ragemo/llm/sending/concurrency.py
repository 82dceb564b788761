"""How many calls an endpoint takes at once: found by trying, as TCP finds its window."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

FIRST = 8
"""Calls in flight to begin with."""
LEAST_ROUND = 4
"""Answers that tell how long one takes."""
PAYS = 0.9
"""Twice the calls in flight pay off if their latency grows to less than 0.9 x 2: that is at least
1 / 0.9 as many answers a second."""
HOLDS = 1.5
"""Latency holds up to so many times the lowest since calls were last taken back."""
PATIENCE = 20
"""Rounds in a row that it may not hold. What was lowest may have been luck, or long ago."""
STAYS = 1.25
"""Twice the calls are kept then if latency stays below 1.25 times what it was: that is 1.6 times as
many answers a second. Less is within the chance of a few rounds."""


@dataclass(frozen=True, slots=True)
class Flight:
    """A call that is under way, and what was the case when it began.

    Attributes:
        round: number of the round.
        halvings: how often the limit had been halved.
    """

    round: int
    halvings: int


class Concurrency:
    """The limit of the calls in flight at one endpoint.

    Rounds follow one another, each of as many answers as the limit allows calls. What is compared
    is the median latency of the calls that began in a round.

    | when | the limit |
    | --- | --- |
    | a round is over, and no sign of a bound was seen yet | doubles |
    | a doubling brought hardly more answers a second | goes back, and doubles no more |
    | a later round is over and its latency holds | grows by 1 |
    | it has not held for 20 rounds in a row | doubles, and goes back unless latency stays |
    | a call finds the endpoint too busy (429, 503, no answer in time) | halves, likewise |
    | so does one that began before a halving: it tells of the limit before | stays |
    | fewer calls are made than it allows | stays |

    The doubling is TCP's slow start, the rest additive increase and multiplicative decrease (Chiu
    and Jain, 1989). A server that works on a few calls at once and lets the others wait answers
    none faster for more of them, so that the doubling stops there; one far away, whose latency is
    that of the line, soon has as many as it may.

    Args:
        most: the limit's upper bound, at least 1.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = min(FIRST, most)
        self.flying = 0
        self._doubling = True
        self._round = 0
        self._halvings = 0
        self._full = False
        self._latencies: list[float] = []
        self._before: tuple[int, float] | None = None  # the limit before a doubling, its latency
        self._lowest: float | None = None
        self._held_back = 0  # rounds since latency held
        self._trial: tuple[int, float] | None = None  # likewise, of a doubling out of impatience
        self._settled = False  # whether the calls of that doubling all began in this round

    @property
    def has_room(self) -> bool:
        """Whether another call may begin."""
        return self.flying < self.limit

    def begin(self) -> Flight:
        """A call begins."""
        self.flying += 1
        self._full = self._full or self.flying >= self.limit
        return Flight(self._round, self._halvings)

    def end(self, flight: Flight, *, seconds: float | None = None, busy: bool = False) -> None:
        """A call is over.

        Args:
            flight: what `begin` gave for it.
            seconds: that it took, if an answer came.
            busy: whether the endpoint had too much to do for it.
        """
        self.flying -= 1
        if busy:
            if flight.halvings == self._halvings:
                self._halvings += 1
                self._doubling = False
                self._change(max(1, self.limit // 2))
        elif seconds is not None and flight.round == self._round:
            self._latencies.append(seconds)
            if len(self._latencies) >= max(self.limit, LEAST_ROUND):
                self._finish_round(statistics.median(self._latencies))

    def _finish_round(self, latency: float) -> None:
        if not self._full:
            self._next_round()
        elif self._doubling:
            before, self._before = self._before, (self.limit, latency)
            if before is None or latency < before[1] * PAYS * self.limit / before[0]:
                self._change(2 * self.limit)
            else:
                self._doubling = False
                self._change(before[0])
        elif self._trial is not None:
            if self._settled:
                if latency < STAYS * self._trial[1]:
                    self._lowest = None
                else:
                    self.limit = self._trial[0]
                self._trial = None
            self._settled = True
            self._next_round()
        else:
            self._grow(latency)
            self._next_round()

    def _grow(self, latency: float) -> None:
        self._lowest = min(self._lowest or latency, latency)
        if self.limit == self.most:
            return
        if latency <= HOLDS * self._lowest:
            self._held_back = 0
            self.limit += 1
            return
        self._held_back += 1
        if self._held_back == PATIENCE:
            self._held_back = 0
            self._trial, self._settled = (self.limit, latency), False
            self.limit = min(2 * self.limit, self.most)

    def _change(self, limit: int) -> None:
        self.limit = min(limit, self.most)
        self._lowest = self._trial = None
        self._held_back = 0
        self._next_round()

    def _next_round(self) -> None:
        self._round += 1
        self._latencies.clear()
        self._full = self.flying >= self.limit
