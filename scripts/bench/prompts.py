"""How templates and retrieval strategies do with a language model, random examples as control.

    python scripts/bench/prompts.py INDEX CORPUS OUT [--limit 200] [--llm smollm2]
        [--templates NAME ...] [--strategies NAME ...]

INDEX is a folder of `ragemo index build`, CORPUS a labelled file of other dialogues. Each row is a
run of its own in the folder OUT, which is gone on with if it is there: the model alone with its
leaning taken off, and what the vote makes of it together with the index. Differences are to
`few-shot` with random examples, with 95 % intervals by paired bootstrap over dialogues.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ragemo.corpus import read_corpus
from ragemo.llm import load_llm
from ragemo.pipeline import carry_out, make_plan
from ragemo.pipeline.judge import judge
from ragemo.pipeline.plan import Plan
from ragemo.progress import Silent
from ragemo.retrieval.embedding.embedder import load_index_embedder
from ragemo.retrieval.index import Index
from ragemo.runs.scores import predictions_on
from ragemo.scoring.paired import paired_differences
from ragemo.scoring.predictions import Predictions
from ragemo.scoring.score import score
from ragemo.settings import resolve_settings
from ragemo.types import Verdict

ROWS = [
    ("few-shot", "random"),
    ("zero-shot", "knn"),
    ("few-shot", "knn"),
    ("few-shot-soft", "knn"),
    ("hint", "knn"),
    ("stimulus", "knn"),
    ("repeat", "knn"),
    ("few-shot", "emotion"),
    ("few-shot", "balanced"),
    ("few-shot", "ambiguous"),
    ("few-shot", "mmr"),
    ("few-shot", "dpp"),
    ("few-shot", "hybrid"),
    ("few-shot-soft", "emotion"),
    ("hint", "emotion"),
]
"""Template and strategy; the first is the control."""


def main() -> None:
    """Print a row as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--llm", default="smollm2")
    parser.add_argument("--templates", nargs="+", help="rows with these, beside the control")
    parser.add_argument("--strategies", nargs="+", help="rows with these, beside the control")
    options = parser.parse_args()
    index = Index.load(options.index)
    corpus = read_corpus(options.corpus, labels=index.labels)
    embedder = load_index_embedder(index.embedder, say=Silent().say)
    wanted = [
        (template, strategy)
        for template, strategy in ROWS
        if (template, strategy) == ROWS[0]
        or (
            template in (options.templates or [template])
            and strategy in (options.strategies or [strategy])
        )
    ]
    control: Predictions | None = None
    print("| template | strategy | weighted F1 | UAR | against random | voted | weight |")
    print("| --- | --- | ---: | ---: | --- | ---: | ---: |")
    for template, strategy in wanted:
        settings = resolve_settings(
            {
                "prompt": {"template": template},
                "retrieval": {"strategy": [strategy]},
                "llm": {"model": options.llm},
                "limit": options.limit,
            }
        )
        llm = load_llm(settings.llm, seed=settings.seed, asks=True, say=Silent().say)
        plan = make_plan(corpus, settings, index=index, embedder=embedder, llm=llm)
        out = options.out / f"{template}-{strategy}"
        run = carry_out(plan, settings, out, llm=llm, resume=out.exists())
        ballots = run.ballots()
        voted = judge(plan, ballots, settings.voting)
        how = resolve_settings({"voting": {"voters": [options.llm], "dialogue": "none"}}).voting
        alone = judge(plan, ballots, how)
        rows = _scored(plan, alone.decision.verdicts)
        together = _scored(plan, voted.decision.verdicts)
        control = control or rows
        own = score(rows, training_counts=None, samples=1)
        both = score(together, training_counts=None, samples=1)
        one = paired_differences(rows, control)["weighted_f1"]
        weights = [w.weight for part in voted.weighed.values() for w in part]
        print(
            f"| `{template}` | `{strategy}` | {100 * own.weighted_f1:.1f} | {100 * own.uar:.1f} | "
            f"{_points(one.difference)} [{_points(one.low)}, {_points(one.high)}] | "
            f"{100 * both.weighted_f1:.1f} | {max(weights, default=0):.2f} |",
            flush=True,
        )


def _scored(plan: Plan, verdicts: Sequence[Verdict]) -> Predictions:
    known = {u.turn.utterance_id: u for u in plan.utterances}
    return predictions_on(((known[v.utterance_id], v) for v in verdicts), plan.labels)


def _points(share: float | None) -> str:
    """A share in percentage points, with its sign."""
    return "" if share is None else f"{100 * share:+.1f}"


if __name__ == "__main__":
    main()
