"""The endpoint's files and batches, as far as they are needed here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ragemo.errors import EndpointError
from ragemo.llm.batch.lines import URL
from ragemo.llm.replies import field_of
from ragemo.llm.sending.connection import Connection
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.llm.sending.faults import CallError
from ragemo.llm.sending.pace import Limits

if TYPE_CHECKING:
    import openai
    from openai.pagination import AsyncCursorPage

Value = TypeVar("Value")

LEAST_TIMEOUT = 600.0
"""Seconds that one request may take at least: files are large."""


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


class BatchApi:
    """What OpenAI's Batch API offers, by the official client.

    Every method raises what `Connection.call` does: a CallError if the request failed, and an
    EndpointError if every other one would fail like it.

    Args:
        endpoint: who is asked.
        timeout: seconds that one request may take.
    """

    def __init__(self, endpoint: Endpoint, *, timeout: float) -> None:
        self.endpoint = endpoint
        self._connection = Connection(
            endpoint,
            limits=Limits(),
            timeout=max(timeout, LEAST_TIMEOUT),
            deadline=LEAST_TIMEOUT,
            attempts=1,
            backoff=1.0,
        )

    async def upload(self, name: str, data: bytes) -> str:
        """The id of a new file.

        Raises:
            EndpointError: likewise if the endpoint has no such thing as batches.
        """
        file = await self._call(lambda c: c.files.create(file=(name, data), purpose="batch"))
        return _text(file, "id") or self._refuse("file", file)

    async def find_upload(self, name: str, size: int) -> str | None:
        """The id of a file that was uploaded under a name, or None."""

        async def look(client: openai.AsyncOpenAI) -> str | None:
            async for file in self._listed(client.files.list(purpose="batch")):
                if file.get("filename") == name and file.get("bytes") == size:
                    return _text(file, "id") or self._refuse("file", file)
            return None

        return await self._call(look)

    async def create(self, upload: str, metadata: dict[str, str]) -> Batch:
        """A new batch of the requests in a file."""
        return self._read(
            await self._call(
                lambda client: client.batches.create(
                    completion_window="24h", endpoint=URL, input_file_id=upload, metadata=metadata
                )
            )
        )

    async def find_batch(self, metadata: dict[str, str]) -> Batch | None:
        """A batch that was created with such metadata and was not refused, or None."""

        async def look(client: openai.AsyncOpenAI) -> Batch | None:
            async for listed in self._listed(client.batches.list(limit=100)):
                if listed.get("metadata") == metadata:
                    batch = self._read(listed)
                    if not batch.is_refused:
                        return batch
            return None

        return await self._call(look)

    async def retrieve(self, batch: str) -> Batch:
        """How a batch stands."""
        return self._read(await self._call(lambda client: client.batches.retrieve(batch)))

    async def content(self, file: str) -> bytes | None:
        """What is in a file, without secrets; None if the endpoint does not have it."""
        import openai

        async def fetch(client: openai.AsyncOpenAI) -> bytes | None:
            try:
                return (await client.files.content(file)).content
            except openai.NotFoundError:
                return None

        found = await self._call(fetch)
        if found is None:
            return None
        return self.endpoint.scrub(found.decode("utf-8", "replace")).encode()

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    def _read(self, answer: object) -> Batch:
        """A batch as it was told; what is odd in it counts as not said.

        Raises:
            CallError: if it is no batch, which may pass: the pages of a gateway in trouble do.
        """
        batch = _fields(answer)
        counts, errors = batch.get("request_counts"), batch.get("errors")
        errors = errors if isinstance(errors, list) else field_of(errors, "data")
        return Batch(
            id=_text(batch, "id") or self._refuse("batch", answer),
            status=_text(batch, "status").lower() or self._refuse("batch", answer),
            output_file_id=_text(batch, "output_file_id"),
            error_file_id=_text(batch, "error_file_id"),
            completed=_count(counts, "completed"),
            failed=_count(counts, "failed"),
            total=_count(counts, "total"),
            errors=tuple(one for one in errors or () if isinstance(one, dict)),
        )

    async def _listed(
        self, pages: Awaitable[AsyncCursorPage[Any]]
    ) -> AsyncIterator[dict[str, Any]]:
        """The entries of a list, page by page.

        Raises:
            CallError: if it is no list: nobody may take it for one without entries.
        """
        try:
            async for page in (await pages).iter_pages():
                if not isinstance(page.data, list):
                    self._refuse("list", page)
                for entry in page.data:
                    yield _fields(entry)
        except AttributeError:  # of the client, which takes any answer for a page
            self._refuse("list", "an answer of another kind")

    def _refuse(self, what: str, answer: object) -> NoReturn:
        """Raise the error for an answer with status 200 that is something else."""
        fields = {name: value for name, value in _fields(answer).items() if value is not None}
        raise CallError(
            f"{self.endpoint.url} answered with something that is no {what}: "
            f"{self.endpoint.brief(fields.get('error') or fields or answer)}; is this the base URL "
            "of an OpenAI-compatible API?",
            transient=True,
        )

    async def _call(self, request: Callable[[openai.AsyncOpenAI], Awaitable[Value]]) -> Value:
        import openai

        missing: list[str] = []

        async def attempt(client: openai.AsyncOpenAI) -> Any:
            try:
                return await request(client)
            except openai.NotFoundError as error:
                missing.append(f"{error.request.method} {error.request.url.path}")
                return None

        outcome: Value = await self._connection.call(attempt)
        if missing:
            raise EndpointError(
                f"{self.endpoint.url} has no such thing (HTTP 404 for {missing[0]}). Either it "
                "knows no batches: --batch-files writes the requests for another runner, such as "
                "`vllm run-batch`; or the key or the base URL is another one than when the batch "
                "was created"
            )
        return outcome


def _fields(answer: object) -> dict[str, Any]:
    """The fields of a JSON object that the client has read; none if it was none.

    The client checks no types: what it calls a batch may hold, or be, anything.
    """
    import openai

    if isinstance(answer, openai.BaseModel):
        return answer.model_dump(warnings=False)
    return answer if isinstance(answer, dict) else {}


def _text(answer: object, field: str) -> str:
    """A field that is a word; empty if it is missing or something else."""
    value = _fields(answer).get(field)
    return value if isinstance(value, str) and value.isprintable() else ""


def _count(holder: object, field: str) -> int:
    """A field that is a number of things; 0 if it is missing or something else."""
    value = field_of(holder, field)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
