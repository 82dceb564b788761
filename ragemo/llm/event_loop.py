"""Run asynchronous work to its end, from a script or from a notebook, and hear Ctrl-C in both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any


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
