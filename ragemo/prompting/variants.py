"""Which prompts to ask about one utterance, if several are paid for: different ones.

A language model that is asked the same prompt again mostly says the same again. Answers to
prompts that differ err less alike, so their vote is worth more (Li et al., "Making language
models better reasoners with step-aware verifier", ACL 2023, vote over prompts that differ in
demonstrations). A variant takes one value on each axis; the first takes the first everywhere,
and each next one is that which differs on the most axes from the nearest of those before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import product
from operator import ne

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
    found = _spread_out(tuple(min(size, MOST_VALUES) for size in sizes.values()), count)
    return [dict(zip(sizes, values, strict=True)) for values in found]


@lru_cache(maxsize=1000)  # most utterances of a run have as many values on each axis as others
def _spread_out(sizes: tuple[int, ...], count: int) -> tuple[tuple[int, ...], ...]:
    first = (0,) * len(sizes)
    chosen = [first]
    # Those that differ from the first on the axes that tell most come first among equals.
    open_ones = sorted(
        set(product(*map(range, sizes))) - {first},
        key=lambda values: ([value == 0 for value in values], values),
    )
    nearest = {values: _distance(values, first) for values in open_ones}
    while nearest and len(chosen) < count:
        best = max(nearest, key=nearest.__getitem__)
        chosen.append(best)
        del nearest[best]
        for values, distance in nearest.items():
            nearest[values] = min(distance, _distance(values, best))
    return tuple(chosen[:count])


def _distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """On how many axes two variants differ."""
    return sum(map(ne, one, other))
