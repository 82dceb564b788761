"""`ragemo submit`: a run as the GenSEC Challenge wants it."""

from pathlib import Path
from typing import Annotated

import typer

from ragemo.cli.console import note, tell
from ragemo.cli.options import Overwrite


def submit(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("pred.csv"),
    fill: Annotated[
        str | None,
        typer.Option(help="neighbours: let the index label what has no valid label."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write `pred.csv`: one row of label codes in the challenge's order."""
    from ragemo.runs.run import Run
    from ragemo.runs.submission import write_submission

    filled, count = write_submission(Run.open(run), out, fill=fill, overwrite=overwrite)
    if filled:
        note(f"{filled} utterances without a valid label carry the {fill}' label")
    tell(f"{out}: {count} labels")
