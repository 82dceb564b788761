"""A limit to what may be asked for, kept before each call rather than noticed after it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock

from ragemo.errors import RagemoError, SettingsError
from ragemo.labels import LabelSet
from ragemo.llm.event_loop import PerLoop, tell_there
from ragemo.llm.protocol import LanguageModel, in_one_call
from ragemo.llm.sending.connection import NotSentError
from ragemo.llm.wrapped import WrappedModel
from ragemo.types import Ballot, Prompt


class BudgetError(RagemoError):
    """The next call would exceed the budget; what was answered is kept."""


@dataclass(frozen=True, slots=True)
class Amount:
    """So many answers, tokens (sent and answered) and US dollars."""

    calls: int = 0
    tokens: int = 0
    dollars: float = 0.0

    def plus(self, other: Amount, sign: int = 1) -> Amount:
        """Both together; with `sign` -1, the one less the other."""
        return Amount(
            self.calls + sign * other.calls,
            self.tokens + sign * other.tokens,
            self.dollars + sign * other.dollars,
        )


UNITS = {"": "dollars", "usd": "dollars", "calls": "calls", "tokens": "tokens"}
"""How a limit is said, see `read_budget`."""


class Budget:
    """What may be asked for in one go.

    A call counts with the most it may cost from when it begins, and with what it did cost from
    when it is answered; so does, with the most, each request of it that was sent in vain
    (`Usage.unanswered`), which may be paid for. Any event loops and threads may share it; who waits
    for room waits for calls of another event loop, too, which has to go on meanwhile.

    Args:
        calls, tokens, dollars: at most so much; None: no limit.
    """

    def __init__(
        self, calls: int | None = None, tokens: int | None = None, dollars: float | None = None
    ) -> None:
        self._limits = {"calls": calls, "tokens": tokens, "dollars": dollars}
        self._pending: dict[object, Amount] = {}
        self._waiting: list[asyncio.Future[None]] = []  # of any event loop
        self._changing = Lock()  # of any thread
        self.spent = Amount()

    @property
    def limits_size(self) -> bool:
        """Whether it depends on the length of prompts and answers."""
        return self._limits["tokens"] is not None or self._limits["dollars"] is not None

    async def begin(self, most: Amount) -> object:
        """Reserve room for a call; the token is given back to `end`.

        Where there is no room, calls in flight are waited for: they are paid for, and end up
        costing less than the most they might.

        Raises:
            BudgetError: if there is no room.
        """
        while True:
            with self._changing:
                limit = self._exceeded(most)
                if limit is None:
                    token = object()
                    self._pending[token] = most
                    return token
                if not self._pending:
                    raise BudgetError(
                        f"the budget of {limit} is reached: {self.spent.calls:,} calls, "
                        f"{self.spent.tokens:,} tokens, ${self.spent.dollars:.4f} so far, and the "
                        "next call could exceed it"
                    )
                changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(changed)
            await changed

    def end(self, token: object, cost: Amount) -> None:
        """A call is over, and cost so much."""
        with self._changing:
            del self._pending[token]
            self.spent = self.spent.plus(cost)
            waiting, self._waiting = self._waiting, []
        for changed in waiting:
            tell_there(changed)

    def _exceeded(self, most: Amount) -> str | None:
        """The limit that a call could exceed, in words."""
        total = self.spent.plus(most)
        for pending in self._pending.values():
            total = total.plus(pending)
        for name, limit in self._limits.items():
            if limit is not None and getattr(total, name) > limit:
                return f"${limit:g}" if name == "dollars" else f"{limit:,} {name}"
        return None

    def check(self, model: LanguageModel) -> None:
        """Refuse a limit in dollars on a model whose price nobody knows.

        Raises:
            SettingsError: saying so.
        """
        if self._limits["dollars"] is not None and model.price(1, 1) is None:
            raise SettingsError(
                f"the price of {model.name!r} is not known, so no budget in dollars can be kept; "
                "put the price into the file that RAGEMO_PRICES names, or limit calls or tokens"
            )


def read_budget(limits: Sequence[str]) -> Budget:
    """A budget in words: `5` or `5usd`, `2000calls`, `1000000tokens`; each kind once.

    Raises:
        SettingsError: naming the limit that is none.
    """
    found: dict[str, float] = {}
    for text in limits:
        said = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]*)", text.strip().lower())
        kind = UNITS.get(said[2]) if said else None
        if said is None or kind is None or ("." in said[1] and kind != "dollars"):
            raise SettingsError(
                f"--budget {text}: expected dollars (5 or 5usd), calls (2000calls) or tokens "
                "(1000000tokens)"
            )
        if kind in found:
            raise SettingsError(f"--budget {text}: there is a limit in {kind} already")
        found[kind] = float(said[1])
    calls, tokens = (int(found[kind]) if kind in found else None for kind in ("calls", "tokens"))
    return Budget(calls, tokens, found.get("dollars"))


class MeteredModel(WrappedModel):
    """A language model that asks its budget before each call.

    Whether a model thinks, at the cost of thousands of tokens, shows only when it answers. So its
    first call in an event loop goes alone where tokens or dollars are limited, until one is
    answered, and may exceed the limit by its thoughts. From then on an answer counts with what it
    may take as far as the model says, and with no less than the largest so far took.
    """

    def __init__(self, model: LanguageModel, budget: Budget) -> None:
        budget.check(model)
        super().__init__(model)
        self._budget = budget
        self._largest = 0  # tokens of an answer so far
        self._answered = False
        self._alone = PerLoop(asyncio.Lock)  # held by a call that goes alone

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """See `LanguageModel`.

        Raises:
            BudgetError: if the call could exceed the budget.
        """
        if self._answered or not self._budget.limits_size:
            return await self._ask(prompt, labels, samples)
        async with self._alone.here():
            if not self._answered:
                return await self._ask(prompt, labels, samples)
        return await self._ask(prompt, labels, samples)

    async def _ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        samples = in_one_call(samples, self.model.answers_per_call)
        answer = max(self.model.most_answer_tokens(prompt.form), self._largest)
        back = answer * len(samples)
        price = self.model.price(prompt.tokens, back)
        most = Amount(len(samples), prompt.tokens + back, price or 0.0)
        token = await self._budget.begin(most)
        cost = most  # of a call that never came back
        try:
            ballots = await self.model.ask(prompt, labels, samples)
            cost = replace(most, calls=len(ballots))  # if the endpoint does not say
            self._answered = self._answered or any(not ballot.failed for ballot in ballots)
            usages = [ballot.usage for ballot in ballots]
            self._largest = max(self._largest, *(usage.answer_tokens for usage in usages))
            if any(usage.prompt_tokens for usage in usages):
                tokens = sum(usage.prompt_tokens + usage.answer_tokens for usage in usages)
                dollars = sum(usage.cost or 0.0 for usage in usages)
                # Failed ballots bear what was paid before the call that failed.
                last = cost if ballots[0].failed else Amount(len(ballots))
                cost = Amount(0, tokens, dollars).plus(last)
            further = sum(usage.unanswered for usage in usages) - ballots[0].failed
            for _ in range(further):
                cost = cost.plus(replace(most, calls=0))
        except NotSentError:
            cost = Amount()
            raise
        finally:
            self._budget.end(token, cost)
        return ballots
