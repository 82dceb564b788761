"""What of a plan's questions is one shard's, where several jobs ask a language model."""

from __future__ import annotations

from dataclasses import replace

from ragemo.errors import SettingsError
from ragemo.pipeline.plan import Plan
from ragemo.settings import Settings
from ragemo.types import Shard


def share_of(plan: Plan, shard: Shard) -> Plan:
    """The plan with the shard's questions alone; all shards have each question once.

    Dialogues are dealt out in turn, in the corpus's order, and so are the questions that are asked
    beforehand, to learn what the models are worth.
    """
    dialogue_of = {one.turn.utterance_id: one.turn.dialogue_id for one in plan.utterances}
    order = dict.fromkeys(dialogue_of[target] for target in plan.questions)
    own = {dialogue for place, dialogue in enumerate(order) if _is_own(place, shard)}
    return replace(
        plan,
        questions={t: asked for t, asked in plan.questions.items() if dialogue_of[t] in own},
        checks=tuple(q for place, q in enumerate(plan.checks) if _is_own(place, shard)),
        contentless=tuple(q for place, q in enumerate(plan.contentless) if _is_own(place, shard)),
    )


def refuse_settling(settings: Settings) -> None:
    """Refuse to share what is asked until it is settled.

    Raises:
        SettingsError: if several answers are asked for, and none that would hardly change the
            verdict: that is told from answers which other shards have.
    """
    if settings.llm.samples > 1 and settings.voting.stop != "none":
        raise SettingsError(
            "when an utterance's answers are enough is told from what the model answered on "
            "labelled windows, which the shards share; add --stop none, or ask without --shard"
        )


def _is_own(place: int, shard: Shard) -> bool:
    return place % shard.of == shard.number - 1
