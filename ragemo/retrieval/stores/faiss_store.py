"""Window vectors in an index of FAISS's: lists, codes or a graph, in memory or mapped from a file.

Which it is says its factory string, in FAISS's own language: "HNSW32", "IVF4096,SQ8", "PQ96". Such
an index is trained on a sample and filled in chunks. An inverted file and a graph are searched
where they lie on disk: what is never visited is never read.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ragemo.errors import SettingsError
from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.stores import ADDED_AT_ONCE, Rows
from ragemo.retrieval.stores.faiss_library import load_faiss

VISITED_LISTS = 0.25
"""Share of the lists of an inverted file (IVF) that are visited."""

LEAST_VISITED, MOST_VISITED = 8, 512
"""So many of them, whatever the share: 512 find as much among five million windows as among one
million, 97 of 100 neighbours (docs/recall.md)."""

VISITED_NODES = 256
"""efSearch of a graph (HNSW)."""

TRAINED_ON = 131_072
"""An index that has to be trained learns from so many windows at most, drawn by lot."""

LOOPS = 10_000_000
"""Steps of one of FAISS's loops over what a file says; the largest it counts are lists and
subspaces, not vectors."""

UNUSED = 2**20, 2**20
"""Two numbers that FAISS writes into each index and passes over."""

TABLE = 32, 2**30
"""FAISS asks for room for a table of inner products beside product codes: so many times what such a
file takes, if there is a code for eight dimensions, and never more than this."""


class FaissStore:
    """An index of FAISS's over vectors in their order, by inner product.

    Args:
        index: FAISS's; from now on it looks further than FAISS's defaults, which are made for
            speed.
    """

    def __init__(self, index: Any) -> None:
        faiss = load_faiss()
        self.index = index
        inverted = _inverted(index)
        if inverted is not None:
            share = min(max(LEAST_VISITED, int(VISITED_LISTS * inverted.nlist)), MOST_VISITED)
            inverted.nprobe = min(share, inverted.nlist)
        graph = faiss.downcast_index(index)
        if hasattr(graph, "hnsw"):
            graph.hnsw.efSearch = VISITED_NODES

    @classmethod
    def make(cls, vectors: Vectors, rows: Rows, factory: str) -> FaissStore:
        """An index of some vectors.

        Args:
            vectors: shape (all, D); may be mapped from a file.
            rows: those to be stored, rising.
            factory: FAISS's index factory string.

        Raises:
            SettingsError: if FAISS does not know the factory string, or cannot make such an index.
        """
        faiss = load_faiss()
        try:
            # FAISS would end the process.
            if re.search(r"(HNSW|NSG)[01](\D|$)", factory):
                raise RuntimeError("a graph needs 2 links or more")
            if re.search(r"([A-Za-z]|\dx)0+(?!\d)", factory):
                raise RuntimeError("a number in it is 0")
            index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
            inverted = _inverted(index)
            for coder in filter(None, (index, inverted)):
                # Else codes are put into an order for search by Hamming distance, which is not
                # done here, and that takes longer than all the rest.
                if hasattr(coder, "do_polysemous_training"):
                    coder.do_polysemous_training = False
            if inverted is not None:
                inverted.cp.min_points_per_centroid = 1  # it would only warn
            if not index.is_trained:
                drawn = np.random.default_rng(0).permutation(len(rows))[:TRAINED_ON]
                index.train(vectors[rows[np.sort(drawn)]])
            # Several would race for a place in a graph; each has lists of its own in an inverted
            # file.
            with _one_thread() if inverted is None else nullcontext():
                for start in range(0, len(rows), ADDED_AT_ONCE):
                    index.add(vectors[rows[start : start + ADDED_AT_ONCE]])
            index.search(vectors[rows[:1]], 1)  # some can be made and not searched
        except (RuntimeError, MemoryError) as error:
            # Without the place in FAISS's source that it begins with.
            reason = re.sub(r"^Error in .* at \S+:\d+: ", "", str(error).strip().splitlines()[-1])
            raise SettingsError(
                f"index.factory {factory!r}: FAISS cannot make such an index of {len(rows)} "
                f"windows of {vectors.shape[1]} dimensions ({reason}); expected its index "
                "factory's language, such as Flat, HNSW32, IVF64,Flat or PQ48"
            ) from None
        return cls(index)

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        """See `ragemo.retrieval.stores.VectorStore`; there may be fewer than k."""
        scores, found = self.index.search(queries, k)
        return scores, found

    def write(self, path: Path) -> None:
        """Write it as a file.

        Raises:
            OSError, RuntimeError: if it cannot be written.
        """
        faiss = load_faiss()
        with self._in_memory() as index:
            faiss.write_index(index, str(path))

    @classmethod
    def read(cls, path: Path, *, count: int, dimension: int) -> FaissStore:
        """An index from a file that may be anybody's.

        The lists of an inverted file, and a graph with its vectors, stay there and are mapped into
        memory. All else is read.

        Raises:
            ValueError: if it does not hold `count` vectors of `dimension`, or names another file.
            RuntimeError, MemoryError: of FAISS's, if it is no index.
        """
        faiss = load_faiss()
        with _room_for(path):
            if _is_whole_graph(path, count, dimension):
                flags = faiss.IO_FLAG_MMAP_IFC
            else:
                flags = faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY  # lists alone
            index = faiss.read_index(str(path), flags)
        if (index.ntotal, index.d) != (count, dimension):
            raise ValueError(f"{path.name} holds {index.ntotal} vectors of {index.d} dimensions")
        mapped = _mapped_lists(index)
        if mapped is not None:
            if mapped.filename:
                raise ValueError(f"{path.name} names another file, {mapped.filename!r}")
            # It would start threads for each search, which then takes half as long again.
            mapped.prefetch_nthread = 0
        return cls(index)

    def __getstate__(self) -> dict[str, Any]:
        """A copy elsewhere has all of it in memory."""
        faiss = load_faiss()
        with self._in_memory() as index:
            return {"index": faiss.serialize_index(index)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """See `__getstate__`."""
        faiss = load_faiss()
        self.index = faiss.deserialize_index(state["index"])

    @contextmanager
    def _in_memory(self) -> Iterator[Any]:
        """The index; until the block ends its lists are in memory, from where FAISS can write."""
        faiss = load_faiss()
        inverted, mapped = _inverted(self.index), _mapped_lists(self.index)
        if inverted is None or mapped is None:
            yield self.index
            return
        copied = faiss.ArrayInvertedLists(mapped.nlist, mapped.code_size)
        mapped.copy_subset_to(copied, mapped.SUBSET_TYPE_ID_RANGE, 0, self.index.ntotal)
        inverted.own_invlists = False  # else they would be deleted when others take their place
        inverted.replace_invlists(copied, False)
        try:
            yield self.index
        finally:
            inverted.replace_invlists(mapped, True)


def _inverted(index: Any) -> Any | None:
    """The inverted file that an index of FAISS's is or has in it, if any."""
    faiss = load_faiss()
    try:
        return faiss.downcast_index(faiss.extract_index_ivf(index))
    except RuntimeError:
        return None


def _mapped_lists(index: Any) -> Any | None:
    """The lists of its inverted file, if there is one and they are in a file."""
    faiss = load_faiss()
    inverted = _inverted(index)
    if inverted is None:
        return None
    lists = faiss.downcast_InvertedLists(inverted.invlists)
    return lists if isinstance(lists, faiss.OnDiskInvertedLists) else None


@contextmanager
def _room_for(path: Path) -> Iterator[None]:
    """FAISS makes no more room than such a file can need, whatever it says of itself."""
    faiss = load_faiss()
    size = faiss.get_deserialization_vector_byte_limit()
    loops = faiss.get_deserialization_loop_limit()
    own = path.stat().st_size
    times, most = TABLE
    faiss.set_deserialization_vector_byte_limit(max(own, min(times * own, most)))
    faiss.set_deserialization_loop_limit(LOOPS)
    try:
        yield
    finally:
        faiss.set_deserialization_vector_byte_limit(size)
        faiss.set_deserialization_loop_limit(loops)


def _is_whole_graph(path: Path, count: int, dimension: int) -> bool:
    """Whether a file is a graph of so many plain vectors, and just as long as these take.

    FAISS reads on past the end of a file that is too short, where it maps all of it. So the links
    are read first, from the file, where it does not, and what they take is added up. The layout is
    FAISS's (`write_HNSW` in faiss/impl/index_write.cpp); of a file in another one this is false.

    Raises:
        RuntimeError, MemoryError: of FAISS's, if it cannot read the links.
    """
    faiss = load_faiss()
    numbers = count * dimension
    about = struct.pack("<iqqq?i", dimension, count, *UNUSED, True, faiss.METRIC_INNER_PRODUCT)
    begin = b"IHNf" + about
    middle = b"IxFI" + about + struct.pack("<q", numbers)
    rest = path.stat().st_size - len(begin) - len(middle) - 4 * numbers
    if rest < 0:
        return False
    with path.open("rb") as file:
        if file.read(len(begin)) != begin:
            return False
        file.seek(rest, os.SEEK_CUR)
        if file.read(len(middle)) != middle:
            return False
    graph: Any = faiss.downcast_index(faiss.read_index(str(path), faiss.IO_FLAG_SKIP_STORAGE))
    widths = {"assign_probas": 8, "cum_nneighbor_per_level": 4, "levels": 4, "offsets": 8}
    widths["neighbors"] = 4
    links = sum(8 + width * getattr(graph.hnsw, name).size() for name, width in widths.items())
    return bool(rest == links + 5 * 4)  # and five single numbers


@contextmanager
def _one_thread() -> Iterator[None]:
    faiss = load_faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
