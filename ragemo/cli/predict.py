"""`ragemo predict`: label a corpus's utterances."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragemo.cli.batch import Batch, BatchFiles, NoWait, Poll, batch_options, describe_batch
from ragemo.cli.console import note, tell
from ragemo.cli.engine import LOCAL, Address, EngineChoice, IndexShards, uses_ray
from ragemo.cli.options import (
    AbstainBelow,
    Assignments,
    BaseUrl,
    Cache,
    Config,
    Context,
    CorpusFormat,
    Depth,
    DialogueSay,
    Labels,
    LeaveOut,
    Limits,
    Mode,
    Model,
    Pool,
    Quiet,
    ShardChoice,
    Strategy,
    TemplateChoice,
    TranscriptChoice,
    Voters,
    Weights,
)

if TYPE_CHECKING:
    from ragemo.pipeline import Estimate
    from ragemo.types import Ballot


def predict(
    command: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(help="The corpus to label (default: paths.data of the config)."),
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="The index's folder (default: paths.index of the config).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder (default: paths.out of the config).")
    ] = None,
    k: Depth = None,
    strategy: Strategy = None,
    context: Context = None,
    samples: Annotated[
        int | None,
        typer.Option(help="Answers on an utterance: to one prompt, or to as many as --vary makes."),
    ] = None,
    llm: Model = None,
    base_url: BaseUrl = None,
    mode: Mode = None,
    transcript: TranscriptChoice = None,
    template: TemplateChoice = None,
    leave_out: LeaveOut = None,
    ballots: Annotated[
        list[str] | None,
        typer.Option(help="Another system's predictions that join the vote, [NAME=]FILE."),
    ] = None,
    vary: Annotated[
        str | None,
        typer.Option(
            help="What differs between an utterance's prompts: transcript, demos, context, "
            "template, model, temperature; by commas."
        ),
    ] = None,
    pool: Pool = None,
    voters: Voters = None,
    weights: Weights = None,
    stop: Annotated[
        str | None,
        typer.Option(help="When no further answers are asked for: posterior, hard or none."),
    ] = None,
    dialogue: DialogueSay = None,
    abstain_below: AbstainBelow = None,
    format_: CorpusFormat = None,
    labels: Labels = None,
    config: Config = None,
    set_: Assignments = None,
    seed: Annotated[int | None, typer.Option(help="For all that is drawn.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many utterances.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show calls, tokens and price; send nothing.")
    ] = False,
    stream: Annotated[
        bool | None,
        typer.Option(
            help="Read the corpus block by block (default: large JSON lines and Parquet without "
            "a language model)."
        ),
    ] = None,
    shard: ShardChoice = None,
    engine: EngineChoice = LOCAL,
    address: Address = None,
    index_shards: IndexShards = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    batch: Batch = False,
    batch_files: BatchFiles = False,
    no_wait: NoWait = False,
    poll: Poll = None,
    budget: Limits = None,
    cache: Cache = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Ask even what was answered in another run.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Label a corpus's utterances and leave everything in a run folder. Exit codes: 3 a call
    failed, 4 the budget is reached, 5 answers by file are still to come."""
    from ragemo.cli.console import ConsoleProgress, resumable
    from ragemo.cli.engine import asked_where, label_in_blocks, open_blocks, read_shard
    from ragemo.cli.outcome import tell_answers, tell_asking, tell_outcome, tell_remarks
    from ragemo.cli.settings import (
        given_flags,
        import_ballots,
        pick_path,
        settings_and_paths,
    )
    from ragemo.cli.sources import open_answers, open_corpus, open_index
    from ragemo.llm import load_llm, load_others
    from ragemo.llm.budget import read_budget
    from ragemo.pipeline import carry_out, estimate, make_plan
    from ragemo.retrieval.voters import INDEX_VOTERS
    from ragemo.runs.manifest import check_new_run

    settings, paths = settings_and_paths(config, given_flags(command), set_ or ())
    asks = settings.llm.model != "none"
    limits = read_budget(budget or ())
    by_file = batch_options(batch, batch_files, no_wait, poll)
    on_ray = uses_ray(engine, address, by_file is not None, index_shards, asks)
    source = pick_path(file, paths.get("data"), "FILE", "paths.data")
    target = Path() if dry_run else pick_path(out, paths.get("out"), "--out", "paths.out")
    progress = ConsoleProgress(quiet=quiet)
    share = read_shard(
        *(shard, settings, index or paths.get("index")),
        ballots=bool(ballots),
        others=dry_run or on_ray,
    )
    if not (dry_run or resume or share):
        check_new_run(target)

    found, embedder = open_index(index or paths.get("index"), progress.say)
    flow = open_blocks(
        *(source, settings, found, stream, ballots or ()),
        wanted=not asks and (share is not None or on_ray),
    )
    if flow is not None and found and embedder and not dry_run:
        label_in_blocks(
            flow,
            settings,
            target,
            index=found,
            embedder=embedder,
            shard=share,
            on_ray=on_ray,
            address=address,
            index_shards=index_shards,
            resume=resume,
            progress=progress,
        )
        return
    corpus = open_corpus(source, settings, found)
    answers = open_answers(cache, make=not dry_run) if asks and not no_cache else None
    here = not (dry_run or batch_files or on_ray)
    model = load_llm(settings.llm, seed=settings.seed, asks=here, say=progress.say)
    others = load_others(settings, asks=here, say=progress.say)
    imported = import_ballots(
        ballots or (),
        found.labels if found else corpus.labels,
        [*(INDEX_VOTERS if found else ()), *(one.name for one in (model, *others) if one)],
    )
    plan = make_plan(
        corpus,
        settings,
        index=found,
        embedder=embedder,
        llm=model,
        others=others,
        imported=imported,
        progress=progress,
    )
    expected = estimate(plan, model, *others, cache=answers)
    for line in plan.notes:
        note(line)
    words = _describe(
        expected, settling=settings.llm.samples > 1 and settings.voting.stop != "none"
    ) + describe_batch(by_file, plan, settings, [one for one in (model, *others) if one])
    if dry_run:
        tell(words)
        return
    progress.say(f"all shards together: {words}" if share else words)
    if model and model.exact and settings.llm.samples > 1 and not settings.voting.vary:
        progress.say(
            f"{model.name} scores every label exactly: one ballot stands for "
            f"{settings.llm.samples} samples (--mode sample draws them)"
        )
    before = _ballots_there(target) if resume else []
    with (
        resumable(target, in_batch=batch),
        asked_where(on_ray, address, [model, *others], settings) as asked,
    ):
        run = carry_out(
            plan,
            settings,
            target,
            llm=asked[0] if asked else None,
            others=asked[1:],
            cache=answers,
            budget=limits,
            batch=by_file,
            shard=share,
            resume=resume,
            progress=progress,
        )
    if share is None:
        tell_asking(plan, run, before, progress)
    tell_remarks(asked, progress)
    if tell_outcome(run) if share is None else tell_answers(run, share):
        note("go on with the same command and --resume to ask the failed ones again")
        raise typer.Exit(3)


def _ballots_there(run: Path) -> "list[Ballot]":
    """What a run that is gone on with has been told; nothing if it was never begun."""
    from ragemo.runs.run import Run

    return Run.open(run).ballots() if (run / "manifest.json").is_file() else []


def _describe(expected: "Estimate", *, settling: bool) -> str:
    """The estimate in words."""
    parts = [f"{expected.utterances:,} utterances"]
    if expected.answers:
        about = "" if expected.exact else "about "
        most = "at most " if settling else ""
        checks = f" ({expected.check_answers:,} to weigh the model)" * bool(expected.check_answers)
        there = f", {expected.answered:,} of them there already" * bool(expected.answered)
        parts.append(f"{most}{expected.answers:,} answers{checks}{there}")
        parts.append(f"{about}{expected.prompt_tokens:,} prompt tokens")
        if expected.answer_tokens:
            parts.append(f"at most {expected.answer_tokens:,} answer tokens")
        if expected.cost is None:
            parts.append("price unknown")
        else:
            parts.append(f"{about}${expected.cost:.4f}" if expected.cost else "free")
    else:
        parts.append("no language model is asked")
    lines = [", ".join(parts)]
    if expected.dropped_demonstrations or expected.dropped_context:
        lines.append(
            f"the token budget left out {expected.dropped_demonstrations} demonstrations and "
            f"{expected.dropped_context} context turns"
        )
    return "\n".join(lines)
