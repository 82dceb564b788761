"""In which order targets are asked about where prompts begin alike, and how much of them does."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise

from ragemo.pipeline.questions import Question
from ragemo.types import Prompt


def together(questions: Mapping[str, Sequence[Question]]) -> list[str]:
    """The targets, those that are shown the same demonstrations one after the other.

    A server with few slots then still holds what the next prompt begins with. The demonstrations
    that come first in the corpus are asked about first.
    """
    place: dict[tuple[str, ...], int] = {}
    for own in questions.values():
        place.setdefault(_shown(own), len(place))
    return sorted(questions, key=lambda target: place[_shown(questions[target])])


def repeated_share(prompts: Sequence[Prompt]) -> float:
    """The share of the prompts' characters that only repeat how the prompt before began."""
    texts = ["\n".join(message.content for message in prompt.messages) for prompt in prompts]
    repeated = sum(_begin_alike(one, other) for one, other in pairwise(texts))
    return repeated / max(sum(map(len, texts)), 1)


def _begin_alike(one: str, other: str) -> int:
    lengths = range(1, min(len(one), len(other)) + 1)
    return bisect_left(lengths, True, key=lambda length: one[:length] != other[:length])


def _shown(questions: Sequence[Question]) -> tuple[str, ...]:
    shown = questions[0].prompt.demonstrations if questions else ()
    return tuple(demonstration.window.target.utterance_id for demonstration in shown)
