"""Many that wait for the disk at once wait for one write together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Generic, TypeVar

Item = TypeVar("Item")

APART = 0.02
"""Seconds from the beginning of a write to that of the next one, at least."""


class GroupCommit(Generic[Item]):
    """Writes what it is given, in order, in another thread, and no two writes at once.

    Whatever is given while a write is under way, or soon after it began, goes into the next one:
    with many callers a write holds more, so the disk never sets their pace, and who calls now and
    then does not wait. What still waits when an event loop ends is written in the next one.

    Args:
        write: puts items on disk before it returns. It may raise, and whoever waits for these
            items is told; later ones are written all the same.
    """

    def __init__(self, write: Callable[[Sequence[Item]], None]) -> None:
        self._write = write
        self._loop: asyncio.AbstractEventLoop | None = None  # the rest belongs to it
        self._waiting: list[tuple[Sequence[Item], asyncio.Future[None]]] = []
        self._next: asyncio.Task[None] | None = None  # begins the write of what is waiting
        self._writing: asyncio.Future[None] | None = None  # the write under way, or the last
        self._began = -APART  # when that did, by the event loop's clock
        self._failure: BaseException | None = None  # the first one; of any event loop

    def add(self, items: Sequence[Item]) -> asyncio.Future[None]:
        """Have items written.

        Returns:
            What is done when they are on disk, or raises what `write` raised. Who is cancelled
            while he waits for it stops waiting; the items are written nevertheless.
        """
        self.write_left()
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, written))
        self._begin()
        return written

    async def finish(self) -> None:
        """Come back when all that was ever given is on disk.

        Raises:
            Exception: what a `write` raised since the last `finish`, the first one, as not all is
                on disk then; or why none could begin.
        """
        self.write_left()
        while self._waiting:
            beginning = self._begin()
            await asyncio.wait([beginning])
            if not beginning.cancelled():
                beginning.result()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def write_left(self) -> None:
        """Write what an event loop that has ended left, if this is another one.

        Raises:
            Exception: what `write` raised; it is left, then.
        """
        if self._loop is (loop := asyncio.get_running_loop()):
            return
        if left := [item for items, _ in self._waiting for item in items]:
            self._write(left)
        for _, written in self._waiting:
            if not (its := written.get_loop()).is_closed():  # it only stood still
                its.call_soon_threadsafe(tell, [written], None)
        self._loop, self._waiting, self._next, self._writing = loop, [], None, None
        self._began = -APART

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
        loop = asyncio.get_running_loop()
        if (left := self._began + APART - loop.time()) > 0:
            await asyncio.sleep(left)
        self._began = loop.time()
        items = [item for some, _ in self._waiting for item in some]
        awaited = [written for _, written in self._waiting]
        try:
            # No task waits for it: an event loop that ends cancels those, and what they wait for.
            self._writing = loop.run_in_executor(None, self._write, items)
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
        self._failure = self._failure or error
        tell(awaited, error)


def tell(awaited: Iterable[asyncio.Future[None]], error: BaseException | None) -> None:
    """Tell who waits that it is done, or why it failed."""
    for written in not_done(awaited):
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(error)
            written.exception()  # who stops waiting now is no warning


def not_done(futures: Iterable[asyncio.Future[Item]]) -> list[asyncio.Future[Item]]:
    """Those that somebody still waits for."""
    return [future for future in futures if not future.done()]
