"""Cells without a language model, several at a time, each composition of the index in one process.

Such a cell is nothing but computing, and Python computes on one core. What cells share lies in
memory, so cells of one composition stay together.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Lock
from pathlib import Path
from threading import Thread
from typing import Any

from ragemo.ablation.design import Cell
from ragemo.ablation.summary import Counted, count_cell
from ragemo.errors import RagemoError, RunFolderError
from ragemo.garbage import SELDOM
from ragemo.llm.budget import BudgetError
from ragemo.pipeline import predict
from ragemo.pipeline.plan import composition_of
from ragemo.retrieval.embedding.embedder import Embedder, Vectors, load_index_embedder
from ragemo.retrieval.embedding.remembering import RememberingEmbedder
from ragemo.retrieval.index import Index
from ragemo.types import Corpus

_Common = tuple[Corpus, Mapping[str, Vectors]]


@dataclass(frozen=True, slots=True)
class Work:
    """A cell to be run.

    Attributes:
        cell: its name and settings.
        out: the ablation's folder.
        folder: its run's, below that.
        samples, seed: of the bootstrap.
    """

    cell: Cell
    out: Path
    folder: str
    samples: int
    seed: int


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a cell.

    Attributes:
        name: the cell's.
        failure: why it failed, "" if it did not.
        seconds: it took.
        counted: what its run holds, of a cell without a language model.
    """

    name: str
    failure: str
    seconds: float
    counted: Counted | None = None


def run_cell(
    work: Work, corpus: Corpus, index: Index | None, embedder: Embedder | None, **models: Any
) -> Done:
    """Run one cell, or go on with it; without a language model what it holds is counted, too.

    Args:
        work, corpus, index, embedder: as everywhere.
        models: `llm`, `others` and `cache`, as for `predict`.

    Raises:
        BudgetError: before the call that could exceed the budget.
        RunFolderError: if something cannot be written or is in use.
        DataError: if no utterance has a gold label.
    """
    started = time.perf_counter()
    try:
        run = predict(
            corpus,
            work.cell.settings,
            work.out / work.folder,
            index=index,
            embedder=embedder,
            resume=True,
            **models,
        )
    except (RunFolderError, BudgetError):
        raise  # of no use to any other cell either
    except RagemoError as error:
        why = " ".join(str(error).split())
        return Done(work.cell.name, why, time.perf_counter() - started)
    seconds = time.perf_counter() - started
    if models:  # their prices are looked up when all is counted
        return Done(work.cell.name, "", seconds)
    counted = count_cell(work.cell, run, work.folder, (), samples=work.samples, seed=work.seed)
    return Done(work.cell.name, "", seconds, counted)


def run_apart(
    groups: Sequence[Sequence[Work]],
    corpus: Corpus,
    index: Path,
    embed: Callable[[], Mapping[str, Vectors]],
    processes: int,
) -> Iterator[Done]:
    """Run groups of cells in processes of their own; each result as soon as its group is through.

    Args:
        groups: the cells of one group share most; none asks a language model.
        corpus: the dialogues to label.
        index: the index's folder, which each process reads.
        embed: gives text -> vector, of all that has to be embedded; called while the processes
            begin, and fit the voters of their first groups.
        processes: at most so many at once.

    Raises:
        RunFolderError: if something cannot be written or is in use, or a process was killed.
        IndexFolderError: if a process cannot read the index.
    """
    before = multiprocessing.active_children()
    groups = dealt(groups, processes)
    count = min(processes, len(groups))
    context = multiprocessing.get_context("spawn")  # a fork would inherit FAISS's threads
    receiver, sender = context.Pipe(duplex=False)
    # What is handed to a process as it begins is waited for until it has imported all it needs.
    pool = ProcessPoolExecutor(
        count,
        mp_context=context,
        initializer=_begin,
        initargs=(index, receiver, context.Lock()),
    )
    try:
        with _one_thread_each():
            futures = [pool.submit(_run_group, group) for group in groups]
        common = corpus, dict(embed())
        Thread(target=_hand_out, args=(sender, common, count), daemon=True).start()
        for future in as_completed(futures):
            yield from future.result()
    except BaseException as error:
        for child in multiprocessing.active_children():
            if child not in before:
                child.terminate()  # a cell that was cut off is gone on with
        if isinstance(error, BrokenProcessPool):
            raise RunFolderError(
                f"{groups[0][0].out}: one of {count} processes was killed, perhaps for want of "
                "memory. Go on with the same command, --resume and fewer --processes; what is "
                "finished is kept"
            ) from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        receiver.close()


def _hand_out(sender: Connection, common: _Common, times: int) -> None:
    """Send what all processes need, until nobody is there to take it."""
    with suppress(OSError), sender:
        for _ in range(times):
            sender.send(common)


def dealt(groups: Sequence[Sequence[Work]], processes: int) -> list[Sequence[Work]]:
    """The groups in the order in which they are begun, the last ones in pieces.

    Groups take about equally long. If they are no multiple of the processes, some of these would
    have nothing to do while the last groups are run; what the cells of a group share is then
    worked out once for each piece.
    """
    whole = len(groups) - len(groups) % processes
    left = [work for group in groups[whole:] for work in group]
    size = -(-len(left) // processes) if left else 1
    pieces = [
        group[start : start + size]
        for group in groups[whole:]
        for start in range(0, len(group), size)
    ]
    return [*groups[:whole], *pieces]


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that begin here compute with one thread; the cores are busy with the others."""
    name = "OMP_NUM_THREADS"
    usual = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if usual is not None:
            os.environ[name] = usual


_own: dict[str, Any] = {}
"""Of a worker process: the index, and once they are there the corpus and the embedder.

The index is read with the first group, and not as the process begins: what is wrong with it
reaches the first process only from there.
"""


def _begin(index: Path, receiver: Connection, turn: Lock) -> None:
    Thread(target=_end_with_the_first, daemon=True).start()
    # Ctrl-C reaches every process of a terminal; the first one says what there is to say.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    _own.update(folder=index, receiver=receiver, turn=turn)
    # Not so often: the many objects of a cell refer to each other in no circle.
    gc.set_threshold(*SELDOM)


def _end_with_the_first() -> None:
    """End as soon as the first process does, be it killed: who goes on with the ablation begins
    anew what was open, in the same folders.
    """
    first = multiprocessing.parent_process()
    if first is not None:
        first.join()
        os._exit(1)


def _run_group(group: Sequence[Work]) -> list[Done]:
    if "corpus" not in _own:
        _take_common(group[0])
    return [run_cell(work, _own["corpus"], _own["index"], _own["embedder"]) for work in group]


def _take_common(first: Work) -> None:
    """Wait for what `_hand_out` sends; until then the first cell's voters are fitted."""
    index, how = Index.load(_own["folder"]), first.cell.settings
    with suppress(RagemoError):  # told when the cell is run
        index.recomposed(composition_of(index, how)).with_neighbours(how.retrieval.neighbours)
    with _own["turn"]:
        corpus, known = _own["receiver"].recv()
    waiting = _Waiting(index.embedder, index.vectors.shape[1])
    _own.update(corpus=corpus, index=index, embedder=RememberingEmbedder(waiting, known=known))
    # What stays to the end need not be looked through for garbage again and again.
    gc.freeze()


@dataclass(frozen=True)
class _Waiting:
    """The index's embedder, loaded if a text turns up that was not embedded before."""

    identity: dict[str, Any]
    dimension: int

    def embed(self, texts: Sequence[str], progress: Any = lambda done: None) -> Vectors:
        """See `Embedder.embed`."""
        return load_index_embedder(self.identity).embed(texts, progress)
