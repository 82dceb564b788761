"""Fit the pool on a run whose gold labels are known, and say what that gained elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import groupby

import numpy as np

from ragemo.errors import DataError
from ragemo.pipeline.voters import check_named
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.runs.columns import Columns, decided_anew, read_columns
from ragemo.runs.run import Run
from ragemo.runs.scores import scored
from ragemo.scoring.paired import paired_differences
from ragemo.scoring.predictions import Predictions
from ragemo.settings import VotingSettings
from ragemo.types import Ballot
from ragemo.voting.bases import base_of
from ragemo.voting.calibration import Calibration, dialogue_hashes, dialogue_sketches
from ragemo.voting.panel import Labelled, Panel, fit_panel
from ragemo.voting.transitions import count_transitions
from ragemo.voting.votes import Mask

FOLDS = 5

FEWEST = 30
"""Labelled utterances without which nothing is fitted."""


def calibrate(run: Run, how: VotingSettings, *, samples: int = 1000, seed: int = 0) -> Calibration:
    """Fit voters' weights, temperature, prior strength, confusions and the dialogue's say.

    The gain is what the fitted pool has over the run's own verdicts on dialogues that it was not
    fitted on (5 folds of dialogues), with a 95 % interval by paired bootstrap over dialogues.

    Args:
        run: finished, with gold labels; none of its dialogues may be scored with the result.
        how: the pool, the voters that count, and what comes after it.
        samples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        DataError: if fewer than 30 utterances have a gold label, or they are of one dialogue.
        RunFolderError: if the run is not finished.
    """
    before = scored(run)
    columns = _columns(run, how)
    known = columns.gold >= 0
    numbers = np.unique(columns.dialogue[known]).tolist()
    dialogues = sorted(columns.dialogue_ids[number] for number in numbers)
    if known.sum() < FEWEST or len(dialogues) < 2:
        raise DataError(
            f"{known.sum()} utterances in {len(dialogues)} dialogues have a gold label; fitting "
            f"weights needs {FEWEST} in at least 2",
            path=run.path,
        )
    fold_of = {dialogue: number % FOLDS for number, dialogue in enumerate(dialogues)}
    after = _crossed(run, columns, how, before, fold_of)
    found = paired_differences(after, before, samples=samples, seed=seed)
    hashes, sketches = _words(run, fold_of)
    return Calibration(
        panel=_panel(run, columns, known, how),
        labels=run.labels.names,
        fitted_on=hashes,
        sketches=sketches,
        corpora=(run.manifest["corpus"]["sha256"],),
        gain={
            "over": run.path.name,
            "utterances": int(known.sum()),
            "dialogues": len(dialogues),
            **{name: asdict(difference) for name, difference in found.items()},
        },
    )


def _columns(run: Run, how: VotingSettings) -> Columns:
    """The votes of those that count, with their gold labels."""
    there: set[str] = set()

    def heard() -> Iterator[Ballot]:
        for ballot in run.each_ballot():
            if ballot.purpose == "verdict":
                there.add(ballot.voter)
                if how.voters is None or ballot.voter in how.voters:
                    yield ballot

    columns = read_columns(run, heard())
    check_named(how.voters, sorted(there))
    return columns


def _panel(run: Run, columns: Columns, known: Mask, how: VotingSettings) -> Panel:
    """What is fitted if the labels of some turns alone are known."""
    names, index = run.labels.names, run.manifest["index"]
    gold = np.where(known, columns.gold, -1)
    counts = (
        np.array([index["label_counts"][name] for name in names])
        if index
        else np.bincount(gold[gold >= 0], minlength=len(names))
    )
    prior = tuple(((counts + 1) / (counts.sum() + len(names))).tolist())
    votes, links = columns.votes, columns.links
    leaning = tuple(float(value) for value in np.log(prior))
    bases = {voter: leaning for voter in votes.voters if voter in INDEX_VOTERS}
    if how.calibration != "none":
        bases |= {voter: base_of(voter, votes) for voter in votes.voters if voter not in bases}
    return fit_panel(
        Labelled(votes, gold, links, count_transitions(links, gold, prior)),
        prior,
        pool=how.pool,
        decoder=how.dialogue,
        correction=how.correction,
        coverage=how.coverage,
        bases=bases,
    )


def _crossed(
    run: Run,
    columns: Columns,
    how: VotingSettings,
    before: Predictions,
    fold_of: Mapping[str, int],
) -> Predictions:
    """Predictions by panels that were fitted on the other folds' dialogues."""
    # A dialogue without gold labels teaches nothing, so any fold's panel may decide it.
    folds = np.array([fold_of.get(dialogue, 0) for dialogue in columns.dialogue_ids])
    fold = folds[columns.dialogue]
    part = np.where(columns.part >= 0, fold, -1)
    panels = {
        number: _panel(run, columns, (columns.gold >= 0) & (fold != number), how)
        for number in np.unique(part[part >= 0]).tolist()
    }
    return decided_anew(run, columns, before, panels, part)


def _words(run: Run, wanted: Mapping[str, int]) -> tuple[dict[str, str], dict[str, str]]:
    """What is kept of the words of some dialogues, see `ragemo.voting.calibration`."""
    hashes: dict[str, str] = {}
    sketches: dict[str, str] = {}
    turns = (utterance.turn for utterance in run.each_utterance())
    for dialogue, own in groupby(turns, key=lambda turn: turn.dialogue_id):
        if dialogue in wanted:
            said = list(own)
            hashes |= dialogue_hashes(said)
            sketches |= dialogue_sketches(said)
    return hashes, sketches
