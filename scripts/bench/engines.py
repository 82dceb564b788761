"""Whether every way of sharing a run's work leaves the same bytes: one process, shards, Ray.

    python scripts/bench/engines.py INDEX CORPUS [--block 64] [--shards 3]

The corpus is labelled by the index's own voters: read whole; block by block; by shards that are
merged; and by a Ray cluster of two worker nodes on this machine, one of which is lost as if its
power had failed once the first block is done (the other then does its blocks again): with the
index whole on both nodes, and with a half of it on each. Blocks are small, so that there are many.
Prints a line of JSON for each: its seconds, what was done, and whether every file of the run's
folder has the bytes of the first. Exit code 1 if any differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path

from ragemo import Index, predict, read_corpus
from ragemo.corpus.blocks import Blocks, WholeCorpus
from ragemo.files import sha256_file
from ragemo.pipeline.cluster.connection import open_cluster
from ragemo.pipeline.cluster.labelling import parts_on
from ragemo.pipeline.sharding import predict_shard
from ragemo.pipeline.streaming import Labeller, MakeParts, parts_here, predict_stream
from ragemo.retrieval.embedding.embedder import load_index_embedder
from ragemo.retrieval.embedding.vector_cache import with_cache
from ragemo.runs.merging import merge_shards
from ragemo.runs.parts import Part
from ragemo.settings import resolve_settings
from ragemo.types import Shard

STORE = 80 * 2**20
"""Bytes of a node's object store."""


def main() -> None:
    """Label in each way, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--shards", type=int, default=3)
    options = parser.parse_args()
    index = Index.load(options.index)
    embedder = with_cache(load_index_embedder(index.embedder))
    corpus = read_corpus(options.corpus, labels=index.labels)
    blocks = WholeCorpus(corpus)
    settings = resolve_settings({"llm": {"model": "none"}})
    done: list[int] = []

    def in_blocks(out: Path, make_parts: MakeParts) -> None:
        done.clear()
        predict_stream(
            blocks,
            settings,
            out,
            index=index,
            embedder=embedder,
            block=options.block,
            make_parts=counted(make_parts, done),
        )

    def whole(out: Path) -> str:
        predict(corpus, settings, out, index=index, embedder=embedder)
        return f"{len(corpus.utterances):,} utterances at once"

    def block_by_block(out: Path) -> str:
        in_blocks(out, parts_here)
        return f"{len(done)} blocks"

    def sharded(out: Path) -> str:
        folders = []
        for number in range(1, options.shards + 1):
            folders.append(out.with_name(f"shard-{number}"))
            predict_shard(
                blocks,
                settings,
                folders[-1],
                Shard(number, options.shards),
                index=index,
                embedder=embedder,
                block=options.block,
            )
        merge_shards(folders, out)
        return f"{options.shards} shards merged"

    def on_ray(out: Path, index_shards: int | None = None) -> str:
        with two_nodes() as lose, open_cluster() as cluster:
            in_blocks(out, then(parts_on(cluster, index_shards), lose))
        return f"{len(done)} blocks, a node of two lost after the first"

    ways: dict[str, Callable[[Path], str]] = {
        "read whole": whole,
        "block by block": block_by_block,
        "shards": sharded,
        "Ray": on_ray,
        "Ray, index in 2 pieces": partial(on_ray, index_shards=2),
    }
    differing = False
    with tempfile.TemporaryDirectory() as folder:
        first: dict[str, str] = {}
        for number, (name, way) in enumerate(ways.items()):
            started, out = time.perf_counter(), Path(folder) / str(number)
            with redirect_stdout(sys.stderr):  # where Ray tells of the node that is lost
                how = way(out)
            seconds = round(time.perf_counter() - started, 1)
            bytes_ = {file.name: sha256_file(file) for file in out.iterdir() if file.is_file()}
            first = first or bytes_
            differing |= bytes_ != first
            line = {"way": name, "how": how, "seconds": seconds, "same bytes": bytes_ == first}
            print(json.dumps(line), flush=True)
    sys.exit(int(differing))


def counted(make_parts: MakeParts, done: list[int]) -> MakeParts:
    """Makes parts, and notes which."""

    def parts(
        labeller: Labeller, corpus: Blocks, numbers: Collection[int]
    ) -> Generator[tuple[int, Part]]:
        for number, part in make_parts(labeller, corpus, numbers):
            done.append(number)
            yield number, part

    return parts


def then(make_parts: MakeParts, what: Callable[[], None]) -> MakeParts:
    """Makes parts; something happens after the first."""

    def parts(
        labeller: Labeller, corpus: Blocks, numbers: Collection[int]
    ) -> Generator[tuple[int, Part]]:
        waiting = [what]
        for number, part in make_parts(labeller, corpus, numbers):
            yield number, part
            if waiting:
                waiting.pop()()

    return parts


@contextmanager
def two_nodes() -> Iterator[Callable[[], None]]:
    """A cluster of a head and two worker nodes of a core each; what takes one of them away."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=0, object_store_memory=STORE, include_dashboard=False)
        nodes = [cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield lambda: cluster.remove_node(nodes.pop(), allow_graceful=False)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
