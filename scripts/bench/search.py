"""Guarded search against raw FAISS, on the same window vectors, in one run.

    python scripts/bench/search.py --data data/meld

Ours is `Index.search`: eight neighbours, none of the query's own dialogue, and similarities that
are computed again pair by pair.
The reference is `faiss.IndexFlatIP.search` for eight without any guard, in a process of its own,
where FAISS is as it comes. Where ragemo gives FAISS other matrix products than it would take by
itself (see `ragemo.retrieval.stores.faiss_library`), a line more tells what raw FAISS does with
these. If the environment chooses them (OPENBLAS_CORETYPE), all take those.

Queries are MELD's own windows, a batch at a time; larger indexes hold the same windows with seeded
jitter and dialogue ids of their own. All take turns, so that what else the machine does hits all;
the quickest of several counts. Prints a line of JSON for each size and batch: queries a second, and
their ratio.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_info

from ragemo import Index, load_embedder, read_corpus
from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.searcher import Searcher
from ragemo.retrieval.stores.faiss_library import load_faiss
from ragemo.types import Turn

SIZES = (0, 100_000, 500_000)
"""Windows of the index; 0: MELD's own."""

BATCHES = (1, 64, 1024)
NEIGHBOURS = 8
TURNS = 5
"""How often each is measured."""

SECONDS = 0.3
"""So long at least is measured at a time."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="MELD's folder")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    options = parser.parse_args()
    index = Index.build(read_corpus(options.data / "train_sent_emo.csv"), load_embedder())
    for size in options.sizes:
        vectors, turns = enlarged(index, size) if size else (index.window_vectors, index.turns)
        searcher = Searcher(vectors, turns, np.arange(len(turns)))
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            np.save(folder / "windows.npy", vectors)
            np.save(folder / "queries.npy", index.window_vectors)
            with (
                closing(RawFaiss(folder, likewise=False)) as as_it_comes,
                closing(RawFaiss(folder, likewise=True)) as likewise,
            ):
                for batch in BATCHES:
                    for one in compared(searcher, as_it_comes, likewise, index, batch):
                        print(json.dumps(one), flush=True)


def enlarged(index: Index, size: int) -> tuple[Vectors, list[Turn]]:
    """So many windows: the index's own again and again, each time elsewhere by a little."""
    generator = np.random.default_rng(0)
    own = index.window_vectors
    vectors = np.empty((size, own.shape[1]), dtype=np.float32)
    turns: list[Turn] = []
    for start in range(0, size, len(own)):
        part = own[: size - start]
        jitter = generator.standard_normal(part.shape, dtype=np.float32)
        moved = part + 0.01 * jitter if start else part
        vectors[start : start + len(part)] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
        turns += [
            replace(turn, dialogue_id=f"{turn.dialogue_id}/{start}")
            for turn in index.turns[: len(part)]
        ]
    return vectors, turns


class RawFaiss:
    """`IndexFlatIP` over some windows, in a process of its own.

    Args:
        folder: holds windows.npy and queries.npy.
        likewise: with the matrix products that ragemo gives FAISS; else as FAISS comes.
    """

    def __init__(self, folder: Path, *, likewise: bool) -> None:
        self._connection, far = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(far, folder, likewise), daemon=True
        )
        self._process.start()
        far.close()  # else the end of the process would not be the end of what it says
        self.products: str = self._connection.recv()

    def rate(self, batch: int) -> float:
        """Queries a second, in batches of so many."""
        self._connection.send(batch)
        return float(self._connection.recv())

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.join()


def serve(connection: Connection, folder: Path, likewise: bool) -> None:
    """See `RawFaiss`."""
    if likewise:
        faiss = load_faiss()
    else:
        import faiss
    windows = np.load(folder / "windows.npy", mmap_mode="r")
    flat = faiss.IndexFlatIP(windows.shape[1])
    flat.add(windows)
    queries = Queries(np.load(folder / "queries.npy"))
    connection.send(products())
    while True:
        connection.send(
            rate(lambda vectors, rows: flat.search(vectors, NEIGHBOURS), queries, connection.recv())
        )


def products() -> str:
    """Whose matrix products the OpenBLAS that FAISS has loaded takes; of another library: ""."""
    loaded = [one for one in threadpool_info() if "faiss" in one["filepath"]]
    return next((str(one["architecture"]) for one in loaded if "architecture" in one), "")


class Queries:
    """Windows in an order drawn by lot; others each time, for a search that was made is kept."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self._rows = np.random.default_rng(1).permutation(len(vectors))
        self._place = 0

    def following(self, batch: int) -> tuple[Vectors, npt.NDArray[np.int64]]:
        """The next ones, and which they are."""
        rows = self._rows[(self._place + np.arange(batch)) % len(self._rows)]
        self._place += batch
        return np.ascontiguousarray(self._vectors[rows]), rows


def compared(
    searcher: Searcher, as_it_comes: RawFaiss, likewise: RawFaiss, index: Index, batch: int
) -> Iterator[dict[str, object]]:
    """Lines of queries a second of ours and of raw FAISS, and their ratio."""
    turns, guard, queries = index.turns, Guard(), Queries(index.window_vectors)

    def ours(vectors: Vectors, rows: npt.NDArray[np.int64]) -> None:
        searcher.search(vectors, [turns[row] for row in rows.tolist()], NEIGHBOURS, guard)

    own = usual = same = 0.0
    for _ in range(TURNS):
        usual = max(usual, as_it_comes.rate(batch))
        same = max(same, likewise.rate(batch))
        own = max(own, rate(ours, queries, batch))
    name = f"search, {len(searcher.examples):,} windows, {batch:,} at a time"
    yield line(name, own, usual, "at least 0.90")
    if as_it_comes.products != likewise.products:
        yield line(f"{name}, FAISS with products for {likewise.products}", own, same, None)


def line(name: str, own: float, reference: float, target: str | None) -> dict[str, object]:
    """Of the table."""
    return {
        "name": name,
        "ours": round(own, 1),
        "reference": round(reference, 1),
        "ratio": round(own / reference, 3),
        "unit": "queries/s",
        "target": target,
        "limited_by": "FAISS itself"
        if own > 0.9 * reference
        else "similarities pair by pair; equal windows, which are asked for again",
    }


def rate(
    search: Callable[[Vectors, npt.NDArray[np.int64]], object], queries: Queries, batch: int
) -> float:
    """Queries a second; putting them together is not counted."""
    spent, calls = 0.0, 0
    while spent < SECONDS:
        vectors, rows = queries.following(batch)
        started = time.perf_counter()
        search(vectors, rows)
        spent += time.perf_counter() - started
        calls += 1
    return batch * calls / spent


if __name__ == "__main__":
    main()
