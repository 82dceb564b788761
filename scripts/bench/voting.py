"""What each voter and each step of the vote is worth, without any language model.

    python scripts/bench/voting.py INDEX CORPUS

INDEX is a folder of `ragemo index build`, CORPUS a labelled file of other dialogues. Every row is
decided from the same ballots; differences are to the row that is named, with 95 % intervals by
paired bootstrap over dialogues.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ragemo.corpus import read_corpus
from ragemo.pipeline import make_plan
from ragemo.pipeline.judge import judge
from ragemo.pipeline.plan import Plan
from ragemo.progress import Silent
from ragemo.retrieval.embedding.embedder import load_index_embedder
from ragemo.retrieval.index import Index
from ragemo.runs.scores import predictions_on
from ragemo.scoring.paired import paired_differences
from ragemo.scoring.predictions import Predictions
from ragemo.scoring.score import score
from ragemo.settings import Settings, resolve_settings

STEPS: list[tuple[str, dict[str, object], str]] = [
    ("neighbours", {"voters": ["neighbours"], "dialogue": "none"}, ""),
    ("probe", {"voters": ["probe"], "dialogue": "none"}, ""),
    ("words", {"voters": ["words"], "dialogue": "none"}, ""),
    (
        "neighbours + probe",
        {"voters": ["neighbours", "probe"], "dialogue": "none"},
        "probe",
    ),
    ("neighbours + probe + filter", {"voters": ["neighbours", "probe"]}, "neighbours + probe"),
    ("all three", {"dialogue": "none"}, "neighbours + probe"),
    ("all three + filter (default)", {}, "all three"),
    ("no prior correction", {"correction": 0.0}, "all three + filter (default)"),
    ("full prior correction", {"correction": 1.0}, "all three + filter (default)"),
    ("Viterbi for the filter", {"dialogue": "viterbi"}, "all three + filter (default)"),
    ("mean for the log pool", {"pool": "mean"}, "all three + filter (default)"),
    ("Dawid-Skene for the log pool", {"pool": "dawid-skene"}, "all three + filter (default)"),
    ("majority for the log pool", {"pool": "majority"}, "all three + filter (default)"),
]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("corpus", type=Path)
    options = parser.parse_args()
    index = Index.load(options.index)
    corpus = read_corpus(options.corpus, labels=index.labels)
    embedder = load_index_embedder(index.embedder, say=Silent().say)
    plan = make_plan(corpus, Settings(), index=index, embedder=embedder)
    rows: dict[str, Predictions] = {}
    print("| | weighted F1 | UAR | accuracy | ECE | weighted F1 against |")
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    for name, voting, base in STEPS:
        settings = resolve_settings({"voting": voting})
        rows[name] = decided(plan, settings)
        found = score(rows[name], training_counts=index.label_counts)
        low, high = found.intervals["weighted_f1"] or (0.0, 0.0)
        against = ""
        if base:
            one = paired_differences(rows[name], rows[base])["weighted_f1"]
            bounds = f" [{points(one.low)}, {points(one.high)}]"
            against = f"{base}: {points(one.difference)}{bounds}"
        ece = f"{found.calibration.ece:.3f}" if found.calibration else ""
        print(
            f"| {name} | {100 * found.weighted_f1:.1f} [{100 * low:.1f}, {100 * high:.1f}] | "
            f"{100 * found.uar:.1f} | {100 * found.accuracy:.1f} | {ece} | {against} |"
        )


def decided(plan: Plan, settings: Settings) -> Predictions:
    """The plan's targets as the settings' vote decides them, beside their gold labels."""
    known = {u.turn.utterance_id: u for u in plan.utterances}
    verdicts = judge(plan, plan.ballots, settings.voting).decision.verdicts
    return predictions_on(((known[v.utterance_id], v) for v in verdicts), plan.labels)


def points(share: float | None) -> str:
    """A share in percentage points, with its sign."""
    return "" if share is None else f"{100 * share:+.1f}"


if __name__ == "__main__":
    main()
