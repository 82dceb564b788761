"""What would be asked about one utterance, for a person to read."""

from __future__ import annotations

from typing import Any

from ragemo.errors import DataError
from ragemo.llm.protocol import LanguageModel
from ragemo.pipeline.plan import make_plan
from ragemo.pipeline.questions import Question
from ragemo.retrieval.embedder import Embedder
from ragemo.retrieval.index import Index
from ragemo.settings import Settings
from ragemo.types import Corpus, Prompt


def show_prompts(
    corpus: Corpus,
    utterance: str,
    settings: Settings,
    llm: LanguageModel,
    *,
    index: Index | None = None,
    embedder: Embedder | None = None,
) -> str:
    """Every prompt about an utterance, as it would be sent, with token counts.

    Args:
        corpus: the dialogues.
        utterance: the id of one that needs a prediction.
        settings, index, embedder: as for `predict`.
        llm: counts the tokens; it is not asked.

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

    def asked(**changes: Any) -> tuple[Question, ...]:
        """The questions under other settings, so that what a part costs can be told."""
        here = settings.model_copy(
            update={
                "limit": None,
                **{
                    section: getattr(settings, section).model_copy(update=values)
                    for section, values in changes.items()
                },
            }
        )
        plan = make_plan(corpus, here, index=index, embedder=embedder, llm=llm, only=up_to_it)
        return plan.questions[utterance]

    questions = asked()
    parts = []
    for number, question in enumerate(questions, start=1):
        if len(questions) > 1:
            what = question.variant or "as it is without --vary"
            parts.append(f"=== prompt {number} of {len(questions)}: {what}")
        parts.append(_described(question.prompt, llm))
    no_demonstrations = asked(voting={"vary": ()}, retrieval={"k": 0})[0].prompt.tokens
    no_context = asked(voting={"vary": ()}, prompt={"context": 0}, retrieval={"memory": 0})[
        0
    ].prompt.tokens
    total = questions[0].prompt.tokens
    parts.append(
        f"Of the {total} tokens{' of the first' * (len(questions) > 1)}, the demonstrations take "
        f"{total - no_demonstrations}, the earlier turns {total - no_context}."
    )
    return "\n\n".join(parts)


def _described(prompt: Prompt, llm: LanguageModel) -> str:
    about = "" if llm.counts_exactly else "about "
    lines = []
    so_far = 0
    for place, message in enumerate(prompt.messages, start=1):
        total = llm.count_tokens(prompt.messages[:place])
        lines += [f"--- {message.role} ({about}{total - so_far} tokens)", message.content, ""]
        so_far = total
    alike = ", ".join(f"{one.label} {one.similarity:.2f}" for one in prompt.demonstrations)
    context = len(prompt.window.context) if prompt.window else 0
    lines += [
        f"--- {about}{prompt.tokens} tokens, to be answered in the form {prompt.form!r}",
        f"demonstrations: {len(prompt.demonstrations)}{f' ({alike})' * bool(alike)}"
        + _dropped(prompt.dropped_demonstrations),
        f"earlier turns: {context}" + _dropped(prompt.dropped_context),
    ]
    return "\n".join(lines)


def _dropped(count: int) -> str:
    return f", {count} more left out by the token budget" if count else ""
