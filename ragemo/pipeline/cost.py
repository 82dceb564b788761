"""What a plan would cost, before anyone is asked."""

from __future__ import annotations

from dataclasses import dataclass

from ragemo.llm.protocol import LanguageModel
from ragemo.pipeline.plan import Plan


@dataclass(frozen=True)
class Estimate:
    """What a run would ask and cost.

    Attributes:
        utterances: how many are predicted.
        answers: how many answers are asked for in all, if no utterance is settled sooner.
        check_answers: how many of them only serve to weigh the language models.
        prompt_tokens: tokens sent: a prompt's once for all its samples where the model shares
            them, else once for each.
        answer_tokens: at most so many tokens come back.
        exact: whether the tokens are counted or estimated.
        cost: US dollars, at most; None if a model's price is unknown.
        dropped_demonstrations, dropped_context: what the token budget left out.
    """

    utterances: int
    answers: int
    check_answers: int
    prompt_tokens: int
    answer_tokens: int
    exact: bool
    cost: float | None
    dropped_demonstrations: int
    dropped_context: int


def estimate(plan: Plan, llm: LanguageModel | None, *others: LanguageModel) -> Estimate:
    """What carrying out a plan would ask and cost; nothing is sent."""
    models = [model for model in (llm, *others) if model is not None]
    asked = [q for questions in plan.questions.values() for q in questions]
    everything = [*asked, *plan.preliminary]
    prompt_tokens = answer_tokens = 0
    cost: float | None = 0.0
    for position, model in enumerate(models):
        own = [q for q in everything if q.model == position]
        sent = sum(q.prompt.tokens * (1 if model.shares_prompt else len(q.samples)) for q in own)
        back = sum(len(q.samples) * model.most_answer_tokens(q.prompt.form) for q in own)
        price = model.price(sent, back)
        cost = None if cost is None or price is None else cost + price
        prompt_tokens += sent
        answer_tokens += back
    return Estimate(
        utterances=len(plan.targets),
        answers=sum(len(q.samples) for q in everything),
        check_answers=sum(len(q.samples) for q in plan.preliminary),
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
        exact=all(model.counts_exactly for model in models),
        cost=cost,
        dropped_demonstrations=sum(q.prompt.dropped_demonstrations for q in asked),
        dropped_context=sum(q.prompt.dropped_context for q in asked),
    )
