"""What an endpoint is and does, measured with a few tiny calls, for `ragemo doctor`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ragemo.labels import LabelSet
from ragemo.llm.abilities.capabilities import MOST_ALTERNATIVES
from ragemo.llm.abilities.memory import recall
from ragemo.llm.label_probabilities import label_probabilities
from ragemo.types import Message, Prompt

if TYPE_CHECKING:
    from ragemo.llm.openai_model import OpenAIModel

LABELS = ("yes", "no")
OFF_TOPIC = "Name a colour of the sky."
"""What is asked to see whether answers are held to the labels."""
QUESTION = "Is snow white? Answer with one word, yes or no."
"""What is asked to see whether label probabilities can be had."""


async def examine(model: OpenAIModel) -> dict[str, Any]:
    """What an endpoint is and does; never raises.

    Nothing that was learned before is taken for granted, and what is found is remembered.

    Returns:
        `model`, `base_url`; `remembered`, in words, what was known before; `reachable`; `models`
        (the first 20 that it lists); `model_listed`; `constraint` (the one in use) and
        `constraint_kept` (whether answers to a question about something else were labels); `n`,
        `seed`, `temperature`, `logprobs` (whether they come) and `label_probabilities` (whether
        they are enough for a distribution over the labels of an easy question); `thinks`;
        `seconds` (of one call); `price` (USD per million tokens, or None); `remarks` and
        `errors`, in words. What could not be measured is None.
    """
    report: dict[str, Any] = {
        "model": model.name,
        "base_url": model.endpoint.url,
        "remembered": _remembered(model),
        "reachable": False,
        "models": [],
        **dict.fromkeys(("model_listed", "constraint", "constraint_kept", "n", "seed")),
        **dict.fromkeys(("temperature", "logprobs", "label_probabilities", "thinks", "seconds")),
        "price": None
        if model.list_price is None
        else {field: getattr(model.list_price, field) for field in ("prompt", "cached", "answer")},
        "remarks": [],
        "errors": [],
    }
    try:
        page = await model.connection.call(lambda client: client.models.list())
        names = [model.endpoint.scrub(str(one.id)) for one in page.data]
        report |= {"models": names[:20], "model_listed": model.name in names}
    except Exception as error:  # a doctor reports whatever it finds
        report["errors"].append(f"list of models: {model.endpoint.scrub(str(error))}")
    report["reachable"] = model.connection.reached
    if model.connection.reached:
        try:
            await _try_out(model, report)
        except Exception as error:
            report["errors"].append(f"chat completion: {model.endpoint.scrub(str(error))}")
        report["remarks"] = list(model.remarks)
    return report


def _remembered(model: OpenAIModel) -> str:
    """What is known of the endpoint from earlier, in words."""
    known = recall(model.endpoint)
    if known is None:
        return "nothing"
    able = known.capabilities
    parts = [f"constraint {able.constraint}", f"at most {able.largest_n} answers a call"]
    parts += ["no temperature"] * (not able.temperature) + ["no seed"] * (not able.seed)
    parts += [f"answers limited by {able.answer_limit}"] + ["thinks"] * able.thinks
    parts.append(f"{able.top_logprobs} alternatives of a token")
    return f"{', '.join(parts)} ({known.age / 3600:.0f} hours ago)"


async def _try_out(model: OpenAIModel, report: dict[str, Any]) -> None:
    labels = LabelSet.from_dict({"name": "doctor", "labels": list(LABELS)})
    model.learning.forget()
    prompt = Prompt("doctor", (Message("user", OFF_TOPIC),), tokens=16)
    ballots = await model.ask(prompt, labels, (0, 1))
    if len(ballots) == 1:
        ballots += await model.ask(prompt, labels, (1,))
    if failed := next((ballot for ballot in ballots if ballot.failed), None):
        report["errors"].append(f"chat completion: {failed.error}")
        return
    able = model.capabilities
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
    prompt = Prompt("doctor", (Message("user", QUESTION),), tokens=16)
    model.learning.learn(replace(able, top_logprobs=able.top_logprobs or MOST_ALTERNATIVES))
    try:
        reply, _ = await model.complete(prompt, labels, (0,))
    finally:
        if not able.top_logprobs:
            model.learning.learn(replace(model.capabilities, top_logprobs=0))
    (answer,), (tokens,) = reply.answers, reply.tokens
    report["logprobs"] = bool(tokens)
    report["label_probabilities"] = label_probabilities(answer, tokens, labels) is not None
