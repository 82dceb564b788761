"""What a plan would cost, before anyone is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragemo.labels import LabelSet
from ragemo.llm.keeping.answer_cache import AnswerCache, answer_key
from ragemo.llm.protocol import ModelOutline, calls_for
from ragemo.pipeline.plan import Plan
from ragemo.pipeline.questions import Question


@dataclass(frozen=True)
class Estimate:
    """What a run would ask and cost.

    Attributes:
        utterances: how many are predicted.
        answers: how many answers are asked for in all, if no utterance is settled sooner.
        answered: how many of them need not be paid for, since the cache has them or another
            utterance asks the very same.
        check_answers: how many of them only serve to weigh the language models.
        prompt_tokens: tokens sent for the others: a prompt's once for all its samples where the
            model shares them, else once for each.
        answer_tokens: at most so many tokens come back.
        exact: whether the tokens are counted or estimated.
        cost: US dollars, at most; None if a model's price is unknown.
        dropped_demonstrations, dropped_context: what the token budget left out.
    """

    utterances: int
    answers: int
    answered: int
    check_answers: int
    prompt_tokens: int
    answer_tokens: int
    exact: bool
    cost: float | None
    dropped_demonstrations: int
    dropped_context: int


def estimate(
    plan: Plan, llm: ModelOutline | None, *others: ModelOutline, cache: AnswerCache | None = None
) -> Estimate:
    """What carrying out a plan would ask and cost; nothing is sent.

    Args:
        plan, llm, others, cache: as for `carry_out`.

    Raises:
        RunFolderError: if the cache cannot be read.
    """
    models = [model for model in (llm, *others) if model is not None]
    asked = [q for questions in plan.questions.values() for q in questions]
    everything = [*plan.preliminary, *asked]
    answers = sum(len(question.samples) for question in everything)
    missing: Sequence[Sequence[int]] = [question.samples for question in everything]
    if cache is not None:
        missing = _missing(everything, models, plan.labels, cache)
    prompt_tokens = answer_tokens = 0
    cost: float | None = 0.0
    for position, model in enumerate(models):
        own = [
            (question.prompt, samples)
            for question, samples in zip(everything, missing, strict=True)
            if question.model == position
        ]
        together = model.answers_per_call
        sent = sum(prompt.tokens * calls_for(samples, together) for prompt, samples in own)
        back = sum(len(samples) * model.most_answer_tokens(prompt.form) for prompt, samples in own)
        price = model.price(sent, back)
        cost = None if cost is None or price is None else cost + price
        prompt_tokens += sent
        answer_tokens += back
    return Estimate(
        utterances=len(plan.targets),
        answers=answers,
        answered=answers - sum(map(len, missing)),
        check_answers=sum(len(q.samples) for q in plan.preliminary),
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
        exact=all(model.counts_exactly for model in models),
        cost=cost,
        dropped_demonstrations=sum(q.prompt.dropped_demonstrations for q in asked),
        dropped_context=sum(q.prompt.dropped_context for q in asked),
    )


def _missing(
    questions: Sequence[Question],
    models: Sequence[ModelOutline],
    labels: LabelSet,
    cache: AnswerCache,
) -> list[list[int]]:
    """Of each question, which of its answers would be asked for."""
    keys = [
        {sample: answer_key(models[q.model], q.prompt, labels, sample) for sample in q.samples}
        for q in questions
    ]
    there = cache.has({key for own in keys for key in own.values()})
    missing = []
    for own in keys:
        missing.append([sample for sample, key in own.items() if key not in there])
        there |= set(own.values())
    return missing
