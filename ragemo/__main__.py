"""The process of the command line: `ragemo`, or `python -m ragemo`."""

from __future__ import annotations

import signal
import sys
from threading import Timer, main_thread
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

INTERRUPTED = 130


def main() -> None:
    """Run the command line; Ctrl-C ends it with exit code 130, whenever it comes.

    Once it has ended, Ctrl-C finds nothing left to interrupt if all is done; one that comes after
    another ends the process at once.
    """
    sys.unraisablehook = _press_again
    try:
        from ragemo.cli import main as run_command

        run_command()
    except KeyboardInterrupt:
        _leave_interrupted()
    except ImportError as error:
        # To a module in C++, Ctrl-C while it is loaded is a failure of its own.
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        _leave_interrupted()
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:
            _leave_interrupted()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise


def _leave_interrupted() -> NoReturn:
    # What was to be kept is on disk. Python would tell what a second Ctrl-C cut short of its end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # To `python -m`, an interrupt that passed an `exec`, as that of a dataclass while it is loaded,
    # went unhandled until the next one: it would end by the signal, whatever the exit code says.
    exec("")  # noqa: S102
    sys.exit(INTERRUPTED)


def _press_again(lost: UnraisableHookArgs) -> None:
    """Ctrl-C is lost where Python clears something away; then it comes anew, a moment later."""
    if lost.exc_type is KeyboardInterrupt:
        me = main_thread().ident
        Timer(0.01, signal.pthread_kill, (me, signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(lost)


if __name__ == "__main__":
    main()
