"""`ragemo report`: a run or an ablation as a page."""

from pathlib import Path
from typing import Annotated

import typer

from ragemo.cli.console import ConsoleProgress, tell
from ragemo.report import SHOWN


def report(
    folder: Annotated[
        Path, typer.Argument(help="The folder of a finished run, or of an ablation.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file to write; default: FOLDER/report.html.")
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(help="An earlier run on the same utterances: show what changed since."),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(min=1, help="Bootstrap samples of a run; an ablation has its own.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    show: Annotated[
        int,
        typer.Option(min=1, help="Show the dialogues of the first utterances; figures are of all."),
    ] = SHOWN,
    dialogue: Annotated[
        list[str] | None,
        typer.Option(help="Show this dialogue instead, by its id; may be repeated."),
    ] = None,
) -> None:
    """Write a run or an ablation as one HTML file: a run's scores, conversations and why each
    verdict fell; an ablation's cells beside each other."""
    from ragemo.report.write import write_report
    from ragemo.runs.run import Run

    written = write_report(
        folder,
        out or folder / "report.html",
        None if compare is None else Run.open(compare),
        samples=bootstrap,
        seed=seed,
        show=show,
        dialogues=dialogue or (),
        progress=ConsoleProgress(),
    )
    tell(written)
