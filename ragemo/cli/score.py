"""`ragemo score`: figures of finished runs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ragemo.cli.console import tell, terminal


def score(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")],
    format_: Annotated[
        str,
        typer.Option("--format", help="table, json (one object a run), csv, markdown or latex."),
    ] = "table",
    slices: Annotated[
        bool, typer.Option("--slices", help="Show slices, too (json and csv always have them).")
    ] = False,
    against: Annotated[
        str | None, typer.Option(help="published: show published results on the same corpus.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=1, help="Bootstrap samples.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
) -> None:
    """Score finished runs, with 95 % intervals and baselines on the same utterances."""
    from ragemo.errors import SettingsError
    from ragemo.runs.run import Run
    from ragemo.runs.scores import condition_of, run_names, score_run
    from ragemo.scoring.published import company_data
    from ragemo.scoring.rows import Row, rows_csv, score_rows
    from ragemo.scoring.sheets import require_format
    from ragemo.scoring.tables import score_latex, score_markdown, score_table

    require_format(format_)
    if against not in (None, "published"):
        raise SettingsError(f"--against {against}: expected published")
    opened = [Run.open(folder) for folder in runs]
    rows: list[Row] = []
    shown = slices or format_ in ("json", "csv")
    for number, (name, run) in enumerate(zip(run_names(opened), opened, strict=True)):
        result = score_run(run, samples=bootstrap, seed=seed, slices=shown)
        condition = condition_of(run) if against else None
        if format_ == "csv":
            rows += score_rows(result, name, against=condition)
            continue
        if format_ == "json":
            data = {"run": name, **result.to_dict()}
            if condition:
                data["published"] = company_data(result, condition)
            indent = 2 if len(runs) == 1 else None
            tell(json.dumps(data, indent=indent, ensure_ascii=False))
            continue
        if number:
            tell()
        if format_ == "markdown":
            tell(score_markdown(result, name, slices=slices, against=condition), end="")
        elif format_ == "latex":
            tell(score_latex(result, name, slices=slices, against=condition), end="")
        else:
            table = score_table(result, name, slices=slices, against=condition)
            terminal().print(table)
    if format_ == "csv":
        tell(rows_csv(rows), end="")
