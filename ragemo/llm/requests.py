"""What is sent: a prompt and an endpoint's capabilities become a chat completion request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ragemo.labels import LabelSet
from ragemo.llm.abilities.capabilities import Capabilities
from ragemo.llm.forms import INTENSITIES
from ragemo.prompting.forms import FORMS
from ragemo.types import Prompt

JSON_TOKENS = 16
"""Room for the braces and the key around a label, in an answer by JSON schema."""
THINKING_TOKENS = 4_096
"""Room for the thoughts of a reasoning model; a limit, of which only what is used is paid."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request and what it was made by.

    Attributes:
        request: the JSON body.
        n: how many answers it asks for.
        able: what the endpoint was taken to be able to do.
    """

    request: dict[str, Any]
    n: int
    able: Capabilities

    @property
    def answer_tokens(self) -> int:
        """Tokens that all answers together may take."""
        return self.n * int(self.request[self.able.answer_limit])


def chat_request(
    prompt: Prompt,
    labels: LabelSet,
    able: Capabilities,
    *,
    model: str,
    n: int,
    seed: int,
    temperature: float,
    max_answer_tokens: int,
) -> dict[str, Any]:
    """The JSON body of a chat completion request, without what may not be said.

    Args:
        prompt: what is asked.
        labels: the label set.
        able: what the endpoint can do.
        model: its name, as the endpoint knows it.
        n: how many answers are asked for.
        seed: of the first of them.
        temperature: of sampling.
        max_answer_tokens: room for the label; JSON around it, what the prompt's form asks for
            beside it, and thoughts get room of their own.
    """
    constraint = constraint_for(prompt.form, able.constraint)
    room = answer_room(prompt.form, able.constraint, max_answer_tokens)
    room += THINKING_TOKENS if able.thinks else 0
    request: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": message.role, "content": message.content} for message in prompt.messages
        ],
        able.answer_limit: room,
    }
    if n > 1:
        request["n"] = n
    if able.temperature:
        request["temperature"] = temperature
    if able.seed:
        request["seed"] = seed
    if able.top_logprobs:
        request |= {"logprobs": True, "top_logprobs": able.top_logprobs}
    if constraint == "json_schema":
        request["response_format"] = answer_schema(prompt.form, labels)
    elif constraint == "grammar":
        # Each server knows one of the two and passes over the other.
        request["grammar"] = label_grammar(labels)
        request["structured_outputs"] = {"choice": list(labels.words)}
    return request


def answer_room(form: str, constraint: str, max_answer_tokens: int) -> int:
    """Tokens that an answer of a form may take, without room for thoughts."""
    schema = constraint_for(form, constraint) == "json_schema"
    return max_answer_tokens + FORMS[form].tokens + JSON_TOKENS * schema


def is_constrained(request: Mapping[str, Any]) -> bool:
    """Whether a request holds answers to the labels."""
    return "response_format" in request or "grammar" in request


def constraint_for(form: str, constraint: str) -> str:
    """How an answer of a form is held to it: what takes a grammar makes one from a schema."""
    return "json_schema" if constraint == "grammar" and form != "label" else constraint


def label_grammar(labels: LabelSet) -> str:
    """The labels' words as a llama.cpp grammar (GBNF), which writes strings as JSON does."""
    return _grammar(labels.words)


@cache
def _grammar(words: tuple[str, ...]) -> str:
    return "root ::= " + " | ".join(json.dumps(word, ensure_ascii=False) for word in words)


def answer_schema(form: str, labels: LabelSet) -> dict[str, Any]:
    """The `response_format` of an answer such as {"label": "joy"}, its keys in the form's order.

    Types and enumerations are all that it says: not every server takes ranges and lengths in a
    strict schema, and some refuse the whole of it.
    """
    label = {"type": "string", "enum": list(labels.words)}
    kinds: dict[str, dict[str, Any]] = {
        "label": label,
        "labels": {"type": "array", "items": label},
        "intensity": {"type": "integer", "enum": list(INTENSITIES)},
        "valence": {"type": "number"},
        "arousal": {"type": "number"},
        "cause": {"type": "integer"},
    }
    keys = FORMS[form].properties or ("label",)
    return {
        "type": "json_schema",
        "json_schema": {
            "name": form,
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {key: kinds.get(key, {"type": "string"}) for key in keys},
                "required": list(keys),
                "additionalProperties": False,
            },
        },
    }
