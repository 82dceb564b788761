"""Three labels, a prompt, and asking it of the scripted server."""

import asyncio

import pytest

from ragemo.errors import EndpointError
from ragemo.labels import LabelSet
from ragemo.llm.openai_model import OpenAIModel
from ragemo.types import Message, Prompt

KEY = "sk-live-0123456789abcdef"
LABELS = LabelSet.from_dict(
    {
        "name": "three",
        "labels": [
            {"name": "hap", "word": "joy"},
            {"name": "ang", "word": "anger"},
            {"name": "neu", "word": "neutral"},
        ],
    }
)
JOY, ANGER, NEUTRAL = (LABELS.one_hot(name) for name in LABELS.names)
PROMPT = Prompt("u1", (Message("system", "Label."), Message("user", 'A: "Yay!"')), tokens=40)

OPENAI_TEMPERATURE = {
    "message": "Unsupported value: 'temperature' does not support 0.7 with this model. "
    "Only the default (1) value is supported.",
    "type": "invalid_request_error",
    "param": "temperature",
    "code": "unsupported_value",
}
OPENAI_MAX_TOKENS = {
    "message": "Unsupported parameter: 'max_tokens' is not supported with this model. "
    "Use 'max_completion_tokens' instead.",
    "type": "invalid_request_error",
    "param": "max_tokens",
    "code": "unsupported_parameter",
}


def refusal(field, message, status=400):
    """The rule of a server that does not know a field."""
    return {field: [status, {"error": {"message": message, "param": None}}]}


def ask(scenario, samples=(0,), *, prompt=PROMPT, prompts=1, **settings):
    """The ballots of one prompt; and the model, closed."""
    settings = {"backoff": 0.01, "timeout": 5.0, "attempts": 3} | settings
    settings.setdefault("base_url", scenario and scenario.url)
    model = OpenAIModel(settings.pop("name", "some-model"), **settings)

    async def work():
        try:
            many = (all_of(model, prompt, LABELS, samples) for _ in range(prompts))
            return await asyncio.gather(*many, return_exceptions=True)
        finally:
            await model.close()

    answers = asyncio.run(work())
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    ballots = [ballot for some in answers for ballot in some]
    assert KEY not in repr(ballots) + repr(model.identity)
    return ballots, model


async def all_of(model, prompt, labels, samples):
    """All ballots of a prompt: what a call left out is asked for again."""
    ballots = []
    while missing := samples[len(ballots) :]:
        came = await model.ask(prompt, labels, missing)
        assert [ballot.sample for ballot in came] == list(missing[: len(came)])
        assert came
        ballots += came
    return ballots


def fails(scenario, **settings):
    """The error of a call that takes a run down."""
    with pytest.raises(EndpointError) as caught:
        ask(scenario, **settings)
    assert KEY not in str(caught.value)
    return caught.value
