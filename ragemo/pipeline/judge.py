"""Weigh the voters and decide, from ballots alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ragemo.errors import SettingsError
from ragemo.pipeline.plan import NOWHERE, Plan
from ragemo.retrieval.folds import Cell
from ragemo.retrieval.index import Index
from ragemo.settings import VotingSettings
from ragemo.types import Ballot
from ragemo.voting.decide import Decision, decide
from ragemo.voting.labelled import index_panel
from ragemo.voting.panel import Labelled, Panel, untried_panel
from ragemo.voting.review import Evidence, ReviewItem, review, review_csv
from ragemo.voting.transitions import Links, count_transitions
from ragemo.voting.votes import Votes, count_votes, votes_of_arrays
from ragemo.voting.weighing import ENOUGH, Weighed, weigh


@dataclass(frozen=True)
class Judged:
    """A run's decision and the panels that came to it.

    Attributes:
        decision: the verdicts.
        panels: by part of the index.
        alone: the same without the voters from outside; empty without an index.
        weighed: by part: how the voters from outside came to their weights.
    """

    decision: Decision
    panels: Mapping[Cell, Panel]
    alone: Mapping[Cell, Panel]
    weighed: Mapping[Cell, Sequence[Weighed]]

    def to_dict(self) -> list[dict[str, Any]]:
        """A plain record for each part."""
        return [
            {
                "left_out": list(part),
                "panel": panel.to_dict(),
                "index_alone": self.alone[part].to_dict() if part in self.alone else None,
                "weighed": [one.to_dict() for one in self.weighed[part]],
            }
            for part, panel in self.panels.items()
        ]


def judge(
    plan: Plan,
    ballots: Sequence[Ballot],
    how: VotingSettings,
    *,
    given: Panel | None = None,
) -> Judged:
    """Weigh the voters part by part of the index, and decide.

    Args:
        plan: the utterances, and what of the index may speak to each target.
        ballots: all of the run, of every purpose, in any order.
        how: the pool and what comes after it.
        given: a panel that was fitted elsewhere; voters it does not know are weighed by their
            agreement with it.
    """
    cast = [ballot for ballot in _counting(ballots, how) if ballot.purpose == "verdict"]
    votes = count_votes(cast, plan.targets, len(plan.labels))
    panels: dict[Cell, Panel] = {}
    alone: dict[Cell, Panel] = {}
    weighed: dict[Cell, Sequence[Weighed]] = {}
    for bench in _benches(plan, ballots, how, given):
        part = bench.part
        here = np.array(
            [plan.part_of.get(target, NOWHERE) == part for target in plan.targets], dtype=bool
        )
        panels[part], weighed[part] = bench.weigh(votes.on(here), how)
        if given is None and part in plan.parts and bench.own.weights:
            alone[part] = bench.own
    decision = decide(
        [utterance.turn for utterance in plan.utterances],
        plan.targets,
        cast,
        plan.labels,
        panels=panels,
        part_of={target: plan.part_of.get(target, NOWHERE) for target in plan.targets},
        abstain_below=how.abstain_below,
        several=how.several,
    )
    return Judged(decision, panels, alone, weighed)


def tried_panels(
    plan: Plan,
    ballots: Sequence[Ballot],
    how: VotingSettings,
    *,
    asked: Sequence[str],
    given: Panel | None = None,
) -> dict[str, Panel]:
    """Target -> the panel with the voters that were tried on labelled windows so far.

    Without a single target's answer this is what `judge` will decide by, as far as the voters
    from outside were all tried on enough windows. `asked` are the names of the language models.
    """
    panels = {}
    for bench in _benches(plan, ballots, how, given):
        enough = [
            voter
            for voter in bench.tried.voters
            if (bench.tried.of([voter]).present[0] & (bench.known.gold >= 0)).sum() >= ENOUGH
        ]
        panel = bench.weigh(bench.tried.of(enough), how)[0]
        if panel.pool == "majority":  # every ballot is one vote, whoever cast it
            everybody = [*(b.voter for b in _counting(ballots, how)), *asked]
            panel = replace(panel, weights=dict.fromkeys(everybody, 1.0))
        panels[bench.part] = panel
    return {target: panels[plan.part_of.get(target, NOWHERE)] for target in plan.targets}


@dataclass(frozen=True)
class _Bench:
    """A part of the index, before anybody from outside is weighed.

    Attributes:
        part: of the index.
        own: the panel of its own voters, or the one that was given.
        known: their votes on labelled windows.
        tried: the outside voters' votes on the same windows.
        contentless: their votes on windows that say nothing, or None.
    """

    part: Cell
    own: Panel
    known: Labelled
    tried: Votes
    contentless: Votes | None

    def weigh(self, votes: Votes, how: VotingSettings) -> tuple[Panel, list[Weighed]]:
        """The panel with the voters from outside added."""
        return weigh(
            self.own,
            self.known,
            self.tried,
            votes,
            contentless=self.contentless,
            calibrate=how.calibration != "none",
            coverage=how.coverage,
            correction=how.correction,
        )


def _counting(ballots: Sequence[Ballot], how: VotingSettings) -> list[Ballot]:
    """The ballots of the voters that count."""
    return [b for b in ballots if how.voters is None or b.voter in how.voters]


def _benches(
    plan: Plan, ballots: Sequence[Ballot], how: VotingSettings, given: Panel | None
) -> Iterator[_Bench]:
    """Every part of the index with what is known of the voters there."""
    heard, labels = _counting(ballots, how), len(plan.labels)
    silent = [ballot for ballot in heard if ballot.purpose == "contentless"]
    places = sorted({ballot.utterance_id for ballot in silent})
    labelled = plan.own if how.checks else frozenset()
    checks = [b for b in heard if b.purpose == "check" or b.utterance_id in labelled]
    parts: Mapping[Cell, Index | None] = plan.parts or {NOWHERE: None}
    for part, index in parts.items():
        known, own = _nobody(how, labels) if index is None else index_panel(index, how)
        own = given or own
        tried = count_votes(
            [ballot for ballot in checks if ballot.voter not in own.weights],
            known.votes.utterances,
            labels,
        )
        contentless = count_votes(silent, places, labels) if silent else None
        yield _Bench(part, own, known, tried, contentless)


def adapted(panel: Panel, how: VotingSettings) -> Panel:
    """A given panel under the settings, as far as they do not contradict it.

    Raises:
        SettingsError: if it was fitted for another pool.
    """
    if panel.pool != how.pool:
        raise SettingsError(
            f"the weights were fitted for voting.pool {panel.pool}, here it is {how.pool}; ask "
            f"for --pool {panel.pool}, or fit them anew"
        )
    if how.dialogue == "none":
        panel = replace(panel, decoder="none")
    elif how.dialogue == "viterbi" and panel.transitions is not None:
        panel = replace(panel, decoder="viterbi")
    if how.correction is not None:
        panel = replace(panel, correction=how.correction)
    return panel


def review_table(plan: Plan, judged: Judged, ballots: Sequence[Ballot]) -> str:
    """The table of what a person should look at, most doubtful first."""
    turns = {utterance.turn.utterance_id: utterance.turn for utterance in plan.utterances}
    return review_csv(reviewed(plan, judged, ballots), turns)


def reviewed(plan: Plan, judged: Judged, ballots: Sequence[Ballot]) -> list[ReviewItem]:
    """What a person should look at, most doubtful first."""
    names = plan.labels.names
    votes = count_votes(
        [ballot for ballot in ballots if ballot.purpose == "verdict"], plan.targets, len(names)
    )
    firsts, present = votes.firsts.argmax(axis=2).tolist(), votes.present.tolist()
    turns = {utterance.turn.utterance_id: utterance.turn for utterance in plan.utterances}
    evidence = []
    for row, verdict in enumerate(judged.decision.verdicts):
        target = verdict.utterance_id
        shown = plan.demonstrations.get(target, ())
        part = plan.part_of.get(target, NOWHERE)
        weights = judged.panels[part].weights
        evidence.append(
            Evidence(
                verdict=verdict,
                choices={
                    voter: names[firsts[place][row]]
                    for place, voter in enumerate(votes.voters)
                    if present[place][row] and weights.get(voter, 0) > 0
                },
                similarity=shown[0].similarity if shown else None,
                close=plan.parts[part].fitted.close if part in plan.parts else -1.0,
                disagreement=turns[target].disagreement,
                silent=not turns[target].text.strip(),
            )
        )
    return review(evidence, plan.labels)


def _nobody(how: VotingSettings, labels: int) -> tuple[Labelled, Panel]:
    """What is known without an index."""
    rows = np.zeros(0, dtype=np.int64)
    links = Links(rows, rows)
    known = Labelled(
        votes=votes_of_arrays({}, (), labels),
        gold=rows,
        links=links,
        transitions=count_transitions(links, rows, np.full(labels, 1 / labels)),
    )
    return known, untried_panel(how.pool, (), labels)
