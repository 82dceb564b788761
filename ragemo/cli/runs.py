"""`ragemo runs`: what there is to do with the folders of several jobs."""

from pathlib import Path
from typing import Annotated

import typer

from ragemo.cli.console import tell

app = typer.Typer(no_args_is_help=True)


@app.callback()
def options() -> None:
    """Runs that several jobs have made together."""


@app.command()
def merge(
    shards: Annotated[
        list[Path],
        typer.Argument(metavar="SHARD", help="The folders of all shards, in any order."),
    ],
    out: Annotated[Path, typer.Option(help="The run's folder.")],
) -> None:
    """Make a run of all its shards, after a proof that nothing is missing or there twice; it is
    the run that one `ragemo predict` would have made, byte for byte. What shards were answered by
    a language model is decided by the same `ragemo predict`, with --resume on what is merged."""
    from ragemo.cli.outcome import tell_outcome
    from ragemo.runs.answered import holds_answers, merge_answers
    from ragemo.runs.merging import merge_shards

    if not holds_answers(shards[0]):
        tell_outcome(merge_shards(shards, out))
        return
    run = merge_answers(shards, out)
    tell(
        f"{out}: {len(run.ballots()):,} answers; the command of the shards decides, with "
        f"--out {out} --resume and without --shard"
    )
