"""A request as a line of a batch file, and what comes back as a line of another.

    {"custom_id": "...", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
    {"custom_id": "...", "response": {"status_code": 200, "body": {...}}, "error": null}

Both as in OpenAI's Batch API, which `vllm run-batch` reads and writes, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ragemo.llm.choices import first_failure

URL: Final = "/v1/chat/completions"
"""What every request is for."""

DIGITS = 48
"""Hexadecimal digits of an answer's key that stand in a `custom_id`: 192 bits."""

_CUSTOM_ID = re.compile(rf"([0-9a-f]{{{DIGITS}}})-([1-9][0-9]{{0,3}})")


def custom_id(key: str, n: int) -> str:
    """What names a request: the key of its first answer, and how many answers it asks for."""
    return f"{key[:DIGITS]}-{n}"


def parts_of(name: str) -> tuple[str, int] | None:
    """The begin of the key and the number of answers in a `custom_id`; None if it is not ours."""
    match = _CUSTOM_ID.fullmatch(name)
    return None if match is None else (match[1], int(match[2]))


def request_line(name: str, request: Mapping[str, Any]) -> bytes:
    """A line of a request file.

    Args:
        name: its `custom_id`.
        request: its body.
    """
    line = {"custom_id": name, "method": "POST", "url": URL, "body": request}
    return json.dumps(line).encode() + b"\n"  # ASCII: no letter that others take for a line's end


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request.

    Attributes:
        custom_id: which one.
        completion: the chat completion as it came, with a list of `choices`; None if none came.
        status: of the HTTP response, or None if there is none: the request was never made.
        error: the error as it came; {} with a completion.
    """

    custom_id: str
    completion: Mapping[str, Any] | None
    status: int | None = None
    error: Mapping[str, Any] | None = None

    @property
    def words(self) -> str:
        """The error as it came, in words."""
        error = self.error or {}
        code, message = error.get("code"), error.get("message")
        return ": ".join(str(part) for part in (code, message) if part) or "no chat completion came"


def read_outcome(line: bytes) -> Outcome | None:
    """A line of an outcome; None if it is torn or something else."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("custom_id"), str):
        return None
    response, name = record.get("response"), record["custom_id"]
    response = response if isinstance(response, dict) else {}
    status, body = response.get("status_code"), response.get("body")
    status = status if isinstance(status, int) and not isinstance(status, bool) else None
    body = body if isinstance(body, dict) else {}
    choices = body.get("choices")
    if status in (None, 200) and isinstance(choices, list):
        if (failed := first_failure(choices)) is None:
            return Outcome(name, body, status, {})
        body = failed
    error = record.get("error") or body.get("error") or body
    if isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]  # vLLM's is inside another one
    return Outcome(name, None, status, error if isinstance(error, dict) else {"message": error})
