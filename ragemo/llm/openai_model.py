"""A language model behind an API that speaks OpenAI's chat completions.

One class serves OpenAI itself and every compatible server (vLLM, Ollama, llama.cpp, gateways):
only the base URL differs. What an endpoint can do is learned from its answers and remembered:

| what is tried first | what shows that it does not work | what is done then |
| --- | --- | --- |
| answers constrained to the labels | refused, or passed over | the next kind, at last none |
| several answers a call (`n`) | refused (llama.cpp: more than slots) | half as many, down to one |
| | ignored (Ollama): fewer answers come | as many as came, and further calls |
| `temperature`, `seed` | refused (reasoning models) | left out |
| `max_tokens` | refused in favour of `max_completion_tokens` | that one |
| room for a label and no more | thoughts filled it and no answer came | room for thoughts too |

No constraint is trusted: every answer is read as if there had been none.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from ragemo.errors import EndpointError, SettingsError
from ragemo.labels import LabelSet
from ragemo.llm.answers import read_label, without_thinking
from ragemo.llm.prices import find_price
from ragemo.types import Ballot, Message, Prompt, Usage

if TYPE_CHECKING:
    import openai
    from tenacity import RetryCallState

CONSTRAINTS = ("auto", "json_schema", "grammar", "none")
OPENAI_URL = "https://api.openai.com/v1"

LONGEST_ANSWER = 2_000
"""Characters of a raw answer that a ballot keeps."""
LONGEST_WAIT = 120.0
"""Seconds of Retry-After that are waited out; asked for more, a call fails at once."""
JSON_TOKENS = 16
"""Room for the braces and the key around a label, in an answer by JSON schema."""
THINKING_TOKENS = 4_096
"""Room for the thoughts of a reasoning model; a limit, of which only what is used is paid."""

_NEXT_CONSTRAINT = {"grammar": "json_schema", "json_schema": "none"}
_CONSTRAINT_FIELD = r"(?i:grammar|structured[ _]output|guided|response_?format|json_?schema)"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an endpoint is taken to be able to do, as far as it has shown.

    Attributes:
        constraint: how answers are held to the labels: "json_schema", "grammar" or "none".
        largest_n: how many answers one call may ask for.
        temperature, seed: whether these may be said.
        answer_limit: the name of the field that limits an answer's length.
        thinks: whether thoughts count against that limit.
    """

    constraint: str
    largest_n: int = 128
    temperature: bool = True
    seed: bool = True
    answer_limit: str = "max_tokens"
    thinks: bool = False

    def after_refusal(self, complaint: str, n: int) -> Capabilities | None:
        """What is left to try, or None if the complaint is about nothing that can be changed.

        Args:
            complaint: the endpoint's words, with the field it names.
            n: how many answers were asked for.
        """

        # A field's name as a word: "n" is not the end of an escaped line break.
        field = r"(?<![\\\w]){}(?!\w)"
        choices = [(field.format("n"), replace(self, largest_n=n // 2))] if n > 1 else []
        if self.answer_limit == "max_tokens":
            other = "max_completion_tokens"
            pattern = rf"(?i:use\W+{other}|{other}\W+instead)"
            choices.append((pattern, replace(self, answer_limit=other)))
        if self.temperature:
            choices.append((field.format("temperature"), replace(self, temperature=False)))
        if self.seed:
            choices.append((field.format("seed"), replace(self, seed=False)))
        if self.constraint != "none":
            following = _NEXT_CONSTRAINT[self.constraint]
            choices.append((_CONSTRAINT_FIELD, replace(self, constraint=following)))
        # "n must be 1 if temperature is 0" is about n: what is named first is meant.
        found = [
            (match.start(), learned)
            for pattern, learned in choices
            if (match := re.search(pattern, complaint))
        ]
        return min(found, key=lambda pair: pair[0])[1] if found else None


class _CallError(Exception):
    """A call came to nothing.

    Args:
        message: what happened, for people.
        transient: whether the same call may succeed soon.
        wait: seconds that the endpoint asks to wait first.
        complaint: what it does not like about the request, if that is the reason.
        unreachable: whether no connection could be made at all.
    """

    def __init__(
        self,
        message: str,
        *,
        transient: bool = False,
        wait: float = 0.0,
        complaint: str = "",
        unreachable: bool = False,
    ) -> None:
        super().__init__(message)
        self.transient = transient
        self.wait = wait
        self.complaint = complaint
        self.unreachable = unreachable


@dataclass(frozen=True, slots=True)
class _Reply:
    """The answers of one call, why each ended, and the tokens of all together."""

    answers: tuple[str, ...]
    ends: tuple[str | None, ...]
    prompt_tokens: int
    cached_tokens: int
    answer_tokens: int

    def and_paid_for(self, wasted: _Reply) -> _Reply:
        """This reply with the tokens of one that could not be used."""
        return replace(
            self,
            prompt_tokens=self.prompt_tokens + wasted.prompt_tokens,
            cached_tokens=self.cached_tokens + wasted.cached_tokens,
            answer_tokens=self.answer_tokens + wasted.answer_tokens,
        )

    @property
    def thought_too_long(self) -> bool:
        """Whether an answer hit its limit before it said anything.

        Blanks are no thoughts: more room would only bring more of them.
        """
        return any(
            end == "length" and not without_thinking(answer) and (not answer or answer.strip())
            for answer, end in zip(self.answers, self.ends, strict=True)
        )

    def ignores_grammar(self, labels: LabelSet) -> bool:
        """Whether an answer that ended by itself is no label, letter by letter."""
        return any(
            end in ("stop", None) and answer.strip() and answer.strip() not in labels.words
            for answer, end in zip(self.answers, self.ends, strict=True)
        )


class OpenAIModel:
    """A model behind an OpenAI-compatible endpoint; see `LanguageModel` for what it promises.

    The key comes from OPENAI_API_KEY and from nowhere else. It is never part of an identity, an
    error or a ballot.

    Answer number i is drawn with `seed + i`. Answers with consecutive numbers are asked for in
    one call with the first one's seed, and vLLM and llama.cpp count on from there: with them an
    answer is the same whether it was asked for alone or with others.

    Args:
        name: the model's name, as the endpoint knows it.
        base_url: e.g. "http://localhost:8000/v1"; else OPENAI_BASE_URL, else OpenAI's own.
        temperature: of sampling.
        max_answer_tokens: room for the label; JSON around it and thoughts get room of their own.
        seed: passed on where the endpoint takes it.
        concurrency: how many prompts may be in flight at once.
        timeout: seconds that one request may take.
        attempts: how often a request that failed in passing is made.
        constraint: how answers are held to the labels. "auto": by JSON schema with OpenAI, else
            by llama.cpp's `grammar` and vLLM's `structured_outputs`, else by JSON schema; and
            without any where none of them works. A constraint chosen by name is kept to.
        backoff: seconds; the wait before attempt k+1 is drawn evenly from 0 to
            backoff * 2^(k-1), a minute at most.
        asks: whether it will be asked; where it only counts tokens it needs no key.

    Raises:
        SettingsError: if a setting is out of its range, there is no key where one is needed, or
            RAGEMO_PRICES cannot be read.
    """

    exact = False
    counts_exactly = False

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        temperature: float = 0.7,
        max_answer_tokens: int = 16,
        seed: int = 0,
        concurrency: int = 8,
        timeout: float = 60.0,
        attempts: int = 5,
        constraint: str = "auto",
        backoff: float = 2.0,
        asks: bool = True,
    ) -> None:
        if constraint not in CONSTRAINTS:
            raise SettingsError(
                f"llm.constraint {constraint!r}: expected one of {', '.join(CONSTRAINTS)}"
            )
        for setting, value, least in (
            ("temperature", temperature, 0),
            ("max_answer_tokens", max_answer_tokens, 1),
            ("concurrency", concurrency, 1),
            ("attempts", attempts, 1),
        ):
            if value < least:
                raise SettingsError(f"llm.{setting} is {value}, expected {least} or more")
        if not timeout > 0:
            raise SettingsError(f"llm.timeout is {timeout}, expected seconds above 0")
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        url = _split_url(base_url)
        host = url.hostname or ""
        is_openai = host == "api.openai.com" or host.endswith(".api.openai.com")
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not key and is_openai and asks:
            raise SettingsError(
                f"{name!r} is taken for a model of the OpenAI API, which needs a key: set "
                "OPENAI_API_KEY (in the environment or in .env), or set "
                "llm.base_url or OPENAI_BASE_URL to a server that needs none, such as the one "
                "that `ragemo models serve` starts"
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise SettingsError(
                "OPENAI_API_KEY has characters that cannot be part of a key; copy it again"
            )

        self.name = name
        self.concurrency = concurrency
        self._url = urlunsplit((url.scheme, url.netloc.rpartition("@")[2], url.path, "", ""))
        self._url = self._url.rstrip("/")
        self._temperature = temperature
        self._max_answer_tokens = max_answer_tokens
        self._seed = seed
        self._timeout = timeout
        self._attempts = attempts
        self._constraint = constraint
        self._backoff = backoff
        # What is shorter stands in for a key, and might be part of an ordinary word.
        self._secrets = [secret for secret in (key, url.password or "") if len(secret) >= 6]
        is_local = host in {"localhost", "::1"} or host.startswith("127.")
        self._price = find_price(name, local=is_local)
        first = "json_schema" if is_openai else "grammar"
        self._capabilities = Capabilities(first if constraint == "auto" else constraint)
        self._reached = False
        self._key = key or "none"
        self._base_url = base_url
        self._client: openai.AsyncOpenAI | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Model, endpoint and how it is asked."""
        return {
            "backend": "openai",
            "model": self.name,
            "base_url": self._url,
            "temperature": self._temperature,
            "max_answer_tokens": self._max_answer_tokens,
            "constraint": self._constraint,
            "seed": self._seed,
        }

    @property
    def capabilities(self) -> Capabilities:
        """What the endpoint has shown so far."""
        return self._capabilities

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """An estimate of a prompt's tokens that errs upwards; see `estimate_tokens`.

        Five tokens are added for each message and three for the opening of the answer, as much
        as the usual chat formats take.
        """
        return 3 + sum(5 + estimate_tokens(message.content) for message in messages)

    def price(self, prompt_tokens: int, answer_tokens: int) -> float | None:
        """US dollars by `find_price`, with nothing cached."""
        return None if self._price is None else self._price.cost(prompt_tokens, 0, answer_tokens)

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """See `LanguageModel.ask`.

        The tokens of a call are shared out over its ballots, so that sums are right; each has
        the seconds of the whole call. Where an endpoint does not count tokens, `prompt.tokens`
        and an estimate stand in.

        Raises:
            EndpointError: if no call of this run can succeed: no connection was ever made, the
                key or the model is refused, there is no credit left, or the constraint chosen
                by name is refused.
        """
        ballots: list[Ballot] = []
        waiting = list(samples)
        while waiting:
            together = 1
            while together < len(waiting) and waiting[together] == waiting[0] + together:
                together += 1
            started = time.perf_counter()
            try:
                reply = await self._complete(prompt, labels, waiting[0], together)
            except _CallError as error:
                if error.unreachable and not self._reached:
                    raise EndpointError(str(error), retryable=True) from None
                usage = Usage(cost=self.price(0, 0), seconds=time.perf_counter() - started)
                ballots += [
                    Ballot(prompt.utterance_id, self.name, sample, error=str(error), usage=usage)
                    for sample in waiting
                ]
                break
            seconds = time.perf_counter() - started
            got = len(reply.answers)
            for answer, sample, usage in zip(
                reply.answers, waiting[:got], self._usages(reply, seconds), strict=True
            ):
                label = read_label(answer, labels)
                ballots.append(
                    Ballot(
                        utterance_id=prompt.utterance_id,
                        voter=self.name,
                        sample=sample,
                        distribution=None if label is None else labels.one_hot(label),
                        answer=self._scrub(answer)[:LONGEST_ANSWER],
                        usage=usage,
                    )
                )
            waiting = waiting[got:]
        return ballots

    async def close(self) -> None:
        """Close the connections, which belong to the running event loop.

        The next question opens new ones, so that a model may serve one event loop after another
        if each closes it.
        """
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def describe(self) -> dict[str, Any]:
        """What the endpoint is and does, measured with a few tiny calls; never raises.

        Returns:
            `model`, `base_url`; `reachable`; `models` (the first 20 that it lists);
            `model_listed`; `constraint` (the one in use) and `constraint_kept` (whether answers
            to a question about something else were labels); `n`, `seed`, `temperature`,
            `logprobs` (whether it takes them); `thinks`; `seconds` (of one call);
            `price` (USD per million tokens, or None); `errors`, in words. What could not be
            measured is None.
        """
        report: dict[str, Any] = {
            "model": self.name,
            "base_url": self._url,
            "reachable": False,
            "models": [],
            **dict.fromkeys(("model_listed", "constraint", "constraint_kept", "n", "seed")),
            **dict.fromkeys(("temperature", "logprobs", "thinks", "seconds")),
            "price": None
            if self._price is None
            else {field: getattr(self._price, field) for field in ("prompt", "cached", "answer")},
            "errors": [],
        }
        try:
            page = await self._guard(lambda client: client.models.list())
            names = [str(model.id) for model in page.data]
            report |= {"models": names[:20], "model_listed": self.name in names}
        except Exception as error:  # a doctor reports whatever it finds
            report["errors"].append(f"list of models: {self._scrub(str(error))}")
        report["reachable"] = self._reached
        if self._reached:
            try:
                await self._examine(report)
            except Exception as error:
                report["errors"].append(f"chat completion: {self._scrub(str(error))}")
        return report

    async def _examine(self, report: dict[str, Any]) -> None:
        labels = LabelSet.from_dict({"name": "doctor", "labels": ["yes", "no"]})
        prompt = Prompt("doctor", (Message("user", "Name a colour of the sky."),), tokens=16)
        ballots = await self.ask(prompt, labels, (0, 1))
        if failed := next((ballot for ballot in ballots if ballot.failed), None):
            report["errors"].append(f"chat completion: {failed.error}")
            return
        able = self._capabilities
        report |= {
            "constraint": able.constraint,
            "constraint_kept": able.constraint != "none"
            and all(ballot.distribution is not None for ballot in ballots),
            "n": able.largest_n > 1,
            "seed": able.seed,
            "temperature": able.temperature,
            "thinks": able.thinks,
            "seconds": round(ballots[-1].usage.seconds, 3),
        }
        body = self._body(prompt, labels, 0, 1, replace(able, constraint="none"))
        try:
            completion = await self._guard(
                lambda client: client.chat.completions.create(**body, logprobs=True, top_logprobs=2)
            )
            report["logprobs"] = bool(completion.choices[0].logprobs)
        except _CallError as error:
            report["logprobs"] = False if error.complaint else None

    # -- one call ----------------------------------------------------------------------------

    async def _complete(self, prompt: Prompt, labels: LabelSet, sample: int, most: int) -> _Reply:
        """At least one answer and at most `most`, learning what the endpoint can do on the way.

        It ends: each turn that brings no reply takes a capability away or gives room to think,
        here or in a call that runs beside this one, and there are few to take.

        Raises:
            _CallError: if the call fails for good.
            EndpointError: if every call would.
        """
        wasted: list[_Reply] = []
        while True:
            able = self._capabilities
            n = min(most, able.largest_n)
            body = self._body(prompt, labels, sample, n, able)
            try:
                reply = await self._attempt(body, prompt, n)
            except _CallError as error:
                # Another call may have learned something since this one was sent.
                if error.complaint and self._capabilities is able:
                    self._learn(able.after_refusal(error.complaint, n), error)
                if error.complaint and self._capabilities is not able:
                    continue
                raise
            if reply.thought_too_long and not able.thinks:
                self._capabilities = replace(self._capabilities, thinks=True)
            elif (
                self._constraint == "auto"
                and able.constraint == "grammar"
                and reply.ignores_grammar(labels)
            ):
                if self._capabilities.constraint == "grammar":
                    self._capabilities = replace(self._capabilities, constraint="json_schema")
            else:
                break
            wasted.append(reply)
        if 0 < len(reply.answers) < n and self._capabilities.largest_n >= n:
            self._capabilities = replace(self._capabilities, largest_n=len(reply.answers))
        if not reply.answers:
            # The endpoint was asked and had nothing to say: an empty answer, no failure.
            reply = replace(reply, answers=("",), ends=(None,))
        for other in wasted:
            reply = reply.and_paid_for(other)
        return reply

    def _learn(self, learned: Capabilities | None, error: _CallError) -> None:
        if learned is None:
            return
        if self._constraint not in ("auto", learned.constraint):
            raise EndpointError(
                f"{error}; set llm.constraint to auto or none instead of {self._constraint!r}"
            ) from None
        self._capabilities = learned

    def _body(
        self, prompt: Prompt, labels: LabelSet, sample: int, n: int, able: Capabilities
    ) -> dict[str, Any]:
        """What is sent."""
        room = self._max_answer_tokens
        room += JSON_TOKENS if able.constraint == "json_schema" else 0
        room += THINKING_TOKENS if able.thinks else 0
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [
                {"role": message.role, "content": message.content} for message in prompt.messages
            ],
            able.answer_limit: room,
        }
        if n > 1:
            body["n"] = n
        if able.temperature:
            body["temperature"] = self._temperature
        if able.seed:
            body["seed"] = self._seed + sample
        if able.constraint == "json_schema":
            body["response_format"] = label_schema(labels)
        elif able.constraint == "grammar":
            # Each server knows one of the two and passes over the other.
            body["extra_body"] = {
                "grammar": label_grammar(labels),
                "structured_outputs": {"choice": list(labels.words)},
            }
        return body

    async def _attempt(self, body: dict[str, Any], prompt: Prompt, n: int) -> _Reply:
        """Make a request, again and again where it fails in passing."""
        import tenacity

        async def once() -> _Reply:
            completion = await self._guard(
                lambda client: client.chat.completions.create(**body),
                constrained="response_format" in body or "extra_body" in body,
            )
            return self._reply(completion, prompt, n)

        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, _CallError) and error.transient
            ),
            reraise=True,
        )
        reply: _Reply = await retrying(once)
        return reply

    def _wait(self, state: RetryCallState) -> float:
        """Seconds before the next attempt: what was asked for, and a share of chance."""
        import tenacity

        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, _CallError) and error.wait:
            return error.wait + tenacity.wait_random(0, self._backoff)(state)
        return tenacity.wait_random_exponential(multiplier=self._backoff, max=60)(state)

    def _reply(self, completion: Any, prompt: Prompt, n: int) -> _Reply:
        choices = getattr(completion, "choices", None)
        if not isinstance(choices, list):
            # Some gateways put an error into an answer with status 200.
            what = getattr(completion, "error", None) or completion
            raise _CallError(
                f"{self._url} answered with something that is no chat completion: "
                f"{self._brief(what)}; is this the base URL of an OpenAI-compatible API?",
                transient=True,
            )
        answers = tuple(_content(choice) for choice in choices[:n])
        usage = getattr(completion, "usage", None)
        prompt_tokens = _count(usage, "prompt_tokens", prompt.tokens)
        details = getattr(usage, "prompt_tokens_details", None)
        return _Reply(
            answers=answers,
            ends=tuple(getattr(choice, "finish_reason", None) for choice in choices[:n]),
            prompt_tokens=prompt_tokens,
            cached_tokens=min(_count(details, "cached_tokens", 0), prompt_tokens),
            answer_tokens=_count(
                usage, "completion_tokens", sum(estimate_tokens(answer) for answer in answers)
            ),
        )

    def _usages(self, reply: _Reply, seconds: float) -> list[Usage]:
        parts = len(reply.answers)
        return [
            Usage(
                prompt_tokens=prompt_tokens,
                cached_tokens=cached_tokens,
                answer_tokens=answer_tokens,
                cost=None
                if self._price is None
                else self._price.cost(prompt_tokens, cached_tokens, answer_tokens),
                seconds=seconds,
            )
            for prompt_tokens, cached_tokens, answer_tokens in zip(
                _share(reply.prompt_tokens, parts),
                _share(reply.cached_tokens, parts),
                _share(reply.answer_tokens, parts),
                strict=True,
            )
        ]

    # -- faults ------------------------------------------------------------------------------

    async def _guard(
        self, call: Callable[[openai.AsyncOpenAI], Awaitable[Any]], *, constrained: bool = False
    ) -> Any:
        """The outcome of one request, or the reason why there is none, in our words.

        Raises:
            _CallError: if it failed.
            EndpointError: if every other request would fail like it.
        """
        import httpx2
        import openai

        if self._client is None:
            patience = httpx2.Timeout(self._timeout, connect=min(10.0, self._timeout / 2))
            self._client = openai.AsyncOpenAI(
                api_key=self._key, base_url=self._base_url, max_retries=0, timeout=patience
            )
        client = self._client
        late = f"{self._url} did not answer within {self._timeout:g} s (llm.timeout)"
        try:
            # The client's own timeout is between two bytes; this one is for all of them.
            async with asyncio.timeout(self._timeout):
                outcome = await call(client)
            self._reached = True
            return outcome
        except TimeoutError:
            raise _CallError(late, transient=True) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__
            if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
                raise _CallError(
                    f"cannot connect to {self._url}: {self._brief(cause)}; does the server run?",
                    transient=True,
                    unreachable=True,
                ) from None
            if isinstance(error, openai.APITimeoutError):
                raise _CallError(late, transient=True) from None
            raise _CallError(
                f"the connection to {self._url} broke: {self._brief(cause or error)}",
                transient=True,
            ) from None
        except openai.APIStatusError as error:
            self._reached = True
            raise self._judge(error, constrained=constrained) from None
        except UnicodeEncodeError as error:
            raise _CallError(f"the prompt cannot be sent: {self._brief(error)}") from None
        except (openai.APIError, ValueError) as error:
            raise _CallError(
                f"{self._url} answered with damaged JSON: {self._brief(error)}", transient=True
            ) from None

    def _judge(
        self, error: openai.APIStatusError, *, constrained: bool
    ) -> _CallError | EndpointError:
        """What an HTTP error means: for this request, for a later one, for all."""
        status = error.status_code
        complaint = _complaint(error)
        message = f"HTTP {status} from {self._url}: {self._brief(complaint)}"
        if status == 401:
            # Without the endpoint's words: they may hold parts of the key.
            return EndpointError(
                f"HTTP 401 from {self._url}: the key was not accepted; "
                "set OPENAI_API_KEY to a key of this endpoint"
            )
        if status == 402 or "insufficient_quota" in (error.code, error.type):
            return EndpointError(f"{message}. The account has no credit left there; add some")
        if status == 403 and not re.search("moderation|flagged", complaint, re.IGNORECASE):
            return EndpointError(
                f"{message}. The key in OPENAI_API_KEY may not use {self.name!r} there"
            )
        if status == 404 or error.code == "model_not_found":
            return EndpointError(
                f"{message}. Either there is no model {self.name!r} there (`ragemo doctor` lists "
                "those there are), or llm.base_url is wrong (most end in /v1)"
            )
        if status in (400, 422):
            return _CallError(message, complaint=complaint)
        if status in (408, 409, 425, 429) or status >= 500:
            if (
                constrained
                and isinstance(error.body, dict)
                and re.search(_CONSTRAINT_FIELD, complaint)
            ):
                # llama_cpp.server says so by status 500.
                return _CallError(message, complaint=complaint)
            wait = _retry_after(error)
            if wait > LONGEST_WAIT:
                return _CallError(f"{message}. It asks to wait for {wait:.0f} s")
            return _CallError(message, transient=True, wait=wait)
        return _CallError(message)

    def _brief(self, what: object) -> str:
        """Some words of another program, on one line and without secrets."""
        text = " ".join(self._scrub(_writable(str(what) or type(what).__name__)).split())
        if re.match(r"<(!doctype|html)", text, re.IGNORECASE):
            return "an HTML page"
        return text if len(text) <= 300 else text[:300] + " ..."

    def _scrub(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return text


def label_grammar(labels: LabelSet) -> str:
    """The labels' words as a llama.cpp grammar (GBNF), which writes strings as JSON does."""
    return "root ::= " + " | ".join(json.dumps(word, ensure_ascii=False) for word in labels.words)


def label_schema(labels: LabelSet) -> dict[str, Any]:
    """The `response_format` of an answer such as {"label": "joy"}."""
    return {
        "type": "json_schema",
        "json_schema": {
            "name": "label",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"label": {"type": "string", "enum": list(labels.words)}},
                "required": ["label"],
                "additionalProperties": False,
            },
        },
    }


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has, with no tokenizer at hand: rather too many.

    A run of letters and digits counts one token per 4 bytes begun, a run of other signs one per
    2. On English dialogue that is 18 to 19 % more than SmolLM2's tokenizer (49,152 tokens)
    counts; one utterance in 16 comes out too low, by a token or two. Larger vocabularies need
    fewer tokens still.
    """
    return sum(
        math.ceil(len(run.encode("utf-8", "replace")) / (4 if run[0].isalnum() else 2))
        for run in re.findall(r"\w+|[^\w\s]+", text)
    )


def _split_url(base_url: str) -> Any:
    try:
        url = urlsplit(base_url)
        _ = url.port  # raises if it is no number
    except ValueError:
        url = urlsplit("")
    if url.scheme not in ("http", "https") or not url.hostname:
        # A URL may hold a password, so it is not repeated.
        raise SettingsError(
            "llm.base_url (or OPENAI_BASE_URL) is no URL; expected something like "
            "http://localhost:8000/v1"
        )
    return url


def _content(choice: Any) -> str:
    content = getattr(getattr(choice, "message", None), "content", None)
    return _writable(content) if isinstance(content, str) else ""


def _writable(text: str) -> str:
    """A text that can be saved as UTF-8: JSON may hold half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _count(holder: Any, field: str, otherwise: int) -> int:
    value = getattr(holder, field, None)
    return value if isinstance(value, int) and value >= 0 else otherwise


def _share(total: int, parts: int) -> list[int]:
    """A whole number in whole parts that add up to it again."""
    quotient, rest = divmod(total, parts)
    return [quotient + (part < rest) for part in range(parts)]


def _complaint(error: openai.APIStatusError) -> str:
    """What an error says, with the fields it names, without the request it may echo."""
    body = error.body
    if not isinstance(body, dict):
        return str(body or error)
    detail = body.get("detail")
    if isinstance(detail, list):  # FastAPI's: an entry for each field
        return "; ".join(
            f"{entry.get('loc')}: {entry.get('msg')}" for entry in detail if isinstance(entry, dict)
        )
    text = str(body.get("message") or detail or body)
    return f"{body['param']}: {text}" if body.get("param") else text


def _retry_after(error: openai.APIStatusError) -> float:
    """Seconds that the endpoint asks to wait, or 0 (RFC 9110, section 10.2.3)."""
    said = error.response.headers.get("retry-after", "").strip()
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except ValueError:
            return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
