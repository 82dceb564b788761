"""The endpoint's files and batches, as far as they are needed here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ragemo.errors import EndpointError
from ragemo.llm.batch.lines import URL
from ragemo.llm.batch.reports import Batch, fields_of, read_batch, read_id, unreadable
from ragemo.llm.sending.connection import Connection
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.llm.sending.pace import Limits

if TYPE_CHECKING:
    import openai
    from openai.pagination import AsyncCursorPage

Value = TypeVar("Value")

LEAST_TIMEOUT = 600.0
"""Seconds that one request may take at least: files are large."""


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
        return read_id(file, "file", self.endpoint)

    async def find_upload(self, name: str, size: int) -> str | None:
        """The id of a file that was uploaded under a name, or None."""

        async def look(client: openai.AsyncOpenAI) -> str | None:
            async for file in self._listed(client.files.list(purpose="batch")):
                if file.get("filename") == name and file.get("bytes") == size:
                    return read_id(file, "file", self.endpoint)
            return None

        return await self._call(look)

    async def create(self, upload: str, metadata: dict[str, str]) -> Batch:
        """A new batch of the requests in a file."""
        created = await self._call(
            lambda client: client.batches.create(
                completion_window="24h", endpoint=URL, input_file_id=upload, metadata=metadata
            )
        )
        return read_batch(created, self.endpoint)

    async def find_batch(self, metadata: dict[str, str]) -> Batch | None:
        """A batch that was created with such metadata and was not refused, or None."""

        async def look(client: openai.AsyncOpenAI) -> Batch | None:
            async for listed in self._listed(client.batches.list(limit=100)):
                there = listed.get("metadata")
                # A gateway may add keys of its own.
                if isinstance(there, dict) and metadata.items() <= there.items():
                    batch = read_batch(listed, self.endpoint)
                    if not batch.is_refused:
                        return batch
            return None

        return await self._call(look)

    async def retrieve(self, batch: str) -> Batch:
        """How a batch stands."""
        found = await self._call(lambda client: client.batches.retrieve(batch))
        return read_batch(found, self.endpoint)

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

    async def _listed(
        self, pages: Awaitable[AsyncCursorPage[Any]]
    ) -> AsyncIterator[dict[str, Any]]:
        """The entries of a list, page by page.

        Raises:
            CallError: if it is no list: nobody may take it for one without entries.
        """
        try:
            async for page in (await pages).iter_pages():
                listed = [] if page.data is None and page.object == "list" else page.data
                if not isinstance(listed, list):
                    raise unreadable(page, "list", self.endpoint)
                for entry in listed:
                    yield fields_of(entry)
        except AttributeError:  # of the client, which takes any answer for a page
            raise unreadable("an answer of another kind", "list", self.endpoint) from None

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
