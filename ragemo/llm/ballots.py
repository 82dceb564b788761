"""A ballot that was kept in a file, which may be anybody's: whether it is one, on these labels.

What is none raises one of `ragemo.corpus.checked.NO_RECORD`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from math import isfinite
from typing import Any

from ragemo.corpus.checked import MOST, plain, require, typed
from ragemo.labels import LabelSet
from ragemo.types import Ballot, Usage

PURPOSES = ("verdict", "check", "contentless")

ROUNDING = 1e-3
"""How far the shares of a distribution may be from a sum of 1."""


def plain_ballot(ballot: Ballot) -> dict[str, Any]:
    """A ballot's plain data, as `read_ballot` reads it."""
    return {**plain(ballot), "usage": plain(ballot.usage)}


def read_ballot(record: Mapping[str, Any]) -> Ballot:
    """A ballot of its plain data."""
    return typed(Ballot, {**record, "usage": typed(Usage, record["usage"])})


def is_plain(ballot: Ballot) -> bool:
    """Whether a ballot need not be written to know that it is read again as it is.

    That holds for one of texts in ASCII and of finite numbers, each of its field's own type,
    without an error or details, as nearly all are. Of others this says nothing.
    """
    usage = ballot.usage
    if type(ballot) is not Ballot or type(usage) is not Usage:
        return False
    texts = [ballot.utterance_id, ballot.voter, ballot.answer, ballot.variant, ballot.purpose]
    counts = [ballot.sample, ballot.together]
    counts += [usage.prompt_tokens, usage.cached_tokens, usage.answer_tokens, usage.unanswered]
    tuples = [one for one in (ballot.distribution, ballot.log_likelihoods) if one is not None]
    numbers = [usage.seconds] if usage.cost is None else [usage.seconds, usage.cost]
    return (
        type(ballot.from_cache) is bool
        and type(ballot.details) is dict
        and not ballot.details
        and ballot.error is None
        and all(type(text) is str and text.isascii() for text in texts)
        and all(type(count) is int for count in counts)
        and all(type(one) is tuple for one in tuples)
        and all(type(number) is float and isfinite(number) for number in chain(numbers, *tuples))
    )


def check_ballot(ballot: Ballot, labels: LabelSet) -> Ballot:
    """A ballot on the labels."""
    usage = ballot.usage
    require_shares(ballot.distribution, labels)
    require("purpose", ballot.purpose in PURPOSES)
    scores = ballot.log_likelihoods
    require("log_likelihoods", scores is None or len(scores) == len(labels))
    require("together", 1 <= ballot.together < MOST)
    counts = [ballot.sample, usage.prompt_tokens, usage.cached_tokens, usage.answer_tokens]
    require("a count", all(0 <= count < MOST for count in (*counts, usage.unanswered)))
    require("usage", 0 <= usage.seconds < MOST and 0 <= (usage.cost or 0) < MOST)
    return ballot


def require_shares(shares: Sequence[float] | None, labels: LabelSet) -> None:
    """Refuse what is no distribution over the labels; None is none at all."""
    if shares is not None:
        fits = len(shares) == len(labels) and min(shares) >= 0 and abs(sum(shares) - 1) < ROUNDING
        require("distribution", fits)
