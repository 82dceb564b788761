"""Recall, speed, memory and bytes of each kind of index, at sizes that no real corpus here has.

    python scripts/bench/recall.py --data data --work FOLDER [--sizes 100000 ...] [--out docs]

The vectors are real windows with seeded jitter, see `jittered.py`; questions are 500 windows of
the development splits, as they are, and what is to be found is what an exact search finds.

Every store is built, and searched with its guards and its own similarities, by ragemo's own code:
trained on a sample, filled in chunks from a mapped file. Each is built in a process of its own
and searched in another. Prints a line of JSON for each size, factory and how far the search
looks; what is in FOLDER already (vectors, stores) is not made again, and five million vectors take
15 GB there. --out keeps the lines in recall.json beside recall.md and images/recall.svg; sizes
that are not measured again keep their lines.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from jittered import write_vectors, write_windows

from ragemo.cores import cores
from ragemo.retrieval.arrays import map_array
from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.guards import Guard, GuardedRows
from ragemo.retrieval.recall import recall_of
from ragemo.retrieval.searcher import Neighbours, Searcher
from ragemo.retrieval.stores import EXACT, WrittenStore, make_store, read_store
from ragemo.retrieval.stores.factory import choose_factory
from ragemo.types import Turn

SIZES = (100_000, 1_000_000, 5_000_000)
GRAPH_UP_TO = 1_000_000
"""A graph of more takes hours, and holds all vectors in memory once more."""


DEPTHS = (8, 64)
"""Neighbours that are asked for; the speed is that of the first."""

DEEP_UP_TO = 1_000_000
"""Of more vectors only the first are asked for: each search takes minutes."""

LISTS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4)
"""Shares of the lists of an inverted file that are visited."""

NODES = (64, 128, 256, 512)
"""Nodes of a graph that are kept in sight (efSearch)."""

SINGLE = 11
"""Questions that are asked by themselves."""

REPEATED, ENOUGH = 3, 10
"""Each search is made so often, and not again after so many seconds; the quickest counts."""


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--out", type=Path, help="the folder of recall.json, the page and the plot")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        task, size, factory = options.one
        done = {"build": build, "search": search}[task](options.work, int(size), factory)
        print(json.dumps(done))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    if not (options.work / "questions.npy").is_file():
        write_windows(options.data, options.work)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "recall.json" if options.out else None
    known = json.loads(kept.read_text(encoding="utf-8")) if kept and kept.is_file() else []
    lines = [one for one in known if one["vectors"] not in options.sizes]
    for size in options.sizes:
        if not (options.work / f"{size}.npy").is_file():
            write_vectors(options.work, size)
        for factory in factories(size):
            for line in measured(options.work, size, factory):
                lines.append(line)
                print(json.dumps(line), flush=True)
    if kept:
        lines.sort(key=lambda one: (one["vectors"], one["factory"], one["visited"] or 0))
        kept.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")
        write_page(lines, options.out / "recall.md")
        draw(lines, options.out / "images" / "recall.svg")


# -- measuring -----------------------------------------------------------------------------------


def factories(size: int) -> list[str]:
    """Exact search, a graph, and what `--factory auto` chooses with less and less memory."""
    room = (2 * 768 * size, 2 * 96 * size)
    compressed = [choose_factory("auto", size, 768, memory).name for memory in room]
    graph = ["HNSW32"] if size <= GRAPH_UP_TO else []
    return [EXACT, *graph, *compressed]


def measured(work: Path, size: int, factory: str) -> list[dict[str, Any]]:
    """The lines of one store, built if it is not there."""
    built = work / f"{size}-{factory}.json"
    if not built.is_file():
        built.write_text(json.dumps(alone(work, "build", size, factory)), encoding="utf-8")
    common = json.loads(built.read_text(encoding="utf-8"))
    lines = [common | line for line in alone(work, "search", size, factory)]
    different = round(originals(work, size), 2)
    more = {"originals_of_8": different, "cores": cores()}
    return [line | more for line in lines]


def alone(work: Path, task: str, size: int, factory: str) -> Any:
    """What a process of its own measures."""
    command = [sys.executable, __file__, "--data", str(work), "--work", str(work)]
    command += ["--one", task, str(size), factory]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def build(work: Path, size: int, factory: str) -> dict[str, Any]:
    """Make a store and write it; of exact search there is none but the vectors."""
    vectors = map_array(work / f"{size}.npy")
    file = work / f"{size}-{factory}.faiss"
    started = time.process_time()  # of all cores; what else the machine does hardly changes it
    with own_memory() as peak:
        store = make_store(vectors, np.arange(size), factory)
    seconds = time.process_time() - started
    if factory != EXACT:
        cast("WrittenStore", store).write(file)
    return {
        "vectors": size,
        "factory": factory,
        "build_seconds": round(seconds, 1),
        "build_megabytes": round(max(peak)),
        "store_megabytes": round(file.stat().st_size / 2**20) if factory != EXACT else 0,
    }


def search(work: Path, size: int, factory: str) -> list[dict[str, Any]]:
    """Ask a store, looking further and further."""
    vectors = map_array(work / f"{size}.npy")
    questions = np.load(work / "questions.npy")
    store, before = None, own_memory_now()
    if factory != EXACT:
        file = work / f"{size}-{factory}.faiss"
        store = read_store(file, factory, count=size, dimension=vectors.shape[1])
    held = own_memory_now() - before
    names = json.loads((work / "windows.json").read_text(encoding="utf-8"))
    some = [Turn("", name, 0, "", None, "", "") for name in names]
    turns = (some * (size // len(some) + 1))[:size]
    rows = np.arange(size)
    guarded = GuardedRows(turns)
    lines = []
    # So that what is compared exactly has been read from disk once; exact search reads it all.
    first = questions if store is not None else questions[:1]
    asking = [Turn("", "", 0, "", None, "", "")] * len(first)
    Searcher(vectors, turns, rows, factory=factory, store=store, guarded=guarded).search(
        first, asking, DEPTHS[0], Guard()
    )
    for visited, usual, look in depths(store):
        look()
        # A new one each time: what was found is remembered.
        searcher = Searcher(vectors, turns, rows, factory=factory, store=store, guarded=guarded)
        found, speed = timed(searcher, questions)
        if factory == EXACT:
            keep(work, size, found)
        lines.append(
            {
                "visited": visited,
                "usual": usual,
                **{f"recall_{k}": round(share, 4) for k, share in shares(work, size, found)},
                "queries_per_second": round(speed, 1),
                "milliseconds_alone": round(alone_milliseconds(searcher, questions), 1),
                "held_megabytes": round(held),
            }
        )
    return lines


Depth = tuple[int | None, bool, Callable[[], None]]


def depths(store: Any) -> list[Depth]:
    """How far a search may look: a number, whether it is ragemo's own choice, what sets it."""
    import faiss

    if store is None:
        return [(None, True, lambda: None)]
    index: Any = faiss.downcast_index(store.index)
    if hasattr(index, "hnsw"):
        usual, name, place = index.hnsw.efSearch, "efSearch", index.hnsw
        numbers = set(NODES)
    else:
        usual, name, place = index.nprobe, "nprobe", index
        numbers = {max(1, int(share * index.nlist)) for share in LISTS}
    return [
        (number, number == usual, partial(setattr, place, name, number))
        for number in sorted({*numbers, usual})
    ]


def timed(searcher: Searcher, questions: Vectors) -> tuple[dict[int, Neighbours], float]:
    """What is found at each depth, and how many questions for the first are answered a second."""
    asking = [Turn("", "", 0, "", None, "", "")] * len(questions)
    found: dict[int, Neighbours] = {}
    quickest, spent = 0.0, 0.0
    for place in range(REPEATED):
        turned = np.roll(questions, place, axis=0)  # the same search would be remembered
        started = time.perf_counter()
        one = searcher.search(turned, asking, DEPTHS[0], Guard())
        took = time.perf_counter() - started
        found.setdefault(DEPTHS[0], one)
        quickest, spent = max(quickest, len(questions) / took), spent + took
        if spent > ENOUGH:
            break
    for k in DEPTHS[1:] if len(searcher.examples) <= DEEP_UP_TO else ():
        found[k] = searcher.search(questions, asking, k, Guard())
    return found, quickest


def alone_milliseconds(searcher: Searcher, questions: Vectors) -> float:
    """What a question takes that is asked by itself: the median of many."""
    asking = [Turn("", "", 0, "", None, "", "")]
    taken = []
    for place in range(SINGLE):
        started = time.perf_counter()
        searcher.search(questions[place : place + 1], asking, DEPTHS[0], Guard())
        taken.append(1000 * (time.perf_counter() - started))
    return float(np.median(taken))


def keep(work: Path, size: int, found: Mapping[int, Neighbours]) -> None:
    """What an exact search found is what the others are measured by."""
    for k, those in found.items():
        np.savez(work / f"{size}-true-{k}.npz", rows=those.rows, similarities=those.similarities)


def shares(work: Path, size: int, found: Mapping[int, Neighbours]) -> Iterator[tuple[int, float]]:
    """Recall at each depth."""
    for k in found:
        with np.load(work / f"{size}-true-{k}.npz") as true:
            yield k, recall_of(found[k], Neighbours(true["rows"], true["similarities"]))


def originals(work: Path, size: int) -> float:
    """Of how many different windows the nearest are copies, on average."""
    many = len(np.load(work / "windows.npy", mmap_mode="r"))
    with np.load(work / f"{size}-true-{DEPTHS[0]}.npz") as true:
        return float(np.mean([len(set((rows % many).tolist())) for rows in true["rows"]]))


def own_memory_now() -> float:
    """Megabytes of this process's own, without what is mapped from files."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("/proc/self/status has no RssAnon; this needs Linux")


@contextmanager
def own_memory() -> Iterator[list[float]]:
    """The same again and again while the block runs; a list that grows."""
    seen, over = [own_memory_now()], threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            seen.append(own_memory_now())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


# -- telling -------------------------------------------------------------------------------------

PAGE = """# Recall against speed

Written by `python scripts/bench/recall.py --data data --work FOLDER --out docs`; the figures are
kept in [recall.json](recall.json). The vectors are real ones of MELD and EmoryNLP, repeated with
seeded jitter, as is told at the head of `scripts/bench/jittered.py`; 500 windows of the development
splits are asked about, on {cores} cores. It is ragemo's whole search that is measured:
the store proposes, guards are heeded, and similarities are computed again, pair by pair.

`looked at` is how many inverted lists (of those in the factory's name) or nodes of a graph are
visited; ragemo's own choice is in bold. `at once` is questions a second where all are asked in one
batch, as a run asks them, and `alone` what one takes by itself. `made` is the processor time that
building took (of all cores), `peak` its memory, and `held` that of a loaded store, beside what
lies in files that are mapped: the vectors, the lists of an inverted file, a graph. Memory held all
of these. A graph of five million was not made: it takes hours.

{table}

![Recall@8 against questions a second, a line for each store](images/recall.svg)

An inverted file finds more of real windows than of these, which jitter spreads: of the 17,540 that
were repeated, `IVF256,SQ8` finds 95 % of the eight nearest at its usual quarter of the lists.
Product codes propose too little: at a million, four times the candidates would bring 95 %.

The copies of a window do not crowd out all others: the eight truly nearest come from
{originals}.
"""


HEAD = (
    *("vectors", "factory", "looked at", "recall@8", "recall@64", "at once", "alone", "made"),
    *("peak", "held", "disk"),
)


def write_page(lines: Sequence[dict[str, Any]], file: Path) -> None:
    """The table."""
    of = {one["vectors"]: one["originals_of_8"] for one in lines}
    told = ", ".join(f"{number:.1f} (of {size:,})" for size, number in of.items())
    page = PAGE.format(
        cores=lines[0]["cores"],
        table="\n".join(
            [f"| {' | '.join(HEAD)} |", "| ---: | --- |" + " ---: |" * (len(HEAD) - 2)]
            + [row(one) for one in lines]
        ),
        originals=f"{told} different windows on average",
    )
    file.write_text(page, encoding="utf-8")


def row(one: Mapping[str, Any]) -> str:
    """A line of the table."""
    visited = "all" if one["visited"] is None else f"{one['visited']:,}"
    cells = [
        f"{one['vectors']:,}",
        f"`{one['factory']}`",
        f"**{visited}**" if one["usual"] else visited,
        f"{one['recall_8']:.3f}",
        f"{one['recall_64']:.3f}" if "recall_64" in one else "",
        f"{one['queries_per_second']:,.0f}",
        f"{one['milliseconds_alone']:,.1f} ms",
        f"{one['build_seconds']:,.0f} s",
        f"{one['build_megabytes']:,} MB",
        f"{one['held_megabytes']:,} MB",
        f"{one['store_megabytes']:,} MB",
    ]
    return f"| {' | '.join(cells)} |"


def draw(lines: Sequence[dict[str, Any]], file: Path) -> None:
    """Recall over speed: a colour for each size, a marker for each kind of store."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "ragemo"  # the same figures give the same file
    sizes = sorted({one["vectors"] for one in lines})
    colours = dict(zip(sizes, ("#2f6f9f", "#c8702a", "#5b8c3e", "#7d5ba6"), strict=False))
    drawing, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for size, factory in dict.fromkeys((one["vectors"], one["factory"]) for one in lines):
        own = [one for one in lines if (one["vectors"], one["factory"]) == (size, factory)]
        marker = {"F": "*", "H": "^", "S": "o", "P": "s"}[factory.rpartition(",")[2][0]]
        axes.plot(
            [one["queries_per_second"] for one in own],
            [one["recall_8"] for one in own],
            marker=marker,
            markersize=11 if marker == "*" else 5,
            color=colours[size],
            linestyle=":" if marker == "s" else "-",
            label=f"{size:,} {factory}",
        )
        for one in own:
            if one["usual"] and one["visited"] is not None:
                place = (one["queries_per_second"], one["recall_8"])
                axes.plot(*place, "o", markersize=13, fillstyle="none", color=colours[size])
    axes.set_xscale("log")
    axes.set_xlabel("questions a second (ringed: as ragemo looks by itself)")
    axes.set_ylabel("recall@8")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    file.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(file, metadata={"Date": None})
    pyplot.close(drawing)


if __name__ == "__main__":
    main()
