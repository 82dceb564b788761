"""Many that wait for the disk at once wait for one write together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

from ragemo.llm.event_loop import tell, tell_there

Item = TypeVar("Item")

APART = 0.02
"""Seconds from the beginning of a write to that of the next one, at least."""


class GroupCommit(Generic[Item]):
    """Writes what it is given, in order, in another thread, and no two writes at once.

    Whatever is given while a write is under way, or soon after it began, goes into the next one:
    with many callers a write holds more, so the disk never sets their pace, and who calls now and
    then does not wait. It belongs to the event loop in which it is made; what still waits when
    that ends is for `write_left`.

    Args:
        write: puts items on disk before it returns. It may raise, and whoever waits for these
            items is told; later ones are written all the same.

    Attributes:
        failure: the first of what `write` raised since the last `finish`.
    """

    def __init__(self, write: Callable[[Sequence[Item]], None]) -> None:
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[Sequence[Item], asyncio.Future[None]]] = []
        self._next: asyncio.Task[None] | None = None  # begins the write of what is waiting
        self._writing: asyncio.Future[None] | None = None  # the write under way, or the last
        self._began = -APART  # when that did, by the event loop's clock
        self.failure: BaseException | None = None

    def add(self, items: Sequence[Item]) -> asyncio.Future[None]:
        """Have items written.

        Returns:
            What is done when they are on disk, or raises what `write` raised. Who is cancelled
            while he waits for it stops waiting; the items are written nevertheless.
        """
        written: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((items, written))
        self._begin()
        return written

    async def finish(self) -> None:
        """Come back when all that was ever given is on disk.

        Raises:
            Exception: what a `write` raised since the last `finish`, the first one, as not all is
                on disk then; or why none could begin.
        """
        while self._waiting:
            beginning = self._begin()
            await asyncio.wait([beginning])
            if not beginning.cancelled():
                beginning.result()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def write_left(self) -> None:
        """Write what waits, at once and here, as its event loop has ended or stands still.

        Should that go on meanwhile, it may write the same beside this.

        Raises:
            Exception: what `write` raised; it waits still, then.
        """
        left = list(self._waiting)
        if not left:
            return
        self._write([item for items, _ in left for item in items])
        for one in left:
            with suppress(ValueError):  # its event loop was faster
                self._waiting.remove(one)
            tell_there(one[1])

    def _begin(self) -> asyncio.Task[None]:
        """The task that begins the next write; the one before may have been cancelled."""
        if self._next is None or self._next.done() or self._next.cancelling():
            self._next = asyncio.create_task(self._write_next())
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._next

    async def _write_next(self) -> None:
        """Begin a write of all that is waiting, as soon as the one before is done."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if (left := self._began + APART - self._loop.time()) > 0:
            await asyncio.sleep(left)
        if not self._waiting:
            return  # all of it was left once, and is written
        self._began = self._loop.time()
        items = [item for some, _ in self._waiting for item in some]
        awaited = [written for _, written in self._waiting]
        try:
            # No task waits for it: an event loop that ends cancels those, and what they wait for.
            self._writing = self._loop.run_in_executor(None, self._write, items)
        except RuntimeError as error:  # there is no thread to be had; the items are left
            items.clear()  # it may have been queued before one could not be started
            tell(awaited, error)
            raise
        self._writing.add_done_callback(partial(self._written, awaited))
        self._waiting, self._next = [], None

    def _written(
        self, awaited: Sequence[asyncio.Future[None]], writing: asyncio.Future[None]
    ) -> None:
        error = asyncio.CancelledError() if writing.cancelled() else writing.exception()
        self.failure = self.failure or error
        tell(awaited, error)
