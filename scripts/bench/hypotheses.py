"""What several transcripts of an utterance are worth to a language model.

    python scripts/bench/hypotheses.py INDEX CORPUS OUT [--limit 200] [--llm smollm2] [--rows ...]

INDEX is a folder of `ragemo index build` on a file with ASR hypotheses, CORPUS a labelled file of
other dialogues with as many and with reference transcripts. Rows: one prompt about each transcript
choice, one prompt that shows several hypotheses, and a vote over prompts that differ in the
transcript; the reference transcripts, which a challenge forbids, as the ceiling. The model alone
(its leaning taken off), and the vote of the model and the index. Differences are to the default
transcript, with 95 % intervals by paired bootstrap over dialogues.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ragemo.corpus import read_corpus
from ragemo.llm import load_llm
from ragemo.pipeline import carry_out, make_plan
from ragemo.pipeline.judge import judge
from ragemo.progress import Silent
from ragemo.retrieval.embedding.embedder import load_index_embedder
from ragemo.retrieval.index import Index
from ragemo.runs.scores import predictions_on
from ragemo.scoring.paired import paired_differences
from ragemo.scoring.predictions import Predictions
from ragemo.scoring.score import score
from ragemo.settings import DEFAULT_TRANSCRIPT, resolve_settings


def main() -> None:
    """Print a row as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--llm", default="smollm2")
    parser.add_argument("--rows", nargs="+", help="of these names, beside the default")
    options = parser.parse_args()
    index = Index.load(options.index)
    corpus = read_corpus(options.corpus, labels=index.labels)
    embedder = load_index_embedder(index.embedder, say=Silent().say)
    systems = sorted({system for u in corpus.utterances for system in u.hypotheses})
    choices = [DEFAULT_TRANSCRIPT, *systems, "longest", "rover", "reference"]
    rows: dict[str, dict[str, Any]] = {
        choice: {"corpus": {"transcript": choice}} for choice in choices
    }
    rows["n-best"] = {"prompt": {"template": "n-best"}}
    several = {"samples": len(systems)}
    rows["vote over transcripts"] = {
        "llm": several,
        "voting": {"vary": ["transcript"], "stop": "none"},
    }
    base: dict[str, Predictions] = {}
    print("| transcript | model alone | UAR | to the default | voted | to the default |")
    print("| --- | ---: | ---: | --- | ---: | --- |")
    for name, changes in rows.items():
        if name not in (DEFAULT_TRANSCRIPT, *(options.rows or rows)):
            continue
        data = {"limit": options.limit, **changes}
        data["llm"] = {"model": options.llm, **changes.get("llm", {})}
        settings = resolve_settings(data)
        llm = load_llm(settings.llm, seed=settings.seed, asks=True, say=Silent().say)
        plan = make_plan(corpus, settings, index=index, embedder=embedder, llm=llm)
        out = options.out / name.replace(" ", "-")
        ballots = carry_out(plan, settings, out, llm=llm, resume=out.exists()).ballots()
        known = {u.turn.utterance_id: u for u in plan.utterances}
        cells = []
        for who, voting in (
            ("alone", {"voters": [options.llm], "dialogue": "none"}),
            ("voted", {}),
        ):
            how = resolve_settings({"voting": voting}).voting
            verdicts = judge(plan, ballots, how).decision.verdicts
            scored = predictions_on(((known[v.utterance_id], v) for v in verdicts), index.labels)
            own = score(scored, training_counts=None, samples=1)
            one = paired_differences(scored, base.setdefault(who, scored))
            to = one["weighted_f1"]
            cells.append(f"{100 * own.weighted_f1:.1f}")
            if who == "alone":
                cells.append(f"{100 * own.uar:.1f}")
            cells.append(f"{_points(to.difference)} [{_points(to.low)}, {_points(to.high)}]")
        mark = " (not allowed in a challenge run)" if name == "reference" else ""
        print(f"| {name}{mark} | " + " | ".join(cells) + " |", flush=True)


def _points(share: float | None) -> str:
    """A share in percentage points, with its sign."""
    return "" if share is None else f"{100 * share:+.1f}"


if __name__ == "__main__":
    main()
