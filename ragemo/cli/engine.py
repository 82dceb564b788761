"""Who does the work of a run: this process, one of several jobs, or a Ray cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragemo.cli.console import note, resumable, tell
from ragemo.errors import SettingsError

if TYPE_CHECKING:
    from ragemo.corpus.blocks import Blocks
    from ragemo.llm.protocol import LanguageModel
    from ragemo.pipeline.cluster.connection import Cluster
    from ragemo.pipeline.streaming import MakeParts
    from ragemo.progress import Progress
    from ragemo.retrieval.embedding.embedder import Embedder
    from ragemo.retrieval.index import Index
    from ragemo.settings import Settings
    from ragemo.types import Shard

LOCAL, RAY = "local", "ray"

EngineChoice = Annotated[
    str, typer.Option("--engine", help="Where the work is done: local, or ray (extra `ray`).")
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Of a Ray cluster's head, HOST:PORT (default: RAY_ADDRESS, or else this machine)."
    ),
]
IndexShards = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Cut the index's vectors into so many pieces, each on one machine of the Ray cluster "
        "(default: whole on every one).",
    ),
]


def uses_ray(
    engine: str, address: str | None, by_file: bool, index_shards: int | None, asks: bool
) -> bool:
    """Whether a Ray cluster is asked for.

    Raises:
        SettingsError: if there is no such engine, an address or pieces of an index for none, or
            nothing that workers could do, since models are asked by file.
    """
    if engine not in (LOCAL, RAY):
        raise SettingsError(f"--engine {engine}: expected {LOCAL} or {RAY}")
    if address is not None and engine != RAY:
        raise SettingsError("--address names a Ray cluster; add --engine ray, or leave it out")
    if index_shards is not None and (engine != RAY or asks):
        raise SettingsError(
            "--index-shards lies with the workers of a Ray cluster that label without a language "
            "model; add --engine ray and --llm none, or leave it out"
        )
    if by_file and engine == RAY:
        raise SettingsError("--engine ray asks call by call; leave it or --batch out")
    return engine == RAY


def read_shard(
    text: str | None, settings: Settings, index: Path | None, *, ballots: bool, others: object
) -> Shard | None:
    """The shard that is asked for, if it can be labelled on its own.

    Args:
        text: as asked for, "2/8"; None: all of the corpus.
        settings: of the run.
        index: its folder.
        ballots: whether other systems' ballots join the vote.
        others: true if anything else is asked for that takes the corpus whole.

    Raises:
        SettingsError: if it cannot; before anything is read.
    """
    from ragemo.pipeline.sharing import refuse_settling
    from ragemo.pipeline.streaming import refuse_blocks

    if text is None:
        return None
    from ragemo.types import Shard

    shard = Shard.read(text)
    if others:
        raise SettingsError(f"--shard {text}: leave --dry-run and --engine ray out")
    if settings.llm.model != "none":
        refuse_settling(settings)
        return shard
    refuse_blocks(settings)
    if index is None or ballots:
        raise SettingsError(
            f"--shard {text}: a shard is labelled here by an index's voters alone; give --index, "
            "and no --ballots"
        )
    return shard


def open_blocks(
    path: Path,
    settings: Settings,
    index: Index | None,
    stream: bool | None,
    ballots: Sequence[str],
    *,
    wanted: bool,
) -> Blocks | None:
    """The corpus in blocks, as a stream where it can be one; None: it is to be read whole.

    Args:
        path, settings, index, stream: as for `open_stream`.
        ballots: other systems' files.
        wanted: whether it has to come in blocks.

    Raises:
        SettingsError: if it has to and cannot.
    """
    from ragemo.cli.sources import open_corpus, open_stream
    from ragemo.corpus.blocks import WholeCorpus

    found = None if ballots else open_stream(path, settings, index, stream)
    if found is not None or not wanted:
        return found
    reasons = []
    if index is None:
        reasons.append("there is no index, whose voters decide")
    if ballots:
        reasons.append("ballots of other systems join the vote (--ballots)")
    if reasons:
        raise SettingsError(f"--engine ray: {'; '.join(reasons)}")
    return WholeCorpus(open_corpus(path, settings, index))


def label_in_blocks(
    blocks: Blocks,
    settings: Settings,
    out: Path,
    *,
    index: Index,
    embedder: Embedder,
    shard: Shard | None,
    on_ray: bool,
    address: str | None,
    index_shards: int | None,
    resume: bool,
    progress: Progress,
) -> None:
    """Label a corpus or a shard of it block by block, here or on a cluster; say what came of it."""
    from ragemo.cli.outcome import tell_outcome
    from ragemo.pipeline.sharding import predict_shard
    from ragemo.pipeline.streaming import predict_stream

    if shard is not None:
        with resumable(out):
            part = predict_shard(
                blocks,
                settings,
                out,
                shard,
                index=index,
                embedder=embedder,
                resume=resume,
                progress=progress,
            )
        for line in part.manifest.run["notes"]:
            note(line)
        tell(f"{out}: shard {shard}, {len(part.blocks)} of {part.manifest.blocks} blocks")
        return
    if index_shards is not None:
        from ragemo.pipeline.cluster.pieces import check_pieces

        check_pieces(index, settings)
    with resumable(out), _opened(on_ray, address, index_shards) as make_parts:
        run = predict_stream(
            blocks,
            settings,
            out,
            index=index,
            embedder=embedder,
            resume=resume,
            make_parts=make_parts,
            progress=progress,
        )
    for line in run.manifest["notes"]:
        note(line)
    tell_outcome(run)


@contextmanager
def asked_where(
    on_ray: bool, address: str | None, models: Sequence[LanguageModel | None], settings: Settings
) -> Iterator[list[LanguageModel]]:
    """The language models of a run, asked from here or by a cluster."""
    there = [model for model in models if model is not None]
    if not on_ray:
        yield there
        return
    from ragemo.pipeline.cluster.asking import asked_by

    with _joined(address) as cluster, asked_by(cluster, there, settings) as those:
        yield [*those]


@contextmanager
def _opened(on_ray: bool, address: str | None, index_shards: int | None) -> Iterator[MakeParts]:
    """What makes the parts of a run; a cluster that was started for it ends with the block."""
    from ragemo.pipeline.streaming import parts_here

    if not on_ray:
        yield parts_here
        return
    from ragemo.pipeline.cluster.labelling import parts_on

    with _joined(address) as cluster:
        yield parts_on(cluster, index_shards)


@contextmanager
def _joined(address: str | None) -> Iterator[Cluster]:
    """A cluster; what Ray says of it goes to stderr, apart from what the command says."""
    from ragemo.pipeline.cluster.connection import open_cluster

    with redirect_stdout(sys.stderr), open_cluster(address) as cluster:
        yield cluster
