"""From the runs of the cells to the rows of the result.

All cells are resampled together, dialogue by dialogue, so that their intervals and the paired
differences (`ragemo.scoring.paired`) come from one drawing: with C_dc the counts of dialogue d
in cell c,

    C_bc = sum_d w_bd C_dc,   delta_bc = metric(C_bc) - metric(C_b1)

A cell's prompt tokens are those of its own prompts, and not those that its answers say: an answer
may have come in a call for another cell, with a share of its prompt that hangs on what else was
asked. A prompt of t tokens that brought a answers takes t where the model can give several
answers to one prompt, else a t. Whether it can is taken as it is before anything is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ragemo.ablation.design import Cell, Design
from ragemo.ablation.results import COMPARED, NOT_RUN, AblationResult, CellResult
from ragemo.corpus.words import words
from ragemo.errors import DataError
from ragemo.llm.protocol import ModelOutline, calls_for
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.runs.records import RunUtterance
from ragemo.runs.run import Run
from ragemo.runs.scores import run_notes, scored
from ragemo.scoring.bootstrap import QUANTILES, require_samples, resampled_confusions
from ragemo.scoring.confusion import dialogue_confusions
from ragemo.scoring.metrics import METRICS, headline
from ragemo.scoring.paired import Difference
from ragemo.scoring.predictions import IntCounts, Predictions
from ragemo.scoring.slices import Grouping, GroupScore, score_slices

WORD_ERROR_BANDS = {"no error": 1e-9, "below .25": 0.25, ".25 to .5": 0.5, ".5 or more": np.inf}
"""Bands of an utterance's word error rate: name -> where the next one begins."""


@dataclass(frozen=True)
class Counted:
    """A finished cell before cells are resampled together; `gold` is `Predictions.gold_hash`."""

    result: CellResult
    confusions: IntCounts
    gold: str
    notes: tuple[str, ...]


def count_cell(
    cell: Cell,
    run: Run,
    folder: str,
    models: Sequence[ModelOutline],
    *,
    samples: int,
    seed: int,
) -> Counted:
    """What a finished cell's run holds.

    Args:
        cell: as everywhere.
        run: of the cell.
        folder: the run's, below the ablation's.
        models: the cell's language models, which only have to name prices.
        samples, seed: of the bootstrap.

    Raises:
        RunFolderError: if the run is not finished, or damaged.
        DataError: if no utterance has a gold label.
    """
    own = scored(run)
    if not own:
        raise DataError(
            "no predicted utterance has a gold label, so an ablation has nothing to compare",
            path=run.manifest["corpus"]["file"],
        )
    rate, bands = _word_errors(run, own, samples, seed)
    result = CellResult(
        name=cell.name,
        values=cell.values,
        settings=cell.overrides,
        run=folder,
        n=len(own),
        invalid=int(own.invalid.sum()),
        errors=int(own.failed.sum()),
        word_error_rate=rate,
        word_error_bands=bands,
        **(_costs(run, models, len(own)) if models else {}),
    )
    return Counted(result, dialogue_confusions(own), own.gold_hash(), tuple(run_notes(run)))


def summarise(
    design: Design,
    counted: Mapping[str, Counted],
    failures: Mapping[str, str],
    folders: Mapping[str, str],
    *,
    corpus: str,
    index: str | None,
    samples: int = 1000,
    seed: int = 0,
) -> AblationResult:
    """The rows of all cells.

    Args:
        design: the ablation.
        counted: cell -> what its run holds, of those that are finished.
        failures: cell -> why it is not.
        folders: cell -> its folder below the ablation's.
        corpus: name of the corpus file.
        index: the index's fingerprint.
        samples: of the bootstrap, at least 1.
        seed: of the bootstrap.

    Raises:
        DataError: if the cells are not on the same utterances.
        SettingsError: if `samples` is not 1 to 100,000.
    """
    require_samples(samples)
    done = [cell.name for cell in design.cells if cell.name in counted]
    if len({counted[name].gold for name in done}) > 1:
        raise DataError(
            "the cells are not on the same utterances with the same gold labels; their folders "
            "were changed by hand. Choose another --out"
        )
    figures = _figures(
        [counted[name].confusions for name in done],
        compared=bool(done) and done[0] == design.cells[0].name,
        samples=samples,
        seed=seed,
    )
    rows = {
        name: replace(counted[name].result, **own) for name, own in zip(done, figures, strict=True)
    }
    noted: dict[str, list[str]] = {}
    for name in done:
        for note in counted[name].notes:
            noted.setdefault(note, []).append(name)
    notes = [
        note if len(whose) == len(done) else f"{', '.join(whose)}: {note}"
        for note, whose in noted.items()
    ]
    dialogues = len(counted[done[0]].confusions) if done else 0
    if dialogues == 1:
        notes.append("no 95 % intervals: they need at least two dialogues, here is one")
    return AblationResult(
        name=design.name,
        axes=design.axes,
        cells=tuple(
            rows.get(cell.name)
            or CellResult(
                name=cell.name,
                values=cell.values,
                settings=cell.overrides,
                run=folders[cell.name],
                failure=failures.get(cell.name, NOT_RUN),
            )
            for cell in design.cells
        ),
        corpus=corpus,
        index=index,
        dialogues=dialogues,
        bootstrap_samples=samples if dialogues > 1 else 0,
        seed=seed,
        notes=tuple(notes),
    )


def _figures(
    confusions: Sequence[IntCounts], *, compared: bool, samples: int, seed: int
) -> list[dict[str, Any]]:
    """Metrics, intervals and differences of each cell, from one resampling of dialogues."""
    if not confusions:
        return []
    counts = np.stack(confusions, axis=1)  # (D, cells, L, L + 1)
    resampled = len(counts) > 1
    values = {}
    if resampled:
        drawn = resampled_confusions(counts, seed, samples)
        values = {name: metric(drawn) for name, metric in METRICS.items()}  # (B, cells)
    found: list[dict[str, Any]] = []
    for place in range(len(confusions)):
        metrics = headline(counts[:, place].sum(axis=0))
        intervals = {
            name: _bounds(values[name][:, place]) if resampled else None for name in METRICS
        }
        differences = {}
        for name in COMPARED if compared and place else ():
            low, high = (
                _bounds(values[name][:, place] - values[name][:, 0]) if resampled else (None, None)
            )
            first = found[0]["metrics"][name]
            differences[name] = Difference(metrics[name] - first, low, high)
        found.append({"metrics": metrics, "intervals": intervals, "differences": differences})
    return found


def _bounds(values: Any) -> tuple[float, float]:
    low, high = np.quantile(values, QUANTILES)
    return float(low), float(high)


def _costs(run: Run, models: Sequence[ModelOutline], utterances: int) -> dict[str, Any]:
    """What the run's language models would have cost if the cell had been alone."""
    ballots = [ballot for ballot in run.ballots() if ballot.voter not in INDEX_VOTERS]
    answered = {ballot.key for ballot in ballots if not ballot.failed}
    prompts = run.prompts()
    sent = back = 0
    cost: float | None = 0.0
    for model in {model.name: model for model in models}.values():
        own = [ballot for ballot in ballots if ballot.voter == model.name]
        # The prompts of the preliminaries are not kept: their tokens are what the answers say.
        tokens = sum(ballot.usage.prompt_tokens for ballot in own if ballot.purpose != "verdict")
        for asked in prompts:
            if asked.model == model.name:
                target = asked.prompt.utterance_id
                there = [
                    sample
                    for sample in asked.samples
                    if ("verdict", target, model.name, sample) in answered
                ]
                tokens += asked.prompt.tokens * calls_for(there, model.answers_per_call)
        answer_tokens = sum(ballot.usage.answer_tokens for ballot in own)
        price = model.price(tokens, answer_tokens)
        cost = None if cost is None or price is None else cost + price
        sent += tokens
        back += answer_tokens
    return {
        "calls": len(ballots),
        "prompt_tokens": sent,
        "answer_tokens": back,
        "cost": cost,
        "seconds": sum(ballot.usage.seconds for ballot in ballots) / utterances,
    }


def _word_errors(
    run: Run, own: Predictions, samples: int, seed: int
) -> tuple[float | None, tuple[GroupScore, ...]]:
    """The word error rate of the transcripts that were used, and figures by band of it."""
    place_of = {key: place for place, key in enumerate(own.ids)}
    bands = np.full(len(own), -1)
    edits, length = 0, 0
    for utterance in run.each_utterance():
        place = place_of.get(utterance.turn.utterance_id)
        if place is None or not utterance.reference:
            continue
        wrong, spoken = _word_edits(utterance)
        if spoken:
            edits, length = edits + wrong, length + spoken
            ends = enumerate(WORD_ERROR_BANDS.values())
            bands[place] = next(band for band, end in ends if wrong / spoken < end)
    if not length:
        return None, ()
    grouping = Grouping(tuple(WORD_ERROR_BANDS), bands)
    return edits / length, score_slices(own, {"band": grouping}, samples=samples, seed=seed)["band"]


def _word_edits(utterance: RunUtterance) -> tuple[int, int]:
    """Substitutions, deletions and insertions of the transcript, and words of the reference."""
    from rapidfuzz.distance import Levenshtein

    reference = words(utterance.reference or "")
    return Levenshtein.distance(words(utterance.turn.text), reference), len(reference)
