"""A language model behind an API that speaks OpenAI's chat completions.

One class serves OpenAI itself and every compatible server (vLLM, Ollama, llama.cpp, gateways):
only the base URL differs. What an endpoint can do is learned from its answers and remembered
(the table in `capabilities.py`). A call goes through these modules:

    Prompt -> requests -> connection (endpoint, faults) -> replies -> answers -> Ballot

No constraint is trusted: every answer is read as if there had been none.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from ragemo.errors import EndpointError, SettingsError
from ragemo.labels import LabelSet
from ragemo.llm.capabilities import CONSTRAINTS, MOST_ALTERNATIVES, Capabilities
from ragemo.llm.connection import Connection
from ragemo.llm.endpoint import Endpoint
from ragemo.llm.faults import CallError
from ragemo.llm.forms import Answer, read_answer
from ragemo.llm.label_probabilities import Token, label_probabilities
from ragemo.llm.pace import Limits
from ragemo.llm.prices import find_price
from ragemo.llm.replies import Reply, read_reply
from ragemo.llm.requests import THINKING_TOKENS, Call, answer_room, chat_request
from ragemo.llm.tokens import estimate_prompt_tokens
from ragemo.types import Ballot, Distribution, Message, Prompt, Usage

LONGEST_ANSWER = 2_000
"""Characters of a raw answer that a ballot keeps."""
QUESTION = "Is snow white? Answer with one word, yes or no."
"""What a doctor asks to see whether label probabilities can be had."""


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
        concurrency: how many prompts may be in flight at once; how many are follows from how the
            endpoint answers (see `concurrency.py`).
        timeout: seconds that one request may take.
        deadline: seconds that a call may take from its first request on, with all further tries
            and waits, so that none hangs.
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
        for setting, value, least in (
            ("temperature", temperature, 0),
            ("max_answer_tokens", max_answer_tokens, 1),
            ("concurrency", concurrency, 1),
            ("attempts", attempts, 1),
            ("requests_per_minute", requests_per_minute, 1),
            ("tokens_per_minute", tokens_per_minute, 1),
            ("give_up_after", give_up_after, 1),
        ):
            if value is not None and value < least:
                raise SettingsError(f"llm.{setting} is {value}, expected {least} or more")
        for setting, seconds in (("timeout", timeout), ("deadline", deadline)):
            if not seconds > 0:
                raise SettingsError(f"llm.{setting} is {seconds}, expected seconds above 0")
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
        first = "json_schema" if self._endpoint.is_openai else "grammar"
        self._capabilities = Capabilities(
            first if constraint == "auto" else constraint,
            top_logprobs=MOST_ALTERNATIVES if label_probabilities else 0,
        )
        self._label_probabilities = label_probabilities
        self._constraint = constraint
        self._temperature = temperature
        self._max_answer_tokens = max_answer_tokens
        self._seed = seed
        self.name = name
        self.concurrency = concurrency

    @property
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
    def capabilities(self) -> Capabilities:
        """What the endpoint has shown so far."""
        return self._capabilities

    @property
    def shares_prompt(self) -> bool:
        """Whether several answers to one prompt cost the prompt once: as far as is known."""
        return self._capabilities.largest_n > 1

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """An estimate of a prompt's tokens that errs upwards; see `estimate_prompt_tokens`."""
        return estimate_prompt_tokens(messages)

    def most_answer_tokens(self, form: str) -> int:
        """See `LanguageModel.most_answer_tokens`; with room for thoughts once it has had any."""
        room = answer_room(form, self._capabilities.constraint, self._max_answer_tokens)
        return room + THINKING_TOKENS * self._capabilities.thinks

    def price(self, prompt_tokens: int, answer_tokens: int) -> float | None:
        """US dollars by `find_price`, with nothing cached."""
        return None if self._price is None else self._price.cost(prompt_tokens, 0, answer_tokens)

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """See `LanguageModel.ask`.

        Where a call brings fewer answers than were asked for, the missing ones are asked for
        again. The tokens of a call are shared out over its ballots, so that sums are right; each
        has the seconds of the whole call. Where an endpoint does not count tokens,
        `prompt.tokens` and an estimate stand in.

        Raises:
            EndpointError: if no call of this run can succeed: no connection was ever made, the
                key or the model is refused, there is no credit left, the constraint chosen by
                name is refused, or too many calls in a row have failed.
        """
        ballots: list[Ballot] = []
        while waiting := samples[len(ballots) :]:
            started = time.perf_counter()
            try:
                reply = await self._complete(prompt, labels, waiting)
            except CallError as error:
                if error.unreachable and not self._connection.reached:
                    raise EndpointError(str(error), retryable=True) from None
                await self._connection.pace.count_failure(str(error))
                usage = Usage(cost=self.price(0, 0), seconds=time.perf_counter() - started)
                ballots += [
                    Ballot(prompt.utterance_id, self.name, sample, error=str(error), usage=usage)
                    for sample in waiting
                ]
                break
            seconds = time.perf_counter() - started
            ballots += self.ballots(prompt, labels, waiting, reply, seconds=seconds)
        return ballots

    def call(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> Call:
        """What to send for the first of some samples, and for those after it that fit in.

        Answers with consecutive numbers are asked for together, as many as the endpoint is known
        to give at once.
        """
        able = self._capabilities
        together = 1
        while together < len(samples) and samples[together] == samples[0] + together:
            together += 1
        n = min(together, able.largest_n)
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

    def after_refusal(self, call: Call, error: CallError) -> None:
        """Learn from a refused call, so that it can be made again in another way.

        Raises:
            CallError: the error, if the endpoint complains of nothing that can be changed.
            EndpointError: if every call would be refused.
        """
        if not error.complaint:
            raise error
        if self._capabilities is call.able:  # else a call beside this one has learned since
            self._capabilities = self._after_refusal(error, call.n)

    def after_reply(self, call: Call, prompt: Prompt, labels: LabelSet, reply: Reply) -> bool:
        """Learn from a reply; whether it can be used, else the call has to be made again."""
        if reply.thought_too_long and not call.able.thinks:
            self._capabilities = replace(self._capabilities, thinks=True)
            return False
        if (
            self._constraint == "auto"
            and call.able.constraint == "grammar"
            and prompt.form == "label"
            and reply.ignores_grammar(labels)
        ):
            if self._capabilities.constraint == "grammar":
                self._capabilities = replace(self._capabilities, constraint="json_schema")
            return False
        if 0 < len(reply.answers) < call.n and self._capabilities.largest_n >= call.n:
            self._capabilities = replace(self._capabilities, largest_n=len(reply.answers))
        return True

    def ballots(
        self,
        prompt: Prompt,
        labels: LabelSet,
        samples: Sequence[int],
        reply: Reply,
        *,
        seconds: float = 0.0,
        share: float = 1.0,
    ) -> list[Ballot]:
        """The ballots of a reply, for as many of the samples as it has answers.

        Args:
            prompt, labels, samples: as for `call`.
            reply: to that call.
            seconds: that it took.
            share: of the list price that was paid.
        """
        ballots = []
        usages = reply.usages(self._price and self._price.at(share), seconds)
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
                    details=self._details(read),
                )
            )
        return ballots

    async def close(self) -> None:
        """Close the connections; see `Connection.close`. The model can be asked again."""
        await self._connection.close()

    async def describe(self) -> dict[str, Any]:
        """What the endpoint is and does, measured with a few tiny calls; never raises.

        Returns:
            `model`, `base_url`; `reachable`; `models` (the first 20 that it lists);
            `model_listed`; `constraint` (the one in use) and `constraint_kept` (whether answers
            to a question about something else were labels); `n`, `seed`, `temperature`,
            `logprobs` (whether they come) and `label_probabilities` (whether they are enough for
            a distribution over the labels of an easy question); `thinks`; `seconds` (of one
            call); `price` (USD per million tokens, or None); `errors`, in words. What could not be
            measured is None.
        """
        report: dict[str, Any] = {
            "model": self.name,
            "base_url": self._endpoint.url,
            "reachable": False,
            "models": [],
            **dict.fromkeys(("model_listed", "constraint", "constraint_kept", "n", "seed")),
            **dict.fromkeys(
                ("temperature", "logprobs", "label_probabilities", "thinks", "seconds")
            ),
            "price": None
            if self._price is None
            else {field: getattr(self._price, field) for field in ("prompt", "cached", "answer")},
            "errors": [],
        }
        try:
            page = await self._connection.call(lambda client: client.models.list())
            names = [str(model.id) for model in page.data]
            report |= {"models": names[:20], "model_listed": self.name in names}
        except Exception as error:  # a doctor reports whatever it finds
            report["errors"].append(f"list of models: {self._endpoint.scrub(str(error))}")
        report["reachable"] = self._connection.reached
        if self._connection.reached:
            try:
                await self._examine(report)
            except Exception as error:
                report["errors"].append(f"chat completion: {self._endpoint.scrub(str(error))}")
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
        self._capabilities = replace(able, top_logprobs=MOST_ALTERNATIVES)
        try:
            prompt = Prompt("doctor", (Message("user", QUESTION),), tokens=16)
            reply = await self._complete(prompt, labels, (0,))
        finally:
            if not self._label_probabilities:
                self._capabilities = replace(self._capabilities, top_logprobs=0)
        (answer,), (tokens,) = reply.answers, reply.tokens
        report["logprobs"] = bool(tokens)
        report["label_probabilities"] = label_probabilities(answer, tokens, labels) is not None

    def _distribution(
        self, answer: str, read: Answer, tokens: tuple[Token, ...], labels: LabelSet
    ) -> Distribution | None:
        """An answer's distribution over the labels; None if it is no label."""
        if read.label is None or not self._label_probabilities:
            return read.distribution
        return label_probabilities(answer, tokens, labels, read.label) or read.distribution

    def _details(self, read: Answer) -> dict[str, Any]:
        return {
            key: self._endpoint.scrub(value) if isinstance(value, str) else value
            for key, value in read.details.items()
        }

    async def _complete(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> Reply:
        """An answer to the first of some samples at least, learning what the endpoint can do.

        It ends: each turn that brings no reply takes a capability away or gives room to think,
        here or in a call that runs beside this one, and there are few to take.

        Raises:
            CallError: if the call fails for good.
            EndpointError: if every call would.
        """
        wasted: list[Reply] = []
        while True:
            call = self.call(prompt, labels, samples)
            try:
                completion = await self._connection.complete(
                    call.request, tokens=prompt.tokens + call.answer_tokens
                )
            except CallError as error:
                self.after_refusal(call, error)
                continue
            reply = read_reply(completion, call.n, prompt.tokens)
            if self.after_reply(call, prompt, labels, reply):
                break
            wasted.append(reply)
        return reduce(Reply.and_paid_for, wasted, reply.or_empty())

    def _after_refusal(self, error: CallError, n: int) -> Capabilities:
        learned = self._capabilities.after_refusal(error.complaint, n)
        if learned is None:
            raise error
        if self._constraint not in ("auto", learned.constraint):
            raise EndpointError(
                f"{error}; set llm.constraint to auto or none instead of {self._constraint!r}"
            ) from None
        return learned
