"""Label one shard of a corpus; all shards merged are the run of the whole, byte for byte.

    Blocks -> outline (the same in every shard) -> the shard's own blocks -> parts of the run

No shard knows of another one. Each reads the corpus through to learn what of the whole counts for
its blocks, and `ragemo.runs.merging.merge_shards` puts them together.
"""

from __future__ import annotations

from pathlib import Path

from ragemo.corpus.blocks import Blocks
from ragemo.errors import RagemoError
from ragemo.pipeline.streaming import BLOCK, Labeller, outline_of, parts_here, refuse_blocks
from ragemo.progress import Progress, Silent
from ragemo.retrieval.embedding.embedder import Embedder
from ragemo.retrieval.index import Index
from ragemo.runs.parts import part_folder, write_part
from ragemo.runs.shards import RunShard, ShardManifest, check_new_shard
from ragemo.settings import Settings
from ragemo.types import Shard


def predict_shard(
    corpus: Blocks,
    settings: Settings,
    out: Path | str,
    shard: Shard,
    *,
    index: Index,
    embedder: Embedder,
    resume: bool = False,
    block: int = BLOCK,
    progress: Progress | None = None,
) -> RunShard:
    """Label a shard of a corpus with the index's own voters.

    Args:
        corpus: all of it: a `CorpusStream`, or a `WholeCorpus` of any format.
        settings: with `llm.model` none, see `Settings`.
        out: the shard's folder.
        shard: which one, of how many; there may be more than dialogues.
        index: labelled windows.
        embedder: the index's embedder.
        resume: go on with the shard in `out`; parts that are there and whole are not made again.
        block: utterances that are worked on at once; the same in every shard.
        progress: told what is being done.

    Raises:
        SettingsError: see `refuse_blocks`; or if the corpus and the index do not fit.
        DataError: at the first fault of the file.
        RunFolderError: if `out` cannot be used.
    """
    refuse_blocks(settings)
    out, progress = Path(out), progress or Silent()
    going_on = resume and out.is_dir() and any(out.iterdir())
    if not going_on:
        check_new_shard(out)
    outline = outline_of(corpus, settings, index, block=block, shards=shard.of, progress=progress)
    labeller = Labeller(settings, outline, index, embedder)
    manifest = ShardManifest.of_run(
        shard,
        blocks=len(outline.targets),
        utterances=outline.utterances,
        ids=outline.ids,
        run=labeller.manifest(next(corpus.blocks(1))),
    )
    found = (RunShard.resume if going_on else RunShard.create)(out, manifest)
    with found:
        if found.finished:
            return found
        missing = found.missing
        try:
            with progress.stage("labelling", len(missing)) as advance:
                for number, part in parts_here(labeller, corpus, missing):
                    write_part(out, number, part)
                    advance(1)
            found.finish()
        except RagemoError:
            if not any(part_folder(out, number).is_dir() for number in found.blocks):
                found.remove()  # nothing is lost, and a corrected command can use the folder
            raise
    return found
