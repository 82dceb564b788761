"""What shared sets of demonstrations cost in accuracy, and how much of the prompts repeats.

    python scripts/bench/shared.py INDEX CORPUS [--sets 0 64 16 4 1] [--out FILE.json]
    python scripts/bench/shared.py INDEX CORPUS --ask RUNS [--limit 200] [--base-url URL]

INDEX is a folder of `ragemo index build`, CORPUS a labelled file of other dialogues; 0 sets: each
utterance has demonstrations of its own. Figures are weighted F1 in percent with 95 % intervals by
bootstrap over dialogues, and `against own` is paired. Without --ask no model is asked: the eight
demonstrations of each utterance vote as the index's neighbours do, and `repeated` is the share of
the prompts' characters that repeats how the prompt before begins, in the order of asking.

With --ask each row is a run of its own in the folder RUNS, gone on with if it is there: the
embedded model alone, its leaning taken off, and the vote. `seconds` are those of all answers, the
windows that the model is tried on included, whatever else the machine does. With --base-url the
model `smollm2` of a server is asked (`ragemo models serve`), and `cached` is what it says of the
prompts' tokens; the embedded model counts none.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from ragemo.corpus import read_corpus
from ragemo.llm import load_llm
from ragemo.llm.protocol import LanguageModel
from ragemo.pipeline import carry_out, make_plan
from ragemo.pipeline.asking_order import repeated_share, together
from ragemo.pipeline.judge import judge
from ragemo.pipeline.plan import Plan
from ragemo.progress import Silent
from ragemo.retrieval.embedding.embedder import load_index_embedder
from ragemo.retrieval.index import Index
from ragemo.retrieval.voters.neighbours import NeighbourVoter
from ragemo.scoring.paired import paired_differences
from ragemo.scoring.predictions import Predictions, ScoredUtterance
from ragemo.scoring.score import score
from ragemo.settings import Settings, resolve_settings


def main() -> None:
    """Print a row as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--ask", type=Path, help="ask the model, with runs in this folder")
    parser.add_argument("--limit", type=int, help="the first so many utterances")
    parser.add_argument("--sets", type=int, nargs="+", default=[0, 64, 16, 4, 1])
    parser.add_argument("--template", default="few-shot-chat")
    parser.add_argument("--strategy", default="knn")
    parser.add_argument("--base-url")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON, too")
    options = parser.parse_args()
    index = Index.load(options.index)
    corpus = read_corpus(options.corpus, labels=index.labels)
    embedder = load_index_embedder(index.embedder, say=Silent().say)
    measure = asked if options.ask else unasked
    control: Predictions | None = None
    rows: list[dict[str, Any]] = []
    for sets in options.sets:
        served = {"backend": "openai", "base_url": options.base_url, "concurrency": 2}
        settings = resolve_settings(
            {
                "prompt": {"template": options.template},
                "retrieval": {"sets": sets or None, "strategy": [options.strategy]},
                "llm": served if options.base_url else {},
                "limit": options.limit,
            },
            {} if options.ask else {"voting.checks": 0},
        )
        llm = load_llm(settings.llm, seed=settings.seed, asks=bool(options.ask))
        plan = make_plan(corpus, settings, index=index, embedder=embedder, llm=llm)
        kind = "served" if options.base_url else "embedded"
        name = f"{kind}-{options.template}-{options.strategy}-{sets}"
        scored, figures = measure(plan, settings, llm, index, options.ask and options.ask / name)
        control = control or scored
        paired = paired_differences(scored, control)["weighted_f1"]
        order = together(plan.questions)
        row = {
            "sets": sets,
            "weighted_f1": _interval(scored),
            "against_own": [paired.difference, paired.low, paired.high],
            "repeated": repeated_share([q.prompt for name in order for q in plan.questions[name]]),
            **figures,
        }
        rows.append(row)
        cells = {
            "sets": str(sets or "own"),
            "weighted F1": _percent(row["weighted_f1"]),
            "against own": _percent(row["against_own"], "+"),
            "repeated": f"{row['repeated']:.0%}",
            **{n: _percent(f) if isinstance(f, list) else f"{f:.4g}" for n, f in figures.items()},
        }
        if len(rows) == 1:
            print(f"| {' | '.join(cells)} |")
            print("|" + " ---: |" * len(cells))
        print(f"| {' | '.join(cells.values())} |", flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


Figures = tuple[Predictions, dict[str, Any]]


def unasked(
    plan: Plan, settings: Settings, llm: LanguageModel | None, index: Index, out: Path | None
) -> Figures:
    """What the demonstrations say by themselves."""
    names = index.labels.names
    shape = (len(plan.targets), settings.retrieval.k)
    similarities, labels = np.full(shape, -np.inf), np.zeros(shape, dtype=np.int64)
    for query, target in enumerate(plan.targets):
        # Nearest first: of a shared set that is not the order in which it is shown.
        shown = sorted(plan.demonstrations[target], key=lambda one: -one.similarity)
        for place, one in enumerate(shown):
            similarities[query, place] = one.similarity
            labels[query, place] = names.index(one.label)
    fitted = cast("NeighbourVoter", index.voters["neighbours"])
    votes = NeighbourVoter(shape[1], fitted.temperature, fitted.prior).votes(similarities, labels)
    said = [names[winner] for winner in votes.argmax(axis=1).tolist()]
    return _scored(plan, dict(zip(plan.targets, said, strict=True))), {}


def asked(
    plan: Plan, settings: Settings, llm: LanguageModel | None, index: Index, out: Path | None
) -> Figures:
    """What the model says alone, and what the vote makes of it."""
    assert out is not None and llm is not None
    ballots = carry_out(plan, settings, out, llm=llm, resume=out.exists()).ballots()
    alone = resolve_settings({"voting": {"voters": ["smollm2"], "dialogue": "none"}}).voting
    labels = [
        {v.utterance_id: v.label for v in judge(plan, ballots, how).decision.verdicts}
        for how in (alone, settings.voting)
    ]
    answers = [ballot.usage for ballot in ballots if ballot.voter == "smollm2"]
    tokens = sum(usage.prompt_tokens for usage in answers)
    return _scored(plan, labels[0]), {
        "voted": _interval(_scored(plan, labels[1])),
        "tokens": tokens,
        "cached": sum(usage.cached_tokens for usage in answers) / max(tokens, 1),
        "seconds": sum(usage.seconds for usage in answers) / llm.concurrency,
    }


def _scored(plan: Plan, said: Mapping[str, str | None]) -> Predictions:
    return Predictions.of(
        (
            ScoredUtterance(u.turn.utterance_id, u.turn.dialogue_id, u.gold, said[name], None)
            for u in plan.utterances
            if u.gold is not None and (name := u.turn.utterance_id) in said
        ),
        plan.labels,
    )


def _interval(rows: Predictions) -> list[float]:
    found = score(rows, training_counts=None)
    low, high = found.intervals["weighted_f1"] or (0.0, 1.0)
    return [found.weighted_f1, low, high]


def _percent(figures: Sequence[float | None], sign: str = "") -> str:
    """A figure and its interval, in percent."""
    middle, low, high = (100 * (figure or 0.0) for figure in figures)
    return f"{middle:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


if __name__ == "__main__":
    main()
