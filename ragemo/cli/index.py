"""`ragemo index`: build, inspect, verify and search."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragemo.cli.console import tell, terminal
from ragemo.cli.options import (
    Assignments,
    Config,
    CorpusFormat,
    Labels,
    Overwrite,
    Quiet,
    ShardChoice,
    TranscriptChoice,
)

if TYPE_CHECKING:
    from ragemo.retrieval.index import Index

app = typer.Typer(no_args_is_help=True)

NewIndex = Annotated[Path, typer.Option(help="The new index's folder.")]
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
    shard: ShardChoice = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Embed labelled corpora and index their windows."""
    from ragemo.cli.console import ConsoleProgress
    from ragemo.cli.settings import pick_path, settings_and_paths, train_files
    from ragemo.cli.sources import read_sources
    from ragemo.retrieval.embedding.embedder import load_embedder
    from ragemo.retrieval.embedding.vector_cache import with_cache
    from ragemo.retrieval.folder import check_destination, take_voters
    from ragemo.retrieval.index import Index
    from ragemo.retrieval.material import take_in
    from ragemo.retrieval.shards import check_shard_destination, write_index_shard
    from ragemo.retrieval.vectors import Composition
    from ragemo.settings import DEFAULT_TRANSCRIPT
    from ragemo.types import Shard

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
        reads={"corpus", "index", "seed"},
    )
    sources = train_files(files or (), config)
    target = pick_path(out, paths.get("index"), "--out", "paths.index")
    share = Shard.read(shard) if shard else None
    check = check_destination if share is None else check_shard_destination
    check(target, overwrite=overwrite)
    progress = ConsoleProgress(quiet=quiet)
    corpus, parts = read_sources(sources, map_ or (), settings.corpus, say=progress.say)
    model = with_cache(
        load_embedder(settings.index.embedder, settings.index.precision, say=progress.say)
    )
    how = settings.index
    composition = Composition(how.context_weight, how.context_decay, how.context_length)
    transcript = settings.corpus.transcript or DEFAULT_TRANSCRIPT
    provenance = {"parts": [part.to_dict() for part in parts]} if parts else None
    if share is not None:
        material = take_in(corpus, transcript, seed=settings.seed, provenance=provenance)
        write_index_shard(
            material,
            target,
            share,
            model,
            composition=composition,
            factory=how.factory,
            overwrite=overwrite,
            progress=progress,
        )
        tell(f"{target}: shard {share} of {len(material.turns)} utterances")
        return
    index = Index.build(
        corpus,
        model,
        transcript=transcript,
        composition=composition,
        factory=how.factory,
        provenance=provenance,
        seed=settings.seed,
        progress=progress,
    )
    if overwrite:
        take_voters(index, target)
    index.save(target, overwrite=overwrite)
    for part in parts:
        tell(
            f"{part.name}: {part.utterances} utterances, {part.labelled} labelled, "
            f"{part.mapped_away} without a counterpart, {part.duplicates} duplicates"
        )
    _tell_index(index, target)


@app.command()
def merge(
    shards: Annotated[
        list[Path],
        typer.Argument(metavar="SHARD", help="The folders of all shards, in any order."),
    ],
    out: NewIndex,
    overwrite: Overwrite = False,
) -> None:
    """Make an index of all its shards, after a proof that nothing is missing or there twice; it is
    the index that one `ragemo index build` would have made, byte for byte."""
    from ragemo.retrieval.folder import check_destination
    from ragemo.retrieval.shards import merge_index_shards

    check_destination(out, overwrite=overwrite)
    index = merge_index_shards(shards)
    index.save(out, overwrite=overwrite)
    _tell_index(index, out)


@app.command()
def add(
    folder: IndexFolder,
    file: Annotated[Path, typer.Argument(help="A further labelled corpus, of new dialogues.")],
    out: NewIndex,
    format_: CorpusFormat = None,
    set_: Assignments = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make an index of an index's corpus and a further one, as if they had been one file; only
    what is new is embedded. Labels, transcripts and all else are as the index has them."""
    from ragemo.cli.console import ConsoleProgress
    from ragemo.cli.settings import settings_and_paths
    from ragemo.cli.sources import open_corpus, open_index
    from ragemo.errors import SettingsError
    from ragemo.retrieval.adding import add_corpus
    from ragemo.retrieval.folder import check_destination

    settings, _ = settings_and_paths(
        None, {"corpus.format": format_}, set_ or (), reads={"corpus", "seed"}
    )
    check_destination(out, overwrite=overwrite)
    progress = ConsoleProgress(quiet=quiet)
    index, embedder = open_index(folder, progress.say)
    if index is None or embedder is None:
        raise SettingsError("give INDEX")
    corpus = open_corpus(file, settings, index)
    whole = add_corpus(index, corpus, embedder, seed=settings.seed, progress=progress)
    whole.save(out, overwrite=overwrite)
    _tell_index(whole, out)


def _tell_index(index: "Index", folder: Path) -> None:
    if index.chosen.reason:
        tell(f"factory {index.factory}: {index.chosen.reason}")
    tell(f"{folder}: {len(index.examples)} labelled windows of {len(index.turns)} utterances")


@app.command()
def info(folder: IndexFolder) -> None:
    """Print an index's manifest."""
    from ragemo.retrieval.manifest import read_manifest

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
    from ragemo.retrieval.index import Index
    from ragemo.retrieval.manifest import verify_index
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
