"""What comes back: a chat completion's answers, how each ended, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ragemo.labels import LabelSet
from ragemo.llm.answers import without_thinking
from ragemo.llm.choices import before_gap, content_of, end_of, field_of, has_failed
from ragemo.llm.label_probabilities import Token
from ragemo.llm.prices import Price
from ragemo.llm.tokens import estimate_tokens
from ragemo.types import Usage

ROUNDING = 1e-3
"""How far above 0 a log-probability may be."""
MOST_TOKENS = 10**9
"""No call takes so many; who says so says nothing."""
LEAST_LOGPROB = -1e3
"""Less is a probability of 0; OpenAI and vLLM write -9999 for it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answers of one call, why each ended, and the tokens of all together.

    Attributes:
        answers: at most as many as were asked for; as raw as they came.
        ends: the `finish_reason` of each.
        tokens: those of each, with what else they might have been; () where log-probabilities
            did not come or cannot be read.
        prompt_tokens, cached_tokens, answer_tokens: as in `Usage`, of the whole call.
        model: who answered, by the answer's own word; empty where nothing is said.
        broken_off: how many further answers came, and are of no use: the endpoint failed to bring
            one to an end, and those after it would be taken for others than they are.
        unanswered: as in `Usage`.
    """

    answers: tuple[str, ...]
    ends: tuple[str | None, ...]
    tokens: tuple[tuple[Token, ...], ...]
    prompt_tokens: int
    cached_tokens: int
    answer_tokens: int
    model: str = ""
    broken_off: int = 0
    unanswered: int = 0

    @property
    def thought_too_long(self) -> bool:
        """Whether an answer hit its limit before it said anything.

        Blanks are no thoughts: more room would only bring more of them.
        """
        return any(
            end == "length" and not without_thinking(answer) and (not answer or answer.strip())
            for answer, end in zip(self.answers, self.ends, strict=True)
        )

    @property
    def ended(self) -> list[str]:
        """The answers that say something and ended by themselves, without blanks around them."""
        return [
            answer.strip()
            for answer, end in zip(self.answers, self.ends, strict=True)
            if end in ("stop", None) and answer.strip()
        ]

    def not_held(self, constraint: str, labels: LabelSet) -> int:
        """How many of the answers that ended by themselves show a constraint passed over.

        By "grammar" an answer is a label, letter by letter; by "json_schema" a JSON object.
        """
        if constraint == "grammar":
            return sum(answer not in labels.words for answer in self.ended)
        return sum(not without_thinking(answer).startswith("{") for answer in self.ended)

    def or_empty(self) -> Reply:
        """This reply, or one empty answer if there is none at all.

        The endpoint was asked and had nothing to say: an empty answer, no failure.
        """
        if self.answers:
            return self
        return replace(self, answers=("",), ends=(None,), tokens=((),))

    @classmethod
    def unusable(cls, wasted: Sequence[Reply], parts: int = 1, unanswered: int = 0) -> Reply:
        """What was paid for where no reply could be used, to be shared out over so many parts."""
        nothing = cls(("",) * parts, (None,) * parts, ((),) * parts, 0, 0, 0, unanswered=unanswered)
        return nothing.and_paid_for(wasted)

    def and_paid_for(self, wasted: Sequence[Reply]) -> Reply:
        """This reply with the tokens of those before it that could not be used."""
        return replace(
            self,
            prompt_tokens=self.prompt_tokens + sum(one.prompt_tokens for one in wasted),
            cached_tokens=self.cached_tokens + sum(one.cached_tokens for one in wasted),
            answer_tokens=self.answer_tokens + sum(one.answer_tokens for one in wasted),
        )

    def usages(self, price: Price | None, seconds: float, *, batch: bool = False) -> list[Usage]:
        """The call's tokens and cost shared out over its answers; each has all its seconds."""
        parts = len(self.answers)
        return [
            Usage(
                prompt_tokens=prompt_tokens,
                cached_tokens=cached_tokens,
                answer_tokens=answer_tokens,
                cost=None
                if price is None
                else price.cost(prompt_tokens, cached_tokens, answer_tokens, batch=batch),
                seconds=seconds,
                unanswered=unanswered,
            )
            for prompt_tokens, cached_tokens, answer_tokens, unanswered in zip(
                _share(self.prompt_tokens, parts),
                _share(self.cached_tokens, parts),
                _share(self.answer_tokens, parts),
                _share(self.unanswered, parts),
                strict=True,
            )
        ]


def read_reply(completion: Mapping[str, Any], n: int, prompt_tokens: int) -> Reply:
    """A chat completion's answers and tokens, whatever is missing or broken in it.

    Args:
        completion: the JSON; it has a list of `choices`, and nothing else is sure.
        n: how many answers were asked for; more are not used.
        prompt_tokens: stands in where the endpoint does not count.
    """
    came = completion["choices"]
    choices = before_gap(came, n)
    answers = tuple(content_of(choice) for choice in choices)
    usage = field_of(completion, "usage")
    answer_tokens = _count(
        usage, "completion_tokens", sum(estimate_tokens(answer) for answer in answers)
    )
    if isinstance(usage, dict) and "prompt_tokens" in usage and "completion_tokens" in usage:
        # Thoughts, which are paid for, are by some (Gemini, xAI) counted in the total alone.
        total = _count(usage, "total_tokens", 0)
        answer_tokens = max(answer_tokens, total - _count(usage, "prompt_tokens", total))
    prompt_tokens = _count(usage, "prompt_tokens", prompt_tokens)
    details = field_of(usage, "prompt_tokens_details")
    model = completion.get("model")
    return Reply(
        answers=answers,
        ends=tuple(end_of(choice) for choice in choices),
        tokens=tuple(_read_tokens(choice) for choice in choices),
        prompt_tokens=prompt_tokens,
        cached_tokens=min(_count(details, "cached_tokens", 0), prompt_tokens),
        answer_tokens=answer_tokens,
        model=model if isinstance(model, str) else "",
        broken_off=len(came) - len(choices) if any(map(has_failed, came)) else 0,
    )


def _read_tokens(choice: Any) -> tuple[Token, ...]:
    """The tokens of an answer; none at all if one of them has no text."""
    content = field_of(field_of(choice, "logprobs"), "content")
    tokens: list[Token] = []
    for entry in content if isinstance(content, list) else ():
        text = _text(entry)
        if text is None:
            return ()
        listed = field_of(entry, "top_logprobs")
        alternatives = [
            (_text(other), _probability(other))
            for other in (listed if isinstance(listed, list) else ())
        ]
        tokens.append(
            Token(
                text,
                _probability(entry) or 0.0,
                tuple(
                    (other, probability)
                    for other, probability in alternatives
                    if other is not None and probability is not None
                ),
            )
        )
    return tuple(tokens)


def _text(entry: Any) -> bytes | None:
    """A token's bytes. Its text alone does not tell the parts of a letter from each other."""
    values, text = field_of(entry, "bytes"), field_of(entry, "token")
    if isinstance(values, list) and all(_is_byte(value) for value in values):
        return bytes(values)
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else None


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and value in range(256)


def _probability(entry: Any) -> float | None:
    """A token's probability, or None if what is given is no log-probability."""
    value = field_of(entry, "logprob")
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= ROUNDING:
        return None
    return math.exp(min(max(value, LEAST_LOGPROB), 0.0))


def _count(holder: Any, field: str, otherwise: int) -> int:
    value = field_of(holder, field)
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS
    return value if is_count else otherwise


def _share(total: int, parts: int) -> list[int]:
    """A whole number in whole parts that add up to it again."""
    quotient, rest = divmod(total, parts)
    return [quotient + (part < rest) for part in range(parts)]
