"""What endpoints were found to be able to do, remembered for later runs.

A small JSON file, `endpoints.json` in the cache folder (see `ragemo.models`), or the one that
RAGEMO_ENDPOINTS names; none if that is empty. An entry stands under the endpoint's URL, without
user, password or whatever follows its path, and the model's name; a key is never in it. It is
passed over a week after it was learned: servers are updated.

The file saves calls and is not needed: one that cannot be read or written is passed over.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from ragemo.files import expanded, one_at_a_time, write_json
from ragemo.llm.abilities.capabilities import CONSTRAINTS, Capabilities
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.models import cache_folder

FORMAT = 1
LASTS = 7 * 86_400.0
"""Seconds for which an entry counts."""
MOST_ENTRIES = 1_000
"""The oldest of more are forgotten."""
_LIMIT_FIELDS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was found of a model at an endpoint.

    Attributes:
        capabilities: what it can do.
        age: seconds since it was learned.
    """

    capabilities: Capabilities
    age: float


def memory_file() -> Path | None:
    """Where it is remembered; None: nowhere."""
    chosen = os.environ.get("RAGEMO_ENDPOINTS")
    if chosen is None:
        return cache_folder() / "endpoints.json"
    return expanded(chosen) if chosen else None


def recall(endpoint: Endpoint) -> Remembered | None:
    """What was found of an endpoint within the last week, if anything."""
    file = memory_file()
    entry = None if file is None else _read(file).get(_name(endpoint))
    return None if entry is None else _remembered(entry)


def remember(endpoint: Endpoint, capabilities: Capabilities) -> None:
    """Keep what was found of an endpoint, in the place of what was known of it.

    Processes that do so at once do it one after the other, and the file is replaced whole.
    """
    file = memory_file()
    if file is None:
        return
    with suppress(OSError), one_at_a_time(file):
        entries = {name: one for name, one in _read(file).items() if _remembered(one)}
        entries.pop(_name(endpoint), None)
        entries[_name(endpoint)] = {"learned": time.time(), **asdict(capabilities)}
        newest = list(entries.items())[-MOST_ENTRIES:]
        write_json(file, {"format": FORMAT, "endpoints": dict(newest)})


def _name(endpoint: Endpoint) -> str:
    return f"{endpoint.scrub(endpoint.url)} {endpoint.scrub(endpoint.model)}"


def _read(file: Path) -> dict[str, Any]:
    """The entries of a file; none if it is missing, damaged or of another form."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        return {}
    entries = data.get("endpoints")
    return entries if isinstance(entries, dict) else {}


def _remembered(entry: object) -> Remembered | None:
    """An entry that is whole and young; None for any other."""
    if not isinstance(entry, dict) or not isinstance(entry.get("learned"), int | float):
        return None
    try:
        age = time.time() - entry["learned"]
    except OverflowError:  # a whole number beyond any time
        return None
    kinds = get_type_hints(Capabilities)
    found: dict[str, Any] = {field.name: entry.get(field.name) for field in fields(Capabilities)}
    whole = all(type(value) is kinds[name] for name, value in found.items())
    # A clock that was set back makes an entry look as if it came from the future.
    if not whole or not 0 <= age <= LASTS:
        return None
    capabilities = Capabilities(**found)
    in_range = (
        capabilities.constraint in CONSTRAINTS[1:]
        and capabilities.answer_limit in _LIMIT_FIELDS
        and capabilities.largest_n >= 1
        and capabilities.top_logprobs >= 0
    )
    return Remembered(capabilities, age) if in_range else None
