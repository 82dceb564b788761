"""Which prompts to ask about one utterance, if several are paid for: different ones.

A language model that is asked the same prompt again mostly says the same again. Answers to
prompts that differ err less alike, so their vote is worth more (Li et al., "Making language
models better reasoners with step-aware verifier", ACL 2023, vote over prompts that differ in
demonstrations). A variant takes one value on each axis; the first takes the first everywhere,
and each next one is that which differs on the most axes from the nearest of those before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

Variant = Mapping[str, int]
"""Axis -> the number of its value, from 0."""

MOST_VALUES = 6
"""No axis offers more values than that."""


def plan_variants(sizes: Mapping[str, int], count: int) -> list[Variant]:
    """At most `count` distinct variants, most informative first.

    Args:
        sizes: axis -> how many values it has for this utterance, at least 1; the axes that tell
            most first.
        count: how many are wanted; fewer come if there are no more.

    Ties are broken by values that stand first on the axes that stand first.
    """
    axes = list(sizes)
    open_ones = list(product(*(range(min(sizes[axis], MOST_VALUES)) for axis in axes)))
    chosen: list[tuple[int, ...]] = []
    while open_ones and len(chosen) < count:
        best = max(open_ones, key=lambda values: _rank(values, chosen))
        open_ones.remove(best)
        chosen.append(best)
    return [dict(zip(axes, values, strict=True)) for values in chosen]


def _rank(values: Sequence[int], chosen: Iterable[Sequence[int]]) -> tuple[object, ...]:
    distances = [
        tuple(value != other for value, other in zip(values, earlier, strict=True))
        for earlier in chosen
    ]
    nearest = min((sum(differs) for differs in distances), default=0)
    # Which axes differ from the first variant: those that tell most count first.
    first = distances[0] if distances else ()
    return (nearest, first, tuple(-value for value in values))
