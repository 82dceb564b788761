"""What a finished run says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ragemo.cli.console import tell

if TYPE_CHECKING:
    from ragemo.llm.protocol import LanguageModel
    from ragemo.pipeline import Plan
    from ragemo.progress import Progress
    from ragemo.runs.run import Run
    from ragemo.types import Ballot, Shard


def tell_outcome(run: Run) -> int:
    """Print what came of a run; the number of utterances on which a call failed."""
    counts = {
        "utterances": 0,
        "without a label": 0,
        "with an answer that is no label": 0,
        "with a call that failed": 0,
        "failed calls on windows to weigh the model by": 0,
        "left to a person": 0,
    }
    for verdict in run.each_verdict():
        counts["utterances"] += 1
        counts["without a label"] += verdict.label is None
        counts["with an answer that is no label"] += verdict.invalid > 0
        counts["with a call that failed"] += verdict.failed > 0
        counts["left to a person"] += verdict.abstained
    if run.manifest["llm"]:
        counts["failed calls on windows to weigh the model by"] = sum(
            ballot.failed and ballot.purpose != "verdict" for ballot in run.ballots()
        )
    utterances = counts.pop("utterances")
    told = [f"{count} {words}" for words, count in counts.items() if count]
    tell(", ".join([f"{run.path}: {utterances} utterances", *told]))
    return (
        counts["with a call that failed"] + counts["failed calls on windows to weigh the model by"]
    )


def tell_answers(run: Run, shard: Shard) -> int:
    """Print what a shard was answered; the number of calls that failed."""
    ballots = run.ballots()
    failed = sum(ballot.failed for ballot in ballots)
    parts = [f"shard {shard}", f"{len(ballots) - failed:,} answers"]
    if failed:
        parts.append(f"{failed:,} calls failed")
    tell(f"{run.path}: {', '.join(parts)}")
    return failed


def tell_asking(plan: Plan, run: Run, before: Sequence[Ballot], progress: Progress) -> None:
    """Say how much each voter counted, and what asking took; see the functions below."""
    tell_weights(run, progress)
    tell_saving(plan, run, progress)
    tell_usage(run, before, progress)
    tell_quotes(run, progress)


def tell_remarks(models: Sequence[LanguageModel], progress: Progress) -> None:
    """Say what is to be known of how the models answered, each thing once."""
    for sentence in dict.fromkeys(line for model in models for line in model.remarks):
        progress.say(f"note: {sentence}")


def tell_weights(run: Run, progress: Progress) -> None:
    """Say how much each voter counted, on what ground, and where that is too little for sets."""
    from ragemo.runs.scores import NO_SETS, lacks_sets

    if lacks_sets(run):
        progress.say(f"note: {NO_SETS}")
    panels = run.panels()
    weighed = {one["voter"]: one for record in panels for one in record["weighed"]}
    voters = sorted({voter for record in panels for voter in record["panel"]["weights"]})
    if len(voters) < 2:
        return
    parts = []
    for voter in voters:
        weights = [record["panel"]["weights"].get(voter, 0.0) for record in panels]
        text = f"{voter} {sum(weights) / len(weights):.2f}"
        if voter in weighed:
            one = weighed[voter]
            by = "no trial" if one["by"] == "nothing" else f"{one['windows']} {one['by']}"
            by = by.replace("agreement", "utterances by agreement")
            right = "" if one["accuracy"] is None else f", accuracy {100 * one['accuracy']:.0f} %"
            text += f" (from {by}{right})"
        parts.append(text)
    progress.say("weights: " + ", ".join(parts))


def tell_usage(run: Run, before: Sequence[Ballot], progress: Progress) -> None:
    """Say what was sent and answered, how much of it an endpoint had cached, and what it cost.

    Args:
        run: a finished one.
        before: the ballots that were there when it was gone on with; () for a new one.
        progress: told.
    """
    ballots = run.ballots()
    answered = [one for one in ballots if one.usage.prompt_tokens and not one.from_cache]
    if answered:
        sent = sum(ballot.usage.prompt_tokens for ballot in answered)
        cached = sum(ballot.usage.cached_tokens for ballot in answered)
        back = sum(ballot.usage.answer_tokens for ballot in answered)
        share = f" ({100 * cached / sent:.0f} % of them cached)" if cached else ""
        parts = [f"tokens: {sent:,} sent{share}"]
        if back:
            parts.append(f"{back:,} answered")
        costs = [ballot.usage.cost for ballot in answered if ballot.usage.cost is not None]
        if sum(costs):
            parts.append(f"${sum(costs):.4f}" + (" at least" if len(costs) < len(answered) else ""))
            if before:
                there = {ballot.key for ballot in before if not ballot.failed}
                now = sum(one.usage.cost or 0.0 for one in answered if one.key not in there)
                parts.append(f"${now:.4f} of it now")
        progress.say(", ".join(parts))
    if lost := sum(ballot.usage.unanswered for ballot in ballots if not ballot.from_cache):
        progress.say(
            f"requests in vain: {lost:,} ran out of time, lost their connection or got an answer "
            "that was damaged or broken off; the endpoint may charge for them"
        )
    if known := [ballot for ballot in ballots if ballot.from_cache]:
        saved = sum(ballot.usage.cost or 0.0 for ballot in known)
        unpaid = f", ${saved:.4f} not paid again" if saved else ""
        progress.say(f"answers kept from before: {len(known):,}{unpaid}")


def tell_quotes(run: Run, progress: Progress) -> None:
    """Say how many of the quotes that answers gave as evidence nobody said."""
    found = [b.details["found"] for b in run.ballots() if "found" in b.details]
    if found:
        progress.say(
            f"evidence: {found.count(False):,} of {len(found):,} quotes do not stand in what the "
            "model was shown of the dialogue"
        )


def tell_saving(plan: Plan, run: Run, progress: Progress) -> None:
    """Say what stopping early saved."""
    possible = sum(len(q.samples) for questions in plan.questions.values() for q in questions)
    if possible <= len(plan.questions):
        return
    asked = set(plan.targets)
    models = {ballot.voter for ballot in plan.ballots}
    answered = sum(
        ballot.purpose == "verdict" and ballot.voter not in models and ballot.utterance_id in asked
        for ballot in run.ballots()
    )
    progress.say(
        f"answers: {answered:,} of {possible:,}, the others would hardly have changed a verdict "
        f"({100 * (possible - answered) / possible:.0f} % saved)"
        if answered < possible
        else f"answers: all {possible:,}"
    )
