"""Fit the pool on a run whose gold labels are known, and say what that gained elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragemo.errors import DataError
from ragemo.labels import LabelSet
from ragemo.pipeline.voters import check_named
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.runs.run import Run
from ragemo.runs.scores import gain, gain_data
from ragemo.settings import VotingSettings
from ragemo.types import Ballot, Turn, Verdict
from ragemo.voting.bases import base_of
from ragemo.voting.calibration import Calibration, dialogue_hashes, dialogue_sketches
from ragemo.voting.decide import decide
from ragemo.voting.panel import Labelled, Panel, fit_panel
from ragemo.voting.transitions import count_transitions, links_of
from ragemo.voting.votes import Integers, Votes, count_votes

FOLDS = 5

FEWEST = 30
"""Labelled utterances without which nothing is fitted."""


@dataclass(frozen=True)
class _Material:
    """A run's votes with its gold labels, a row for each turn.

    `counts` are the labels' in the index; None without one.
    """

    turns: Sequence[Turn]
    ballots: Sequence[Ballot]
    votes: Votes
    gold: Integers
    counts: Integers | None

    def panel(self, hidden: Collection[str], how: VotingSettings) -> Panel:
        """What is fitted if some dialogues' labels are not known."""
        links = links_of(self.turns)
        unknown = [turn.dialogue_id in hidden for turn in self.turns]
        gold = np.where(unknown, -1, self.gold)
        labels = self.votes.shares.shape[2]
        counts = np.bincount(gold[gold >= 0], minlength=labels)
        counts = counts if self.counts is None else self.counts
        prior = tuple(((counts + 1) / (counts.sum() + labels)).tolist())
        known = Labelled(self.votes, gold, links, count_transitions(links, gold, prior))
        leaning = tuple(float(value) for value in np.log(prior))
        bases = {voter: leaning for voter in self.votes.voters if voter in INDEX_VOTERS}
        if how.calibration != "none":
            bases |= {v: base_of(v, self.votes) for v in self.votes.voters if v not in bases}
        return fit_panel(
            known,
            prior,
            pool=how.pool,
            decoder=how.dialogue,
            correction=how.correction,
            coverage=how.coverage,
            bases=bases,
        )


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
    verdicts = run.verdicts()
    labels = run.labels
    material = _material(run, how)
    scored = int((material.gold >= 0).sum())
    dialogues = sorted(
        {
            turn.dialogue_id
            for turn, gold in zip(material.turns, material.gold.tolist(), strict=True)
            if gold >= 0
        }
    )
    if scored < FEWEST or len(dialogues) < 2:
        raise DataError(
            f"{scored} utterances in {len(dialogues)} dialogues have a gold label; fitting weights "
            f"needs {FEWEST} in at least 2",
            path=run.path,
        )
    fold_of = {dialogue: number % FOLDS for number, dialogue in enumerate(dialogues)}
    after = _crossed(material, how, [v.utterance_id for v in verdicts], fold_of, labels)
    found = gain(run, verdicts, after, samples=samples, seed=seed)
    return Calibration(
        panel=material.panel({}, how),
        labels=labels.names,
        fitted_on={
            dialogue: own
            for dialogue, own in dialogue_hashes(material.turns).items()
            if dialogue in fold_of
        },
        sketches={
            dialogue: own
            for dialogue, own in dialogue_sketches(material.turns).items()
            if dialogue in fold_of
        },
        corpora=(run.manifest["corpus"]["sha256"],),
        gain={
            "over": run.path.name,
            "utterances": scored,
            "dialogues": len(dialogues),
            **gain_data(found),
        },
    )


def _crossed(
    material: _Material,
    how: VotingSettings,
    targets: Sequence[str],
    fold_of: Mapping[str, int],
    labels: LabelSet,
) -> list[Verdict]:
    """Verdicts by panels that were fitted on the other folds' dialogues."""
    dialogue_of = {turn.utterance_id: turn.dialogue_id for turn in material.turns}
    # A dialogue without gold labels teaches nothing, so any fold's panel may decide it.
    part_of = {target: fold_of.get(dialogue_of[target], 0) for target in targets}
    panels = {
        fold: material.panel({name for name, own in fold_of.items() if own == fold}, how)
        for fold in sorted(set(part_of.values()))
    }
    decision = decide(
        material.turns, targets, material.ballots, labels, panels=panels, part_of=part_of
    )
    return list(decision.verdicts)


def _material(run: Run, how: VotingSettings) -> _Material:
    turns = [utterance.turn for utterance in run.utterances]
    names = run.labels.names
    gold = np.array(
        [names.index(u.gold) if u.predicted and u.gold else -1 for u in run.utterances],
        dtype=np.int64,
    )
    cast = [ballot for ballot in run.ballots() if ballot.purpose == "verdict"]
    check_named(how.voters, sorted({ballot.voter for ballot in cast}))
    ballots = [b for b in cast if how.voters is None or b.voter in how.voters]
    votes = count_votes(ballots, [turn.utterance_id for turn in turns], len(names))
    index = run.manifest["index"]
    counts = np.array([index["label_counts"][name] for name in names]) if index else None
    return _Material(turns, ballots, votes, gold, counts)
