"""What shared sets of demonstrations cost in accuracy, and what of the prompts repeats.

    python scripts/bench/shared.py INDEX CORPUS OUT [--limit 200] [--sets 0 64 16 4 1]
        [--template few-shot-chat] [--base-url URL] [--out FILE.json]

INDEX is a folder of `ragemo index build`, CORPUS a labelled file of other dialogues. Each row is a
run of its own in the folder OUT, which is gone on with if it is there; 0 sets: each utterance has
demonstrations of its own. Weighted F1 of the model alone, its leaning taken off, and of the vote,
in percent with 95 % intervals by bootstrap over dialogues; `against own` is paired. `seconds` are
those of all answers together, the 64 windows that the model is tried on included, whatever runs
beside them. With --base-url the model `smollm2` of a server is asked (`ragemo models serve`), and
`cached` is what it says of the prompts' tokens; the embedded model counts none.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragemo.corpus import read_corpus
from ragemo.llm import load_llm
from ragemo.pipeline import carry_out, make_plan
from ragemo.pipeline.asking_order import repeated_share, together
from ragemo.pipeline.judge import judge
from ragemo.pipeline.plan import Plan
from ragemo.progress import Silent
from ragemo.retrieval.embedder import load_index_embedder
from ragemo.retrieval.index import Index
from ragemo.scoring.confusion import ScoredUtterance
from ragemo.scoring.paired import paired_differences
from ragemo.scoring.score import score
from ragemo.settings import resolve_settings
from ragemo.types import Verdict


def main() -> None:
    """Print a row as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--sets", type=int, nargs="+", default=[0, 64, 16, 4, 1])
    parser.add_argument("--template", default="few-shot-chat")
    parser.add_argument("--strategy", default="knn")
    parser.add_argument("--base-url")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON, too")
    options = parser.parse_args()
    index = Index.load(options.index)
    corpus = read_corpus(options.corpus, labels=index.labels)
    embedder = load_index_embedder(index.embedder, say=Silent().say)
    control: list[ScoredUtterance] = []
    rows: list[dict[str, Any]] = []
    print("| sets | alone | against own | voted | tokens | repeated | cached | seconds |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for sets in options.sets:
        served = {"backend": "openai", "base_url": options.base_url, "concurrency": 2}
        settings = resolve_settings(
            {
                "prompt": {"template": options.template},
                "retrieval": {"sets": sets or None, "strategy": [options.strategy]},
                "llm": served if options.base_url else {},
                "limit": options.limit,
            }
        )
        llm = load_llm(settings.llm, seed=settings.seed, asks=True, say=Silent().say)
        plan = make_plan(corpus, settings, index=index, embedder=embedder, llm=llm)
        kind = "served" if options.base_url else "embedded"
        out = options.runs / f"{kind}-{options.template}-{options.strategy}-{sets}"
        run = carry_out(plan, settings, out, llm=llm, resume=out.exists())
        ballots = run.ballots()
        alone = resolve_settings({"voting": {"voters": ["smollm2"], "dialogue": "none"}}).voting
        own = _scored(plan, judge(plan, ballots, alone).decision.verdicts)
        voted = _scored(plan, judge(plan, ballots, settings.voting).decision.verdicts)
        control = control or own
        asked = [ballot for ballot in ballots if ballot.voter == "smollm2"]
        tokens = sum(ballot.usage.prompt_tokens for ballot in asked)
        order = together(plan.questions)
        paired = paired_differences(own, control, index.labels)["weighted_f1"]
        row = {
            "sets": sets,
            "alone": _interval(score(own, index.labels, training_counts=None)),
            "against_own": [paired.difference, paired.low, paired.high],
            "voted": _interval(score(voted, index.labels, training_counts=None)),
            "prompt_tokens": tokens,
            "repeated": repeated_share(
                [q.prompt for target in order for q in plan.questions[target]]
            ),
            "cached": sum(ballot.usage.cached_tokens for ballot in asked) / max(tokens, 1),
            "seconds": sum(ballot.usage.seconds for ballot in asked) / llm.concurrency
            if llm
            else 0,
        }
        rows.append(row)
        print(
            f"| {sets or 'own'} | {_percent(row['alone'])} | {_percent(row['against_own'], '+')} "
            f"| {_percent(row['voted'])} | {tokens:,} | {row['repeated']:.0%} "
            f"| {row['cached']:.0%} | "
            f"{row['seconds']:.0f} |",
            flush=True,
        )
    if options.out:
        options.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def _scored(plan: Plan, verdicts: Sequence[Verdict]) -> list[ScoredUtterance]:
    known = {u.turn.utterance_id: u for u in plan.utterances}
    return [
        ScoredUtterance(
            verdict.utterance_id,
            known[verdict.utterance_id].turn.dialogue_id,
            gold,
            verdict.label,
            verdict.distribution,
        )
        for verdict in verdicts
        if (gold := known[verdict.utterance_id].gold) is not None
    ]


def _interval(found: Any) -> list[float]:
    low, high = found.intervals["weighted_f1"]
    return [found.weighted_f1, low, high]


def _percent(figures: Sequence[float | None], sign: str = "") -> str:
    """A figure and its interval, in percent."""
    middle, low, high = (100 * (figure or 0.0) for figure in figures)
    return f"{middle:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


if __name__ == "__main__":
    main()
