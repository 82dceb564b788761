"""What an endpoint says of its files and batches; what is odd in it counts as not said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ragemo.llm.choices import field_of
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.llm.sending.faults import CallError


@dataclass(frozen=True, slots=True)
class Batch:
    """How a batch stands, as far as the endpoint says it in a way that can be read.

    Attributes:
        id: that the endpoint gave.
        status: in the endpoint's word, in small letters.
        output_file_id, error_file_id: of what came; empty where nothing is said.
        completed, failed, total: numbers of requests; 0 where nothing is said.
        errors: why it was not accepted, each as it came.
    """

    id: str
    status: str
    output_file_id: str = ""
    error_file_id: str = ""
    completed: int = 0
    failed: int = 0
    total: int = 0
    errors: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether it was not accepted; one that failed midway has answers, which were paid for."""
        return self.status == "failed" and not self.output_file_id and not self.completed


def read_batch(answer: object, endpoint: Endpoint) -> Batch:
    """A batch as the endpoint told it.

    Raises:
        CallError: if it is no batch, which may pass: the pages of a gateway in trouble do.
    """
    batch = fields_of(answer)
    status = _text(batch, "status").lower()
    if not status:
        raise unreadable(answer, "batch", endpoint)
    counts, errors = batch.get("request_counts"), batch.get("errors")
    listed = errors if isinstance(errors, list) else field_of(errors, "data")
    return Batch(
        id=read_id(answer, "batch", endpoint),
        status=status,
        output_file_id=_text(batch, "output_file_id"),
        error_file_id=_text(batch, "error_file_id"),
        completed=_count(counts, "completed"),
        failed=_count(counts, "failed"),
        total=_count(counts, "total"),
        errors=tuple(
            one for one in (listed if isinstance(listed, list) else ()) if isinstance(one, dict)
        ),
    )


def read_id(answer: object, what: str, endpoint: Endpoint) -> str:
    """The id of a file or a batch, `what` it is.

    Raises:
        CallError: if it has none, likewise.
    """
    if not (found := _text(answer, "id")):
        raise unreadable(answer, what, endpoint)
    return found


def unreadable(answer: object, what: str, endpoint: Endpoint) -> CallError:
    """The error to raise for an answer with status 200 that is something else than it should be."""
    fields = {name: value for name, value in fields_of(answer).items() if value is not None}
    return CallError(
        f"{endpoint.url} answered with something that is no {what}: "
        f"{endpoint.brief(fields.get('error') or fields or answer)}; is this the base URL "
        "of an OpenAI-compatible API?",
        transient=True,
    )


def fields_of(answer: object) -> dict[str, Any]:
    """The fields of a JSON object that the client has read; none if it was none.

    The client checks no types: what it calls a batch may hold, or be, anything.
    """
    import openai

    if isinstance(answer, openai.BaseModel):
        return answer.model_dump(warnings=False)
    return answer if isinstance(answer, dict) else {}


def _text(answer: object, field: str) -> str:
    """A field that is a word; empty if it is missing or something else."""
    value = fields_of(answer).get(field)
    return value if isinstance(value, str) and value.isprintable() else ""


def _count(holder: object, field: str) -> int:
    """A field that is a number of things; 0 if it is missing or something else."""
    value = field_of(holder, field)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
