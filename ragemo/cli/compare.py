"""`ragemo compare`: is one run better than another?"""

from pathlib import Path
from typing import Annotated

import typer

from ragemo.cli.console import tell, terminal


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs, baseline first.")],
    format_: Annotated[
        str, typer.Option("--format", help="table, json, csv, markdown or latex.")
    ] = "table",
    samples: Annotated[
        int, typer.Option(min=1, help="Of the bootstrap and of the randomisation.")
    ] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Of both.")] = 0,
    common: Annotated[
        bool, typer.Option("--common", help="Compare on the utterances that all runs have.")
    ] = False,
) -> None:
    """Compare runs with the first one: paired intervals, p values, utterances fixed and broken."""
    from ragemo.files import indented_json
    from ragemo.runs.compare import compare_runs
    from ragemo.runs.run import Run
    from ragemo.scoring.comparison_tables import (
        comparison_latex,
        comparison_markdown,
        comparison_table,
    )
    from ragemo.scoring.rows import comparison_rows, rows_csv
    from ragemo.scoring.sheets import require_format

    require_format(format_)
    result = compare_runs(
        [Run.open(folder) for folder in runs], samples=samples, seed=seed, common=common
    )
    if format_ == "table":
        terminal().print(comparison_table(result))
    elif format_ == "json":
        tell(indented_json(result.to_dict()), end="")
    elif format_ == "csv":
        tell(rows_csv(comparison_rows(result)), end="")
    elif format_ == "markdown":
        tell(comparison_markdown(result), end="")
    else:
        tell(comparison_latex(result), end="")
