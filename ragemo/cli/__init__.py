"""The command line: a thin layer over functions that a notebook can call.

Each command's module imports the library inside its function, so `ragemo --help` stays fast; and
its annotations are no texts, each of which typer would have to compile.
Results go to standard output, everything else to standard error. Exit codes: 0 done, 2 bad
input or usage, 3 finished with failed utterances, 4 stopped by a budget, 5 answers that were asked
for by file are still to come, 130 interrupted.
"""

import gc
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from ragemo import __version__
from ragemo.cli import (
    ablate,
    cache,
    calibrate,
    compare,
    data,
    doctor,
    export,
    index,
    models,
    predict,
    prompt,
    report,
    runs,
    score,
    submit,
    vote,
)
from ragemo.cli.console import note, tell
from ragemo.errors import RagemoError
from ragemo.garbage import SELDOM

ERRNO = re.compile(r"\[Errno \d+\] ")
"""What Python puts before the words of the operating system."""

app = typer.Typer(
    name="ragemo",
    help="Emotion recognition in conversation transcripts by an LLM that is shown similar, "
    "labelled examples.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help without boxes, and in half the time
)
app.add_typer(data.app, name="data", help="Check corpus files and convert between formats.")
app.add_typer(index.app, name="index", help="Build, extend, inspect and search an index.")
app.add_typer(runs.app, name="runs", help="Merge what several jobs have labelled.")
app.add_typer(prompt.app, name="prompt", help="Look at what would be sent.")
app.add_typer(models.app, name="models", help="Fetch and serve the embedded models.")
app.add_typer(cache.app, name="cache", help="Look at the answers that are kept, and prune them.")
app.command("predict", help="Label a corpus's utterances.")(predict.predict)
app.command("ablate", help="Run a grid of settings and compare its cells.")(ablate.ablate)
app.command("vote", help="Decide anew on ballots that are there.")(vote.vote)
app.command("calibrate", help="Fit the vote on a run with gold labels.")(calibrate.calibrate)
app.command("score", help="Score finished runs.")(score.score)
app.command("compare", help="Compare runs with the first one.")(compare.compare)
app.command("report", help="Write a run as a page to look at.")(report.report)
app.command("submit", help="Write a run as a GenSEC submission.")(submit.submit)
app.command("export", help="Write a run's predictions for other tools, or log it.")(export.export)
app.command("doctor", help="Show what is installed and which endpoint answers.")(doctor.doctor)


def _show_version(asked: bool) -> None:
    if asked:
        tell(f"ragemo {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """What may stand before a command's name."""


def main() -> None:
    """Run the command line; errors meant for people are one message and exit code 2."""
    # Nearly all that a command makes lives as long as it does: who looks for garbage finds little.
    gc.set_threshold(*SELDOM)
    here = Path.cwd()
    if any((folder / ".env").is_file() for folder in (here, *here.parents)):
        from dotenv import find_dotenv, load_dotenv

        file = find_dotenv(usecwd=True)
        try:
            load_dotenv(file)
        except (OSError, ValueError):  # whose words may hold a key
            note(f"error: {file}: cannot be read; expected lines NAME=VALUE in UTF-8")
            sys.exit(2)
    try:
        _run()
    except RagemoError as error:
        note(f"error: {ERRNO.sub('', str(error))}")
        _settle_output()
        sys.exit(2)
    except BrokenPipeError:  # as of `| head -1`: nobody wants more
        _settle_output()
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise
        # A name too long, no permission, or a full disk, which does not say where it is.
        where = error.filename or "standard output, a file or a connection"
        note(f"error: {where}: {error.strerror}")
        _settle_output()
        sys.exit(2)


def _run() -> None:
    try:
        app()
    except SystemExit:
        if sys.stdout is not None:
            sys.stdout.flush()  # a disk may be full only now
        raise


def _settle_output() -> None:
    """What cannot be written is dropped, or Python would try once more at its end, and say so."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
