"""The choices of a chat completion: which are whole, in which order, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any


def has_failed(choice: Any) -> bool:
    """Whether a model failed while it answered: OpenRouter says so here, with status 200."""
    error = field_of(choice, "error")
    return end_of(choice) == "error" or (isinstance(error, dict) and bool(error))


def first_failure(choices: Sequence[Any]) -> Any:
    """The choice that failed, where none before it can be used; else None."""
    failed = next(filter(has_failed, choices), None)
    return None if failed is None or before_gap(choices, len(choices)) else failed


def before_gap(choices: Sequence[Any], n: int) -> list[Any]:
    """Choices in their order, each once, up to the first of n that failed or did not come.

    The number of an answer says with which seed it was drawn. Were those after a gap to move up,
    the last ones would be drawn again, with seeds that have answered already.
    """
    failed = [choice for choice in choices if has_failed(choice)]
    whole = _each_once([choice for choice in choices if not has_failed(choice)], n)
    numbers = [field_of(choice, "index") for choice in whole]
    every = numbers + [
        number for choice in failed if (number := field_of(choice, "index")) not in numbers
    ]
    if _are_numbers(every):
        return [choice for place, choice in enumerate(whole[:n]) if choice["index"] == place]
    return _each_once(list(takewhile(lambda choice: not has_failed(choice), choices)), n)[:n]


def field_of(holder: Any, field: str) -> Any:
    """A field of a JSON object; None where there is none, or where it is no object."""
    return holder.get(field) if isinstance(holder, dict) else None


def content_of(choice: Any) -> str:
    """What a choice says."""
    content = field_of(field_of(choice, "message"), "content")
    if isinstance(content, list):  # in parts, others of which are thoughts (Mistral)
        parts = [field_of(part, "text") for part in content if field_of(part, "type") == "text"]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def end_of(choice: Any) -> str | None:
    """Its `finish_reason`."""
    end = field_of(choice, "finish_reason")
    return end if isinstance(end, str) else None


def _are_numbers(indices: Sequence[Any]) -> bool:
    """Whether a server numbers its choices, each by itself and from 0 on."""
    if not all(type(index) is int for index in indices):
        return False
    return len(set(indices)) == len(indices) and min(indices, default=1) == 0


def _each_once(choices: Sequence[Any], n: int) -> list[Any]:
    """Choices in the order of their numbers, without those that a server sent twice."""
    numbers = [field_of(choice, "index") for choice in choices]
    if len(choices) == 1 or not all(isinstance(number, int) for number in numbers):
        return list(choices)
    if len(set(numbers)) == 1 and len(choices) <= n:
        return list(choices)  # that server numbers none
    kept = {
        (number, content_of(choice)): choice
        for number, choice in zip(reversed(numbers), reversed(choices), strict=True)
    }
    # Some servers give all choices one number: what they say tells them apart, and their order.
    first = {id(choice): place for place, choice in enumerate(choices)}
    return sorted(kept.values(), key=lambda choice: (choice["index"], first[id(choice)]))
