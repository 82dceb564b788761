"""Requests to an endpoint, made again where they fail in passing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ragemo.llm.endpoint import Endpoint
from ragemo.llm.faults import CallError, explain, no_completion

if TYPE_CHECKING:
    import openai
    from tenacity import RetryCallState


class Connection:
    """The client of one endpoint, opened when it is first needed.

    Args:
        endpoint: who is asked.
        timeout: seconds that one request may take.
        attempts: how often a chat completion that failed in passing is asked for.
        backoff: seconds; the wait before attempt k+1 is drawn evenly from 0 to
            backoff * 2^(k-1), a minute at most.

    Attributes:
        reached: whether the endpoint has ever answered, if only with an error.
    """

    def __init__(
        self, endpoint: Endpoint, *, timeout: float, attempts: int, backoff: float
    ) -> None:
        self.reached = False
        self._endpoint = endpoint
        self._timeout = timeout
        self._attempts = attempts
        self._backoff = backoff
        self._client: openai.AsyncOpenAI | None = None

    async def complete(self, request: dict[str, Any]) -> Any:
        """A chat completion; of what is in it, only the list of `choices` is sure.

        Raises:
            CallError: if it failed, again and again where it failed in passing.
            EndpointError: if every other request would fail like it.
        """
        import tenacity

        @tenacity.retry(
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, CallError) and error.transient
            ),
            reraise=True,
        )
        async def attempt() -> Any:
            completion = await self.call(
                lambda client: client.chat.completions.create(**request),
                constrained="response_format" in request or "extra_body" in request,
            )
            if not isinstance(getattr(completion, "choices", None), list):
                raise no_completion(completion, self._endpoint)
            return completion

        return await attempt()

    async def call(
        self,
        request: Callable[[openai.AsyncOpenAI], Awaitable[Any]],
        *,
        constrained: bool = False,
    ) -> Any:
        """The outcome of one request, made once.

        Args:
            request: makes it with the client that it is given.
            constrained: whether it holds answers to the labels.

        Raises:
            CallError: if it failed.
            EndpointError: if every other request would fail like it.
        """
        import httpx2
        import openai

        if self._client is None:
            patience = httpx2.Timeout(self._timeout, connect=min(10.0, self._timeout / 2))
            self._client = openai.AsyncOpenAI(
                api_key=self._endpoint.key or "none",
                base_url=self._endpoint.base_url,
                max_retries=0,
                timeout=patience,
            )
        try:
            # The client's own timeout is between two bytes; this one is for all of them.
            async with asyncio.timeout(self._timeout):
                outcome = await request(self._client)
        except (TimeoutError, openai.APIError, ValueError) as error:
            self.reached = self.reached or isinstance(error, openai.APIStatusError)
            raise explain(
                error, self._endpoint, timeout=self._timeout, constrained=constrained
            ) from None
        self.reached = True
        return outcome

    async def close(self) -> None:
        """Close the connections, which belong to the running event loop.

        The next request opens new ones, so that one event loop after another may use them if
        each closes them.
        """
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    def _wait(self, state: RetryCallState) -> float:
        """Seconds before the next attempt: what was asked for, and a share of chance."""
        import tenacity

        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, CallError) and error.wait:
            return error.wait + tenacity.wait_random(0, self._backoff)(state)
        return tenacity.wait_random_exponential(multiplier=self._backoff, max=60)(state)
