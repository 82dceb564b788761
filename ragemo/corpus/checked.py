"""Plain data from a file that may be anybody's as records, every field of its type.

All raise ValueError with one line of words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, cast

import pydantic

from ragemo.types import Ballot, Message, Turn, Usage, Verdict

Record = TypeVar("Record")

NO_RECORD = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What comes of looking at plain data that ragemo did not write."""

MOST = 10**12
"""No count, and no sum of counts, is larger."""


def plain(record: Turn | Ballot | Usage | Verdict | Message) -> dict[str, Any]:
    """A record's fields by name, one level deep.

    `dataclasses.asdict` copies all that is in them, which takes most of the time of writing a run.
    """
    names = record.__slots__
    return dict(zip(names, _values(names)(record), strict=True))


@cache
def _values(names: tuple[str, ...]) -> Callable[[object], tuple[Any, ...]]:
    """What gets several attributes at once."""
    return attrgetter(*names)


def typed(kind: type[Record], data: Mapping[str, Any]) -> Record:
    """A record with these fields and no others."""
    if unknown := data.keys() - _fields(cast("Any", kind)):
        raise ValueError(f"{min(map(str, unknown))!r} is no field of it")
    return checked(kind, data)


def typed_turn(data: Mapping[str, Any]) -> Turn:
    """A turn, its numbers in their ranges."""
    turn = typed(Turn, data)
    require("turn", 0 <= turn.turn < MOST)
    require("disagreement", turn.disagreement is None or 0 <= turn.disagreement <= 1)
    return turn


def checked(kind: type[Record], data: Mapping[str, Any]) -> Record:
    """A record, or a model of pydantic's."""
    try:
        found: Record = _adapter(cast("Any", kind)).validate_python(data)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg'].lower()}") from None
    return found


def require(field: str, fits: bool) -> None:
    """Refuse a field that does not fit."""
    if not fits:
        raise ValueError(f"{field} is out of range, or does not fit what it stands with")


@cache
def _fields(kind: type[Any]) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))


@cache
def _adapter(kind: type[Any]) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(kind)
