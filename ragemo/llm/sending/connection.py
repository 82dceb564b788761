"""Requests to an endpoint, made in their turn, and made again where they fail in passing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ragemo.errors import EndpointError, SettingsError
from ragemo.llm.choices import first_failure
from ragemo.llm.event_loop import PerLoop
from ragemo.llm.requests import is_constrained
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.llm.sending.faults import CallError, broken_off, explain, no_completion
from ragemo.llm.sending.pace import Limits, Pacing, check_least, pace_of
from ragemo.llm.sending.posting import Posting
from ragemo.llm.sending.waits import seconds_until_reset

if TYPE_CHECKING:
    import openai
    from tenacity import RetryCallState

Outcome = TypeVar("Outcome")

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Completed:
    """What came of a chat completion.

    Attributes:
        completion: its JSON, of which only the list of `choices` is sure.
        seconds: from the sending of its first request.
        unanswered: requests before it that brought no answer, see `Usage`.
    """

    completion: dict[str, Any]
    seconds: float
    unanswered: int


class NotSentError(asyncio.CancelledError):
    """Of a chat completion that was stopped before any request of it was sent."""


@dataclass(slots=True)
class _Opened:
    """What asks an endpoint in one event loop."""

    client: openai.AsyncOpenAI
    completions: Posting
    refusal: EndpointError | None = None  # of a request, which every other one would meet, too

    def check(self) -> None:
        """Raise the refusal that every request would meet, if there was one."""
        if self.refusal is not None:
            raise self.refusal


class Connection:
    """The client of one endpoint, opened when it is first needed, in each event loop anew.

    Args:
        endpoint: who is asked.
        limits: how much it may be asked.
        timeout: seconds that one request may take.
        deadline: seconds from the sending of a chat completion's first request to its end, with
            every further try and wait.
        attempts: how often a chat completion that failed in passing is asked for; a refusal that
            says when to come back does not count.
        backoff: seconds; the wait before attempt k+1 is drawn evenly from 0 to
            backoff * 2^(k-1), a minute at most.

    Raises:
        SettingsError: if a number is out of its range.

    Attributes:
        reached: whether the endpoint has ever answered, if only with an error.
        limits: as given.
        shared_pace: asked when calls may begin, where several processes share one pace.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        limits: Limits,
        timeout: float,
        deadline: float,
        attempts: int,
        backoff: float,
    ) -> None:
        check_least("attempts", attempts)
        for setting, seconds in (("timeout", timeout), ("deadline", deadline)):
            if not seconds > 0:
                raise SettingsError(f"llm.{setting} is {seconds}, expected seconds above 0")
        self.reached = False
        self._endpoint = endpoint
        self.limits = limits
        self.shared_pace: Pacing | None = None
        self._timeout = timeout
        self._deadline = deadline
        self._attempts = attempts
        self._backoff = backoff
        self._opened = PerLoop(self._open)

    @property
    def pace(self) -> Pacing:
        """When it may be asked, in the running event loop."""
        return self.shared_pace or pace_of(self._endpoint, self.limits)

    async def complete(self, request: Mapping[str, Any], *, tokens: int) -> Completed:
        """A chat completion.

        Args:
            request: the JSON body.
            tokens: of the prompt and of the longest answers, for a limit on them.

        Raises:
            CallError: if it failed, again and again where it failed in passing.
            EndpointError: if every other request would fail like it, or too many have failed.
            NotSentError: if all is stopped before it was sent.
            SettingsError: see `_open`.
        """
        pace = self.pace
        number = pace.number()
        failures: list[CallError] = []
        sent = _now()
        cut_short = 0  # by the deadline

        def is_last(state: RetryCallState) -> bool:
            ends = clock.when()
            late = ends is not None and _now() + state.upcoming_sleep >= ends
            counted = sum(not failure.wait for failure in failures)
            return late or counted >= self._attempts or pace.is_over

        async def attempt() -> dict[str, Any]:
            nonlocal sent, cut_short
            flight = await _turn(pace, number, tokens, first=not failures)
            began = _now()
            if clock.when() is None:
                sent = began
                clock.reschedule(began + self._deadline)
            seconds, busy = None, False
            try:
                completion = await self._send(request, pace)
                seconds = _now() - began
                return completion
            except CallError as error:
                failures.append(error)
                pace.leave_alone(error.wait if error.transient else 0.0)
                busy = error.busy
                raise
            except asyncio.CancelledError:
                cut_short = 1
                raise
            finally:
                pace.end(flight, seconds=seconds, busy=busy)

        try:
            async with asyncio.timeout(None) as clock:
                try:
                    completion = await attempt()
                except CallError as error:
                    completion = await _tried_again(attempt, error, is_last, self._wait)
        except (CallError, TimeoutError) as error:
            failure = error if isinstance(error, CallError) else self._late(failures)
            failure.seconds = _now() - sent
            failure.unanswered = cut_short + _unanswered(failures)
            raise failure from None
        pace.count_success()
        return Completed(completion, _now() - sent, _unanswered(failures))

    async def call(self, request: Callable[[openai.AsyncOpenAI], Awaitable[Outcome]]) -> Outcome:
        """The outcome of one request, made once and at once.

        Args:
            request: makes it with the client that it is given.

        Raises:
            CallError: if it failed.
            EndpointError: if every other request would fail like it.
            SettingsError: see `_open`.
        """
        return await self._made(request(self._opened.here().client))

    async def _made(self, request: Awaitable[Outcome], *, constrained: bool = False) -> Outcome:
        """See `call`; `constrained`: whether it holds answers to the labels."""
        import aiohttp
        import openai

        try:
            # The client's own timeout is between two bytes; this one is for all of them.
            async with asyncio.timeout(self._timeout):
                outcome = await request
        except (TimeoutError, openai.APIError, aiohttp.ClientError, ValueError) as error:
            self.reached = self.reached or isinstance(error, openai.APIStatusError)
            failure = explain(error, self._endpoint, timeout=self._timeout, constrained=constrained)
        else:
            self.reached = True
            return outcome
        # Out here, so that the client's error, which holds request and key, is no part of it.
        raise failure

    async def close(self) -> None:
        """Close the connections of the running event loop; the next request opens new ones.

        Python warns of those that an event loop leaves open when it ends.
        """
        self.pace.reset()
        if (opened := self._opened.pop()) is not None:
            try:
                await opened.completions.close()
            finally:
                await opened.client.close()

    def _open(self) -> _Opened:
        """The client, and what posts requests for chat completions like it.

        Raises:
            SettingsError: if what the environment says of certificates or proxies cannot be used.
        """
        import httpx2
        import openai

        connect = min(10.0, self._timeout / 2)
        try:
            tls = httpx2.create_ssl_context()
            # By aiohttp, a call of the client takes less of the processor than by httpx2 alone.
            http = openai.DefaultAioHttpClient(
                auth=self._endpoint.login,
                limits=httpx2.Limits(max_connections=0),  # no limit, in aiohttp's words
                verify=tls,
            )
        except httpx2.InvalidURL:
            # Without its words: they may hold a part of a proxy's password.
            raise SettingsError(
                "a proxy of the environment (HTTP_PROXY and the like) is no URL; expected "
                "http://user:password@host:port, with %2F for a / in the password and the like"
            ) from None
        except (OSError, ValueError) as error:
            raise SettingsError(
                "the environment's certificates (SSL_CERT_FILE, SSL_CERT_DIR) or proxies "
                f"(HTTP_PROXY and the like, NO_PROXY) cannot be used: {self._endpoint.brief(error)}"
            ) from None
        client = openai.AsyncOpenAI(
            api_key=self._endpoint.key or "none",
            base_url=self._endpoint.address,
            max_retries=0,
            timeout=httpx2.Timeout(self._timeout, connect=connect),
            http_client=http,
        )
        posting = Posting(client, http, "/chat/completions", tls=tls, connect=connect)
        return _Opened(client, posting)

    async def _send(self, request: Mapping[str, Any], pace: Pacing) -> dict[str, Any]:
        """One request for a chat completion, unless another one was refused for good."""
        opened = self._opened.here()  # it may have been closed meanwhile
        opened.check()  # another call may have been refused while this one waited
        try:
            return await self._made(
                self._post(opened.completions, request, pace), constrained=is_constrained(request)
            )
        except EndpointError as error:
            opened.refusal = error
            raise

    def _late(self, failures: Sequence[CallError]) -> CallError:
        """The error of a call that reached its deadline after these failures."""
        last = f"; before that: {failures[-1]}" if failures else ""
        return CallError(
            f"{self._endpoint.url} gave no answer within {self._deadline:g} s, all tries and "
            f"waits included (llm.deadline){last}"
        )

    async def _post(
        self, completions: Posting, request: Mapping[str, Any], pace: Pacing
    ) -> dict[str, Any]:
        """One request for a chat completion.

        The JSON is written and read here, since turning every message and answer into the
        client's own types takes longer than all else that is done for a call.
        """
        response = await completions.post(_encode(request).encode())
        pace.leave_alone(seconds_until_reset(response.headers))
        try:
            completion = json.loads(response.content)
        except ValueError:
            if "json" in response.headers.get("content-type", ""):
                raise
            raise no_completion(response.content.decode(errors="replace"), self._endpoint) from None
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if not isinstance(completion, dict) or not isinstance(completion.get("choices"), list):
            raise no_completion(completion, self._endpoint)
        if (failed := first_failure(completion["choices"])) is not None:
            raise broken_off(failed, self._endpoint)
        return completion

    def _wait(self, state: RetryCallState) -> float:
        """Seconds before the next attempt: what was asked for, and a share of chance."""
        import tenacity

        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, CallError) and error.wait:
            return error.wait + tenacity.wait_random(0, self._backoff)(state)
        return tenacity.wait_random_exponential(multiplier=self._backoff, max=60)(state)


async def _turn(pace: Pacing, number: int, tokens: int, *, first: bool) -> Any:
    """What the pace gives a call that may be sent, for the first time or again."""
    try:
        return await pace.begin(number, tokens)
    except asyncio.CancelledError:
        # An earlier try may have cost something; and who cancels this call alone, such as a
        # timeout around it, looks for its own error.
        if first and pace.is_over:
            raise NotSentError from None
        raise


async def _tried_again(
    attempt: Callable[[], Awaitable[Outcome]],
    failure: CallError,
    is_last: Callable[[RetryCallState], bool],
    wait: Callable[[RetryCallState], float],
) -> Outcome:
    """What comes of an attempt that failed, after further ones where it failed in passing.

    The first one is made without tenacity, whose accounts take longer than all else that is done
    for a call; tenacity is told of it as if it had made it.
    """
    import tenacity

    untold = [failure]

    async def next_attempt() -> Outcome:
        if untold:
            raise untold.pop()
        return await attempt()

    outcome: Outcome = await tenacity.AsyncRetrying(
        stop=is_last,
        wait=wait,
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, CallError) and error.transient
        ),
        reraise=True,
    )(next_attempt)
    return outcome


def _unanswered(failures: Sequence[CallError]) -> int:
    return sum(failure.unanswered for failure in failures)


def _now() -> float:
    return asyncio.get_running_loop().time()
