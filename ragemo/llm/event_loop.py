"""Event loops: work run to its end, in a script or in a notebook, and what belongs to one loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, Generic, TypeVar

Held = TypeVar("Held")
Told = TypeVar("Told")


class PerLoop(Generic[Held]):
    """What belongs to one event loop, as connections and futures do, and is made anew in each.

    Whoever uses it may be used in one event loop after another, in several alternately, and in
    those of several threads.

    Args:
        make: makes it, in the event loop that is to use it.
        settle: finishes what an event loop began that has ended, or stands still and may go on
            at any moment. It is called in another one: as often as that looks for its own while
            the first stands still, and until it has raised nothing once that has ended. None:
            there is nothing to finish.
    """

    def __init__(
        self, make: Callable[[], Held], settle: Callable[[Held], None] | None = None
    ) -> None:
        self._make = make
        self._settle = settle
        self._held: dict[asyncio.AbstractEventLoop, Held] = {}

    def here(self, *, settles: bool = True) -> Held:
        """That of the running event loop.

        Args:
            settles: whether what others have begun is finished before.

        Raises:
            Exception: what `make` or `settle` raised.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._held:
            self._held[loop] = self._make()
        if settles and len(self._held) > 1:
            self._settle_idle()
        return self._held[loop]

    def pop(self) -> Held | None:
        """That of the running event loop, which has it no more; None: it had none."""
        return self._held.pop(asyncio.get_running_loop(), None)

    def _settle_idle(self) -> None:
        for loop, held in self._held.copy().items():
            if not loop.is_running():
                ended = loop.is_closed()  # before: it may go on and end meanwhile
                if self._settle is not None:
                    self._settle(held)
                if ended:
                    self._held.pop(loop, None)


def tell(awaited: Iterable[asyncio.Future[None]], error: BaseException | None) -> None:
    """Tell who waits that it is done, or why it failed."""
    for future in not_done(awaited):
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
            future.exception()  # who stops waiting now is no warning


def tell_there(awaited: asyncio.Future[None]) -> None:
    """Tell who waits in an event loop, from whatever other one, that it is done."""
    with suppress(RuntimeError):  # that one has ended
        awaited.get_loop().call_soon_threadsafe(tell, [awaited], None)


def not_done(futures: Iterable[asyncio.Future[Told]]) -> list[asyncio.Future[Told]]:
    """Those that somebody still waits for."""
    return [future for future in futures if not future.done()]


def run_through(work: Coroutine[Any, Any, None]) -> None:
    """Come back when some asynchronous work is done, from wherever this is called.

    Raises:
        Exception: what the work raised, also if it was interrupted, once, before.
        KeyboardInterrupt: if it was interrupted, and ended without another error.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    # In a notebook this thread already has an event loop, and another one does not hear Ctrl-C.
    begun: Future[Callable[[], object]] = Future()

    async def there() -> None:
        task, loop = asyncio.create_task(work), asyncio.get_running_loop()
        begun.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        await task

    with ThreadPoolExecutor(1) as other_thread:
        done = other_thread.submit(asyncio.run, there())
        either: list[Future[Any]] = [begun, done]

        def cancel() -> None:
            wait(either, return_when=FIRST_COMPLETED)
            if begun.done():
                with suppress(RuntimeError):  # it has ended by itself
                    begun.result()()

        try:
            done.result()
        except KeyboardInterrupt:
            try:
                cancel()
                wait([done])
            except KeyboardInterrupt:
                cancel()
            else:
                if isinstance(error := done.exception(), Exception):
                    raise error from None
            raise
