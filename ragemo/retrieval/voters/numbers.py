"""The numbers of a voter's settings, which may come from anybody's folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

LARGEST = 1e30
"""No number that a voter learns comes near it; sums and products of such ones are still finite."""


def read_prior(data: Mapping[str, Any]) -> tuple[float, ...]:
    """A voter's prior: label shares, all above 0, with the sum 1.

    Raises:
        KeyError, TypeError, ValueError: if it is none.
    """
    prior = tuple(float(share) for share in data["prior"])
    if not all(share > 0 for share in prior) or not math.isclose(sum(prior), 1, rel_tol=1e-6):
        raise ValueError(f"{data['prior']} is no prior: expected shares above 0 that sum to 1")
    return prior


def read_number(data: Mapping[str, Any], name: str, low: float, high: float) -> float:
    """A setting that is a number between two.

    Raises:
        KeyError, TypeError, ValueError: if it is not.
    """
    number = float(data[name])
    if not low <= number <= high:  # also for what is not a number
        raise ValueError(f"{name} is {number}: expected {low:g} to {high:g}")
    return number


def require_moderate(name: str, *arrays: np.ndarray[Any, Any]) -> None:
    """Refuse what would make a vote no number.

    Raises:
        TypeError, ValueError: if something in the arrays is not a number, or too large.
    """
    if not all((np.abs(array) < LARGEST).all() for array in arrays):
        raise ValueError(f"{name} hold what is not a number, or one of {LARGEST:g} and more")
