"""Fit a prompt into its token budget, dropping what matters least, never half of anything."""

from __future__ import annotations

from bisect import bisect_left
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
    things = len(demonstrations) + len(window.context)

    def without(dropped: int) -> Prompt:
        """The prompt without the so many things that matter least."""
        kept = max(len(demonstrations) - dropped, 0)
        first = max(dropped - len(demonstrations), 0)
        messages = template.render(Window(window.turns[first:]), demonstrations[:kept], labels)
        return Prompt(
            utterance_id=window.target.utterance_id,
            messages=messages,
            tokens=count_tokens(messages),
            demonstrations=tuple(demonstrations[:kept]),
            dropped_demonstrations=len(demonstrations) - kept,
            dropped_context=first,
        )

    prompt = without(0)
    if prompt.tokens <= budget:
        return prompt
    # Dropping shortens a prompt, so the first that fits is found by halving.
    fitting = bisect_left(
        range(things + 1), True, lo=1, key=lambda dropped: without(dropped).tokens <= budget
    )
    if fitting <= things:
        return without(fitting)
    raise PromptError(
        f"utterance {window.target.utterance_id!r}: its prompt takes {without(things).tokens} "
        f"tokens without any demonstration or context, the budget is {budget}; raise "
        "prompt.max_tokens, or shorten the utterance"
    )
