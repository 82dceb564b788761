"""A language model in front of another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ragemo.labels import LabelSet
from ragemo.llm.protocol import LanguageModel
from ragemo.types import Ballot, Message, Prompt


class WrappedModel:
    """What another model is, for those that do something before or after it is asked."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    @property
    def name(self) -> str:
        """See `LanguageModel`."""
        return self.model.name

    @property
    def identity(self) -> dict[str, Any]:
        """See `LanguageModel`."""
        return self.model.identity

    @property
    def exact(self) -> bool:
        """See `LanguageModel`."""
        return self.model.exact

    @property
    def concurrency(self) -> int:
        """See `LanguageModel`."""
        return self.model.concurrency

    @property
    def answers_per_call(self) -> int:
        """See `LanguageModel`."""
        return self.model.answers_per_call

    @property
    def counts_exactly(self) -> bool:
        """See `LanguageModel`."""
        return self.model.counts_exactly

    @property
    def remarks(self) -> tuple[str, ...]:
        """See `LanguageModel`."""
        return self.model.remarks

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """See `LanguageModel`."""
        return self.model.count_tokens(messages)

    def most_answer_tokens(self, form: str) -> int:
        """See `LanguageModel`."""
        return self.model.most_answer_tokens(form)

    def price(self, prompt_tokens: int, answer_tokens: int) -> float | None:
        """See `LanguageModel`."""
        return self.model.price(prompt_tokens, answer_tokens)

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """See `LanguageModel`."""
        return await self.model.ask(prompt, labels, samples)

    async def close(self) -> None:
        """See `LanguageModel`."""
        await self.model.close()
