"""`ragemo score`: figures of finished runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def score(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")],
    format_: Annotated[
        str, typer.Option("--format", help="table, json (one object a run) or markdown.")
    ] = "table",
    bootstrap: Annotated[int, typer.Option(min=1, help="Bootstrap samples.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
) -> None:
    """Score finished runs, with 95 % intervals and baselines on the same utterances."""
    from rich.console import Console

    from ragemo.errors import SettingsError
    from ragemo.runs.run import Run
    from ragemo.runs.scores import score_run
    from ragemo.scoring.tables import score_markdown, score_table

    if format_ not in ("table", "json", "markdown"):
        raise SettingsError(f"--format {format_}: expected table, json or markdown")
    for number, folder in enumerate(runs):
        result = score_run(Run.open(folder), samples=bootstrap, seed=seed)
        if format_ == "json":
            data = {"run": folder.name, **result.to_dict()}
            indent = 2 if len(runs) == 1 else None
            print(json.dumps(data, indent=indent, ensure_ascii=False))
            continue
        if number:
            print()
        if format_ == "markdown":
            print(score_markdown(result, folder.name))
        else:
            Console(markup=False, highlight=False).print(score_table(result, folder.name))
