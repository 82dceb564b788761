"""Threads that work off tasks while further ones are made."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

Task = TypeVar("Task")


class Crew(Generic[Task]):
    """Does the same with every task, several at a time.

    Each thread takes one task after the other. Handing them to a pool one by one takes a lock of
    Python's for each, and Ctrl-C in the wrong moment leaves it locked for good.

    As a context manager it waits for all tasks at the end of its block; the first error is raised,
    and what has not begun is dropped then, as it is if the block raises.

    Args:
        work: does one task; called by several threads at once.
        threads: how many, at least 1.
    """

    def __init__(self, work: Callable[[Task], object], threads: int) -> None:
        self._work = work
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)
        self._lots: list[deque[Task]] = []
        self._running: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *what: object) -> None:
        try:
            if kind is None:
                _wait(self._running)
        finally:
            for lot in self._lots:
                lot.clear()
            self._pool.shutdown()

    def do_next(self, tasks: Iterable[Task]) -> None:
        """Have these done after all that came before, which is done when this comes back."""
        lot = deque(tasks)
        before = self._running
        self._lots = [*self._lots[-1:], lot]
        threads = min(self._threads, len(lot))
        self._running = [self._pool.submit(self._work_off, lot) for _ in range(threads)]
        _wait(before)

    def _work_off(self, lot: deque[Task]) -> None:
        try:
            while lot:
                try:
                    task = lot.popleft()
                except IndexError:  # another thread was sooner
                    return
                self._work(task)
        except BaseException:
            lot.clear()
            raise


def _wait(running: Sequence[Future[None]]) -> None:
    for future in running:
        future.result()
