"""`ragemo predict` of a corpus block by block: as a stream, or one shard of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ragemo.cli.console import note, resumable, tell
from ragemo.types import Shard

if TYPE_CHECKING:
    from ragemo.corpus.stream import Blockwise
    from ragemo.progress import Progress
    from ragemo.retrieval.embedder import Embedder
    from ragemo.retrieval.index import Index
    from ragemo.settings import Settings


def read_shard(
    text: str | None, settings: Settings, index: Path | None, others: object
) -> Shard | None:
    """The shard that is asked for, if it can be labelled on its own.

    Args:
        text: as asked for, "2/8"; None: all of the corpus.
        settings: of the run.
        index: its folder.
        others: true if anything else is asked for that takes the corpus whole.

    Raises:
        SettingsError: if it cannot; before anything is read.
    """
    from ragemo.errors import SettingsError
    from ragemo.pipeline.streaming import refuse_blocks

    if text is None:
        return None
    shard = Shard.read(text)
    refuse_blocks(settings)
    if index is None or others:
        raise SettingsError(
            f"--shard {text}: a shard is labelled by an index's voters alone; give --index, and "
            "neither --ballots nor --dry-run"
        )
    return shard


def predict_blocks(
    blocks: Blockwise,
    settings: Settings,
    target: Path,
    shard: Shard | None,
    index: Index,
    embedder: Embedder,
    resume: bool,
    progress: Progress,
) -> None:
    """Label a corpus block by block, or a shard of it, and say what came of it."""
    from ragemo.cli.outcome import tell_outcome
    from ragemo.pipeline.sharding import predict_shard
    from ragemo.pipeline.streaming import predict_stream

    if shard is None:
        with resumable(target):
            run = predict_stream(
                blocks,
                settings,
                target,
                index=index,
                embedder=embedder,
                resume=resume,
                progress=progress,
            )
        for line in run.manifest["notes"]:
            note(line)
        tell_outcome(run)
        return
    with resumable(target):
        part = predict_shard(
            blocks,
            settings,
            target,
            shard,
            index=index,
            embedder=embedder,
            resume=resume,
            progress=progress,
        )
    for line in part.manifest.run["notes"]:
        note(line)
    tell(f"{target}: shard {shard}, {len(part.blocks)} of {part.manifest.blocks} blocks")
