"""What stopping early would have saved: runs of full sampling, replayed under every rule.

    python scripts/bench/stopping.py RUN [RUN ...] [--thresholds 0.9 0.95 0.99]

RUN is a folder of `ragemo predict --samples 10`, say, on a part of a corpus that is not the test
split; nothing is asked, and no label is read but those in the folder. Printed as Markdown, for
every voter with several answers to an utterance:

    answers          how many the rule would have asked for, and their share of all
    labels changed   utterances whose label differs from the one by all answers
    accuracy         its change, in points, over the utterances with a gold label

Labels are the majority of first choices, ties broken by the order of the label set.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ragemo.errors import RagemoError, RunFolderError
from ragemo.runs.run import Run
from ragemo.types import Ballot
from ragemo.voting.stopping import StoppingRule, replay


def sampled(run: Run) -> dict[str, dict[str, list[Ballot]]]:
    """Voter -> utterance id -> ballots, of voters with several ballots on an utterance.

    Raises:
        RunFolderError: if there is none.
    """
    cast: dict[str, dict[str, list[Ballot]]] = defaultdict(lambda: defaultdict(list))
    for ballot in run.ballots():
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


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.8, 0.9, 0.95, 0.99])
    arguments = parser.parse_args()
    try:
        rules = {"none": StoppingRule("none"), "hard": StoppingRule("hard")} | {
            f"posterior {threshold:g}": StoppingRule("posterior", threshold)
            for threshold in arguments.thresholds
        }
        for folder in arguments.runs:
            run = Run.open(folder)
            for voter, own in sampled(run).items():
                print(table(run, voter, own, rules))
    except RagemoError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
