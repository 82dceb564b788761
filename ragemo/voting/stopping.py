"""When to stop asking: as soon as the outcome is settled.

A voter may be asked for up to n answers about an utterance. With v1 >= v2 the votes of the two
leading labels so far, and r answers not asked for yet, the outcome is settled

    hard        if v1 - v2 > r: whatever comes, the leader stays ahead and is not even tied
    posterior   if that holds, or P(p1 > p2 | v1, v2) >= threshold

where p1 and p2 are the shares of the two labels in the answers that the voter would give for
ever. With nothing else assumed about them,

    P(p1 > p2 | v1, v2) = 1 - I_1/2(v1 + 1, v2 + 1) = 1 - 2^-m sum_{k=0..v2} C(m, k)

with m = v1 + v2 + 1 and I the regularised incomplete beta function, a binomial tail for whole
numbers.

Source: Aggarwal et al., "Let's sample step by step: adaptive-consistency for efficient reasoning
and coding with LLMs", EMNLP 2023 (its Beta rule). Theirs does not know n, and would go on at
3 : 0 of 5 answers (0.94); here the posterior rule never asks more than the hard one, and with a
threshold near 1 it is the hard one. Their Dirichlet rule, over all labels, is left out: it is
stricter at equal thresholds, and buys no better exchange of answers for labels that stay.

To use a rule, ask in batches until none is needed:

    ballots = []
    while batch := rule.needed(vote_counts(ballots, len(labels)), n - len(ballots)):
        ballots += ask(batch)
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ragemo.errors import SettingsError
from ragemo.labels import LabelSet
from ragemo.types import Ballot
from ragemo.voting.votes import PRECISION

StoppingKind = Literal["none", "hard", "posterior"]


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """When the answers so far settle an utterance's label.

    Attributes:
        kind: "none" asks for all answers; "hard" and "posterior" are the module's.
        threshold: of the posterior rule, in (0.5, 1). One vote alone reaches 0.75, two 0.88,
            three 0.94 and four 0.97. With 0.95 and at most seven answers the posterior rule is
            the hard one.

    Raises:
        SettingsError: if there is no such kind, or the threshold is out of its range.
    """

    kind: StoppingKind
    threshold: float = 0.95

    def __post_init__(self) -> None:
        if self.kind not in get_args(StoppingKind):
            raise SettingsError(
                f"stopping rule {self.kind!r}: expected one of {', '.join(get_args(StoppingKind))}"
            )
        if not 0.5 < self.threshold < 1:
            raise SettingsError(
                f"stopping threshold {self.threshold}: expected a probability above 0.5, which a "
                "tie has, and below 1, which is never reached"
            )

    def settled(self, counts: Sequence[int], remaining: int) -> bool:
        """Whether to stop.

        Args:
            counts: votes per label so far; at least two labels, in any order. An answer that is
                no label is a vote for nobody.
            remaining: how many more answers may be asked for; with none, all is settled.
        """
        second, first = sorted(counts)[-2:]
        return self._settled(int(first), int(second), remaining)

    def needed(self, counts: Sequence[int], remaining: int) -> int:
        """The fewest further answers that could settle the outcome; 0 if it is settled.

        So many may be asked for at once: no answer is paid for that asking one by one would have
        saved. Arguments as in `settled`; at most `remaining`.
        """
        if self.kind == "none":
            return remaining
        second, first = sorted(counts)[-2:]
        # Soonest if all go to the leader: that alone lengthens its lead and leaves the runner-up
        # where it is, and any other label would have to overtake first. Once settled, further
        # votes for the leader keep it so, which a bisection needs.
        return bisect_left(
            range(remaining),
            True,
            key=lambda more: self._settled(int(first) + more, int(second), remaining - more),
        )

    def _settled(self, first: int, second: int, remaining: int) -> bool:
        if remaining <= 0:
            return True
        if self.kind == "none":
            return False
        if first - second > remaining:
            return True
        return self.kind == "posterior" and leader_probability(first, second) >= self.threshold


def leader_probability(first: int, second: int) -> float:
    """P(p1 > p2 | v1, v2) of the module's equation, in [0.5, 1] for first >= second >= 0."""
    trials = first + second + 1
    term = tail = 1
    for successes in range(second):
        term = term * (trials - successes) // (successes + 1)
        tail += term
    return 1 - tail / (1 << trials)


def vote_counts(ballots: Sequence[Ballot], labels: int) -> list[int]:
    """How many ballots have each label as their first choice, in label order.

    Args:
        ballots: those without a distribution are votes for nobody.
        labels: how many labels there are.

    A ballot's first choice that ties is its first label among equals.
    """
    counts = [0] * labels
    for ballot in ballots:
        if ballot.distribution is not None:
            shares = [round(share, PRECISION) for share in ballot.distribution]
            counts[shares.index(max(shares))] += 1
    return counts


@dataclass(frozen=True, slots=True)
class Saving:
    """What a rule would have spent, and what would have come of it.

    Attributes:
        asked: how many answers it would have asked for, over all utterances.
        possible: how many there are.
        changed: how many utterances would have another label than with all answers.
        labels: utterance id -> the label by the answers asked for; None without a vote.
    """

    asked: int
    possible: int
    changed: int
    labels: Mapping[str, str | None]

    @property
    def spent(self) -> float:
        """Share of the possible answers asked for, in [0, 1]; 1 where there are none."""
        return self.asked / self.possible if self.possible else 1.0


def replay(ballots: Sequence[Ballot], labels: LabelSet, rule: StoppingRule) -> Saving:
    """What a rule would have made of answers that were all asked for.

    Args:
        ballots: all of one voter, in any order; a voter's samples are taken by their number. One
            that failed was asked for, too.
        labels: the label set.
        rule: when to stop.

    A label is the majority of first choices, among equals the first of the set. That is what the
    majority pool decides if nobody else votes, and the hard rule changes none of it.
    """
    own: dict[str, list[Ballot]] = defaultdict(list)
    for ballot in sorted(ballots, key=lambda ballot: ballot.sample):
        own[ballot.utterance_id].append(ballot)
    decided: dict[str, str | None] = {}
    asked = changed = 0
    for utterance, answers in own.items():
        spent = 0
        while batch := rule.needed(vote_counts(answers[:spent], len(labels)), len(answers) - spent):
            spent += batch
        asked += spent
        decided[utterance] = _winner(answers[:spent], labels)
        changed += decided[utterance] != _winner(answers, labels)
    return Saving(asked, len(ballots), changed, decided)


def _winner(ballots: Sequence[Ballot], labels: LabelSet) -> str | None:
    counts = vote_counts(ballots, len(labels))
    return labels.names[counts.index(max(counts))] if any(counts) else None
