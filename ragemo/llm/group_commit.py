"""Many that wait for the disk at once wait for one write together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[tuple[Sequence[Item], asyncio.Future[None]]] = []
        self._last: asyncio.Task[None] | None = None  # the write under way, or the one before
        self._next: asyncio.Task[None] | None = None  # the write that takes what is waiting
        self._began = -APART  # when the last write did, by the event loop's clock

    def add(self, items: Sequence[Item]) -> asyncio.Future[None]:
        """Have items written.

        Returns:
            What is done when they are on disk, or raises what `write` raised. Who is cancelled
            while he waits for it stops waiting; the items are written nevertheless.
        """
        self.write_left()
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, written))
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._commit(self._last))
            self._next.add_done_callback(_hear)
        return written

    async def finish(self) -> None:
        """Come back when all that was ever given is on disk.

        Raises:
            Exception: what the last `write` raised, if that was in this event loop.
        """
        self.write_left()
        last = self._next or self._last
        try:
            if last is not None:
                await asyncio.shield(last)
        finally:
            if last is self._last:
                self._last = None

    def write_left(self) -> None:
        """Write what an event loop that has ended left, if this is another one.

        Raises:
            Exception: what `write` raised; it is left, then.
        """
        if self._loop is (loop := asyncio.get_running_loop()):
            return
        if left := [item for items, _ in self._waiting for item in items]:
            self._write(left)
        self._loop, self._waiting, self._last, self._next = loop, [], None, None

    async def _commit(self, before: asyncio.Task[None] | None) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        loop = asyncio.get_running_loop()
        if (left := self._began + APART - loop.time()) > 0:
            await asyncio.sleep(left)
        self._began = loop.time()
        self._last, self._next = self._next, None
        given, self._waiting = self._waiting, []
        items = [item for some, _ in given for item in some]
        # An event loop that ends waits for its threads, and cancels what they have not begun.
        writing = loop.run_in_executor(None, self._write, items)
        writing.add_done_callback(_hear)
        awaited = [written for _, written in given]
        try:
            await asyncio.shield(writing)
        except Exception as error:
            for written in not_done(awaited):
                written.set_exception(error)
                _hear(written)
            raise
        for written in not_done(awaited):
            written.set_result(None)


def _hear(done: asyncio.Future[None]) -> None:
    """Whoever waits is told of a failure; if nobody does any more, `finish` tells the last."""
    if not done.cancelled():
        done.exception()


def not_done(futures: Iterable[asyncio.Future[Item]]) -> list[asyncio.Future[Item]]:
    """Those that somebody still waits for."""
    return [future for future in futures if not future.done()]
