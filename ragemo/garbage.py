"""When Python looks for garbage: seldom, where objects pile up and none of them is any."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = (50_000, 50, 50)
"""Thresholds of `gc`. To look through a run's answers and verdicts as often as by default takes a
tenth of its time, of a cell of an ablation a fifth."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for it at this pace until the block ends."""
    usual = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
