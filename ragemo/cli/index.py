"""`ragemo index`: build, inspect, verify and search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ragemo.cli.console import tell, terminal
from ragemo.cli.options import Assignments, Config, CorpusFormat, Labels, Quiet, TranscriptChoice

app = typer.Typer(no_args_is_help=True)

IndexFolder = Annotated[Path, typer.Argument(help="The index's folder.")]


@app.command()
def build(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="Labelled corpora, each FILE or NAME=FILE (default: paths.train of the config). "
            "Several become one.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The index's folder (default: paths.index of the config).")
    ] = None,
    config: Config = None,
    format_: CorpusFormat = None,
    labels: Labels = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME=MAPPING",
            help="How corpus NAME's labels become the index's: a shipped mapping's name or a YAML "
            "file; repeatable.",
        ),
    ] = None,
    transcript: TranscriptChoice = None,
    embedder: Annotated[
        str | None, typer.Option(help="minilm, or any sentence-transformers model.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="int8 or fp32 (minilm only).")] = None,
    factory: Annotated[
        str | None,
        typer.Option(
            help="FAISS's index factory: Flat (exact), HNSW32, IVF256,Flat, PQ64, ...; auto or "
            "auto-latency: by size and memory; lancedb: a table of LanceDB's."
        ),
    ] = None,
    set_: Assignments = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an index that is there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Embed labelled corpora and index their windows."""
    from ragemo.cli.console import ConsoleProgress
    from ragemo.cli.settings import pick_path, settings_and_paths, train_files
    from ragemo.cli.sources import read_sources
    from ragemo.retrieval.embedder import load_embedder
    from ragemo.retrieval.folder import check_destination
    from ragemo.retrieval.index import Index
    from ragemo.retrieval.vector_cache import with_cache
    from ragemo.retrieval.vectors import Composition
    from ragemo.settings import DEFAULT_TRANSCRIPT

    settings, paths = settings_and_paths(
        config,
        {
            "corpus.format": format_,
            "corpus.labels": labels,
            "corpus.transcript": transcript,
            "index.embedder": embedder,
            "index.precision": precision,
            "index.factory": factory,
        },
        set_ or (),
    )
    sources = train_files(files or (), config)
    target = pick_path(out, paths.get("index"), "--out", "paths.index")
    check_destination(target, overwrite=overwrite)
    progress = ConsoleProgress(quiet=quiet)
    corpus, parts = read_sources(sources, map_ or (), settings.corpus, say=progress.say)
    model = with_cache(
        load_embedder(settings.index.embedder, settings.index.precision, say=progress.say)
    )
    how = settings.index
    index = Index.build(
        corpus,
        model,
        transcript=settings.corpus.transcript or DEFAULT_TRANSCRIPT,
        composition=Composition(how.context_weight, how.context_decay, how.context_length),
        factory=how.factory,
        provenance={"parts": [part.to_dict() for part in parts]} if parts else None,
        seed=settings.seed,
        progress=progress,
    )
    index.save(target, overwrite=overwrite)
    for part in parts:
        tell(
            f"{part.name}: {part.utterances} utterances, {part.labelled} labelled, "
            f"{part.mapped_away} without a counterpart, {part.duplicates} duplicates"
        )
    if index.chosen.reason:
        tell(f"factory {index.factory}: {index.chosen.reason}")
    tell(f"{target}: {len(index.examples)} labelled windows of {len(index.turns)} utterances")


@app.command()
def info(folder: IndexFolder) -> None:
    """Print an index's manifest."""
    from ragemo.retrieval.folder import read_manifest

    tell(json.dumps(read_manifest(folder), indent=2, ensure_ascii=False))


@app.command()
def verify(
    folder: IndexFolder,
    recall: Annotated[
        bool, typer.Option("--recall", help="Compare its search with an exact one, too.")
    ] = False,
    format_: Annotated[
        str, typer.Option("--format", help="Of the comparison: table or json.")
    ] = "table",
) -> None:
    """Check every byte of an index against its manifest."""
    from ragemo.errors import IndexFolderError, SettingsError
    from ragemo.retrieval.folder import verify_index
    from ragemo.retrieval.index import Index
    from ragemo.retrieval.recall import measure_recall

    if format_ not in ("table", "json"):
        raise SettingsError(f"--format {format_}: expected table or json")
    if problems := verify_index(folder):
        raise IndexFolderError("\n".join(problems) + "\nBuild the index anew")
    index = Index.load(folder)
    if not recall:
        tell(f"{folder}: whole")
        return
    found = measure_recall(index)
    if format_ == "json":
        tell(json.dumps(found.to_dict()))
        return
    tell(f"{folder}: whole; factory {index.factory}, {found.queries} of its windows asked")
    for k, share in found.recall.items():
        tell(f"recall at {k}: {100 * share:.1f} %")
    tell(
        f"the same label by its {found.voting} neighbours' vote: {100 * found.same_label:.1f} %; "
        f"queries per second: {found.queries / found.seconds:,.0f}, "
        f"exact {found.queries / found.exact_seconds:,.0f}"
    )


@app.command()
def search(
    folder: IndexFolder,
    text: Annotated[str, typer.Argument(help="What somebody says.")],
    k: Annotated[int, typer.Option(min=1, help="How many neighbours.")] = 8,
) -> None:
    """Print the labelled windows most similar to a text."""
    from rich.table import Table

    from ragemo.cli.console import note
    from ragemo.errors import SettingsError
    from ragemo.retrieval.index import Index
    from ragemo.retrieval.retrieve import search_text

    if not text.strip():
        raise SettingsError("TEXT is empty, and nothing is similar to it; give some words")
    index = Index.load(folder)
    found = search_text(index, text, k, say=note)
    table = Table("similarity", "label", "id", "text", box=None)
    row: Any
    for row in found:
        target = row.window.target
        table.add_row(f"{row.similarity:.3f}", row.label, target.utterance_id, target.text)
    terminal().print(table)
