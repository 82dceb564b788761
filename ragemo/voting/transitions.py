"""How a turn's label depends on earlier turns' labels: emotional inertia and contagion.

A turn is linked to at most two earlier turns of its dialogue: `own`, the same speaker's last
turn before it (inertia: Kuppens, Allen and Sheeber, "Emotional inertia and psychological
maladjustment", 2010), and `other`, the turn directly before it where another speaks (contagion:
Hatfield, Cacioppo and Rapson, "Emotional contagion", 1993). With c(a, l) the number of labelled
turns l linked to a turn labelled a, c(a) its sum over l, and pi_l the label shares, a label is
more or less likely after a than anywhere by the factor

    lift(a, l)  =  (c(a, l) + k) / (c(a) pi_l + k)

and  P(l | a)  is proportional to  pi_l lift(a, l).

The k observations that were added are as many as expected, so a lift that rests on few is close
to 1 (a gamma prior on a ratio of counts: DuMouchel, "Bayesian data mining in large frequency
tables", The American Statistician, 1999). Adding pi_l instead, a Dirichlet prior, would say of a
label seen once that it never follows most others.

An own turn loses its hold with distance: among MELD's training dialogues the label is the same as
the own turn's in .54 of the cases if that turn is the directly preceding one, .42 two turns on
and .26 six or more on, which is less than chance. So an own turn d turns back counts 1/d, in c
and wherever it speaks later. Without that, the own turns from four turns back on do harm.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ragemo.types import Turn
from ragemo.voting.votes import Floats, Integers, Mask

SMOOTHING = 1.0
"""k. On parts of MELD's training dialogues the log loss is flat between 0.3 and 2."""

DIGITS = 6
"""To which probabilities are rounded, so that they read easily and come back from JSON exactly."""


@dataclass(frozen=True, eq=False)
class Links:
    """Which earlier turns may move a turn's belief.

    Attributes:
        own: row of the same speaker's last turn before, or -1, shape (N,).
        other: row of the directly preceding turn where another speaks, or -1, shape (N,).

    Raises:
        ValueError: if the shapes differ or a link points to the row itself or a later one.
    """

    own: Integers
    other: Integers

    def __post_init__(self) -> None:
        rows = np.arange(len(self.own))
        for link in (self.own, self.other):
            if link.shape != rows.shape or (link >= rows).any() or (link < -1).any():
                raise ValueError("own and other need one earlier row, or -1, for each row")

    @cached_property
    def nearness(self) -> Floats:
        """1/d for an own turn d turns back, 0 where there is none, shape (N,)."""
        distance = np.arange(len(self.own)) - self.own
        return np.where(self.own >= 0, 1 / distance, 0.0)

    @cached_property
    def steps(self) -> tuple[Integers, ...]:
        """The rows in groups: first those without a link, then those whose links are done, ..."""
        # A missing link, -1, reads the last place, which no row has.
        step = [-1] * (len(self.own) + 1)
        for row, (own, other) in enumerate(
            zip(self.own.tolist(), self.other.tolist(), strict=True)
        ):
            step[row] = 1 + max(step[own], step[other])
        steps = np.array(step[:-1], dtype=np.int64)
        order = np.argsort(steps, kind="stable")
        return tuple(np.split(order, np.cumsum(np.bincount(steps))[:-1]))

    @cached_property
    def dialogues(self) -> Integers:
        """Number of each row's dialogue, from 0, shape (N,).

        Told by the links alone: a turn that no link leads across starts a dialogue, even in the
        midst of one whose speakers are unknown.
        """
        rows = np.arange(len(self.own))
        earliest = rows.copy()
        for link in (self.own, self.other):
            np.minimum(earliest, link, out=earliest, where=link >= 0)
        starts = np.minimum.accumulate(earliest[::-1])[::-1] == rows
        return np.cumsum(starts) - 1

    def of(self, rows: Mask) -> Links:
        """The links among some rows, shape (N,), which are whole dialogues."""
        place = np.cumsum(rows) - 1
        own, other = (np.where(link >= 0, place[link], -1)[rows] for link in (self.own, self.other))
        return Links(own, other)

    def stretches(self, length: int) -> Iterator[slice]:
        """Rows of whole dialogues, one stretch after the other, of so many rows or a few more."""
        starts = np.flatnonzero(np.diff(self.dialogues, prepend=-1))
        begin = 0
        while begin < len(self.own):
            later = starts[np.searchsorted(starts, begin + length) :]
            end = int(later[0]) if len(later) else len(self.own)
            yield slice(begin, end)
            begin = end

    def within(self, rows: slice) -> Links:
        """The links among the rows of a stretch."""
        own, other = (
            np.where(link >= 0, link - rows.start, -1)
            for link in (self.own[rows], self.other[rows])
        )
        return Links(own, other)


def links_of(turns: Iterable[Turn]) -> Links:
    """The links of turns in corpus order, a dialogue's turns adjacent; they are not kept.

    A turn without a speaker has no `own` and is nobody's; beside a turn with one it is taken for
    another speaker's.
    """
    own, other = array("q"), array("q")
    last: dict[str, int] = {}
    before: Turn | None = None
    for row, turn in enumerate(turns):
        if before is not None and before.dialogue_id != turn.dialogue_id:
            last, before = {}, None
        other.append(-1 if before is None or before.speaker == turn.speaker else row - 1)
        own.append(last.get(turn.speaker, -1) if turn.speaker else -1)
        if turn.speaker:
            last[turn.speaker] = row
        before = turn
    return Links(np.array(own, dtype=np.int64), np.array(other, dtype=np.int64))


class Influence(NamedTuple):
    """One kind of link at work.

    Attributes:
        link: row of the earlier turn, or -1, shape (N,).
        lift: how much likelier each label is after each, shape (L, L).
        exponent: how much of that counts, 0 without a link, shape (N,).
    """

    link: Integers
    lift: Floats
    exponent: Floats


@dataclass(frozen=True, eq=False)
class Transitions:
    """What earlier turns' labels say of a turn's.

    Attributes:
        prior: label shares pi, all above 0, shape (L,).
        own: P(label | label of the own last turn), shape (L, L), a row for each earlier label.
        other: P(label | label of another speaker's directly preceding turn), the same.
        own_strength: how much of `own` counts, at least 0; 0: nothing, 1: what was counted.
        other_strength: the same for `other`.

    Raises:
        ValueError: if shapes do not fit, a probability is not above 0 or a strength is below 0.
    """

    prior: Floats
    own: Floats
    other: Floats
    own_strength: float = 1.0
    other_strength: float = 1.0

    def __post_init__(self) -> None:
        labels = len(self.prior)
        if self.own.shape != (labels, labels) or self.other.shape != (labels, labels):
            raise ValueError(f"{labels} labels need matrices of {labels} by {labels}")
        if not all((shares > 0).all() for shares in (self.prior, self.own, self.other)):
            raise ValueError("label shares and transitions must be above 0")
        if not (self.own_strength >= 0 and self.other_strength >= 0):
            raise ValueError("strengths must be at least 0")

    def kinds(self, links: Links) -> list[Influence]:
        """Own and other links, each at strength 1."""
        nearness = links.nearness, (links.other >= 0).astype(np.float64)
        return [
            Influence(link, shares / self.prior, exponent)
            for link, shares, exponent in zip(
                (links.own, links.other), (self.own, self.other), nearness, strict=True
            )
        ]

    def influences(self, links: Links) -> list[Influence]:
        """The kinds of links that count at all."""
        strengths = self.own_strength, self.other_strength
        return [
            Influence(link, lift, strength * exponent)
            for (link, lift, exponent), strength in zip(self.kinds(links), strengths, strict=True)
            if (strength * exponent).any()
        ]

    def evidence(self, beliefs: Floats) -> Floats:
        """A copy of the beliefs in which a row of zeros, where nobody voted, is the prior."""
        return np.where(beliefs.any(axis=1, keepdims=True), beliefs, self.prior)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data; `from_dict` reads it back."""
        return {
            "prior": self.prior.tolist(),
            "own": self.own.tolist(),
            "other": self.other.tolist(),
            "own_strength": self.own_strength,
            "other_strength": self.other_strength,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Transitions:
        """Transitions from what `to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: if it is not that.
        """
        return cls(
            np.array(data["prior"], dtype=np.float64),
            np.array(data["own"], dtype=np.float64),
            np.array(data["other"], dtype=np.float64),
            float(data["own_strength"]),
            float(data["other_strength"]),
        )


def count_transitions(links: Links, gold: Integers, prior: npt.ArrayLike) -> Transitions:
    """Transitions as the module's docstring has them, with strengths 1.

    Args:
        links: of N turns.
        gold: label positions, -1 where unknown, shape (N,). A link counts if both ends are known.
        prior: label shares, all above 0, in the label set's order.
    """
    shares = _rounded(np.array(prior, dtype=np.float64))

    def conditional(link: Integers, weight: Floats) -> Floats:
        rows = np.flatnonzero((gold >= 0) & (link >= 0) & (gold[link] >= 0))
        counts = np.zeros((len(shares), len(shares)))
        np.add.at(counts, (gold[link[rows]], gold[rows]), weight[rows])
        expected = counts.sum(axis=1, keepdims=True) * shares
        joint = shares * (counts + SMOOTHING) / (expected + SMOOTHING)
        return _rounded(joint / joint.sum(axis=1, keepdims=True))

    return Transitions(
        prior=shares,
        own=conditional(links.own, links.nearness),
        other=conditional(links.other, np.ones(len(gold))),
    )


def _rounded(shares: Floats) -> Floats:
    return np.maximum(shares.round(DIGITS), 10.0**-DIGITS)
