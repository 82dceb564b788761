"""Which FAISS index suits so many windows and so much memory.

    exact search    as long as the vectors fit into memory: nothing is missed, nothing has to be
                    trained, and where many questions are asked at once, as runs do, no other
                    finds as much any sooner
    HNSW32          a graph, asked for as "auto-latency": the shortest wait for a single question,
                    where all vectors and their links fit into memory
    IVFn,SQ8        inverted lists of vectors in a quarter of the bytes
    IVFn,PQm        inverted lists of product codes, one byte for eight dimensions

What each finds, and how soon, is measured in docs/recall.md. The inverted file is that of Jegou et
al., "Product quantization for nearest neighbor search", IEEE TPAMI (2011), the graph that of Malkov
and Yashunin, "Efficient and robust approximate nearest neighbor search", IEEE TPAMI (2020).
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from math import log2
from pathlib import Path

from ragemo.retrieval.stores import EXACT

AUTO, AUTO_LATENCY = "auto", "auto-latency"

GRAPH_FROM = 25_000
"""Windows up to which a graph would not answer a single question much sooner than exact search."""

TRAINABLE_FROM = 10_000
"""Windows up to which nothing can be trained well."""

GRAPH_LINKS = 32
"""Links of a node of a graph on each level but the lowest, which has twice as many."""

USABLE = 0.5
"""Share of the memory that the vectors may take; the rest is for words, guards and others."""


@dataclass(frozen=True)
class Factory:
    """An index factory, and how it came to be chosen.

    Attributes:
        name: in FAISS's language.
        asked: what was asked for: the same, "auto" or "auto-latency".
        reason: why it was chosen, in words; empty where nothing was to be chosen.
    """

    name: str
    asked: str
    reason: str = ""


def choose_factory(asked: str, windows: int, dimension: int, memory: int | None = None) -> Factory:
    """What a factory setting means for an index.

    Args:
        asked: FAISS's language, which is taken as it is, "auto" or "auto-latency".
        windows: how many are to be found.
        dimension: of their vectors.
        memory: bytes there are; default: this machine's, or this process's share of it.
    """
    if asked not in (AUTO, AUTO_LATENCY):
        return Factory(asked, asked)
    memory = memory_there_is() if memory is None else memory
    usable = int(USABLE * memory)
    single = 4 * windows * dimension
    graph = single + 4 * windows * 2 * GRAPH_LINKS
    size = f"{windows:,} windows take {_gib(single)} in single precision"
    room = f"of {_gib(memory)} of memory half is for them"
    at_once = asked == AUTO or windows <= GRAPH_FROM
    if windows <= TRAINABLE_FROM or (at_once and single <= usable):
        why = "for so few nothing else pays"
        if windows > GRAPH_FROM:
            why = f"{room}, and many questions at once are answered no sooner by missing some"
        return Factory(EXACT, asked, f"{size}; {why}")
    if asked == AUTO_LATENCY and graph <= usable:
        return Factory(
            f"HNSW{GRAPH_LINKS}",
            asked,
            f"{size}, {_gib(graph)} with the links of a graph; {room}, and a graph answers a "
            "single question soonest",
        )
    lists = _lists(windows)
    if windows * dimension <= usable:
        return Factory(
            f"IVF{lists},SQ8",
            asked,
            f"{size}, {_gib(windows * dimension)} in eight bits; {room}"
            + (", and a single question is answered sooner" if single <= usable else ""),
        )
    codes = next(m for m in range(max(dimension // 8, 1), 0, -1) if dimension % m == 0)
    return Factory(
        f"IVF{lists},PQ{codes}",
        asked,
        f"{size}, {_gib(windows * dimension)} even in eight bits; {room}, and product codes take "
        f"{_gib(windows * codes)}",
    )


def _lists(windows: int) -> int:
    """Inverted lists for so many windows: a power of two near twice the root."""
    return 1 << max(round(log2(2 * windows**0.5)), 0)


def memory_there_is() -> int:
    """Bytes of memory that this process may use: the machine's, or its control group's limit."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            group = line.rpartition(":")[2].lstrip("/")
            for folder, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
                with suppress(OSError, ValueError):  # no such group, or "max"
                    limits.append(int((Path("/sys/fs/cgroup") / folder / group / name).read_text()))
    return min(limits)


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
