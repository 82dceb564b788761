"""How long an endpoint asks to be left alone, by the headers of its answers."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 120.0
"""Seconds that an endpoint is left alone at most; asked to wait longer, a call fails at once."""

_SECONDS = {
    "d": 86_400.0,
    "h": 3_600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_PART = r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|ns|d|h|m|s)"
_DURATION = re.compile(rf"(?:{_PART})+", re.ASCII)


def parse_duration(text: str) -> float | None:
    """Seconds of a duration such as 1s, 6m0s, 20ms, 1h2m3.5s or 12; None if it is none."""
    text = text.strip().lower()
    if _DURATION.fullmatch(text):
        parts = re.findall(_PART, text, re.ASCII)
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    else:
        try:
            seconds = float(text)
        except ValueError:
            return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def seconds_until_retry(headers: Mapping[str, str]) -> float:
    """Seconds that a refused call is asked to wait; 0 where nothing is said.

    `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3) and OpenAI's `retry-after-ms`.
    """
    said = parse_duration(headers.get("retry-after-ms", "") + "ms")
    if said is None:
        text = headers.get("retry-after", "")
        said = parse_duration(text)
        if said is None and text:
            try:
                # A date can only be compared with this machine's clock.
                date = parsedate_to_datetime(text)
                date = date if date.tzinfo else date.replace(tzinfo=UTC)
                said = max(date.timestamp() - time.time(), 0.0)
            except (ValueError, OverflowError, OSError):
                said = None
    return said or 0.0


LONGEST_RESET = 32 * 86_400
"""Seconds. What is more is no wait: some endpoints tell the seconds since 1970 here, in whose
place a refused call waits as it would if nothing were said."""


def seconds_until_reset(headers: Mapping[str, str]) -> float:
    """Seconds until an endpoint that has nothing left gives again; 0 while it has some.

    What is left stands in `x-ratelimit-remaining-requests` and `-tokens`, when it is full again in
    `x-ratelimit-reset-requests` and `-tokens`.
    """
    waits = [0.0]
    for kind in ("requests", "tokens"):
        left = headers.get(f"x-ratelimit-remaining-{kind}")
        if left is None or (number := parse_duration(left)) is None or number >= 1:
            continue
        wait = parse_duration(headers.get(f"x-ratelimit-reset-{kind}", "")) or 0.0
        waits.append(wait if wait < LONGEST_RESET else 0.0)
    return max(waits)
