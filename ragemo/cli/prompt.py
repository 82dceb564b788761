"""`ragemo prompt`: look at what would be sent, without sending it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    from ragemo.cli.settings import pick_path, settings_and_paths, split_list
    from ragemo.corpus import read_corpus
    from ragemo.errors import SettingsError
    from ragemo.llm import load_llm
    from ragemo.pipeline.showing import show_prompts
    from ragemo.retrieval.embedder import load_index_embedder
    from ragemo.retrieval.index import Index

    settings, paths = settings_and_paths(
        config,
        {
            "retrieval.k": k,
            "retrieval.strategy": split_list(strategy),
            "retrieval.exclude": leave_out,
            "voting.vary": split_list(vary),
            "prompt.context": None if context == -1 else context,
            "prompt.template": template,
            "llm.model": llm,
            "llm.base_url": base_url,
            "llm.mode": mode,
            "llm.samples": samples,
            "corpus.transcript": transcript,
            "corpus.format": format_,
            "corpus.labels": labels,
        },
        [*(set_ or []), *(["prompt.context=null"] if context == -1 else [])],
    )
    source = pick_path(data, paths.get("data"), "--data", "paths.data")
    folder = index or paths.get("index")
    progress = ConsoleProgress(quiet=True)
    found = Index.load(folder) if folder else None
    corpus = read_corpus(
        source,
        format=settings.corpus.format,
        labels=settings.corpus.labels or (found.labels if found else None),
        segmentation=settings.corpus.segmentation,
    )
    model = load_llm(settings.llm, seed=settings.seed, asks=False, say=progress.say)
    if model is None:
        raise SettingsError("--llm none asks nobody, so there is no prompt to show")
    embedder = load_index_embedder(found.embedder, say=progress.say) if found else None
    print(show_prompts(corpus, utterance, settings, model, index=found, embedder=embedder))
