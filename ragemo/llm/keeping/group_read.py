"""Many that look something up at once share one look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

from ragemo.llm.event_loop import not_done

Key = TypeVar("Key")
Value = TypeVar("Value")


class GroupRead(Generic[Key, Value]):
    """Reads for all who ask in one turn of one event loop together.

    Args:
        read: gives what is there of some keys. It may raise, and all who asked are told.
    """

    def __init__(self, read: Callable[[Collection[Key]], Mapping[Key, Value]]) -> None:
        self._read = read
        self._waiting: list[tuple[Collection[Key], asyncio.Future[Mapping[Key, Value]]]] = []

    async def of(self, keys: Collection[Key]) -> dict[Key, Value]:
        """What is there of some keys now.

        Raises:
            Exception: what `read` raised.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._read_for_all)
        told: asyncio.Future[Mapping[Key, Value]] = loop.create_future()
        self._waiting.append((keys, told))
        found = await told
        return {key: found[key] for key in keys if key in found}

    def _read_for_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            found = self._read({key for keys, _ in waiting for key in keys})
            for told in not_done(told for _, told in waiting):
                told.set_result(found)
        except Exception as error:
            for told in not_done(told for _, told in waiting):
                told.set_exception(error)
        finally:  # of an interrupt, which may come anywhere
            for told in not_done(told for _, told in waiting):
                told.cancel()
