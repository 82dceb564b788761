"""When Python looks for garbage: seldom, where objects pile up and none of them is any."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

SELDOM = (50_000, 50, 50)
"""Thresholds of `gc`. To look through a run's answers and verdicts as often as by default takes a
tenth of its time, of a cell of an ablation a fifth."""

_lock = Lock()
_usual: list[tuple[int, int, int]] = []  # one for each block that is open; the first is the usual


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for it at this pace until the last of such blocks ends; or at a slower one, if set."""
    with _lock:
        _usual.append(gc.get_threshold())
        if 0 < gc.get_threshold()[0] < SELDOM[0]:
            gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        with _lock:
            first = _usual[0]
            _usual.pop()
            if not _usual:
                gc.set_threshold(*first)
