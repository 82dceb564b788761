"""The stages in order: look, retrieve, prompt, ask, decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragemo import __version__
from ragemo.corpus.transcripts import choose_transcripts
from ragemo.corpus.windows import cut_windows
from ragemo.errors import EndpointError, SettingsError
from ragemo.labels import LabelSet
from ragemo.llm.ask import ask_all
from ragemo.llm.protocol import LanguageModel
from ragemo.progress import Progress, Silent
from ragemo.prompting.budget import build_prompt
from ragemo.prompting.templates import load_template
from ragemo.retrieval.embedder import Embedder
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.retrieve import Retrieved, retrieve
from ragemo.retrieval.vectors import Composition
from ragemo.runs.run import Run, RunUtterance
from ragemo.settings import DEFAULT_TRANSCRIPT, Settings
from ragemo.types import Ballot, Corpus, Demonstration, Prompt
from ragemo.voting.decide import decide

NEIGHBOURS = "neighbours"
"""The name of the index as a voter."""


@dataclass(frozen=True)
class Plan:
    """All that is known before anyone is asked.

    Attributes:
        utterances: the dialogues as the run sees them.
        targets: ids to predict, in corpus order.
        demonstrations: per target, most similar first.
        neighbour_ballots: the index's own vote on each target; empty without an index.
        prompts: one per target, in corpus order; empty without an LLM.
        labels: the label set.
        prior: label shares of the index's examples, or None.
        manifest: what the run is, for its folder.
    """

    utterances: tuple[RunUtterance, ...]
    targets: tuple[str, ...]
    demonstrations: Mapping[str, tuple[Demonstration, ...]]
    neighbour_ballots: tuple[Ballot, ...]
    prompts: tuple[Prompt, ...]
    labels: LabelSet
    prior: tuple[float, ...] | None
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Estimate:
    """What a run would ask and cost.

    Attributes:
        utterances: how many are predicted.
        answers: how many answers are asked for in all.
        prompt_tokens: tokens sent, if each prompt is sent once for all its samples.
        answer_tokens: at most so many tokens come back.
        exact: whether the tokens are counted or estimated.
        cost: US dollars, at most; None if the model's price is unknown.
        dropped_demonstrations, dropped_context: what the token budget left out.
    """

    utterances: int
    answers: int
    prompt_tokens: int
    answer_tokens: int
    exact: bool
    cost: float | None
    dropped_demonstrations: int
    dropped_context: int


def predict(
    corpus: Corpus,
    settings: Settings,
    out: Path | str,
    *,
    index: Index | None = None,
    embedder: Embedder | None = None,
    llm: LanguageModel | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Label a corpus's utterances and leave everything in a run folder.

    Args:
        corpus: the dialogues to label.
        settings: see `Settings`.
        out: the run's folder.
        index: labelled windows to retrieve from; needed unless `retrieval.k` is 0.
        embedder: the index's embedder; needed with an index.
        llm: who is asked; None lets the index's own voter decide alone.
        resume: go on with the run in `out`.
        progress: told what is being done.

    Raises:
        RagemoError: see `make_plan` and `carry_out`.
    """
    plan = make_plan(corpus, settings, index=index, embedder=embedder, llm=llm, progress=progress)
    return carry_out(plan, settings, out, llm=llm, resume=resume, progress=progress)


def make_plan(
    corpus: Corpus,
    settings: Settings,
    *,
    index: Index | None = None,
    embedder: Embedder | None = None,
    llm: LanguageModel | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Choose transcripts, cut windows, retrieve and write the prompts; ask nobody.

    Raises:
        SettingsError: if there is nobody to vote, or the corpus and the index do not fit.
        IndexFolderError: if the embedder is not the index's.
        PromptError: if a template or a prompt cannot be used.
    """
    progress = progress or Silent()
    if llm is None and index is None:
        raise SettingsError("nobody votes: give an index, or an llm other than none")
    if index is None and settings.retrieval.k > 0:
        raise SettingsError(
            f"retrieval.k is {settings.retrieval.k}, but there is no index to retrieve from; "
            "give --index, or --k 0 for a prompt without demonstrations"
        )
    labels = index.labels if index else corpus.labels
    _check_labels(corpus, labels)
    template = load_template(settings.prompt.template)

    transcript = settings.corpus.transcript or (index.transcript if index else DEFAULT_TRANSCRIPT)
    utterances = corpus.utterances
    with progress.stage("transcripts", len(utterances)) as advance:
        chosen = choose_transcripts(utterances, transcript, seed=settings.seed)
        advance(len(utterances))
    by_id = {u.id: t for u, t in zip(utterances, chosen, strict=True)}
    windows = cut_windows(corpus.dialogues, by_id, settings.prompt.context)
    rows = [row for row, u in enumerate(utterances) if u.needs_prediction][: settings.limit]
    targets = [utterances[row].id for row in rows]

    retrieved: list[Retrieved] = []
    if index is not None:
        if embedder is None:
            raise SettingsError("an index needs its embedder to be searched")
        retrieved = retrieve(
            index,
            embedder,
            [window.target for window in windows],
            rows,
            k=settings.retrieval.k,
            demonstration_context=settings.prompt.demonstration_context,
            guard=Guard(settings.retrieval.exclude, settings.retrieval.exclude_duplicates),
            composition=_composition(index, settings),
            progress=progress,
        )
    demonstrations = {
        target: found.demonstrations for target, found in zip(targets, retrieved, strict=False)
    }

    prompts = []
    if llm is not None:
        with progress.stage("prompts", len(rows)) as advance:
            for target, row in zip(targets, rows, strict=True):
                prompt = build_prompt(
                    windows[row],
                    demonstrations.get(target, ()),
                    labels,
                    template,
                    count_tokens=llm.count_tokens,
                    budget=settings.prompt.max_tokens,
                )
                prompts.append(prompt)
                advance(1)

    manifest = {
        "ragemo": __version__,
        "settings": settings.model_dump(exclude={"index"}),
        "corpus": {"file": corpus.path.name, "format": corpus.format, "sha256": corpus.sha256},
        "transcript": transcript,
        "uses_reference_transcripts": "reference"
        in (transcript, index.transcript if index else ""),
        "labels": labels.to_dict(),
        "index": index.summary() if index else None,
        "llm": llm.identity if llm else None,
        "template": {"name": template.name, "sha256": template.sha256} if llm else None,
    }
    predicted = set(targets)
    return Plan(
        utterances=tuple(
            RunUtterance(
                turn=window.target,
                gold=utterance.emotion if utterance.emotion in labels.names else None,
                predicted=utterance.id in predicted,
                row=utterance.row,
            )
            for utterance, window in zip(utterances, windows, strict=True)
        ),
        targets=tuple(targets),
        demonstrations=demonstrations,
        neighbour_ballots=tuple(
            Ballot(target, NEIGHBOURS, distribution=found.vote)
            for target, found in zip(targets, retrieved, strict=False)
        ),
        prompts=tuple(prompts),
        labels=labels,
        prior=index.prior if index else None,
        manifest=manifest,
    )


def estimate(plan: Plan, settings: Settings, llm: LanguageModel | None) -> Estimate:
    """What carrying out a plan would ask and cost; nothing is sent."""
    samples = _samples(settings, llm)
    prompt_tokens = sum(prompt.tokens for prompt in plan.prompts)
    answers = samples * len(plan.prompts)
    answer_tokens = 0 if llm is None or llm.exact else answers * settings.llm.max_answer_tokens
    return Estimate(
        utterances=len(plan.targets),
        answers=answers,
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
        exact=llm is None or llm.counts_exactly,
        cost=llm.price(prompt_tokens, answer_tokens) if llm else 0.0,
        dropped_demonstrations=sum(prompt.dropped_demonstrations for prompt in plan.prompts),
        dropped_context=sum(prompt.dropped_context for prompt in plan.prompts),
    )


def carry_out(
    plan: Plan,
    settings: Settings,
    out: Path | str,
    *,
    llm: LanguageModel | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Ask what a plan asks, each answer on disk before the next, then decide.

    Raises:
        RunFolderError: if `out` cannot be used (see `Run.create` and `Run.resume`).
        EndpointError: if no call can succeed; what was answered is kept, and where nothing
            was, no new folder is left.
    """
    progress = progress or Silent()
    out = Path(out)
    resume = resume and out.is_dir() and any(out.iterdir())
    if resume:
        run = Run.resume(out, plan.manifest)
    else:
        run = Run.create(out, plan.manifest, plan.utterances)
    with run:
        answered = {_key(ballot) for ballot in run.ballots() if not ballot.failed}
        run.append([ballot for ballot in plan.neighbour_ballots if _key(ballot) not in answered])
        if llm is not None:
            questions = []
            for prompt in plan.prompts:
                missing = [
                    sample
                    for sample in range(_samples(settings, llm))
                    if (prompt.utterance_id, llm.name, sample) not in answered
                ]
                if missing:
                    questions.append((prompt, missing))
            with progress.stage(f"asking {llm.name}", len(plan.prompts)) as advance:
                advance(len(plan.prompts) - len(questions))
                try:
                    ask_all(llm, questions, plan.labels, run.append, advance)
                except EndpointError:
                    if not resume and all(b.voter == NEIGHBOURS for b in run.ballots()):
                        run.remove()  # or a corrected address could not use the folder
                    raise
        voter = llm.name if llm else NEIGHBOURS
        verdicts = decide(
            plan.targets,
            [ballot for ballot in run.ballots() if ballot.voter == voter],
            plan.demonstrations,
            plan.labels,
            calibration=settings.voting.calibration,
            prior=plan.prior,
        )
        run.finish(verdicts, plan.demonstrations)
    return run


def _key(ballot: Ballot) -> tuple[str, str, int]:
    return (ballot.utterance_id, ballot.voter, ballot.sample)


def _samples(settings: Settings, llm: LanguageModel | None) -> int:
    """How many answers a prompt needs: one where it already holds the whole distribution."""
    if llm is None:
        return 0
    return 1 if llm.exact else settings.llm.samples


def _composition(index: Index, settings: Settings) -> Composition:
    own, asked = index.composition, settings.retrieval
    return Composition(
        weight=own.weight if asked.context_weight is None else asked.context_weight,
        decay=own.decay if asked.context_decay is None else asked.context_decay,
        length=own.length if asked.context_length is None else asked.context_length,
    )


def _check_labels(corpus: Corpus, labels: LabelSet) -> None:
    """Refuse gold labels that the label set does not know; they could not be scored."""
    if corpus.labels.names == labels.names:
        return
    for utterance in corpus.utterances:
        if utterance.needs_prediction and utterance.emotion not in (None, *labels.names):
            raise SettingsError(
                f"{corpus.path}: utterance {utterance.id!r} is labelled {utterance.emotion!r}, "
                f"which is not in the index's label set {labels.name!r} "
                f"({', '.join(labels.names)}); use an index of the same label set"
            )
