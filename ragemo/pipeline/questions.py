"""The prompts of a run: about each target, and what the language models are tried on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ragemo.corpus.consensus import fold
from ragemo.errors import SettingsError
from ragemo.labels import LabelSet
from ragemo.llm.protocol import LanguageModel
from ragemo.prompting.budget import build_prompt
from ragemo.prompting.templates import Template, load_template
from ragemo.prompting.variants import plan_variants
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.retrieve import Retrieval
from ragemo.settings import Settings
from ragemo.types import Demonstration, Prompt, Turn, Window
from ragemo.voting.weighing import ENOUGH

ALTERNATIVE_TEMPLATES = ("few-shot", "few-shot-chat")
"""What `voting.vary: [template]` takes turns with, where there are demonstrations."""

CONTENTLESS = ("N/A", "[MASK]", "")
"""Texts that say nothing, as Zhao et al. (2021) have them."""

CONTENTLESS_ID = "contentless"
"""Begins the ids of windows that say nothing."""


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
        windows: target -> its window with the whole dialogue before it.
        hypotheses: target -> ASR system -> transcript.
        labels: the label set.
        index: for labelled windows, or None.
        guard: what a query may not share with its demonstrations.
        templates: by name.
    """

    windows: Mapping[str, Window]
    hypotheses: Mapping[str, Mapping[str, str]]
    labels: LabelSet
    index: Index | None
    guard: Guard
    templates: Mapping[str, Template]


def templates_of(settings: Settings) -> dict[str, Template]:
    """The settings' template, and those that it takes turns with.

    Raises:
        PromptError: if one cannot be used.
    """
    names = [settings.prompt.template]
    if "template" in settings.voting.vary and settings.retrieval.k:
        names += ALTERNATIVE_TEMPLATES
    return {name: load_template(name) for name in names}


def ask_of(
    seen: Seen,
    target: str,
    neighbours: Mapping[str, Sequence[Demonstration]],
    settings: Settings,
    models: Sequence[LanguageModel],
) -> tuple[Question, ...]:
    """What is asked about one target: one prompt for all samples, or as many as vary.

    Without anything to vary, all `llm.samples` answers are asked of one prompt; a model that
    scores every label is asked once. Where prompts vary, each is asked once; if a target has
    fewer distinct ones than samples, those that draw their answers are asked again.
    """
    wanted = settings.llm.samples
    axes = _axes(seen, target, len(neighbours.get(target, ())), settings, models)
    questions: list[Question] = []
    shown: set[Any] = set()
    for variant in plan_variants({axis: len(values) for axis, values in axes.items()}, 4 * wanted):
        if len(questions) == wanted:
            break
        values = {axis: axes[axis][number] for axis, number in variant.items()}
        model = int(values.pop("model", 0))
        prompt = _prompt(
            seen, target, neighbours.get(target, ()), settings, models[model], **values
        )
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


def _axes(
    seen: Seen,
    target: str,
    neighbours: int,
    settings: Settings,
    models: Sequence[LanguageModel],
) -> dict[str, list[Any]]:
    """The values of each axis that varies, the usual one first; the axes that tell most first."""
    vary, prompt, k = settings.voting.vary, settings.prompt, settings.retrieval.k
    axes: dict[str, list[Any]] = {}
    if "transcript" in vary:
        chosen = seen.windows[target].target
        axes["transcript"] = _transcripts(chosen, seen.hypotheses.get(target, {}))
    if "demos" in vary and k:
        axes["demos"] = list(range(max(1, min(settings.llm.samples, neighbours // k))))
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


def _transcripts(chosen: Turn, hypotheses: Mapping[str, str]) -> list[Turn]:
    """The chosen transcript, then the others that differ, each as unlike those before as can be."""
    from rapidfuzz.distance import Levenshtein

    turns = [chosen]
    others = {
        fold(text): replace(chosen, text=text, source=system)
        for system, text in sorted(hypotheses.items(), reverse=True)
        if fold(text) not in ("", fold(chosen.text))
    }
    while others:
        distances = {
            folded: min(
                Levenshtein.normalized_distance(folded.split(), fold(turn.text).split())
                for turn in turns
            )
            for folded in sorted(others)
        }
        turns.append(others.pop(max(distances, key=lambda folded: distances[folded])))
    return turns


def _in_words(axis: str, value: Any, models: Sequence[LanguageModel]) -> str:
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


def _prompt(
    seen: Seen,
    target: str,
    neighbours: Sequence[Demonstration],
    settings: Settings,
    model: LanguageModel,
    **values: Any,
) -> Prompt:
    """The prompt with some axes' values other than the settings'."""
    window, k = seen.windows[target], settings.retrieval.k
    context = values.get("context", settings.prompt.context)
    earlier = window.context
    if context is not None:
        earlier = earlier[max(len(earlier) - context, 0) :]
    first = k * int(values.get("demos", 0))
    return build_prompt(
        Window((*earlier, values.get("transcript", window.target))),
        neighbours[first : first + k],
        seen.labels,
        seen.templates[values.get("template", settings.prompt.template)],
        count_tokens=model.count_tokens,
        budget=settings.prompt.max_tokens,
    )


def checks_of(
    seen: Seen,
    retrieval: Retrieval | None,
    targets: Sequence[str],
    settings: Settings,
    models: Sequence[LanguageModel],
) -> list[Question]:
    """Questions about labelled windows of the index, each with its own dialogue held out.

    The windows are drawn from those that the index's own voters were held out of, so that all
    are tried on the same. A window that is a target itself is not asked about twice. Where the
    weights are given there is nothing to try.
    """
    index, how = seen.index, settings.voting
    count = min(how.checks, len(targets))
    if index is None or retrieval is None or how.pool == "majority" or how.weights:
        return []
    held_out = index.fitted.held_out
    count = min(count, len(held_out))
    if count < ENOUGH:  # too few to weigh anybody by
        return []
    rows = np.sort(np.random.default_rng(settings.seed).choice(held_out, count, replace=False))
    own = {t for t, one in zip(targets, retrieval.found, strict=True) if one.own}
    rows = np.array(
        [row for row in rows.tolist() if index.turns[row].utterance_id not in own], dtype=np.int64
    )
    index = index.recomposed(next(iter(retrieval.parts.values())).composition)
    turns = [index.turns[row] for row in rows]
    found = index.search(
        index.window_vectors[rows], turns, settings.retrieval.k, Guard(seen.guard.exclude)
    )
    windows = {
        turn.utterance_id: index.window(row, len(index.turns))
        for turn, row in zip(turns, rows.tolist(), strict=True)
    }
    tried = replace(seen, windows=windows, hypotheses={})
    shown = {
        turn.utterance_id: index.demonstrations(
            found, query, settings.retrieval.k, settings.prompt.demonstration_context
        )
        for query, turn in enumerate(turns)
    }
    return [
        Question(
            _prompt(tried, turn.utterance_id, shown[turn.utterance_id], settings, model),
            position,
            (0,),
        )
        for position, model in _distinct(models)
        for turn in turns
    ]


def contentless_of(
    seen: Seen, settings: Settings, models: Sequence[LanguageModel]
) -> list[Question]:
    """Questions about windows that say nothing, with demonstrations drawn by lot.

    Raises:
        SettingsError: if there is an index that has fewer examples than a prompt shows.
    """
    if settings.voting.calibration != "contextual" or settings.voting.pool == "majority":
        return []
    questions = []
    rng = np.random.default_rng(settings.seed)
    for number, text in enumerate(CONTENTLESS):
        turn = Turn(f"{CONTENTLESS_ID}-{number}", CONTENTLESS_ID, 0, "", None, text, "")
        shown: tuple[Demonstration, ...] = ()
        if seen.index is not None and settings.retrieval.k:
            if len(seen.index.examples) < settings.retrieval.k:
                raise SettingsError(
                    f"voting.calibration contextual draws {settings.retrieval.k} demonstrations, "
                    f"and the index has {len(seen.index.examples)}; use batch"
                )
            drawn = rng.choice(seen.index.examples, settings.retrieval.k, replace=False)
            shown = tuple(
                Demonstration(
                    seen.index.window(int(row), settings.prompt.demonstration_context),
                    str(seen.index.gold[row]),
                    0.0,
                )
                for row in drawn
            )
        own = replace(seen, windows={turn.utterance_id: Window((turn,))}, hypotheses={})
        for position, model in _distinct(models):
            prompt = _prompt(own, turn.utterance_id, shown, settings, model)
            questions.append(Question(prompt, position, tuple(range(settings.llm.samples))))
    return [replace(q, samples=(0,)) if models[q.model].exact else q for q in questions]


def _distinct(models: Sequence[LanguageModel]) -> list[tuple[int, LanguageModel]]:
    """The first model of each name, with its position: one voter each."""
    first = {model.name: position for position, model in reversed(list(enumerate(models)))}
    return [(position, models[position]) for position in sorted(first.values())]
