"""What stopping early would have saved: runs of full sampling, replayed under every rule.

    python scripts/bench/stopping.py RUN [RUN ...] [--thresholds 0.9 0.95 0.99] [--draw 40]

RUN is a folder of `ragemo predict --samples 10`, say, on a part of a corpus that is not the test
split; nothing is asked, and no label is read but those in the folder. Printed as Markdown, for
every voter with several answers to an utterance:

    answers          how many the rule would have asked for, and their share of all
    labels changed   utterances whose label differs from the one by all answers
    accuracy         its change, in points, over the utterances with a gold label

Labels are the majority of first choices, ties broken by the order of the label set. Under that
table stands what the pool decides: the verdicts if each utterance had been asked no further than
the rule asks, with the weights of the run, against those by all answers.

With --draw N, a voter that scored the labels (log-likelihoods) gives N answers, drawn from what
it said on each utterance's first prompt at --temperature: what sampling it would have given.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ragemo.errors import RagemoError, RunFolderError
from ragemo.pipeline.outlook import Outlook, outlooks
from ragemo.runs.run import Run
from ragemo.types import Ballot
from ragemo.voting.decide import decide
from ragemo.voting.panel import Panel
from ragemo.voting.stopping import StoppingRule, replay, vote_counts


def sampled(run: Run) -> dict[str, dict[str, list[Ballot]]]:
    """Voter -> utterance id -> ballots, of voters with several ballots on an utterance.

    Raises:
        RunFolderError: if there is none.
    """
    cast: dict[str, dict[str, list[Ballot]]] = defaultdict(lambda: defaultdict(list))
    for ballot in run.ballots():
        if ballot.purpose == "verdict":
            cast[ballot.voter][ballot.utterance_id].append(ballot)
    several = {
        voter: own for voter, own in cast.items() if any(len(votes) > 1 for votes in own.values())
    }
    if not several:
        raise RunFolderError(
            f"{run.path}: no voter gave an utterance several answers, so there is nothing to "
            "save; predict with --samples 10, say (a local model with --mode sample, too)"
        )
    return several


def drawn(run: Run, count: int, temperature: float) -> dict[str, dict[str, list[Ballot]]]:
    """The same with answers drawn from each first ballot that holds log-likelihoods.

    Raises:
        RunFolderError: if there is none.
    """
    cast: dict[str, dict[str, list[Ballot]]] = defaultdict(dict)
    rng = np.random.default_rng(0)
    for ballot in run.ballots():
        if ballot.purpose == "verdict" and ballot.sample == 0 and ballot.log_likelihoods:
            scores = np.array(ballot.log_likelihoods) / temperature
            shares = np.exp(scores - scores.max())
            answers = rng.choice(len(shares), size=count, p=shares / shares.sum())
            cast[ballot.voter][ballot.utterance_id] = [
                replace(
                    ballot,
                    sample=number,
                    log_likelihoods=None,
                    distribution=run.labels.one_hot(run.labels.names[answer]),
                )
                for number, answer in enumerate(answers.tolist())
            ]
    if not cast:
        raise RunFolderError(f"{run.path}: no voter scored the labels, so nothing can be drawn")
    return cast


def accuracy(labels: Mapping[str, str | None], gold: Mapping[str, str]) -> float:
    """In percent of the utterances with a gold label."""
    return 100 * sum(labels[u] == label for u, label in gold.items()) / len(gold)


def table(
    run: Run, voter: str, own: Mapping[str, Sequence[Ballot]], rules: dict[str, StoppingRule]
) -> str:
    """The Markdown table of one voter, under a line that says what was replayed."""
    ballots = [ballot for votes in own.values() for ballot in votes]
    full = replay(ballots, run.labels, StoppingRule("none")).labels
    gold = {
        utterance.turn.utterance_id: utterance.gold
        for utterance in run.utterances
        if utterance.gold is not None and utterance.turn.utterance_id in full
    }
    fewest, most = min(map(len, own.values())), max(map(len, own.values()))
    each = str(most) if fewest == most else f"{fewest} to {most}"
    found = f"accuracy {accuracy(full, gold):.1f} % of {len(gold)}" if gold else "no gold labels"
    lines = [
        f"{run.path.name}, {voter}: {len(own)} utterances, {each} answers each; with all: {found}",
        "",
        "| rule | answers | % of all | labels changed | accuracy (points) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, rule in rules.items():
        saving = replay(ballots, run.labels, rule)
        points = f"{accuracy(saving.labels, gold) - accuracy(full, gold):+.2f}" if gold else "-"
        lines.append(
            f"| {name} | {saving.asked} | {100 * saving.spent:.1f} | {saving.changed} | {points} |"
        )
    return "\n".join([*lines, ""])


def pooled_table(
    run: Run, voter: str, own: Mapping[str, Sequence[Ballot]], rules: dict[str, StoppingRule]
) -> str:
    """The Markdown table of the pool's verdicts; "" if the run had several parts."""
    if len(run.panels()) != 1 or voter not in run.panels()[0]["panel"]["weights"]:
        return ""
    panel = Panel.from_dict(run.panels()[0]["panel"])
    others = [
        ballot
        for ballot in run.ballots()
        if ballot.purpose == "verdict" and ballot.voter in panel.weights and ballot.voter != voter
    ]
    turns = [utterance.turn for utterance in run.utterances]
    gold = {u.turn.utterance_id: u.gold for u in run.utterances if u.gold is not None}
    futures = outlooks(dict.fromkeys(own, panel), others, [voter], len(run.labels))

    def verdicts(cast: Sequence[Ballot]) -> dict[str, str | None]:
        decision = decide(
            turns,
            list(own),
            [*others, *cast],
            run.labels,
            panels={0: panel},
            part_of=dict.fromkeys(own, 0),
        )
        return {verdict.utterance_id: verdict.label for verdict in decision.verdicts}

    full = verdicts([ballot for votes in own.values() for ballot in votes])
    scored = {utterance: label for utterance, label in gold.items() if utterance in full}
    possible = sum(map(len, own.values()))
    lines = [
        f"{run.path.name}, the pool with {voter} at weight {panel.weights[voter]:g}:",
        "",
        "| rule | answers | % of all | verdicts changed | accuracy (points) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, rule in rules.items():
        if rule.kind == "none":
            continue
        cast = [
            b
            for utterance, votes in own.items()
            for b in asked(votes, rule, futures[utterance], len(run.labels))
        ]
        found = verdicts(cast)
        changed = sum(found[utterance] != label for utterance, label in full.items())
        points = f"{accuracy(found, scored) - accuracy(full, scored):+.2f}" if scored else "-"
        lines.append(
            f"| {name} | {len(cast)} | {100 * len(cast) / possible:.1f} | {changed} | {points} |"
        )
    return "\n".join([*lines, ""])


def asked(
    votes: Sequence[Ballot], rule: StoppingRule, outlook: Outlook, labels: int
) -> list[Ballot]:
    """The answers on one utterance that would have been asked for, one by one as a run asks."""
    for spent in range(1, len(votes)):
        heard, awaited = votes[:spent], votes[spent:]
        sure = rule.kind == "posterior" and rule.settled(vote_counts(heard, labels), len(awaited))
        if sure or not outlook.is_open(heard, awaited):
            return list(heard)
    return list(votes)


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.8, 0.9, 0.95, 0.99])
    parser.add_argument("--draw", type=int, metavar="N")
    parser.add_argument("--temperature", type=float, default=0.7)
    arguments = parser.parse_args()
    try:
        rules = {"none": StoppingRule("none"), "hard": StoppingRule("hard")} | {
            f"posterior {threshold:g}": StoppingRule("posterior", threshold)
            for threshold in arguments.thresholds
        }
        for folder in arguments.runs:
            run = Run.open(folder)
            cast = (
                drawn(run, arguments.draw, arguments.temperature)
                if arguments.draw
                else sampled(run)
            )
            for voter, own in cast.items():
                print(table(run, voter, own, rules))
                if pooled := pooled_table(run, voter, own, rules):
                    print(pooled)
    except RagemoError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
