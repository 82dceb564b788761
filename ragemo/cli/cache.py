"""`ragemo cache`: the answers that are kept."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragemo.cli.console import note, tell, terminal
from ragemo.cli.options import Cache, Overwrite

if TYPE_CHECKING:
    from ragemo.llm.keeping.answer_cache import AnswerCache

app = typer.Typer(no_args_is_help=True)

SECONDS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


@app.command()
def info(cache: Cache = None) -> None:
    """Show where answers are kept, how many of which models, and what they cost."""
    from datetime import UTC, datetime

    from rich.table import Table

    def day(seconds: int) -> str:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"

    answers = _existing(cache)
    kept = answers.kept()
    table = Table("model", "answers", "oldest", "newest", "dollars", box=None)
    for one in kept:
        days = day(one.oldest), day(one.newest)
        table.add_row(one.model, f"{one.answers:,}", *days, f"{one.dollars:.4f}")
    terminal().print(table)
    size = sum(part.stat().st_size for part in _own_files(answers))
    count, dollars = sum(one.answers for one in kept), sum(one.dollars for one in kept)
    tell(f"{answers.path}: {count:,} answers, {size / 1e6:.1f} MB, ${dollars:.4f} not paid again")
    answers.close()


@app.command()
def prune(
    older_than: Annotated[
        str | None, typer.Option(help="Answers given longer ago: 12h, 30d or 8w.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Answers of the model of this name.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Really remove them.")] = False,
    cache: Cache = None,
) -> None:
    """Remove answers that are no longer wanted; without --yes only say how many there are."""
    from ragemo.errors import SettingsError

    if older_than is None and model is None:
        raise SettingsError("say which answers: --older-than, --model or both")
    age = None if older_than is None else _seconds(older_than)
    answers = _existing(cache)
    count = answers.prune(older_than=age, model=model, remove=yes)
    answers.close()
    tell(f"{answers.path}: {count:,} answers " + ("removed" if yes else "would go; --yes removes"))


@app.command()
def export(
    out: Annotated[
        Path | None, typer.Option(help="A file of JSON lines (default: standard output).")
    ] = None,
    overwrite: Overwrite = False,
    cache: Cache = None,
) -> None:
    """Write the answers as JSON lines, one ballot each."""
    import json
    import sys

    from ragemo.errors import RunFolderError
    from ragemo.files import check_replaceable, write_text

    answers = _existing(cache)
    if out is not None:
        own = _own_files(answers)
        check_replaceable(out, overwrite=overwrite, read=own)
    lines = (json.dumps(one, ensure_ascii=False) + "\n" for one in answers.records())
    if out is None:
        sys.stdout.writelines(lines)
    else:
        try:
            write_text(out, "".join(lines))
        except OSError as error:
            raise RunFolderError(f"{out}: cannot be written: {error}") from None
    answers.close()


def _own_files(answers: "AnswerCache") -> list[Path]:
    """The database, and what SQLite keeps beside it."""
    own = [answers.path.with_name(answers.path.name + end) for end in ("", "-wal", "-shm")]
    return [file for file in own if file.exists()]


def _existing(file: Path | None) -> "AnswerCache":
    """The cache in a file; where there is none, it says so and ends the command."""
    from ragemo.cli.sources import open_answers
    from ragemo.llm.keeping.answer_cache import answers_file

    answers = open_answers(file, make=False)
    if answers is None:
        note(f"{file or answers_file()}: no answers are kept there yet")
        raise typer.Exit
    return answers


def _seconds(age: str) -> float:
    from ragemo.errors import SettingsError

    said = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", age.strip())
    if said is None:
        raise SettingsError(f"--older-than {age}: expected hours, days or weeks as 12h, 30d or 8w")
    return float(said[1]) * SECONDS[said[2]]
