"""What a failed call means, for this call, for a later one and for all; and in our words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ragemo.errors import EndpointError
from ragemo.llm.abilities.capabilities import CONSTRAINT_FIELD, LOGPROBS_FIELD
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.llm.sending.waits import LONGEST_WAIT, seconds_until_reset, seconds_until_retry

if TYPE_CHECKING:
    import openai

    from ragemo.llm.replies import Reply


NO_CREDIT = (  # a tuple, in which anything may be looked for
    *("insufficient_quota", "billing_not_active", "billing_hard_limit_reached"),
    "exceeded_current_quota_error",
)
"""Codes of OpenAI and others, some of which come with the status of too many requests."""
_ABOUT_ONE_PROMPT = re.compile(
    r"moderation|flagged|guardrail|content.?(?:policy|filter)|safety", re.IGNORECASE
)
"""What a refusal says that is about what was asked and not about who asks."""


class CallError(Exception):
    """A call came to nothing.

    Args:
        message: what happened, for people.
        transient: whether the same call may succeed soon.
        wait: seconds that the endpoint asks to wait first; too many for a call that is no
            `transient` one.
        busy: whether the endpoint has too much to do.
        complaint: what it does not like about the request, if that is the reason.
        unreachable: whether no connection could be made at all.
        unanswered: how many requests were sent for it that brought no answer, see `Usage`.

    Attributes:
        seconds: from the sending of the first request to the end of all tries.
        wasted: replies before it that could not be used, and were paid for.
    """

    def __init__(
        self,
        message: str,
        *,
        transient: bool = False,
        wait: float = 0.0,
        busy: bool = False,
        complaint: str = "",
        unreachable: bool = False,
        unanswered: int = 0,
    ) -> None:
        super().__init__(message)
        self.seconds = 0.0
        self.wasted: list[Reply] = []
        self.transient = transient
        self.wait = wait
        self.busy = busy
        self.complaint = complaint
        self.unreachable = unreachable
        self.unanswered = unanswered


def explain(
    error: Exception, endpoint: Endpoint, *, timeout: float, constrained: bool
) -> CallError | EndpointError:
    """The error to raise for one of the client's.

    Args:
        error: a TimeoutError, an openai.APIError, an aiohttp.ClientError or a ValueError.
        endpoint: who was asked.
        timeout: seconds that the call was allowed.
        constrained: whether answers were held to the labels, which some servers refuse as if
            it were a passing fault.

    Returns:
        An EndpointError where every other call would fail like this one.
    """
    import aiohttp
    import openai

    if isinstance(error, openai.APIStatusError):
        return _explain_status(error, endpoint, constrained=constrained)
    # The client takes every lost connection for one that could not be made: aiohttp, which made
    # it, knows better.
    causes = list(_causes(error))
    cause = next((one for one in causes if isinstance(one, aiohttp.ClientError)), None)
    if isinstance(cause, aiohttp.ClientProxyConnectionError):
        return CallError(
            f"cannot connect to {endpoint.url}: the proxy {cause.host}:{cause.port} (HTTP_PROXY "
            f"and the like) is not there: {_why(cause, endpoint)}",
            transient=True,
            unreachable=True,
        )
    if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return CallError(
            f"cannot connect to {endpoint.url}: {_why(cause, endpoint)}; does the server run?",
            transient=True,
            unreachable=True,
        )
    if any(isinstance(one, TimeoutError) for one in (error, cause)):
        return CallError(
            f"{endpoint.url} did not answer within {timeout:g} s (llm.timeout)",
            transient=True,
            busy=True,
            unanswered=1,
        )
    if isinstance(error, openai.APIConnectionError | aiohttp.ClientError):
        words = getattr(causes[-1], "message", "") or causes[-1]
        return CallError(
            f"the connection to {endpoint.url} broke: {endpoint.brief(words)}",
            transient=True,
            unanswered=1,
        )
    if isinstance(error, UnicodeEncodeError):
        return CallError(f"the prompt cannot be sent: {endpoint.brief(error)}")
    return CallError(
        f"{endpoint.url} answered with damaged JSON: {endpoint.brief(error)}",
        transient=True,
        unanswered=1,
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was made of, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _why(error: BaseException, endpoint: Endpoint) -> str:
    """Why a connection could not be made, in the system's words where it has any."""
    reason = getattr(error, "os_error", None)
    if isinstance(reason, ConnectionError) and reason.errno:
        return os.strerror(reason.errno)
    return endpoint.brief(error)


def explain_outcome(
    status: int | None, error: Mapping[str, Any], endpoint: Endpoint, words: str
) -> CallError | EndpointError:
    """What an error means that came in a file instead of a response.

    Args:
        status: of the response, or None if the request was never made.
        error: the response's error, as it came.
        endpoint: who was asked.
        words: the error in words.
    """
    import httpx2
    import openai

    if status is None or status < 400:
        return CallError(endpoint.brief(words), transient=True)
    response = httpx2.Response(status, request=httpx2.Request("POST", endpoint.url))
    told = openai.APIStatusError(words, response=response, body=dict(error))
    return _explain_status(told, endpoint, constrained=True)


def no_completion(answer: object, endpoint: Endpoint) -> CallError:
    """The error to raise for an answer with status 200 that is no chat completion."""
    # Some gateways put an error into it.
    what = (answer.get("error") if isinstance(answer, dict) else None) or answer
    return CallError(
        f"{endpoint.url} answered with something that is no chat completion: "
        f"{endpoint.brief(what)}; is this the base URL of an OpenAI-compatible API?",
        transient=True,
    )


def broken_off(choice: Mapping[str, Any], endpoint: Endpoint) -> CallError:
    """The error to raise for a completion of which no answer came to its end."""
    error = choice.get("error") or "it does not say why"
    words = (error.get("message") or error) if isinstance(error, dict) else error
    return CallError(
        f"{endpoint.url} broke its answer off: {endpoint.brief(words)}",
        transient=True,
        unanswered=1,
    )


def _explain_status(
    error: openai.APIStatusError, endpoint: Endpoint, *, constrained: bool
) -> CallError | EndpointError:
    status = error.status_code
    complaint = _complaint(error)
    message = f"HTTP {status} from {endpoint.url}: {endpoint.brief(complaint)}"
    if status == 401:
        # Without the endpoint's words: they may hold parts of the key.
        return EndpointError(
            f"HTTP 401 from {endpoint.url}: the key was not accepted; "
            "set OPENAI_API_KEY to a key of this endpoint"
        )
    if status == 402 or any(word in NO_CREDIT for word in (error.code, error.type)):
        return EndpointError(f"{message}. The account has no credit left there; add some")
    if status == 403 and re.search(LOGPROBS_FIELD, complaint):
        # OpenAI's reasoning models: only these may not be asked for.
        return CallError(message, complaint=complaint)
    if status == 403 and not _ABOUT_ONE_PROMPT.search(complaint):
        return EndpointError(
            f"{message}. The key in OPENAI_API_KEY may not use {endpoint.model!r} there"
        )
    if status == 404 or error.code == "model_not_found":
        return EndpointError(
            f"{message}. Either there is no model {endpoint.model!r} there (`ragemo doctor` "
            "lists those there are), or llm.base_url is wrong (most end in /v1)"
        )
    if status in (400, 422):
        return CallError(message, complaint=complaint)
    if status not in (408, 409, 425, 429) and status < 500:
        return CallError(message)
    wait = _wait(status, error.response.headers)
    about_constraint = isinstance(error.body, dict) and re.search(CONSTRAINT_FIELD, complaint)
    if status == 500 and constrained and about_constraint and not wait:
        # llama_cpp.server refuses a constraint so. What is too busy for one may take it later.
        return CallError(message, complaint=complaint)
    busy = status in (429, 503, 529)
    if wait > LONGEST_WAIT:
        return CallError(f"{message}. It asks to wait for {wait:.0f} s", wait=wait, busy=busy)
    return CallError(message, transient=True, wait=wait, busy=busy)


def _wait(status: int, headers: Mapping[str, str]) -> float:
    """Seconds that an endpoint asks to be left alone.

    What it says of its limits tells when all will be there again, which is more than a call needs:
    only where they are the reason is a long time of that kind taken for what it asks.
    """
    reset = seconds_until_reset(headers)
    return seconds_until_retry(headers) or (reset if status == 429 or reset <= LONGEST_WAIT else 0)


def _complaint(error: openai.APIStatusError) -> str:
    """What an error says, with the fields it names, without the request it may echo."""
    body = error.body
    if not isinstance(body, dict):
        return str(body or error)
    detail = body.get("detail")
    if isinstance(detail, list):  # FastAPI's: an entry for each field
        return "; ".join(
            f"{entry.get('loc')}: {entry.get('msg')}" if isinstance(entry, dict) else str(entry)
            for entry in detail
        )
    text = str(body.get("message") or detail or body)
    return f"{body['param']}: {text}" if body.get("param") else text
