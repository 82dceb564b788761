"""What an endpoint can do, learned from what it refuses and from what it passes over.

| what is tried first | what shows that it does not work | what is done then |
| --- | --- | --- |
| answers constrained to the labels | refused, or passed over | the next kind, at last none |
| several answers a call (`n`) | refused (llama.cpp: more than slots) | half as many, down to one |
| | ignored (Ollama): fewer answers come | as many as came, and further calls if needed |
| `temperature`, `seed` | refused (reasoning models) | left out |
| `max_tokens` | refused in favour of `max_completion_tokens` | that one |
| 20 alternatives of each token, where asked for | refused (Azure: 5 at most) | 5, then none |
| room for a label and no more | thoughts filled it: no answer came, or an error | more room |
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

CONSTRAINTS = ("auto", "json_schema", "grammar", "none")
CONSTRAINT_FIELD = r"(?i:grammar|structured[ _]output|guided|response_?format|json_?schema)"
"""What a complaint about the constraint mentions."""
VALUE_OUT_OF_RANGE = (
    r"(?i:positive|greater|less than|between|above|below|at (?:most|least)|m(?:ax|in)imum|range)"
)
"""What a complaint mentions that is about a field's value, while other values are allowed."""
LOGPROBS_FIELD = r"(?i:log_?probs?)"
"""What a complaint about log-probabilities mentions."""
MOST_ALTERNATIVES = 20
"""How many alternatives of a token are asked for at most: OpenAI's limit, and vLLM's by default."""
FEWER_ALTERNATIVES = 5
"""How many are asked for next."""

_NEXT_CONSTRAINT = {"grammar": "json_schema", "json_schema": "none"}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an endpoint is taken to be able to do, as far as it has shown.

    Attributes:
        constraint: how answers are held to the labels: "json_schema", "grammar" or "none".
        largest_n: how many answers one call may ask for.
        temperature, seed: whether these may be said.
        answer_limit: the name of the field that limits an answer's length.
        thinks: whether thoughts count against that limit.
        top_logprobs: how many alternatives of each token to ask for; 0: no log-probabilities.
    """

    constraint: str
    largest_n: int = 128
    temperature: bool = True
    seed: bool = True
    answer_limit: str = "max_tokens"
    thinks: bool = False
    top_logprobs: int = 0

    def after_refusal(self, complaint: str, n: int) -> Capabilities | None:
        """What is left to try, or None if the complaint is about nothing that can be changed.

        Args:
            complaint: the endpoint's words, with the field it names.
            n: how many answers were asked for.
        """
        other = "max_completion_tokens"
        remedies: list[tuple[str, dict[str, Any]]] = []
        if n > 1:
            remedies.append((_field("n"), {"largest_n": n // 2}))
        if self.answer_limit != other:
            remedies.append((rf"(?i:use\W+{other}|{other}\W+instead)", {"answer_limit": other}))
        if self.temperature:
            remedies.append((_field("temperature"), {"temperature": False}))
        if self.seed:
            remedies.append((_field("seed"), {"seed": False}))
        if not self.thinks:
            remedies.append((r"(?i:output limit was reached|higher max_)", {"thinks": True}))
        if self.constraint != "none":
            following = _NEXT_CONSTRAINT[self.constraint]
            remedies.append((CONSTRAINT_FIELD, {"constraint": following}))
        if self.top_logprobs:
            fewer = FEWER_ALTERNATIVES if self.top_logprobs > FEWER_ALTERNATIVES else 0
            remedies.append((LOGPROBS_FIELD, {"top_logprobs": fewer}))
        # "n must be 1 if temperature is 0" is about n: what is named first is meant.
        found = [
            (match.start(), change)
            for pattern, change in remedies
            if (match := re.search(pattern, complaint))
        ]
        return replace(self, **min(found, key=lambda pair: pair[0])[1]) if found else None


def _field(name: str) -> str:
    r"""A field's name as a word: the n of an escaped line break (\n) is none."""
    return rf"(?<![\\\w]){name}(?!\w)"
