"""What is sent: a prompt and an endpoint's capabilities become a chat completion request."""

from __future__ import annotations

import json
from typing import Any

from ragemo.labels import LabelSet
from ragemo.llm.capabilities import Capabilities
from ragemo.types import Prompt

JSON_TOKENS = 16
"""Room for the braces and the key around a label, in an answer by JSON schema."""
THINKING_TOKENS = 4_096
"""Room for the thoughts of a reasoning model; a limit, of which only what is used is paid."""


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
    """The arguments of the client's `chat.completions.create`, without what may not be said.

    Args:
        prompt: what is asked.
        labels: the label set.
        able: what the endpoint can do.
        model: its name, as the endpoint knows it.
        n: how many answers are asked for.
        seed: of the first of them.
        temperature: of sampling.
        max_answer_tokens: room for the label; JSON around it and thoughts get room of their own.
    """
    room = max_answer_tokens
    room += JSON_TOKENS if able.constraint == "json_schema" else 0
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
    if able.constraint == "json_schema":
        request["response_format"] = label_schema(labels)
    elif able.constraint == "grammar":
        # Each server knows one of the two and passes over the other.
        request["extra_body"] = {
            "grammar": label_grammar(labels),
            "structured_outputs": {"choice": list(labels.words)},
        }
    return request


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
