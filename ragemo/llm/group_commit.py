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
    then does not wait. Between two event loops nothing may be waiting, see `finish`.

    Args:
        write: puts items on disk before it returns. It may raise, and whoever waits for these
            items is told; later ones are written all the same.
    """

    def __init__(self, write: Callable[[Sequence[Item]], None]) -> None:
        self._write = write
        self._waiting: list[tuple[Sequence[Item], asyncio.Future[None]]] = []
        self._last: asyncio.Task[None] | None = None  # the write under way, or the one before
        self._next: asyncio.Task[None] | None = None  # the write that takes what is waiting
        self._began = -APART  # when the last write did, by the event loop's clock

    async def add(self, items: Sequence[Item]) -> None:
        """Come back when the items are on disk.

        Who is cancelled meanwhile stops waiting; the items are written nevertheless.

        Raises:
            Exception: what `write` raised.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, written))
        if self._next is None:
            self._next = asyncio.create_task(self._commit(self._last))
            # Whoever waits is told of a failure; if nobody does any more, `finish` tells the last.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        await written

    async def finish(self) -> None:
        """Come back when all that was ever given is on disk.

        Raises:
            Exception: what the last `write` raised.
        """
        last, self._last = self._next or self._last, None
        if last is not None:
            await asyncio.shield(last)

    async def _commit(self, before: asyncio.Task[None] | None) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        clock = asyncio.get_running_loop().time
        if (left := self._began + APART - clock()) > 0:
            await asyncio.sleep(left)
        self._began = clock()
        self._last, self._next = self._next, None
        given, self._waiting = self._waiting, []
        awaited = [written for _, written in given]
        try:
            await asyncio.to_thread(self._write, [item for items, _ in given for item in items])
        except Exception as error:
            for written in not_done(awaited):
                written.set_exception(error)
            raise
        for written in not_done(awaited):
            written.set_result(None)


def not_done(futures: Iterable[asyncio.Future[Item]]) -> list[asyncio.Future[Item]]:
    """Those that somebody still waits for."""
    return [future for future in futures if not future.done()]
