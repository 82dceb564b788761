"""All that is known before anyone is asked: who votes without being asked, and every prompt."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ragemo import __version__
from ragemo.corpus.transcripts import choose_transcripts
from ragemo.corpus.windows import cut_windows
from ragemo.errors import SettingsError
from ragemo.labels import LabelSet
from ragemo.llm.protocol import ModelOutline
from ragemo.pipeline.asking_order import repeated_share, together
from ragemo.pipeline.hints import target_hints
from ragemo.pipeline.preliminary import checks_of, contentless_of
from ragemo.pipeline.questions import Question, Seen, ask_of, asked_prompts, templates_of
from ragemo.pipeline.voters import check_voters, joining_ballots, notes_on, weights_hash
from ragemo.progress import Progress, Silent
from ragemo.prompting.templates import Template
from ragemo.retrieval.embedding.embedder import Embedder
from ragemo.retrieval.folds import Cell
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.restrict import Kinship
from ragemo.retrieval.retrieve import Retrieval, fit_parts, retrieve
from ragemo.retrieval.vectors import Composition
from ragemo.runs.records import AskedPrompt, RunUtterance
from ragemo.settings import DEFAULT_TRANSCRIPT, Settings
from ragemo.types import Ballot, Corpus, Demonstration, Distribution, Prompt, Turn, Window
from ragemo.voting.imported import Imported

LEAVE_OUT_TWINS = {"auto": None, "leave-out": True, "keep": False}
"""What `retrieval.twins` means to `retrieve`."""

NOWHERE: Cell = ()
"""The part of the index that speaks to a target where there is no index."""


@dataclass(frozen=True)
class Survey:
    """What of a whole corpus counts for every block of it.

    Attributes:
        kinship: which of its dialogues are the index's, too.
        systems: its ASR systems.
    """

    kinship: Kinship
    systems: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """All that is known before anyone is asked.

    Attributes:
        utterances: the dialogues as the run sees them.
        targets: ids to predict, in corpus order.
        demonstrations: per target, most similar first.
        ballots: of voters that need not be asked: the index's own, and imported ones.
        questions: per target, in the order they are asked; empty without an LLM.
        asked: their prompts as a run keeps them, or those of runs whose ballots are here.
        checks: the same questions about labelled windows, to weigh the language models.
        contentless: the same about windows that say nothing, to learn the models' leanings.
        parts: the index, or what of it a target may learn from (see `retrieve`).
        part_of: target -> which of the parts may speak to it.
        labels: the label set.
        own: targets whose dialogues are the index's own, so that their labels are known.
        notes: what a person should know.
        manifest: what the run is, for its folder.
    """

    utterances: tuple[RunUtterance, ...]
    targets: tuple[str, ...]
    labels: LabelSet
    manifest: Mapping[str, Any]
    demonstrations: Mapping[str, tuple[Demonstration, ...]] = field(default_factory=dict)
    ballots: tuple[Ballot, ...] = ()
    questions: Mapping[str, tuple[Question, ...]] = field(default_factory=dict)
    asked: tuple[AskedPrompt, ...] = ()
    checks: tuple[Question, ...] = ()
    contentless: tuple[Question, ...] = ()
    parts: Mapping[Cell, Index] = field(default_factory=dict)
    part_of: Mapping[str, Cell] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """Every prompt about a target."""
        return tuple(q.prompt for questions in self.questions.values() for q in questions)

    @property
    def preliminary(self) -> tuple[Question, ...]:
        """What is asked before the targets, to learn what the language models are worth."""
        return (*self.contentless, *self.checks)


def make_plan(
    corpus: Corpus,
    settings: Settings,
    *,
    index: Index | None = None,
    embedder: Embedder | None = None,
    llm: ModelOutline | None = None,
    others: Sequence[ModelOutline] = (),
    imported: Sequence[Imported] = (),
    only: Collection[str] | None = None,
    survey: Survey | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Choose transcripts, cut windows, retrieve and write the prompts; ask nobody.

    Args:
        corpus: the dialogues to label.
        settings: see `Settings`.
        index: labelled windows to retrieve from; needed unless `retrieval.k` is 0.
        embedder: the index's embedder; needed with an index.
        llm: who is asked; None lets those vote that need not be asked.
        others: further language models, for `voting.vary: [model]` or `[temperature]`.
        imported: ballots of other systems.
        only: ids of the utterances to predict; default: all that need it.
        survey: what counts of the whole corpus, where `corpus` is a block of it.
        progress: told what is being done.

    Raises:
        SettingsError: if there is nobody to vote, or the corpus and the index do not fit.
        DataError: if imported ballots are on none of the corpus's utterances.
        IndexFolderError: if the embedder is not the index's.
        PromptError: if a template or a prompt cannot be used.
    """
    progress = progress or Silent()
    if llm is None and index is None and not imported:
        raise SettingsError("nobody votes: give an index, ballots, or an llm other than none")
    if index is None and settings.retrieval.k > 0 and llm is not None:
        raise SettingsError(
            f"retrieval.k is {settings.retrieval.k}, but there is no index to retrieve from; "
            "give --index, or --k 0 for a prompt without demonstrations"
        )
    labels = index.labels if index else corpus.labels
    _check_labels(corpus, labels)
    models = [model for model in (llm, *others) if model is not None]
    check_voters(settings, index, models, imported)
    templates = templates_of(settings, models)
    template = templates[settings.prompt.template]

    transcript = settings.corpus.transcript or (index.transcript if index else DEFAULT_TRANSCRIPT)
    utterances = corpus.utterances
    with progress.stage("transcripts", len(utterances)) as advance:
        chosen = choose_transcripts(
            utterances,
            transcript,
            seed=settings.seed,
            systems=survey.systems if survey else (),
        )
        advance(len(utterances))
    by_id = {u.id: t for u, t in zip(utterances, chosen, strict=True)}
    longest = None if "context" in settings.voting.vary else settings.prompt.context
    windows = cut_windows(corpus.dialogues, by_id, longest)
    rows = [row for row, u in enumerate(utterances) if u.needs_prediction]
    if only is not None:
        rows = [row for row in rows if utterances[row].id in only]
    rows = rows[: settings.limit]
    targets = tuple(utterances[row].id for row in rows)

    retrieval = look_up(
        settings,
        [window.target for window in windows],
        rows,
        index=index,
        embedder=embedder,
        sha256=corpus.sha256,
        blocks=settings.llm.samples if "demos" in settings.voting.vary and models else 1,
        kinship=survey.kinship if survey else None,
        progress=progress,
    )
    found = dict(zip(targets, retrieval.found, strict=True)) if retrieval else {}
    seen = Seen(
        windows={utterances[row].id: windows[row] for row in rows},
        labels=labels,
        templates=templates,
        hypotheses={utterances[row].id: utterances[row].hypotheses for row in rows},
        demonstrations={target: one.demonstrations for target, one in found.items()},
        memory={target: one.memory for target, one in found.items()},
        hints=_hints(windows, targets, retrieval, settings, templates) if models else {},
    )
    questions: dict[str, tuple[Question, ...]] = {}
    checks: list[Question] = []
    contentless: list[Question] = []
    if models:
        with progress.stage("prompts", len(targets)) as advance:
            for target in targets:
                questions[target] = ask_of(seen, target, settings, models)
                advance(1)
        # A model whose turn does not come with so few samples need not be weighed.
        heard = {models[q.model].name for own in questions.values() for q in own}
        checks, contentless = (
            [question for question in preliminary if models[question.model].name in heard]
            for preliminary in (
                checks_of(seen, retrieval, targets, settings, models),
                contentless_of(seen, retrieval, settings, models),
            )
        )
    k = settings.retrieval.k
    same = retrieval.own if retrieval else frozenset()
    foreign = [u.id for u in utterances if u.dialogue_id not in same]
    notes = [*(retrieval.notes if retrieval else ())]
    if settings.retrieval.sets and questions:
        in_order = [q.prompt for target in together(questions) for q in questions[target]]
        notes.append(
            f"{repeated_share(in_order):.0%} of the prompts repeats how the one before begins; a "
            "template that shows demonstrations first (few-shot-chat) repeats most"
        )
    notes += [note for one in imported for note in notes_on(one, targets, index)]
    plan = Plan(
        utterances=tuple(
            RunUtterance(
                turn=window.target,
                gold=utterance.emotion if utterance.emotion in labels.names else None,
                predicted=utterance.id in seen.windows,
                row=utterance.row,
                hypotheses=utterance.hypotheses,
                reference=utterance.reference,
                duplicate=found[utterance.id].repeated if utterance.id in found else None,
            )
            for utterance, window in zip(utterances, windows, strict=True)
        ),
        targets=targets,
        demonstrations={target: one.demonstrations[:k] for target, one in found.items()},
        ballots=(
            *index_ballots(targets, retrieval),
            *joining_ballots(imported, targets, index, foreign),
        ),
        questions=questions,
        asked=asked_prompts(questions, models),
        checks=tuple(checks),
        contentless=tuple(contentless),
        parts=retrieval.parts if retrieval else {},
        part_of={target: one.part for target, one in found.items()},
        own=frozenset(target for target, one in found.items() if one.own),
        labels=labels,
        notes=tuple(notes),
        manifest={
            "ragemo": __version__,
            "settings": settings.model_dump(mode="json", exclude={"index"}),
            "corpus": {"file": corpus.path.name, "format": corpus.format, "sha256": corpus.sha256},
            "transcript": transcript,
            "notes": list(retrieval.notes) if retrieval else [],
            "uses_reference_transcripts": "reference"
            in (transcript, index.transcript if index else ""),
            "labels": labels.to_dict(),
            "index": index.summary() if index else None,
            "llm": llm.identity if llm else None,
            "others": [other.identity for other in others],
            "weights": weights_hash(settings),
            "imported": [{"voters": list(i.voters), "sha256": i.sha256} for i in imported],
            "template": {"name": template.name, "sha256": template.sha256} if llm else None,
        },
    )
    return plan


def fitted_for(index: Index, settings: Settings, kinship: Kinship) -> Index:
    """An index as `look_up` asks it about a corpus, with all that this needs fitted and kept."""
    how = settings.retrieval
    index = index.recomposed(composition_of(index, settings)).with_neighbours(how.neighbours)
    left_out = LEAVE_OUT_TWINS[how.twins]
    fit_parts(index, kinship, only=how.only, leave_out_twins=left_out)
    return index


def look_up(
    settings: Settings,
    turns: Sequence[Turn],
    rows: Sequence[int],
    *,
    index: Index | None,
    embedder: Embedder | None,
    sha256: str,
    blocks: int = 1,
    kinship: Kinship | None = None,
    progress: Progress | None = None,
) -> Retrieval | None:
    """Search the index for the targets among the turns; None without an index.

    Raises:
        SettingsError: if there is an index and no embedder.
        IndexFolderError: if the embedder is not the index's.
    """
    if index is None:
        if settings.retrieval.memory:
            raise SettingsError(
                "retrieval.memory recalls turns by their vectors, and the embedder comes with the "
                "index; give --index, or set retrieval.memory to 0"
            )
        return None
    if embedder is None:
        raise SettingsError("an index needs its embedder to be searched")
    same_corpus = is_same_corpus(index, sha256)
    how = settings.retrieval
    return retrieve(
        index,
        embedder,
        turns,
        rows,
        k=how.k * blocks,
        strategy=how.strategy,
        options=how.options,
        sets=how.sets,
        seed=settings.seed,
        demonstration_context=settings.prompt.demonstration_context,
        memory=how.memory,
        context=settings.prompt.context,
        guard=Guard(how.exclude, how.exclude_duplicates, how.near_duplicates),
        only=how.only,
        leave_out_twins=LEAVE_OUT_TWINS[how.twins],
        composition=composition_of(index, settings),
        neighbours=how.neighbours,
        same_corpus=same_corpus,
        kinship=kinship,
        progress=progress,
    )


def is_same_corpus(index: Index, sha256: str) -> bool:
    """Whether a file of that hash is the one that the index was built from, its first, or added.

    Raises:
        SettingsError: if it is another one of the index's.
    """
    first, *later = [part["sha256"] for part in index.corpus.get("parts", [])] or [""]
    if sha256 in later and sha256 != first:
        raise SettingsError(
            "this corpus is one of the index's, but not the first, so its dialogues bear other ids "
            "there; to validate on it, build the index with it as the first FILE"
        )
    added = [part["sha256"] for part in index.corpus.get("added", [])]
    return sha256 in (index.corpus["sha256"], first, *added)


def index_ballots(targets: Sequence[str], retrieval: Retrieval | None) -> list[Ballot]:
    """The index's own voters' ballots on the targets."""
    if retrieval is None:
        return []
    return [
        Ballot(target, voter, distribution=distribution)
        for target, found in zip(targets, retrieval.found, strict=True)
        for voter, distribution in found.votes.items()
    ]


def _hints(
    windows: Sequence[Window],
    targets: Sequence[str],
    retrieval: Retrieval | None,
    settings: Settings,
    templates: Mapping[str, Template],
) -> dict[str, Distribution]:
    """What the index believes of the targets, if a template shows it."""
    asking = [template.name for template in templates.values() if "hint" in template.uses]
    if not asking:
        return {}
    if retrieval is None:
        raise SettingsError(
            f"the template {asking[0]} shows what the index believes, and there is no index; give "
            "--index, or choose another template"
        )
    turns = [window.target for window in windows]
    return target_hints(turns, targets, retrieval, settings.voting)


def composition_of(index: Index, settings: Settings) -> Composition:
    """How window vectors are composed: as the settings say, or else as the index was."""
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
