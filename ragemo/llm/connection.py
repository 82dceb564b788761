"""Requests to an endpoint, made again where they fail in passing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ragemo.llm.endpoint import Endpoint
from ragemo.llm.faults import CallError, explain, no_completion
from ragemo.llm.requests import is_constrained

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

    async def complete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A chat completion's JSON; of what is in it, only the list of `choices` is sure.

        Args:
            request: the JSON body.

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
        async def attempt() -> dict[str, Any]:
            return await self.call(
                lambda client: self._post(client, request), constrained=is_constrained(request)
            )

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

    async def _post(self, client: openai.AsyncOpenAI, request: Mapping[str, Any]) -> dict[str, Any]:
        """One request for a chat completion.

        The client sends it; the JSON is written and read here, since turning every message and
        answer into the client's own types takes longer than all else that is done for a call.
        """
        import httpx2

        body = json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
        response = await client.post("/chat/completions", cast_to=httpx2.Response, content=body)
        try:
            completion = json.loads(response.content)
        except ValueError:
            if "json" in response.headers.get("content-type", ""):
                raise
            raise no_completion(response.text, self._endpoint) from None
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if not isinstance(completion, dict) or not isinstance(completion.get("choices"), list):
            raise no_completion(completion, self._endpoint)
        return completion

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
