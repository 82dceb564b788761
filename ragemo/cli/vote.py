"""`ragemo vote`: decide anew on ballots that are there already."""

from pathlib import Path
from typing import Annotated

import typer

from ragemo.cli.options import (
    AbstainBelow,
    Assignments,
    Config,
    DialogueSay,
    LeaveOut,
    Pool,
    Quiet,
    Voters,
    Weights,
)


def vote(
    sources: Annotated[
        list[str],
        typer.Argument(help="Folders of runs, and other systems' predictions as [NAME=]FILE."),
    ],
    out: Annotated[Path, typer.Option(help="The new run's folder.")],
    index: Annotated[
        Path | None,
        typer.Option(help="An index: its voters vote, and weigh the others."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The corpus, where no run is given.")] = None,
    pool: Pool = None,
    voters: Voters = None,
    weights: Weights = None,
    leave_out: LeaveOut = None,
    dialogue: DialogueSay = None,
    abstain_below: AbstainBelow = None,
    config: Config = None,
    set_: Assignments = None,
    quiet: Quiet = False,
) -> None:
    """Pool the ballots of runs and of other systems; nobody is asked."""
    from ragemo.cli.console import ConsoleProgress, note
    from ragemo.cli.outcome import tell_outcome, tell_weights
    from ragemo.cli.settings import PREDICTING, import_ballots, settings_and_paths
    from ragemo.cli.sources import open_corpus, open_index
    from ragemo.errors import SettingsError
    from ragemo.pipeline import make_plan
    from ragemo.pipeline import vote as pool_ballots
    from ragemo.pipeline.pooling import retrieval_of
    from ragemo.pipeline.predicting import carry_out
    from ragemo.retrieval.voters import INDEX_VOTERS
    from ragemo.runs.manifest import check_new_run
    from ragemo.runs.run import Run
    from ragemo.voting.matching import match_ballots

    runs = [Run.open(source) for source in sources if Path(source).is_dir()]
    settings, _ = settings_and_paths(
        config,
        {
            "pool": pool,
            "voters": voters,
            "weights": weights,
            "dialogue": dialogue,
            "abstain_below": abstain_below,
            "leave_out": leave_out,
        },
        set_ or (),
        reads={"retrieval", "voting", "seed"} if runs else PREDICTING,
        retrieval=retrieval_of(runs[0]) if runs else None,
    )
    check_new_run(out)
    files = [source for source in sources if not Path(source).is_dir()]
    progress = ConsoleProgress(quiet=quiet)
    found, embedder = open_index(index, progress.say)
    taken = [*INDEX_VOTERS, *(ballot.voter for run in runs for ballot in run.ballots())]
    if runs:
        imported = import_ballots(files, runs[0].labels, sorted(set(taken)))
        asked = [u.turn.utterance_id for u in runs[0].utterances if u.predicted]
        known = [found.turns[row].utterance_id for row in found.examples] if found else []
        for one in imported:
            for line in (*one.notes, *match_ballots(one, asked, known)):
                note(line)
        run = pool_ballots(
            runs,
            settings,
            out,
            index=found,
            embedder=embedder,
            imported=imported,
            progress=progress,
        )
        for line in run.manifest["notes"]:
            note(line)
    elif data is not None:
        corpus = open_corpus(data, settings, found)
        imported = import_ballots(
            files, found.labels if found else corpus.labels, list(INDEX_VOTERS)
        )
        plan = make_plan(
            corpus, settings, index=found, embedder=embedder, imported=imported, progress=progress
        )
        for line in plan.notes:
            note(line)
        run = carry_out(plan, settings, out, progress=progress)
    else:
        raise SettingsError(
            "no run among the sources, so it is not known what was said; give --data CORPUS, too"
        )
    tell_weights(run, progress)
    tell_outcome(run)
