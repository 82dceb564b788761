"""What a plan would take by file, before anyone is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from ragemo.labels import LabelSet
from ragemo.llm.batch.folder import MOST_BYTES, MOST_REQUESTS
from ragemo.llm.batch.lines import custom_id, request_line
from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.protocol import LanguageModel, calls_for
from ragemo.pipeline.asking import check_by_file
from ragemo.pipeline.plan import Plan
from ragemo.pipeline.questions import Question
from ragemo.settings import Settings


@dataclass(frozen=True)
class BatchEstimate:
    """What a run would take by file, if no utterance is settled sooner and nothing is there yet.

    Attributes:
        rounds: how many times answers are waited for, at most.
        files: request files, at least one for each round and model.
        requests: in them.
        bytes: of them.
        cost: US dollars, at most; None if a model's price is unknown.
    """

    rounds: int
    files: int
    requests: int
    bytes: int
    cost: float | None


def estimate_batch(
    plan: Plan, settings: Settings, models: Sequence[LanguageModel]
) -> BatchEstimate:
    """What carrying out a plan by file would take; nothing is written or sent.

    Raises:
        SettingsError: if a model cannot be asked by file.
    """
    asked = check_by_file(models)
    targets = [q for own in plan.questions.values() for q in own]
    rounds = bool(plan.preliminary) + max(
        (_rounds(own, settings, asked) for own in plan.questions.values()), default=0
    )
    files = requests = size = 0
    cost: float | None = 0.0
    for position, model in enumerate(asked):
        for stage in (plan.preliminary, targets):
            own = [question for question in stage if question.model == position]
            lines = [line for question in own for line in _lines(question, model, plan.labels)]
            files += max(ceil(len(lines) / MOST_REQUESTS), ceil(sum(lines) / MOST_BYTES))
            requests += len(lines)
            size += sum(lines)
            for question in own:
                prompts = question.prompt.tokens * len(_lines(question, model, plan.labels))
                back = len(question.samples) * model.most_answer_tokens(question.prompt.form)
                price = model.price(prompts, back, batch=True)
                cost = None if cost is None or price is None else cost + price
    return BatchEstimate(rounds, max(files, rounds), requests, size, cost)


def _rounds(
    questions: Sequence[Question], settings: Settings, models: Sequence[OpenAIModel]
) -> int:
    """Rounds that an utterance may take."""
    if settings.voting.stop == "none" or settings.llm.samples == 1:
        return min(len(questions), 1)
    return sum(calls_for(q.samples, models[q.model].answers_per_call) for q in questions)


def _lines(question: Question, model: OpenAIModel, labels: LabelSet) -> list[int]:
    """The length of each request that a question takes, in bytes."""
    lengths, samples = [], list(question.samples)
    while samples:
        call = model.call(question.prompt, labels, samples)
        lengths.append(len(request_line(custom_id("0" * 64, call.n), call.request)))
        samples = samples[call.n :]
    return lengths
