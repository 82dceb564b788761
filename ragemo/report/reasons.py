"""Why a verdict fell as it did: what spoke for its label against the runner-up, step by step.

The panel is asked again (see `ragemo.voting.panel`), and every step of

    votes -> pool -> the dialogue's say -> prior correction, temperature

is told as what it adds to the log-odds of the winner w against the runner-up r. For the
logarithmic pool that is, in nats,

    T log( P(w) / P(r) )  =  log(pi_w / pi_r)  +  sum_v weight_v (e_v(w) - e_v(r))
                             +  what the linked turns say  -  g log(pi_w / pi_r)

with e_v a voter's evidence (`ragemo.voting.log_pool`). The mean and the majority add up in
shares and not in odds: there the pool is one step, and beside it stands what each voter gave to
the two labels' shares. Dawid and Skene's model has no such parts, and none are made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ragemo.runs.columns import read_columns
from ragemo.runs.records import RunUtterance
from ragemo.runs.run import Run
from ragemo.types import Ballot, Verdict
from ragemo.voting.dialogue import forward_filter
from ragemo.voting.log_pool import evidence
from ragemo.voting.panel import Panel
from ragemo.voting.transitions import Links
from ragemo.voting.votes import Floats, Integers, Votes

TINY = 1e-12
"""Shares below this count as this, as they do for the panel."""

SAME = 1e-6
"""Shares that differ by no more are the same."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that moved the odds.

    Attributes:
        kind: "prior", "voter", "pool" (all voters at once), "own" (the same speaker's last turn),
            "other" (the turn before, of another speaker) or "correction".
        name: the voter, or the id of the linked turn; else "".
        nats: what it adds to the log-odds of the winner against the runner-up.
    """

    kind: str
    name: str
    nats: float


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one verdict fell as it did.

    Attributes:
        winner, runner_up: positions of the two labels.
        steps: their nats sum to T times the log-odds of the final shares.
        temperature: T.
        stages: name -> distribution after it: "votes", "dialogue" and "correction" where they
            changed anything, and "verdict".
        given: voter -> what it gave to the winner's and to the runner-up's share of the pool, for
            the mean and the majority.
        choices: voter with a weight -> position of its first choice.
        weights: voter -> its weight; without those that have no say.
        pool: the pool's name.
        decoder: what is made of the dialogue, see `ragemo.voting.panel`.
        same: whether the shares found again are those of the verdict.
    """

    winner: int
    runner_up: int
    steps: tuple[Step, ...]
    temperature: float
    stages: Mapping[str, tuple[float, ...]]
    given: Mapping[str, tuple[float, float]]
    choices: Mapping[str, int]
    weights: Mapping[str, float] = field(default_factory=dict)
    pool: str = "log"
    decoder: str = "none"
    same: bool = True


def reasons(
    run: Run,
    utterances: Sequence[RunUtterance],
    verdicts: Sequence[Verdict],
    ballots: Iterable[Ballot],
) -> dict[str, Reason]:
    """Target -> why its verdict fell; without targets that nobody with a weight voted on.

    Args:
        run: a finished run.
        utterances: whole dialogues of it.
        verdicts: those on them.
        ballots: those on them, of every purpose.

    Raises:
        RunFolderError: if the run is not finished or damaged.
    """
    records = run.panels()
    # To Dawid and Skene's model all utterances of the run speak, whichever are looked at.
    whole = any(record["panel"]["pool"] == "dawid-skene" for record in records)
    heard = (
        ballot
        for ballot in (run.each_ballot() if whole else ballots)
        if ballot.purpose == "verdict" and has_say(run, ballot.voter)
    )
    read = read_columns(run, heard, None if whole else utterances)
    ids = read.votes.utterances
    by_id = {verdict.utterance_id: verdict for verdict in verdicts}
    found = {}
    for place, record in enumerate(records):
        rows = np.flatnonzero(read.part == place)
        panel = Panel.from_dict(record["panel"])
        weights = {voter: own for voter, own in panel.weights.items() if has_say(run, voter)}
        course = _course(panel, weights, read.votes, read.links, rows)
        for row in rows.tolist():
            verdict = by_id.get(ids[row])
            if verdict is None or verdict.label is None:
                continue
            if course.stages["votes"][row].any():
                label = run.labels.index(verdict.label)
                found[verdict.utterance_id] = _reason(course, row, verdict, label, ids)
    return found


def has_say(run: Run, voter: str) -> bool:
    """Whether a voter counts in a run: a panel may have weights for others, too."""
    counting = run.manifest["settings"]["voting"]["voters"]
    return counting is None or voter in counting


@dataclass(frozen=True, eq=False)
class _Course:
    """How one panel came from the votes to its shares; rows are those of the run.

    Attributes:
        panel: who decided.
        weights: of its voters that have a say.
        votes: of the voters with a weight, on the panel's own rows alone.
        place: row of the run -> row of `votes`.
        stages: name -> shares, shape (N, L).
        links: of the N turns.
    """

    panel: Panel
    weights: Mapping[str, float]
    votes: Votes
    place: Mapping[int, int]
    stages: Mapping[str, Floats]
    links: Links


def _course(
    panel: Panel, weights: Mapping[str, float], votes: Votes, links: Links, rows: Integers
) -> _Course:
    """Ask a panel again, as `ragemo.voting.decide` does."""
    own = votes.on(rows)
    beliefs = np.zeros((len(votes.utterances), len(panel.prior)))
    beliefs[rows] = panel.pooled(own)
    after = beliefs
    if panel.decoder != "none" and panel.transitions is not None:
        after = forward_filter(beliefs, links, panel.transitions)
    corrected = replace(panel, temperature=1.0).decided(beliefs, links)[0]
    return _Course(
        panel=panel,
        weights=weights,
        votes=own.of([voter for voter in own.voters if panel.weights.get(voter, 0) > 0]),
        place={row: place for place, row in enumerate(rows.tolist())},
        stages={
            "votes": beliefs,
            "dialogue": after,
            "correction": corrected,
            "verdict": panel.decided(beliefs, links)[0],
        },
        links=links,
    )


def _reason(course: _Course, row: int, verdict: Verdict, winner: int, ids: Sequence[str]) -> Reason:
    """Why the verdict on one row fell."""
    panel, place = course.panel, course.place[row]
    shares = course.stages["verdict"][row]
    others = np.where(np.arange(len(shares)) == winner, -1.0, shares)
    pair = np.array([winner, int(others.argmax())])
    votes = course.votes.on(np.array([place]))
    steps = [
        *_pool_steps(panel, votes, pair, course.stages["votes"][row]),
        *_dialogue_steps(course, row, pair, ids),
    ]
    if panel.correction:
        steps.append(Step("correction", "", -panel.correction * _gap(panel.log_prior, pair)))
    stages: dict[str, tuple[float, ...]] = {}
    before = None
    for name, found in course.stages.items():
        if before is None or name == "verdict" or np.abs(found[row] - before).max() > SAME:
            stages[name] = tuple(found[row].tolist())
        before = found[row]
    present = votes.present[:, 0]
    return Reason(
        winner=winner,
        runner_up=int(pair[1]),
        steps=tuple(steps),
        temperature=panel.temperature,
        stages=stages,
        given=_given(panel, votes, pair),
        choices={
            voter: int(votes.firsts[number, 0].argmax())
            for number, voter in enumerate(votes.voters)
            if present[number]
        },
        weights=course.weights,
        pool=panel.pool,
        decoder=panel.decoder,
        same=verdict.distribution is not None
        and bool(np.abs(shares - np.array(verdict.distribution)).max() < SAME),
    )


def _pool_steps(panel: Panel, votes: Votes, pair: Integers, belief: Floats) -> Iterator[Step]:
    """What the voters said, for a pool that can be taken apart; else what came of it."""
    if panel.pool != "log":
        yield Step("pool", "", _gap(np.log(np.maximum(belief, TINY)), pair))
        return
    yield Step("prior", "", _gap(panel.log_prior, pair))
    found = evidence(votes, panel.bases)
    for number, voter in enumerate(votes.voters):
        if votes.present[number, 0]:
            yield Step("voter", voter, panel.weights[voter] * _gap(found[number, 0], pair))


def _dialogue_steps(
    course: _Course, row: int, pair: Integers, ids: Sequence[str]
) -> Iterator[Step]:
    """What the linked turns say, see `ragemo.voting.dialogue`."""
    transitions = course.panel.transitions
    if course.panel.decoder == "none" or transitions is None:
        return
    for influence in transitions.influences(course.links):
        linked = int(influence.link[row])
        if linked >= 0 and influence.exponent[row] > 0:
            kind = "own" if influence.link is course.links.own else "other"
            believed = course.stages["dialogue"][linked]
            message = (believed[:, None] * influence.lift).sum(axis=0)
            nats = float(influence.exponent[row]) * _gap(np.log(message), pair)
            yield Step(kind, ids[linked], nats)


def _given(panel: Panel, votes: Votes, pair: Integers) -> dict[str, tuple[float, float]]:
    """What each voter gave to the two labels' shares of a pool that adds up in shares."""
    if panel.pool == "mean":
        weights = np.array([panel.weights[voter] for voter in votes.voters])
        parts = weights[:, None] * votes.shares[:, 0]
    elif panel.pool == "majority":
        parts = votes.firsts[:, 0]
    else:
        return {}
    parts = parts / max(float(parts.sum()), TINY)
    return {
        voter: (float(parts[number, pair[0]]), float(parts[number, pair[1]]))
        for number, voter in enumerate(votes.voters)
        if votes.present[number, 0]
    }


def _gap(logs: Floats, pair: Integers) -> float:
    """How far the winner is above the runner-up."""
    return float(logs[pair[0]] - logs[pair[1]])
