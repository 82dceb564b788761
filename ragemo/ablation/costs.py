"""What an ablation really asked and how long it took: its `costs.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic

from ragemo.corpus.checked import checked
from ragemo.errors import RunFolderError
from ragemo.files import file_in, parse_json, write_json

FILE = "costs.json"


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)


class _Asked(_Strict):
    calls: pydantic.NonNegativeInt
    tokens: pydantic.NonNegativeInt
    dollars: pydantic.NonNegativeFloat


class _Took(_Strict):
    wall: pydantic.NonNegativeFloat | None = None
    seconds_per_utterance: pydantic.NonNegativeFloat | None = None


class _Costs(_Strict):
    asked: _Asked
    cells: dict[str, _Took]


def read_costs(out: Path) -> dict[str, Any]:
    """What was asked so far and how long it took.

    Args:
        out: the ablation's folder.

    Returns:
        `asked`: calls, tokens and dollars; `cells`: a cell's folder -> `wall`, the seconds of its
        last run, and `seconds_per_utterance` of its answers, as far as they are known. Where there
        is no file, nothing was asked.

    Raises:
        RunFolderError: if it cannot be read.
    """
    try:
        found = checked(_Costs, parse_json(file_in(out, FILE).read_bytes()))
    except FileNotFoundError:
        return {"asked": {"calls": 0, "tokens": 0, "dollars": 0.0}, "cells": {}}
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"{out / FILE}: not what ragemo wrote ({error}); move it away: what was asked is "
            "counted anew then, and answers and cells are kept"
        ) from None
    return found.model_dump(exclude_unset=True)


def write_costs(out: Path, costs: dict[str, Any], took: dict[str, dict[str, Any]]) -> None:
    """Add how long cells took, and write it.

    Raises:
        OSError: if it cannot be written.
    """
    for run, own in took.items():
        costs["cells"].setdefault(run, {}).update(own)
    write_json(out / FILE, costs)
