"""The prompts of a run about each target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ragemo.corpus.different import most_different
from ragemo.corpus.transcripts import Transcript
from ragemo.labels import LabelSet
from ragemo.llm.forms import check_form
from ragemo.llm.protocol import ModelOutline
from ragemo.prompting.budget import build_prompt
from ragemo.prompting.templates import Template, load_template
from ragemo.prompting.variants import plan_variants
from ragemo.runs.records import AskedPrompt
from ragemo.settings import Settings
from ragemo.types import Demonstration, Distribution, Prompt, Turn, Window

ALTERNATIVE_TEMPLATES = ("few-shot", "few-shot-chat")
"""What `voting.vary: [template]` takes turns with, where there are demonstrations."""


@dataclass(frozen=True)
class Question:
    """A prompt, and the answers that are asked of it.

    Attributes:
        prompt: what is asked.
        model: the position of the language model that is asked.
        samples: the numbers of its answers among the voter's answers on the utterance.
        variant: what sets the prompt apart from the first one, in words.
    """

    prompt: Prompt
    model: int
    samples: tuple[int, ...]
    variant: str = ""


@dataclass(frozen=True)
class Seen:
    """What prompts are made of.

    Attributes:
        windows: target -> its window with the context that may be shown.
        labels: the label set.
        templates: by name.
        hypotheses: target -> ASR system -> transcript.
        demonstrations: target -> the labelled windows found for it, most wanted first.
        memory: target -> turns recalled from before its context.
        hints: target -> what the index's own voters believe.
    """

    windows: Mapping[str, Window]
    labels: LabelSet
    templates: Mapping[str, Template]
    hypotheses: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    demonstrations: Mapping[str, Sequence[Demonstration]] = field(default_factory=dict)
    memory: Mapping[str, Sequence[Turn]] = field(default_factory=dict)
    hints: Mapping[str, Distribution] = field(default_factory=dict)


def templates_of(settings: Settings, models: Sequence[ModelOutline]) -> dict[str, Template]:
    """The settings' template, and those that it takes turns with.

    Raises:
        PromptError: if one cannot be used.
        SettingsError: if a model cannot give the answers that one asks for.
    """
    names = [settings.prompt.template]
    if "template" in settings.voting.vary and settings.retrieval.k:
        names += ALTERNATIVE_TEMPLATES
    templates = {name: load_template(name) for name in names}
    for template in templates.values():
        for model in models:
            check_form(model, template.form)
    return templates


def ask_of(
    seen: Seen, target: str, settings: Settings, models: Sequence[ModelOutline]
) -> tuple[Question, ...]:
    """What is asked about one target: one prompt for all samples, or as many as vary.

    Without anything to vary, all `llm.samples` answers are asked of one prompt; a model that
    scores every label is asked once. Where prompts vary, each is asked once; if a target has
    fewer distinct ones than samples, those that draw their answers are asked again.
    """
    wanted = settings.llm.samples
    axes = _axes(seen, target, settings, models)
    questions: list[Question] = []
    shown: set[Any] = set()
    for variant in plan_variants({axis: len(values) for axis, values in axes.items()}, 4 * wanted):
        if len(questions) == wanted:
            break
        values = {axis: axes[axis][number] for axis, number in variant.items()}
        model = int(values.pop("model", 0))
        prompt = prompt_of(seen, target, settings, models[model], **values)
        if (model, prompt.messages) in shown:
            continue
        shown.add((model, prompt.messages))
        words = ", ".join(
            f"{axis} {_in_words(axis, axes[axis][number], models)}"
            for axis, number in variant.items()
            if number
        )
        questions.append(Question(prompt, model, (len(questions),), words))
    spare = wanted - len(questions)
    drawing = [row for row, q in enumerate(questions) if not models[q.model].exact]
    for number in range(spare if drawing else 0):
        row = drawing[number % len(drawing)]
        again = questions[row]
        questions[row] = replace(again, samples=(*again.samples, len(questions) + number))
    return tuple(questions)


def asked_prompts(
    questions: Mapping[str, Sequence[Question]], models: Sequence[ModelOutline]
) -> tuple[AskedPrompt, ...]:
    """The prompts about the targets as a run keeps them."""
    return tuple(
        AskedPrompt(
            prompt=question.prompt,
            model=models[question.model].name,
            samples=question.samples,
            variant=question.variant,
            shown=tuple(d.window.target.utterance_id for d in question.prompt.demonstrations),
        )
        for own in questions.values()
        for question in own
    )


def _axes(
    seen: Seen, target: str, settings: Settings, models: Sequence[ModelOutline]
) -> dict[str, list[Any]]:
    """The values of each axis that varies, the usual one first; the axes that tell most first."""
    vary, prompt, k = settings.voting.vary, settings.prompt, settings.retrieval.k
    axes: dict[str, list[Any]] = {}
    if "transcript" in vary:
        axes["transcript"] = most_different(_chosen(seen, target), seen.hypotheses.get(target, {}))
    if "demos" in vary and k:
        found = len(seen.demonstrations.get(target, ()))
        axes["demos"] = list(range(max(1, min(settings.llm.samples, found // k))))
    if "context" in vary:
        longer = None if prompt.context is None else 2 * prompt.context or 4
        there = len(seen.windows[target].context)
        shown: dict[int, int | None] = {}
        for context in (prompt.context, 0, longer, 2, None):
            shown.setdefault(there if context is None else min(context, there), context)
        axes["context"] = list(shown.values())
    if "template" in vary:
        axes["template"] = list(seen.templates)
    if {"model", "temperature"} & set(vary):
        # A model that scores labels has no temperature: it is one model at all of them.
        own = [model.identity for model in models]
        axes["model"] = [row for row, one in enumerate(own) if one not in own[:row]]
    return axes


def _chosen(seen: Seen, target: str) -> Transcript:
    turn = seen.windows[target].target
    return Transcript(turn.text, turn.source)


def _in_words(axis: str, value: Any, models: Sequence[ModelOutline]) -> str:
    if axis == "transcript":
        return str(value.source)
    if axis == "demos":
        return f"set {value + 1}"
    if axis == "context":
        return "all" if value is None else str(value)
    if axis == "model":
        identity = models[value].identity
        return f"{models[value].name} at {identity.get('temperature', 'no temperature')}"
    return str(value)


def prompt_of(
    seen: Seen, target: str, settings: Settings, model: ModelOutline, **values: Any
) -> Prompt:
    """The prompt about one target.

    Args:
        seen, target, settings: as everywhere.
        model: counts the tokens.
        values: of axes on which it differs from the settings: context, transcript, template,
            and demos, the number of a block of k demonstrations.
    """
    window, how = seen.windows[target], settings.prompt
    template = seen.templates[values.get("template", how.template)]
    context = values.get("context", how.context)
    earlier = window.context
    if context is not None:
        earlier = earlier[max(len(earlier) - context, 0) :]
    transcript = values.get("transcript") or _chosen(seen, target)
    spoken = replace(window.target, text=transcript.text, source=transcript.source)
    hypotheses: list[Transcript] = []
    if "hypotheses" in template.uses:
        hypotheses = most_different(transcript, seen.hypotheses.get(target, {}), how.hypotheses)
    k = settings.retrieval.k
    first = k * int(values.get("demos", 0))
    remembered = {turn.turn for turn in earlier}  # a longer context may hold what was recalled
    return build_prompt(
        Window((*earlier, spoken)),
        seen.demonstrations.get(target, ())[first : first + k],
        seen.labels,
        template,
        count_tokens=model.count_tokens,
        budget=how.max_tokens,
        hint=seen.hints.get(target),
        hypotheses=[one.text for one in hypotheses],
        memory=[t for t in seen.memory.get(target, ()) if t.turn not in remembered],
        order=how.order,
        seed=settings.seed,
    )
