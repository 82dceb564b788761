"""What a language model is to the rest of ragemo: something that turns a prompt into ballots.

Plans and forecasts ask nobody; all that they need of a model is its outline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ragemo.labels import LabelSet
from ragemo.types import Ballot, Message, Prompt


class ModelOutline(Protocol):
    """What is known of a language model without asking it.

    Attributes:
        name: stands as the voter's name in its ballots.
        identity: plain data that names all that determines an answer (model, endpoint, mode,
            temperature, seed, ...); never a key.
        exact: whether one ballot already holds the exact distribution over labels, so that
            further samples of the same prompt would add nothing.
        concurrency: how many prompts may be in flight at once.
        answers_per_call: how many answers to one prompt may be asked for in one call, which pays
            for the prompt once: as far as is known, for some endpoints bring fewer.
        counts_exactly: whether `count_tokens` is the model's own count or an estimate.
    """

    @property
    def name(self) -> str:
        """The voter's name."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """All that determines an answer."""
        ...

    @property
    def exact(self) -> bool:
        """Whether one ballot says it all."""
        ...

    @property
    def concurrency(self) -> int:
        """Prompts in flight."""
        ...

    @property
    def answers_per_call(self) -> int:
        """Answers to one prompt that cost the prompt once, as far as is known; at least 1."""
        ...

    @property
    def counts_exactly(self) -> bool:
        """Whether tokens are counted or estimated."""
        ...

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Length of a prompt in tokens."""
        ...

    def most_answer_tokens(self, form: str) -> int:
        """How many tokens an answer of a form takes at most; 0 if none comes.

        Thoughts count as far as the model is known to think.
        """
        ...

    def price(self, prompt_tokens: int, answer_tokens: int) -> float | None:
        """US dollars for so many tokens; 0 for a local model; None if the price is unknown."""
        ...


class LanguageModel(ModelOutline, Protocol):
    """A local model or one behind an API; nothing above this room knows which.

    Attributes:
        remarks: what people should know of how it answered, so far, a sentence each.
    """

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people should know of how it answered, a sentence each."""
        ...

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """One ballot for each sample number, in that order, or for the first of them at least.

        What one call brings comes back at once; the samples that it left out may be asked for
        again, and paid for, if they are still needed. A call that fails for good comes back as a
        ballot with `error` for each of its samples, never as an exception, so that one utterance
        cannot take a run down.

        Raises:
            EndpointError: if no call of this run can ever succeed (wrong key, unknown model).
        """
        ...

    async def close(self) -> None:
        """Let go of connections and memory."""
        ...


def in_one_call(samples: Sequence[int], answers_per_call: int) -> Sequence[int]:
    """The first of some samples, and those after it that one call asks for with it.

    Args:
        samples: their numbers, at least one.
        answers_per_call: see `LanguageModel`.

    Only numbers in a row go together: endpoints draw answer i of a call with `seed + i`.
    """
    n = 1
    while n < min(len(samples), answers_per_call) and samples[n] == samples[0] + n:
        n += 1
    return samples[:n]


def calls_for(samples: Sequence[int], answers_per_call: int) -> int:
    """How many calls some samples of one prompt take, each paying for the prompt once."""
    calls = 0
    while samples:
        samples = samples[len(in_one_call(samples, answers_per_call)) :]
        calls += 1
    return calls
