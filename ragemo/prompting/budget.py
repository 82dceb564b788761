"""Fit a prompt into its token budget, dropping what matters least, never half of anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ragemo.errors import PromptError
from ragemo.labels import LabelSet
from ragemo.prompting.templates import Template
from ragemo.types import Demonstration, Message, Prompt, Window


def build_prompt(
    window: Window,
    demonstrations: Sequence[Demonstration],
    labels: LabelSet,
    template: Template,
    *,
    count_tokens: Callable[[Sequence[Message]], int],
    budget: int,
) -> Prompt:
    """The prompt for one window, within `budget` tokens.

    Whole demonstrations are dropped from the least similar on; when none is left, whole context
    turns from the oldest on. What was dropped is in the prompt.

    Args:
        window: the target and its context.
        demonstrations: most similar first.
        labels: the label set.
        template: how they are shown.
        count_tokens: the model's count of a list of messages.
        budget: tokens that the prompt may have.

    Raises:
        PromptError: if not even the target alone fits.
    """
    shown, turns = list(demonstrations), window.turns
    while True:
        messages = template.render(Window(turns), shown, labels)
        tokens = count_tokens(messages)
        if tokens <= budget:
            return Prompt(
                utterance_id=window.target.utterance_id,
                messages=messages,
                tokens=tokens,
                demonstrations=tuple(shown),
                dropped_demonstrations=len(demonstrations) - len(shown),
                dropped_context=len(window.turns) - len(turns),
            )
        if shown:
            shown.pop()
        elif len(turns) > 1:
            turns = turns[1:]
        else:
            raise PromptError(
                f"utterance {window.target.utterance_id!r}: its prompt takes {tokens} tokens "
                f"without any demonstration or context, the budget is {budget}; raise "
                "prompt.max_tokens, or shorten the utterance"
            )
