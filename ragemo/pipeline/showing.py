"""What would be asked about one utterance, for a person to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragemo.errors import DataError
from ragemo.labels import LabelSet
from ragemo.llm.protocol import ModelOutline
from ragemo.pipeline.plan import make_plan
from ragemo.pipeline.questions import Question, templates_of
from ragemo.prompting.templates import Template
from ragemo.retrieval.embedding.embedder import Embedder
from ragemo.retrieval.index import Index
from ragemo.settings import Settings
from ragemo.types import Corpus, Message, Prompt, Window


def show_prompts(
    corpus: Corpus,
    utterance: str,
    settings: Settings,
    llm: ModelOutline,
    *,
    others: Sequence[ModelOutline] = (),
    index: Index | None = None,
    embedder: Embedder | None = None,
) -> str:
    """Every prompt about an utterance, as it would be sent, with token counts.

    Args:
        corpus: the dialogues.
        utterance: the id of one that needs a prediction.
        settings, index, embedder: as for `predict`.
        llm, others: count the tokens; they are not asked.

    Raises:
        DataError: if the corpus has no such utterance, or it needs no prediction.
        RagemoError: see `make_plan`.
    """
    needing = {u.id: u.needs_prediction for u in corpus.utterances}
    if not needing.get(utterance):
        reason = "needs no prediction" if utterance in needing else "is not in it"
        some = [name for name, needs in needing.items() if needs][:3]
        raise DataError(
            f"utterance {utterance!r} {reason}; there are {', '.join(some)}, ...", path=corpus.path
        )
    # With the targets before it, since what is said of them may sway what the index believes.
    dialogue = next(u.dialogue_id for u in corpus.utterances if u.id == utterance)
    said = [u.id for u in corpus.utterances if u.dialogue_id == dialogue]
    up_to_it = said[: said.index(utterance) + 1]

    here = settings.model_copy(update={"limit": None})
    plan = make_plan(
        corpus, here, index=index, embedder=embedder, llm=llm, others=others, only=up_to_it
    )
    questions = plan.questions[utterance]
    models = [llm, *others]
    templates = templates_of(settings, models)
    parts = []
    for number, question in enumerate(questions, start=1):
        if len(questions) > 1:
            what = question.variant or "as it is without --vary"
            parts.append(f"=== prompt {number} of {len(questions)}: {what}")
        asked = models[question.model]
        parts.append(_described(question, plan.labels, templates, settings, asked))
    return "\n\n".join(parts)


def _described(
    question: Question,
    labels: LabelSet,
    templates: Mapping[str, Template],
    settings: Settings,
    llm: ModelOutline,
) -> str:
    """One prompt: its messages, what is in it, and what each part takes."""
    prompt = question.prompt
    about = "" if llm.counts_exactly else "about "
    lines = []
    so_far = 0
    for place, message in enumerate(prompt.messages, start=1):
        total = llm.count_tokens(prompt.messages[:place])
        lines += [f"--- {message.role} ({about}{total - so_far} tokens)", message.content, ""]
        so_far = total
    lines.append(f"--- {about}{prompt.tokens} tokens, to be answered in the form {prompt.form!r}")
    window = prompt.window
    if window is None:
        return "\n".join(lines)
    template = next(t for t in templates.values() if _renders(t, prompt, labels, settings))

    def taken(**without: Any) -> str:
        """The tokens of a part: what the prompt would be shorter by without it."""
        bare = _rendered(template, prompt, labels, settings, **without)
        return f"{about}{prompt.tokens - llm.count_tokens(bare)} tokens"

    alike = ", ".join(f"{one.label} {one.similarity:.2f}" for one in prompt.demonstrations)
    lines.append(
        f"demonstrations: {len(prompt.demonstrations)}"
        + (f" ({alike}), {taken(demonstrations=())}" if alike else "")
        + _dropped(prompt.dropped_demonstrations)
    )
    context = len(window.context)
    lines.append(
        f"earlier turns: {context}"
        + (f", {taken(window=Window((window.target,)))}" if context else "")
        + _dropped(prompt.dropped_context)
    )
    if prompt.memory:
        lines.append(f"recalled turns: {len(prompt.memory)}, {taken(memory=())}")
    if prompt.hint is not None:
        lines.append(f"the index's belief: {taken(hint=None)}")
    if len(prompt.hypotheses) > 1:
        lines.append(f"transcripts: {len(prompt.hypotheses)}, {taken(hypotheses=())}")
    return "\n".join(lines)


def _rendered(
    template: Template, prompt: Prompt, labels: LabelSet, settings: Settings, **changes: Any
) -> tuple[Message, ...]:
    """The messages of a prompt, or what they would be with other parts."""
    parts: dict[str, Any] = {
        "window": prompt.window,
        "demonstrations": prompt.demonstrations,
        "hint": prompt.hint,
        "hypotheses": prompt.hypotheses,
        "memory": prompt.memory,
        **changes,
    }
    return template.render(labels=labels, order=settings.prompt.order, seed=settings.seed, **parts)


def _renders(template: Template, prompt: Prompt, labels: LabelSet, settings: Settings) -> bool:
    """Whether a prompt is of a template; `--vary template` takes several."""
    return _rendered(template, prompt, labels, settings) == prompt.messages


def _dropped(count: int) -> str:
    return f", {count} more left out by the token budget" if count else ""
