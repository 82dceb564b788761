"""What commands show: results on standard output, progress and notes on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from ragemo.progress import Advance

LINES_PER_STAGE = 4
"""Without a terminal, a stage says so many times how far it is."""

QUICK = 2.0
"""Without a terminal, a stage of fewer seconds says nothing."""


def note(line: str) -> None:
    """A line on standard error."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Says how to go on with what was interrupted, or stopped by a budget (exit code 4)."""
    from ragemo.llm.budget import BudgetError

    try:
        yield
    except KeyboardInterrupt:
        note("\ninterrupted; go on with the same command and --resume")
        raise
    except BudgetError as reached:
        note(
            f"{folder}: {reached}. Everything that was answered is kept; go on with the same "
            "command, --resume and a budget for what is left"
        )
        raise typer.Exit(4) from None


class ConsoleProgress:
    """Bars on a terminal, a few plain lines elsewhere; nothing if quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet

    def say(self, line: str) -> None:
        """One line in words."""
        if not self._quiet:
            note(line)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """See `ragemo.progress.Progress`."""
        if self._quiet or total == 0:
            yield lambda steps: None
        elif sys.stderr.isatty():
            with self._bar(name, total) as advance:
                yield advance
        else:
            with self._lines(name, total) as advance:
                yield advance

    @contextmanager
    def _bar(self, name: str, total: int) -> Iterator[Advance]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description:>16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(name, total=total)
            yield lambda steps: bars.advance(task, steps)

    @contextmanager
    def _lines(self, name: str, total: int) -> Iterator[Advance]:
        started = time.monotonic()
        done, shown = 0, 0

        def advance(steps: int) -> None:
            nonlocal done, shown
            done += steps
            quarter = LINES_PER_STAGE * done // total
            seconds = time.monotonic() - started
            if quarter > shown and seconds > QUICK:
                shown = quarter
                note(f"{name}: {done} of {total} ({seconds:.0f} s)")

        yield advance
