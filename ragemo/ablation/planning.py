"""What an ablation would ask for, each distinct call counted once, before anyone is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ragemo.ablation.design import Cell
from ragemo.ablation.folder import known_identities, known_identity
from ragemo.ablation.sharing import LocalOutline
from ragemo.corpus.transcripts import choose_transcripts
from ragemo.errors import RagemoError
from ragemo.files import canonical_json
from ragemo.llm.keeping.answer_cache import AnswerCache, answer_key
from ragemo.llm.protocol import ModelOutline, calls_for
from ragemo.pipeline import Plan, make_plan
from ragemo.progress import Progress, Silent
from ragemo.retrieval.embedding.embedder import Embedder
from ragemo.retrieval.embedding.remembering import RememberingEmbedder
from ragemo.retrieval.index import Index
from ragemo.settings import DEFAULT_TRANSCRIPT, Settings
from ragemo.types import Corpus

ROUGH_SECONDS = 1.0
"""Seconds for an answer, where none was measured yet."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What an ablation would do and cost.

    Attributes:
        cells: how many there are.
        finished: those of them that are not run again.
        embeddings: distinct texts to embed, for all cells together.
        searches: queries of the index, those that cells share counted once.
        searches_alone: queries of the index if nothing were shared.
        calls: answers asked for, those that cells share counted once; at most, since some
            utterances may be settled early.
        calls_alone: answers asked for if nothing were shared.
        answered: those of the distinct calls that have an answer already.
        prompt_tokens: of the others; where a model gives several answers to one prompt, the
            prompt counts once for those that one cell asks together.
        answer_tokens: of the others, at most.
        cost: US dollars of the others, at most; None if a price is unknown.
        seconds: how long the others take.
        basis: what `seconds` rests on, in words.
        exact: whether tokens are counted or estimated.
        failures: cell -> why it cannot be planned; such cells are in `cells` and in no other
            figure of calls.
    """

    cells: int
    finished: int
    embeddings: int
    searches: int
    searches_alone: int
    calls: int = 0
    calls_alone: int = 0
    answered: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cost: float | None = 0.0
    seconds: float = 0.0
    basis: str = ""
    exact: bool = True
    failures: Mapping[str, str] = field(default_factory=dict)

    def in_words(self) -> str:
        """The forecast as lines for people."""
        about = "" if self.exact else "about "
        kept = f", {self.finished} of them finished" if self.finished else ""
        lines = [
            f"{self.cells} cells{kept}",
            f"{self.embeddings:,} texts to embed; {self.searches:,} searches "
            f"({self.searches_alone:,} if cells shared none)",
            *(f"cell {name!r} cannot be run: {why}" for name, why in self.failures.items()),
        ]
        if not self.calls:
            return "\n".join([*lines, "no language model is asked"])
        lines.append(
            f"at most {self.calls:,} distinct calls ({self.calls_alone:,} if cells shared none), "
            f"{self.answered:,} of them answered already"
        )
        price = "price unknown" if self.cost is None else f"{about}${self.cost:.4f}"
        if self.cost == 0:
            price = "free"
        lines.append(
            f"still to ask: {about}{self.prompt_tokens:,} prompt tokens, at most "
            f"{self.answer_tokens:,} answer tokens, {price}, about {_duration(self.seconds)} "
            f"({self.basis})"
        )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a cell asks of one prompt together.

    Attributes:
        model: who is asked.
        sent: tokens of the prompt.
        back: tokens that an answer takes at most.
        keys: of the answers by their numbers, see `answer_key`.
    """

    model: ModelOutline
    sent: int
    back: int
    keys: Mapping[int, str]


def forecast(
    cells: Sequence[Cell],
    corpus: Corpus,
    answers: Path,
    out: Path,
    *,
    index: Index | None,
    embedder: Embedder | None,
    models: Mapping[int, Sequence[ModelOutline]],
    finished: int = 0,
    progress: Progress | None = None,
) -> Forecast:
    """Plan every cell that is to be run and count what is distinct.

    Args:
        cells: those that are to be run, in this order.
        corpus, index: as everywhere.
        answers: a file of answers; those that are there are not counted as still to ask.
        out: the ablation's folder.
        embedder: the index's; not used unless a cell asks a language model.
        models: place of a cell in `cells` -> its language models, which only have to count.
        finished: how many cells need not be run.
        progress: told what is being done.
    """
    progress = progress or Silent()
    asked: list[_Asked] = []
    failures: dict[str, str] = {}
    settings = [cell.settings for cell in cells]
    asking = [place for place in range(len(cells)) if models.get(place)]
    memory = RememberingEmbedder(embedder) if embedder else None
    known = known_identities(out)
    with progress.stage("planning cells", len(asking)) as advance:
        for place in asking:
            how = settings[place]
            first, *others = models[place]
            own = [_recognised(first, known, how), *others]
            try:
                plan = make_plan(
                    corpus, how, index=index, embedder=memory, llm=own[0], others=own[1:]
                )
                asked += _asked(plan, own)
            except RagemoError as error:
                failures[cells[place].name] = " ".join(str(error).split())
            advance(1)
    needed = [(one, _targets(corpus, one)) for one in settings] if index else []
    answered: set[str] = set()
    measured: dict[str, float | None] = {}
    calls = {key: one.model for one in asked for key in one.keys.values()}
    names = {model.name for model in calls.values()}
    if calls and answers.is_file():
        cache = AnswerCache(answers)
        answered = cache.has(calls)
        measured = {name: cache.seconds_per_answer(name) for name in names}
        cache.close()
    open_ = [model for key, model in calls.items() if key not in answered]
    sent = back = 0
    costs: list[float | None] = []
    there = set(answered)
    for one in asked:  # in the order of asking: what an earlier cell asks, a later one need not
        missing = [sample for sample, key in one.keys.items() if key not in there]
        there |= set(one.keys.values())
        if missing:
            tokens = one.sent * calls_for(missing, one.model.answers_per_call)
            most = one.back * len(missing)
            costs.append(one.model.price(tokens, most))
            sent += tokens
            back += most
    return Forecast(
        cells=len(settings) + finished,
        finished=finished,
        embeddings=len(embedded_texts(corpus, settings, index)) if index else 0,
        searches=sum({_search(one): targets for one, targets in needed}.values()),
        searches_alone=sum(targets for _, targets in needed),
        calls=len(calls),
        calls_alone=sum(len(one.keys) for one in asked),
        answered=len(answered),
        prompt_tokens=sent,
        answer_tokens=back,
        cost=None if None in costs else sum(cost or 0.0 for cost in costs),
        seconds=sum(
            (measured.get(model.name) or ROUGH_SECONDS) / model.concurrency for model in open_
        ),
        basis=_basis(open_, measured),
        exact=all(model.counts_exactly for model in calls.values()),
        failures=failures,
    )


def _recognised(
    model: ModelOutline, known: Mapping[str, Mapping[str, object]], settings: Settings
) -> ModelOutline:
    """An outline with the identity that an earlier run found, so that its answers are known."""
    if isinstance(model, LocalOutline):
        return LocalOutline(model.settings, known_identity(known, settings))
    return model


def _asked(plan: Plan, models: Sequence[ModelOutline]) -> list[_Asked]:
    """What a cell asks, its preliminaries first."""
    questions = [*plan.preliminary, *(q for own in plan.questions.values() for q in own)]
    found = []
    for question in questions:
        model, prompt = models[question.model], question.prompt
        keys = {one: answer_key(model, prompt, plan.labels, one) for one in question.samples}
        back = model.most_answer_tokens(prompt.form)
        found.append(_Asked(model, prompt.tokens, back, keys))
    return found


def _targets(corpus: Corpus, settings: Settings) -> int:
    count = sum(utterance.needs_prediction for utterance in corpus.utterances)
    return count if settings.limit is None else min(count, settings.limit)


def _search(settings: Settings) -> str:
    """The same for two cells whose searches are the same."""
    how = settings.retrieval.model_dump(mode="json", exclude={"k", "neighbours", "strategy"})
    return canonical_json([how, settings.corpus.transcript, settings.seed])


def embedded_texts(corpus: Corpus, settings: Sequence[Settings], index: Index | None) -> set[str]:
    """The transcripts that are embedded: of the targets' dialogues, up to the last target.

    Where transcripts cannot be chosen there are none: the cell fails, with the reason, when it
    is run.
    """
    found: set[str] = set()
    default = index.transcript if index else DEFAULT_TRANSCRIPT
    utterances = corpus.utterances
    for strategy, seed, limit in {
        (one.corpus.transcript or default, one.seed, one.limit) for one in settings
    }:
        rows = [row for row, one in enumerate(utterances) if one.needs_prediction][:limit]
        dialogues = {utterances[row].dialogue_id for row in rows}
        heard = [u for u in utterances[: max(rows, default=-1) + 1] if u.dialogue_id in dialogues]
        with suppress(RagemoError):
            found |= {one.text for one in choose_transcripts(heard, strategy, seed=seed)}
    return {text for text in found if text.strip()}


def _basis(models: Sequence[ModelOutline], measured: Mapping[str, float | None]) -> str:
    """What the time rests on."""
    parts = []
    for model in {model.name: model for model in models}.values():
        seconds = measured.get(model.name)
        figure = (
            f"{seconds:.2f} s an answer, measured on earlier ones"
            if seconds
            else f"a rough {ROUGH_SECONDS:g} s an answer, none was measured yet"
        )
        parts.append(f"{model.name}: {figure}, {model.concurrency} at once")
    return "; ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
