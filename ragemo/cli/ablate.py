"""`ragemo ablate`: run a grid of settings, asking nothing twice."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ragemo.cli.console import note, tell, terminal
from ragemo.cli.options import Assignments, Cache, Limits, Quiet
from ragemo.cores import cores

FORMATS = ("table", "csv", "markdown", "json")


def ablate(
    file: Annotated[Path, typer.Argument(help="The ablation: a config with a section `ablation`.")],
    data: Annotated[
        Path | None, typer.Option(help="The corpus to label (default: paths.data of the file).")
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="The index's folder (default: paths.index of the file).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The ablation's folder (default: paths.out of the file).")
    ] = None,
    set_: Assignments = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many utterances.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show cells, calls, tokens and price; send nothing.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the ablation in --out, or add cells to it.")
    ] = False,
    budget: Limits = None,
    cache: Cache = None,
    format_: Annotated[
        str, typer.Option("--format", help="table, csv, markdown or json.")
    ] = "table",
    bootstrap: Annotated[int, typer.Option(min=1, help="Bootstrap samples.")] = 1000,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="At once, for cells without a model (default: the cores)."),
    ] = None,
    plots: Annotated[bool, typer.Option(help="Draw SVG and PNG files.")] = True,
    quiet: Quiet = False,
) -> None:
    """Run every cell of an ablation and compare them. Exit codes: 3 a cell failed, 4 the budget
    is reached."""
    from ragemo.ablation.design import read_design
    from ragemo.ablation.plots import draw_plots
    from ragemo.ablation.sweep import carry_out_sweep, prepare
    from ragemo.cli.console import ConsoleProgress, resumable
    from ragemo.cli.settings import pick_path, read_assignments
    from ragemo.cli.sources import open_corpus
    from ragemo.errors import SettingsError
    from ragemo.llm.budget import read_budget
    from ragemo.llm.keeping.answer_cache import answers_file
    from ragemo.retrieval.embedding.embedder import load_index_embedder
    from ragemo.retrieval.index import Index

    if format_ not in FORMATS:
        raise SettingsError(f"--format {format_}: expected {', '.join(FORMATS)}")
    overrides = read_assignments(set_ or ())
    if limit is not None:
        overrides["limit"] = limit
    limits = read_budget(budget or ())
    design = read_design(file, overrides)
    source = pick_path(data, design.paths.get("data"), "--data", "paths.data")
    target = pick_path(out, design.paths.get("out"), "--out", "paths.out")
    folder = index or design.paths.get("index")
    progress = ConsoleProgress(quiet=quiet)
    found = Index.load(folder) if folder else None
    corpus = open_corpus(source, design.cells[0].settings, found)
    sweep = prepare(
        design,
        corpus,
        target,
        index=found,
        index_folder=folder,
        answers=cache or answers_file(),
        load_embedder=lambda: (
            load_index_embedder(found.embedder, say=progress.say) if found else None
        ),
        resume=resume or dry_run,
        progress=progress,
    )
    if dry_run:
        tell(sweep.forecast().in_words())
        return
    if not quiet and any(cell.settings.llm.model != "none" for cell in sweep.open):
        progress.say(sweep.forecast().in_words())
    with resumable(target):
        result = carry_out_sweep(
            sweep,
            budget=limits,
            processes=processes or cores(),
            samples=bootstrap,
        )
    if plots:
        draw_plots(result, target)
    _show(result, format_)
    progress.say(f"{target}: result.json, table.csv, table.md" + " and plots" * plots)
    if result.failed:
        note("go on with the same command and --resume to try the failed cells again")
        raise typer.Exit(3)


def _show(result: Any, format_: str) -> None:
    from ragemo.ablation.tables import result_csv, result_markdown, result_table
    from ragemo.files import indented_json

    if format_ == "csv":
        tell(result_csv(result), end="")
    elif format_ == "markdown":
        tell(result_markdown(result), end="")
    elif format_ == "json":
        tell(indented_json(result.to_dict()), end="")
    else:
        terminal().print(result_table(result))
