"""How long work tells what it is doing, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """A listener: the command line shows bars or lines, a notebook may show nothing."""

    def say(self, line: str) -> None:
        """One line in words."""
        ...

    def stage(self, name: str, total: int) -> AbstractContextManager[Advance]:
        """A stage of `total` steps; the context gives a function to call with steps done."""
        ...


class Silent:
    """Listens to nothing."""

    def say(self, line: str) -> None:
        """Ignore it."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """Ignore it."""
        yield lambda steps: None


class Words(Silent):
    """Passes on what is said, and shows no stages."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def say(self, line: str) -> None:
        """Pass it on."""
        self._say(line)
