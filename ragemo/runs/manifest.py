"""What a run was begun with, and whether it is what is asked now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ragemo.errors import RunFolderError
from ragemo.settings import PACE

SHARD = "shard of a run"
"""The kind of what is a part of a run, see `ragemo.runs.shards`."""

FREE_TO_CHANGE = tuple(f"settings.llm.{name}" for name in PACE)
"""Settings that change how fast answers come and not what they are."""


def check_same(path: Path, begun: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Whether a run may be gone on with.

    Raises:
        RunFolderError: naming the settings that differ.
    """
    differing = [
        f"{name} was {old!r}, now {new!r}"
        for name, old, new in differences(begun, asked)
        if name not in FREE_TO_CHANGE
    ]
    if differing:
        raise RunFolderError(
            f"{path}: cannot be resumed, since it was begun with other settings: "
            + "; ".join(differing[:5])
            + ". Ask for the same settings, or choose another --out"
        )


def differences(old: Any, new: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name and both values of whatever differs between two pieces of plain data."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key), new.get(key), f"{place}.{key}".lstrip("."))
    elif json.dumps(old) != json.dumps(new):
        yield place, old, new
