"""`ragemo prompt`: look at what would be sent, without sending it."""

from pathlib import Path
from typing import Annotated

import typer

from ragemo.cli.console import tell
from ragemo.cli.options import (
    Assignments,
    BaseUrl,
    Config,
    Context,
    CorpusFormat,
    Depth,
    Labels,
    LeaveOut,
    Mode,
    Model,
    Strategy,
    TemplateChoice,
    TranscriptChoice,
)

app = typer.Typer(no_args_is_help=True)


@app.command()
def show(
    command: typer.Context,
    utterance: Annotated[str, typer.Argument(metavar="ID", help="The utterance's id.")],
    data: Annotated[
        Path | None, typer.Option(help="The corpus (default: paths.data of the config).")
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="The index's folder (default: paths.index of the config).")
    ] = None,
    k: Depth = None,
    strategy: Strategy = None,
    context: Context = None,
    llm: Model = None,
    base_url: BaseUrl = None,
    mode: Mode = None,
    transcript: TranscriptChoice = None,
    template: TemplateChoice = None,
    leave_out: LeaveOut = None,
    vary: Annotated[str | None, typer.Option(help="As for predict, with --samples.")] = None,
    samples: Annotated[int | None, typer.Option(help="As for predict, with --vary.")] = None,
    format_: CorpusFormat = None,
    labels: Labels = None,
    config: Config = None,
    set_: Assignments = None,
) -> None:
    """Print exactly what would be asked about an utterance, with token counts for each part."""
    from ragemo.cli.console import ConsoleProgress
    from ragemo.cli.settings import given_flags, pick_path, settings_and_paths
    from ragemo.cli.sources import open_corpus, open_index
    from ragemo.errors import SettingsError
    from ragemo.llm import load_llm, load_others
    from ragemo.pipeline.showing import show_prompts

    settings, paths = settings_and_paths(config, given_flags(command), set_ or ())
    source = pick_path(data, paths.get("data"), "--data", "paths.data")
    progress = ConsoleProgress(quiet=True)
    found, embedder = open_index(index or paths.get("index"), progress.say)
    corpus = open_corpus(source, settings, found)
    model = load_llm(settings.llm, seed=settings.seed, asks=False, say=progress.say)
    if model is None:
        raise SettingsError("--llm none asks nobody, so there is no prompt to show")
    others = load_others(settings, asks=False, say=progress.say)
    tell(
        show_prompts(
            corpus, utterance, settings, model, others=others, index=found, embedder=embedder
        )
    )
