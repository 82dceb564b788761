"""Run an ablation: every cell that is not finished, sharing what is the same, then the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from ragemo.ablation.costs import read_costs, write_costs
from ragemo.ablation.design import Cell, Design
from ragemo.ablation.folder import (
    ANSWERS,
    cell_folder,
    is_finished,
    locked_folder,
    open_folder,
    own_place,
    write_manifest,
)
from ragemo.ablation.planning import Forecast, embedded_texts, forecast
from ragemo.ablation.results import AblationResult
from ragemo.ablation.sharing import Loader, load_models, models_key
from ragemo.ablation.summary import Counted, count_cell, summarise
from ragemo.ablation.tables import result_csv, result_markdown
from ragemo.ablation.workers import Done, Work, run_apart, run_cell
from ragemo.errors import (
    DataError,
    ModelError,
    PromptError,
    RagemoError,
    RunFolderError,
    SettingsError,
)
from ragemo.files import canonical_json, write_json, write_text
from ragemo.llm.budget import Budget, BudgetError, MeteredModel
from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.llm.protocol import LanguageModel
from ragemo.progress import Progress, Silent, Words
from ragemo.retrieval.embedding.embedder import Embedder, Vectors
from ragemo.retrieval.embedding.remembering import RememberingEmbedder
from ragemo.retrieval.index import Index
from ragemo.retrieval.retrieve import probing_row
from ragemo.runs.run import Run
from ragemo.scoring.bootstrap import require_samples
from ragemo.types import Corpus

WORTH_PROCESSES = 8
"""Fewer cells without a language model are run in this process: others take seconds to begin."""

LoadEmbedder = Callable[[], Embedder | None]
"""Called when something has to be embedded; None without an index."""


@dataclass
class Sweep:
    """An ablation in its folder, looked up but not yet run.

    Use `prepare` to make one.

    Attributes:
        folders: cell -> its folder below the ablation's, for cells that can be run.
        index_folder: where the index was read from, if it was.
        answers: the file of answers that the cells share; None: one in the ablation's folder.
        resume: whether an ablation that is there may be gone on with.
        open: the cells that are to be run, in the order in which they share most.
        failures: cell -> why it cannot be run, or was not.
    """

    design: Design
    corpus: Corpus
    out: Path
    index: Index | None
    load_embedder: LoadEmbedder
    models: Loader
    progress: Progress
    index_folder: Path | None = None
    answers: Path | None = None
    resume: bool = False
    folders: dict[str, str] = field(default_factory=dict)
    open: list[Cell] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def answers_file(self) -> Path:
        """Where answers are looked up and kept."""
        return self.answers or own_place(self.out, ANSWERS)

    def is_finished(self, cell: Cell) -> bool:
        """Whether the cell's run is there, of just these settings and data."""
        folder = self.out / self.folders[cell.name]
        return is_finished(folder, cell.settings, self.corpus, self.index)

    def forecast(self) -> Forecast:
        """What is still to be done; nothing is sent."""
        outlines = {
            place: own
            for place, cell in enumerate(self.open)
            if (own := self.models(cell.settings, False))
        }
        return forecast(
            self.open,
            self.corpus,
            self.answers_file,
            self.out,
            index=self.index,
            embedder=self.load_embedder() if outlines else None,
            models=outlines,
            finished=len(self.design.cells) - len(self.open),
            progress=self.progress,
        )


def prepare(
    design: Design,
    corpus: Corpus,
    out: Path | str,
    *,
    index: Index | None = None,
    index_folder: Path | None = None,
    answers: Path | None = None,
    load_embedder: LoadEmbedder = lambda: None,
    models: Loader = load_models,
    resume: bool = False,
    progress: Progress | None = None,
) -> Sweep:
    """Look at what there is; nothing is loaded, written or asked.

    Args:
        design: what varies, see `read_design`.
        corpus: the dialogues to label, with gold labels.
        out: the ablation's folder.
        index: labelled windows to retrieve from.
        index_folder: where it was read from; other processes need to read it, too.
        answers: the file of an `AnswerCache` that the cells share with whoever else uses it;
            default: one in the ablation's folder.
        load_embedder: gives the index's embedder.
        models: gives the language models of a cell's settings.
        resume: go on with the ablation in `out`, or add cells to it.
        progress: told what is being done.

    Raises:
        RunFolderError: if `out` cannot be used.
        DataError: if the corpus has no gold label to score by.
        SettingsError: if a cell's template, weights or model cannot be used; it names the cell.
    """
    out = Path(out)
    names = set((index.labels if index else corpus.labels).names)
    if not any(u.needs_prediction and u.emotion in names for u in corpus.utterances):
        raise DataError(
            "no utterance has a gold label, so an ablation has nothing to compare", path=corpus.path
        )
    open_folder(out, resume=resume)
    sweep = Sweep(
        design,
        corpus,
        out,
        index,
        load_embedder,
        models,
        progress or Silent(),
        index_folder,
        answers,
        resume,
    )
    first: dict[str, int] = {}
    order = []
    for cell in design.cells:
        try:
            folder = cell_folder(cell, corpus, index, models(cell.settings, False))
        except (PromptError, SettingsError, ModelError) as error:
            raise SettingsError(f"cell {cell.name!r}: {error}") from None
        sweep.folders[cell.name] = folder
        if not sweep.is_finished(cell):
            # One set of models at a time; below that, one composition of the index at a time.
            keys = (models_key(cell.settings), _composition(cell))
            places = [first.setdefault(key, len(first)) for key in keys]
            order.append((places, cell))
    sweep.open = [cell for _, cell in sorted(order, key=lambda one: one[0])]
    return sweep


def carry_out_sweep(
    sweep: Sweep,
    *,
    budget: Budget | None = None,
    processes: int = 1,
    samples: int = 1000,
    seed: int = 0,
) -> AblationResult:
    """Run the cells that are not finished and write the result.

    A cell that fails is told as failed and does not keep the others from being run.

    Args:
        sweep: of `prepare`.
        budget: what may be asked for; default: no limit.
        processes: at most so many at once, for cells without a language model.
        samples: of the bootstrap over dialogues.
        seed: of the bootstrap.

    Raises:
        BudgetError: before the call that could exceed the budget. What was answered is kept,
            and the result is written of the cells that are finished.
        RunFolderError: if something cannot be written or is in use, or costs.json is damaged.
        SettingsError: if `samples` cannot be.
        KeyboardInterrupt: what was answered is kept.
    """
    require_samples(samples)
    with locked_folder(sweep.out):
        # Another process may have been here since they were looked up.
        open_folder(sweep.out, resume=sweep.resume)
        sweep.open = [cell for cell in sweep.open if not sweep.is_finished(cell)]
        return _carry_out(sweep, budget or Budget(), processes, samples, seed)


def _carry_out(
    sweep: Sweep, budget: Budget, processes: int, samples: int, seed: int
) -> AblationResult:
    out, design = sweep.out, sweep.design
    costs = read_costs(out)
    folders = [sweep.folders[cell.name] for cell in design.cells]
    write_manifest(out, design, folders, sweep.corpus, sweep.index)
    before, begun = dict(costs["asked"]), budget.spent
    walls: dict[str, dict[str, Any]] = {}
    counted: dict[str, Counted] = {}
    stopped: BudgetError | None = None

    def keep_costs() -> None:
        spent = budget.spent.plus(begun, -1)  # others may have spent of the same budget
        costs["asked"] = {name: before[name] + getattr(spent, name) for name in before}
        with suppress(OSError):  # told when the result is written, and hides nothing here
            write_costs(out, costs, walls)

    try:
        with sweep.progress.stage("cells", len(sweep.open)) as advance:
            for done in _run(sweep, budget, processes, samples, seed):
                if done.failure:
                    sweep.failures[done.name] = done.failure
                if done.counted:
                    counted[done.name] = done.counted
                walls[sweep.folders[done.name]] = {"wall": done.seconds}
                keep_costs()  # who is killed after this has paid all the same
                advance(1)
    except BudgetError as error:
        stopped = error
    finally:
        keep_costs()
    _count_others(sweep, counted, samples, seed)
    result = summarise(
        design,
        counted,
        sweep.failures,
        sweep.folders,
        corpus=sweep.corpus.path.name,
        index=sweep.index.fingerprint if sweep.index else None,
        samples=samples,
        seed=seed,
    )
    _write_result(out, result, costs)
    if stopped is not None:
        raise BudgetError(
            f"{out}: {stopped}. {len(result.done)} of {len(design.cells)} cells are finished. "
            "Go on with the same command, --resume and a budget for what is left"
        )
    return result


def ablate(
    design: Design,
    corpus: Corpus,
    out: Path | str,
    *,
    index: Index | None = None,
    embedder: Embedder | None = None,
    models: Loader = load_models,
    answers: Path | None = None,
    budget: Budget | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> AblationResult:
    """Run an ablation from the design to the result; see `prepare` and `carry_out_sweep`."""
    sweep = prepare(
        design,
        corpus,
        out,
        index=index,
        load_embedder=lambda: embedder,
        models=models,
        answers=answers,
        resume=resume,
        progress=progress,
    )
    return carry_out_sweep(sweep, budget=budget)


def _run(sweep: Sweep, budget: Budget, processes: int, samples: int, seed: int) -> Iterator[Done]:
    """Run the open cells: those without a language model first, since they cost nothing."""
    works = {
        cell.name: Work(cell, sweep.out, sweep.folders[cell.name], samples, seed)
        for cell in sweep.open
    }
    asking = [cell for cell in sweep.open if sweep.models(cell.settings, False)]
    silent = [cell for cell in sweep.open if cell not in asking]
    embedder = sweep.load_embedder() if sweep.open else None
    memory = RememberingEmbedder(embedder) if embedder else None
    groups: dict[str, list[Work]] = {}
    # Who seeks most goes first: the others find what they seek among that.
    for cell in sorted(silent, key=_sought, reverse=True):
        groups.setdefault(_composition(cell), []).append(works[cell.name])
    many = len(silent) >= WORTH_PROCESSES and len(groups) > 1 and processes > 1
    if many and memory is not None and sweep.index_folder is not None:
        yield from run_apart(
            list(groups.values()),
            sweep.corpus,
            sweep.index_folder,
            lambda: _embedded(sweep, silent, memory),
            processes,
        )
    else:
        for work in (work for group in groups.values() for work in group):
            yield run_cell(work, sweep.corpus, sweep.index, memory)
    if not asking:
        return
    cache = AnswerCache(sweep.answers_file)
    loaded: tuple[str, list[LanguageModel]] = ("", [])
    try:
        for cell in asking:
            key = models_key(cell.settings)
            if key != loaded[0]:
                loaded = ("", [])  # weights are let go of before others are loaded
                try:
                    own = sweep.models(cell.settings, True)
                    loaded = (key, [MeteredModel(model, budget) for model in own])
                except RagemoError as error:
                    yield Done(cell.name, " ".join(str(error).split()), 0.0)
                    continue
            llm, *others = loaded[1]
            work = works[cell.name]
            progress = Words(sweep.progress.say)
            how = {"llm": llm, "others": others, "cache": cache, "progress": progress}
            yield run_cell(work, sweep.corpus, sweep.index, memory, **how)
    finally:
        cache.close()


def _embedded(
    sweep: Sweep, cells: Sequence[Cell], memory: RememberingEmbedder
) -> Mapping[str, Vectors]:
    """The vectors of all texts that the cells need."""
    texts = embedded_texts(sweep.corpus, [cell.settings for cell in cells], sweep.index)
    if sweep.index is not None and (row := probing_row(sweep.index)) is not None:
        texts.add(sweep.index.turns[row].text)  # so that no process has to load the embedder
    with sweep.progress.stage("embedding", len(texts)) as advance:
        memory.embed(sorted(texts), advance)
    return memory.known


def _sought(cell: Cell) -> float:
    """How many neighbours a cell looks for; without a number, the most."""
    how = cell.settings.retrieval
    return inf if how.neighbours is None else max(how.neighbours, how.k)


def _composition(cell: Cell) -> str:
    """The same for cells whose windows have the same vectors."""
    how = cell.settings.retrieval
    return canonical_json([how.context_weight, how.context_decay, how.context_length])


def _count_others(sweep: Sweep, counted: dict[str, Counted], samples: int, seed: int) -> None:
    """What the other finished runs hold."""
    for cell in sweep.design.cells:
        folder = sweep.folders[cell.name]
        done = cell.name not in counted and cell.name not in sweep.failures
        if done and (sweep.out / folder / "verdicts.jsonl").is_file():
            models = sweep.models(cell.settings, False)
            run = Run.open(sweep.out / folder)
            counted[cell.name] = count_cell(cell, run, folder, models, samples=samples, seed=seed)


def _write_result(out: Path, result: AblationResult, costs: dict[str, Any]) -> None:
    """The files of the result, each whole.

    Raises:
        RunFolderError: if they cannot be written.
    """
    took = {cell.run: {"seconds_per_utterance": cell.seconds} for cell in result.done}
    try:
        write_costs(out, costs, took)
        write_text(out / "table.csv", result_csv(result))
        write_text(out / "table.md", result_markdown(result))
        write_json(out / "result.json", result.to_dict())
    except OSError as error:
        raise RunFolderError(
            f"{out}: the result could not be written: {error}. Make room and go on with --resume; "
            "all cells are kept"
        ) from None
