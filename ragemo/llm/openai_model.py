"""A language model behind an API that speaks OpenAI's chat completions.

One class serves OpenAI itself and every compatible server (vLLM, Ollama, llama.cpp, gateways):
only the base URL differs. What an endpoint can do is learned from its answers and remembered
(`ragemo.llm.abilities`). A call goes through these modules:

    Prompt -> requests -> sending.connection -> replies -> answers -> Ballot

No constraint is trusted: every answer is read as if there had been none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import count
from typing import Any

from ragemo.errors import EndpointError, SettingsError
from ragemo.labels import LabelSet
from ragemo.llm.abilities.capabilities import CONSTRAINTS, Capabilities
from ragemo.llm.abilities.learning import Learning
from ragemo.llm.forms import Answer, read_answer
from ragemo.llm.label_probabilities import Token, label_probabilities
from ragemo.llm.prices import Price, find_price
from ragemo.llm.protocol import in_one_call
from ragemo.llm.replies import Reply, read_reply
from ragemo.llm.requests import THINKING_TOKENS, Call, answer_room, chat_request
from ragemo.llm.sending.connection import Connection, NotSentError
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.llm.sending.faults import CallError
from ragemo.llm.sending.pace import Limits, check_least
from ragemo.llm.tokens import estimate_prompt_tokens
from ragemo.types import Ballot, Distribution, Message, Prompt

LONGEST_ANSWER = 2_000
"""Characters of a raw answer that a ballot keeps."""


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
        max_answer_tokens: room for the label; JSON around it, what a form asks for beside it, and
            thoughts get room of their own.
        seed: passed on where the endpoint takes it.
        concurrency: prompts in flight at most; how many there are: see
            `ragemo.llm.sending.concurrency`.
        timeout: seconds that one request may take.
        deadline: seconds for a call with all its tries and waits, from its first request on.
        attempts: how often a request that failed in passing is made.
        requests_per_minute, tokens_per_minute: as many as may be sent; None: no limit. Tokens
            are those of the prompt, estimated, and the room for the answers.
        give_up_after: failed calls in a row after which nothing more is asked; None: never.
        constraint: how answers are held to the labels. "auto": by JSON schema with OpenAI, else
            by llama.cpp's `grammar` and vLLM's `structured_outputs`, else by JSON schema; and
            without any where none of them works. A constraint chosen by name is kept to; answers
            of other forms than `label` know no grammar but that of their JSON schema.
        label_probabilities: whether to ask for log-probabilities, too, and to make each answer's
            a distribution over the labels (see `label_probabilities.py`). Where they do not come
            or are not enough, an answer counts as its label alone.
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
        concurrency: int = 64,
        timeout: float = 60.0,
        deadline: float = 600.0,
        attempts: int = 5,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        give_up_after: int | None = 20,
        constraint: str = "auto",
        label_probabilities: bool = False,
        backoff: float = 2.0,
        asks: bool = True,
    ) -> None:
        if constraint not in CONSTRAINTS:
            raise SettingsError(
                f"llm.constraint {constraint!r}: expected one of {', '.join(CONSTRAINTS)}"
            )
        if temperature < 0:
            raise SettingsError(f"llm.temperature is {temperature}, expected 0 or more")
        check_least("max_answer_tokens", max_answer_tokens)
        self._endpoint = Endpoint.find(name, base_url, asks=asks)
        self._connection = Connection(
            self._endpoint,
            limits=Limits(concurrency, requests_per_minute, tokens_per_minute, give_up_after),
            timeout=timeout,
            deadline=deadline,
            attempts=attempts,
            backoff=backoff,
        )
        self._price = find_price(name, local=self._endpoint.is_local)
        self._label_probabilities = label_probabilities
        self._constraint = constraint
        self._learning = Learning(self._endpoint, constraint, label_probabilities)
        self._temperature = temperature
        self._max_answer_tokens = max_answer_tokens
        self._seed = seed
        self.name = name
        self.concurrency = concurrency

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Model, endpoint and how it is asked."""
        return {
            "backend": "openai",
            "model": self.name,
            "base_url": self._endpoint.url,
            "temperature": self._temperature,
            "max_answer_tokens": self._max_answer_tokens,
            "constraint": self._constraint,
            "seed": self._seed,
            **({"label_probabilities": True} if self._label_probabilities else {}),
        }

    @property
    def endpoint(self) -> Endpoint:
        """Who is asked."""
        return self._endpoint

    @property
    def connection(self) -> Connection:
        """The way to it."""
        return self._connection

    @property
    def list_price(self) -> Price | None:
        """What a million tokens cost, if it is known."""
        return self._price

    @property
    def capabilities(self) -> Capabilities:
        """What the endpoint has shown so far, in this run and in those of the last week."""
        return self._learning.capabilities

    @property
    def learning(self) -> Learning:
        """How that comes to be known."""
        return self._learning

    @property
    def remarks(self) -> tuple[str, ...]:
        """See `LanguageModel`."""
        return self._learning.remarks

    @property
    def answers_per_call(self) -> int:
        """See `LanguageModel`; fewer once the endpoint has refused so many or brought fewer."""
        return self.capabilities.largest_n

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """An estimate of a prompt's tokens that errs upwards; see `estimate_prompt_tokens`."""
        return estimate_prompt_tokens(messages)

    def most_answer_tokens(self, form: str) -> int:
        """See `LanguageModel.most_answer_tokens`; with room for thoughts once it has had any."""
        room = answer_room(form, self.capabilities.constraint, self._max_answer_tokens)
        return room + THINKING_TOKENS * self.capabilities.thinks

    def price(self, prompt_tokens: int, answer_tokens: int, *, batch: bool = False) -> float | None:
        """US dollars by `find_price`, with nothing cached."""
        price = self._price
        return None if price is None else price.cost(prompt_tokens, 0, answer_tokens, batch=batch)

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """See `LanguageModel.ask`.

        One call is made that succeeds, for as many of the samples as go into it; where it fails,
        all have failed. The tokens of a call, and of those before it that could not be used, are
        shared out over its ballots, so that sums are right; each has the seconds of the whole
        call. Where an endpoint does not count tokens, `prompt.tokens` and an estimate stand in.

        Raises:
            EndpointError: if no call of this run can succeed: no connection was ever made, the
                key or the model is refused, there is no credit left, the constraint chosen by
                name is refused, or too many calls in a row have failed.
        """
        try:
            reply, seconds = await self.complete(prompt, labels, samples)
        except CallError as error:
            if error.unreachable and not self._connection.reached:
                raise EndpointError(str(error), retryable=True) from None
            await self._connection.pace.count_failure(str(error))
            nothing = Reply.unusable(error.wasted, len(samples), error.unanswered)
            paid = nothing.usages(self._price, error.seconds)
            return [
                Ballot(prompt.utterance_id, self.name, sample, error=str(error), usage=usage)
                for sample, usage in zip(samples, paid, strict=True)
            ]
        return self.ballots(prompt, labels, samples, reply, seconds=seconds)

    def call(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> Call:
        """What to send for the first of some samples, and for those after it that fit in.

        As many as the endpoint is taken to give at once; see `in_one_call`.
        """
        able = self.capabilities
        n = len(in_one_call(samples, able.largest_n))
        request = chat_request(
            prompt,
            labels,
            able,
            model=self.name,
            n=n,
            seed=self._seed + samples[0],
            temperature=self._temperature,
            max_answer_tokens=self._max_answer_tokens,
        )
        return Call(request, n, able)

    def ballots(
        self,
        prompt: Prompt,
        labels: LabelSet,
        samples: Sequence[int],
        reply: Reply,
        *,
        seconds: float = 0.0,
        batch: bool = False,
    ) -> list[Ballot]:
        """The ballots of a reply, for as many of the samples as it has answers.

        Args:
            prompt, labels, samples: as for `call`.
            reply: to that call.
            seconds: that it took.
            batch: whether it came in a batch, which has a price of its own.
        """
        ballots = []
        usages = reply.usages(self._price, seconds, batch=batch)
        parts = zip(samples, reply.answers, reply.tokens, usages, strict=False)
        for sample, answer, tokens, usage in parts:
            read = read_answer(answer, prompt.form, labels, prompt.window, prompt.further)
            ballots.append(
                Ballot(
                    utterance_id=prompt.utterance_id,
                    voter=self.name,
                    sample=sample,
                    distribution=self._distribution(answer, read, tokens, labels),
                    answer=self._endpoint.scrub(answer)[:LONGEST_ANSWER],
                    usage=usage,
                    details={
                        key: self._endpoint.scrub(value) if isinstance(value, str) else value
                        for key, value in read.details.items()
                    },
                )
            )
        return ballots

    async def close(self) -> None:
        """Close the connections; see `Connection.close`. The model can be asked again."""
        await self._connection.close()

    async def describe(self) -> dict[str, Any]:
        """What the endpoint is and does; see `ragemo.llm.abilities.examination`."""
        from ragemo.llm.abilities.examination import examine

        return await examine(self)

    def _distribution(
        self, answer: str, read: Answer, tokens: tuple[Token, ...], labels: LabelSet
    ) -> Distribution | None:
        """An answer's distribution over the labels; None if it is no label."""
        if read.label is None or not self._label_probabilities:
            return read.distribution
        return label_probabilities(answer, tokens, labels, read.label) or read.distribution

    async def complete(
        self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]
    ) -> tuple[Reply, float]:
        """An answer to the first of some samples at least, learning what the endpoint can do.

        The seconds beside it are those since a request was first sent.
        It ends: each turn that brings no reply takes a capability away or gives room to think,
        here or in a call that runs beside this one, and there are few to take.

        Raises:
            CallError: if the call fails for good.
            EndpointError: if every call would.
            NotSentError: if all is stopped before anything was sent.
        """
        wasted: list[Reply] = []
        seconds, unanswered = 0.0, 0
        for turn in count():
            call = self.call(prompt, labels, samples)
            try:
                came = await self._connection.complete(
                    call.request, tokens=prompt.tokens + call.answer_tokens
                )
            except NotSentError:
                if turn:
                    raise asyncio.CancelledError from None  # what came of it before was paid for
                raise
            except CallError as error:
                seconds = error.seconds = error.seconds + seconds
                unanswered = error.unanswered = error.unanswered + unanswered
                error.wasted = wasted
                self._learning.after_refusal(call, error)
                continue
            seconds += came.seconds
            unanswered += came.unanswered
            reply = read_reply(came.completion, call.n, prompt.tokens)
            if self._learning.after_reply(call, prompt.form, labels, reply):
                break
            wasted.append(reply)
        reply = replace(reply.or_empty(), unanswered=unanswered)
        return reply.and_paid_for(wasted), seconds
