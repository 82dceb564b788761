"""`ragemo export`: a run's predictions for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from ragemo.cli.console import tell
from ragemo.cli.options import Overwrite


def export(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="csv, jsonl, parquet or datasets, a folder (default: as the name ends).",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file (or folder) to write.")] = None,
    overwrite: Overwrite = False,
    log: Annotated[str | None, typer.Option(help="Log the run to mlflow or wandb.")] = None,
    experiment: Annotated[
        str, typer.Option(help="MLflow's experiment, or the project at Weights & Biases.")
    ] = "ragemo",
    bootstrap: Annotated[int, typer.Option(min=1, help="Bootstrap samples, for --log.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
) -> None:
    """Write a run's predictions as a table, or log the run to an experiment tracker."""
    from ragemo.errors import SettingsError
    from ragemo.runs.export import export_predictions
    from ragemo.runs.run import Run
    from ragemo.runs.tracking import log_run

    if out is None and log is None:
        raise SettingsError("nothing to do: give --out to write a table, or --log to log the run")
    opened = Run.open(run)
    if out is not None:
        count = export_predictions(opened, out, format_, overwrite=overwrite)
        tell(f"{out}: {count} utterances")
    if log is not None:
        logged = log_run(opened, log, experiment=experiment, samples=bootstrap, seed=seed)
        tell(f"{log}: {experiment}, run {logged}")
