"""Fit a prompt into its token budget, dropping what matters least, never half of anything."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from ragemo.errors import PromptError
from ragemo.labels import LabelSet
from ragemo.prompting.shown import Order
from ragemo.prompting.templates import Template
from ragemo.types import Demonstration, Distribution, Message, Prompt, Turn, Window


def build_prompt(
    window: Window,
    demonstrations: Sequence[Demonstration],
    labels: LabelSet,
    template: Template,
    *,
    count_tokens: Callable[[Sequence[Message]], int],
    budget: int,
    hint: Distribution | None = None,
    hypotheses: Sequence[str] = (),
    memory: Sequence[Turn] = (),
    order: Order = "nearest-last",
    seed: int = 0,
) -> Prompt:
    """The prompt for one window, within `budget` tokens.

    Whole demonstrations are dropped from the least preferred on; when none is left, whole turns
    from the oldest on: first of the memory, then of the context. What was dropped is in the
    prompt; what the template does not show is neither shown nor dropped.

    Args:
        window: the target and its context.
        demonstrations: in order of preference, most similar first.
        labels: the label set.
        template: how they are shown.
        count_tokens: the model's count of a list of messages.
        budget: tokens that the prompt may have.
        hint, hypotheses, memory, order, seed: as `Template.render` takes them.

    Raises:
        PromptError: if not even the target alone fits.
    """
    if "demonstrations" not in template.uses:
        demonstrations = ()
    earlier = (
        *(memory if "memory" in template.uses else ()),
        *(window.context if "context" in template.uses else ()),
    )
    remembered = len(memory) if "memory" in template.uses else 0
    things = len(demonstrations) + len(earlier)

    def without(dropped: int) -> Prompt:
        """The prompt without the so many things that matter least."""
        kept = max(len(demonstrations) - dropped, 0)
        first = max(dropped - len(demonstrations), 0)
        shown = Window((*earlier[max(first, remembered) :], window.target))
        messages = template.render(
            shown,
            demonstrations[:kept],
            labels,
            hint=hint,
            hypotheses=hypotheses,
            memory=earlier[first:remembered],
            order=order,
            seed=seed,
        )
        return Prompt(
            utterance_id=window.target.utterance_id,
            messages=messages,
            tokens=count_tokens(messages),
            demonstrations=tuple(demonstrations[:kept]),
            dropped_demonstrations=len(demonstrations) - kept,
            dropped_context=first,
            form=template.form,
            window=shown,
            memory=earlier[first:remembered],
            hypotheses=tuple(hypotheses) if "hypotheses" in template.uses else (),
            hint=hint if "hint" in template.uses else None,
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
