"""Ask what a plan asks, each answer on disk before the next; then weigh the voters and decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ragemo.errors import EndpointError
from ragemo.garbage import seldom_collected
from ragemo.llm.batch import BatchOptions
from ragemo.llm.budget import Budget, MeteredModel
from ragemo.llm.checked_model import CheckedModel
from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.llm.keeping.cached_model import CachedModel
from ragemo.llm.protocol import LanguageModel
from ragemo.pipeline.asking import Ask, by_call, by_file, check_by_file, is_away
from ragemo.pipeline.asking_order import together
from ragemo.pipeline.inquiry import SettlingInquiry
from ragemo.pipeline.judge import adapted, judge, review_table, tried_panels
from ragemo.pipeline.outlook import Outlook, outlooks
from ragemo.pipeline.plan import NOWHERE, Plan, make_plan
from ragemo.pipeline.questions import Question
from ragemo.pipeline.sharing import share_of
from ragemo.progress import Progress, Silent
from ragemo.retrieval.embedding.embedder import Embedder
from ragemo.retrieval.index import Index
from ragemo.runs.answered import begin_answers, finish_answers
from ragemo.runs.run import Run
from ragemo.settings import Settings, VotingSettings
from ragemo.types import Corpus, Shard
from ragemo.voting.bases import base_of
from ragemo.voting.calibration import read_calibration
from ragemo.voting.imported import Imported
from ragemo.voting.panel import Panel
from ragemo.voting.stopping import StoppingRule
from ragemo.voting.votes import Votes, count_votes


def predict(
    corpus: Corpus,
    settings: Settings,
    out: Path | str,
    *,
    index: Index | None = None,
    embedder: Embedder | None = None,
    llm: LanguageModel | None = None,
    others: Sequence[LanguageModel] = (),
    imported: Sequence[Imported] = (),
    cache: AnswerCache | None = None,
    budget: Budget | None = None,
    batch: BatchOptions | None = None,
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
        llm: who is asked; None lets the index's own voters decide alone.
        others: further language models, for `voting.vary`.
        imported: ballots of other systems, see `ragemo.voting.imported`.
        cache: answers that are there already are not asked for, and new ones are kept there.
        budget: what may be asked for; an answer of the cache takes nothing of it.
        batch: ask by file, in rounds; None: call by call.
        resume: go on with the run in `out`.
        progress: told what is being done.

    Raises:
        RagemoError: see `make_plan` and `carry_out`.
    """
    plan = make_plan(
        corpus,
        settings,
        index=index,
        embedder=embedder,
        llm=llm,
        others=others,
        imported=imported,
        progress=progress,
    )
    return carry_out(
        plan,
        settings,
        out,
        llm=llm,
        others=others,
        cache=cache,
        budget=budget,
        batch=batch,
        resume=resume,
        progress=progress,
    )


def carry_out(
    plan: Plan,
    settings: Settings,
    out: Path | str,
    *,
    llm: LanguageModel | None = None,
    others: Sequence[LanguageModel] = (),
    cache: AnswerCache | None = None,
    budget: Budget | None = None,
    batch: BatchOptions | None = None,
    given: Panel | None = None,
    shard: Shard | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Ask what a plan asks, each answer on disk before the next, then decide.

    Args:
        plan, settings, out, llm, others, cache, budget, batch, resume, progress: as for
            `predict`.
        given: weights to decide by, instead of those that the index tells; `voting.weights` goes
            before it.
        shard: ask only what is this shard's, and decide nothing: what the answers are worth is told
            from those of all shards, see `ragemo.runs.answered.merge_answers`.

    Raises:
        RunFolderError: if `out` (see `Run.create` and `Run.resume`) or the cache cannot be used.
        EndpointError: if no call can succeed; what was answered is kept, and where nothing
            was, no new folder is left.
        SettingsError: if `voting.weights` cannot be used, or was fitted on what is decided here,
            or a budget in dollars is to be kept and a price is not known, or a model cannot be
            asked by file.
        BudgetError: before the call that could exceed the budget; what was answered is kept.
        PendingError: if what was asked for by file is not answered yet.
    """
    progress = progress or Silent()
    how = settings.voting
    turns = [utterance.turn for utterance in plan.utterances]
    if how.weights:
        corpus = plan.manifest["corpus"]["sha256"]
        given = read_calibration(how.weights, turns, plan.labels, corpus).panel
    if given is not None:
        given = adapted(given, how)
    models: list[LanguageModel] = [model for model in (llm, *others) if model is not None]
    if batch is None:
        models = [CheckedModel(model) for model in models]
        if budget is not None:
            models = [MeteredModel(model, budget) for model in models]
        if cache is not None:
            models = [CachedModel(model, cache) for model in models]
    else:
        check_by_file(models)
    out = Path(out)
    resume = resume and out.is_dir() and any(out.iterdir())
    manifest = plan.manifest if shard is None else {**plan.manifest, "shard": asdict(shard)}
    run = (
        Run.resume(out, manifest, plan.utterances, plan.asked)
        if resume
        else Run.create(out, manifest, plan.utterances, plan.asked)
    )
    with run, seldom_collected():
        try:
            ask = (
                by_call(models, run, progress)
                if batch is None
                else by_file(
                    models, run, settings, batch, cache=cache, budget=budget, progress=progress
                )
            )
            if shard is None:
                _finish(plan, settings, models, run, ask, given=given, progress=progress)
            else:
                begin_answers(run)
                own = share_of(plan, shard)
                _ask(own, settings, models, run, ask, given=given, progress=progress)
                finish_answers(run)
        except BaseException as error:
            asked = len(run.ballots()) > (len(plan.ballots) if shard is None else 0)
            nobody = llm is None or isinstance(error, EndpointError)
            if nobody and not resume and not asked and not is_away(run.path):
                run.remove()  # nothing is lost, and a corrected command can use the folder
            raise
    return run


def _finish(
    plan: Plan,
    settings: Settings,
    models: Sequence[LanguageModel],
    run: Run,
    ask: Ask,
    *,
    given: Panel | None,
    progress: Progress,
) -> None:
    """Ask what is missing, decide, and write what was decided."""
    there = {ballot.key for ballot in run.ballots()}
    run.append([ballot for ballot in plan.ballots if ballot.key not in there])
    if models:
        _ask(plan, settings, models, run, ask, given=given, progress=progress)
    told = {ballot.key: ballot for ballot in plan.ballots}
    ballots = run.ballots() if models or there else list(told.values())
    judged = judge(plan, ballots, settings.voting, given=given)
    places = {part: place for place, part in enumerate(judged.panels)}
    run.finish(
        judged.decision.verdicts,
        plan.demonstrations,
        panels=judged.to_dict(),
        parts=[places[plan.part_of.get(target, NOWHERE)] for target in plan.targets],
        review=review_table(plan, judged, ballots),
    )


def _ask(
    plan: Plan,
    settings: Settings,
    models: Sequence[LanguageModel],
    run: Run,
    ask: Ask,
    *,
    given: Panel | None,
    progress: Progress,
) -> None:
    """Ask first what tells of the models, then about the targets; nothing that is answered."""
    labels = len(plan.labels)
    answered = {ballot.key: ballot for ballot in run.ballots() if not ballot.failed}

    def go_on(inquiries: Sequence[SettlingInquiry], what: str) -> None:
        for inquiry in inquiries:
            inquiry.recall([answered[key] for key in inquiry.all_keys() if key in answered])
        with progress.stage(what, len(inquiries)) as advance:
            ask(inquiries, advance)

    go_on(
        [
            SettlingInquiry([question], models, labels, StoppingRule("none"), purpose=purpose)
            for purpose, questions in (("contentless", plan.contentless), ("check", plan.checks))
            for question in questions
        ],
        f"trying {models[0].name}",
    )
    rule = StoppingRule(settings.voting.stop, settings.voting.stop_threshold)
    bases = _bases(run, plan, settings.voting)
    futures: dict[str, Outlook] = {}
    if rule.kind != "none" and settings.llm.samples > 1:
        # No answers on targets: a run that is gone on with has some, and must not differ by them.
        told = [ballot for ballot in plan.ballots if ballot.purpose == "verdict"]
        told += [ballot for ballot in run.ballots() if ballot.purpose != "verdict"]
        names = {models[q.model].name for questions in plan.questions.values() for q in questions}
        how = settings.voting
        panels = tried_panels(plan, told, how, asked=sorted(names), given=given)
        counting = [b for b in plan.ballots if how.voters is None or b.voter in how.voters]
        futures = outlooks(panels, counting, sorted(names), labels)
    order = together(plan.questions) if settings.retrieval.sets else list(plan.questions)
    go_on(
        [
            SettlingInquiry(
                plan.questions[target],
                models,
                labels,
                rule,
                bases=bases,
                outlook=futures.get(target),
            )
            for target in order
        ],
        f"asking {models[0].name}",
    )


def _bases(run: Run, plan: Plan, how: VotingSettings) -> dict[str, tuple[float, ...]]:
    """What the judge will take off each model's answers, as far as the preliminaries tell."""
    if how.calibration == "none" or how.pool == "majority":
        return {}
    ballots = run.ballots()

    def votes_on(questions: Sequence[Question], purpose: str) -> Votes:
        asked = sorted({question.prompt.utterance_id for question in questions})
        own = [ballot for ballot in ballots if ballot.purpose == purpose]
        return count_votes(own, asked, len(plan.labels))

    tried = votes_on(plan.checks, "check")
    silent = votes_on(plan.contentless, "contentless")
    return {voter: base_of(voter, tried) for voter in tried.voters} | {
        voter: base_of(voter, silent, shrinkage=0) for voter in silent.voters
    }
