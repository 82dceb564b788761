"""What commands show: results on standard output, progress and notes on standard error."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ragemo.progress import Advance

if TYPE_CHECKING:
    from rich.console import Console

LINES_PER_STAGE = 4
"""Without a terminal, a stage says so many times how far it is."""

QUICK = 2.0
"""Without a terminal, a stage of fewer seconds says nothing."""


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def visible(text: str) -> str:
    """A text without characters that steer a terminal, or that no stream can write.

    Transcripts, labels and models' words may hold any. They are shown as JSON escapes them, so
    that JSON stays what it was.
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def tell(text: object = "", *, end: str = "\n") -> None:
    """A result on standard output."""
    print(visible(str(text)), end=end)


def note(line: str) -> None:
    """A line on standard error."""
    print(visible(line), file=sys.stderr, flush=True)


def terminal(*, stderr: bool = False) -> Console:
    """Rich's console for tables and bars, which shows texts as they are, but for `visible`."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Plain(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield Segment(visible(segment.text), segment.style)

    return Plain(markup=False, highlight=False, stderr=stderr)


@contextmanager
def resumable(folder: Path, *, in_batch: bool = False) -> Iterator[None]:
    """Says how to go on with what was interrupted, or stopped (see `docs/runs.md` for the codes).

    Args:
        folder: of the run.
        in_batch: whether an endpoint goes on while nobody waits.
    """
    from ragemo.errors import PendingError
    from ragemo.llm.budget import BudgetError

    try:
        yield
    except KeyboardInterrupt:
        away = "; what was submitted goes on at the endpoint" if in_batch else ""
        note(f"\ninterrupted{away}; go on with the same command and --resume")
        raise
    except BudgetError as reached:
        note(
            f"{folder}: {reached}. Everything that was answered is kept; go on with the same "
            "command, --resume and a budget for what is left"
        )
        raise typer.Exit(4) from None
    except PendingError as pending:
        note(f"{folder}: {pending}")
        raise typer.Exit(5) from None


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
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description:>16}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=terminal(stderr=True)) as bars:
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
