"""Calls a second to an endpoint, by this process and by workers of a Ray cluster.

    python scripts/bench/ray_calls.py [--calls 1280] [--in-flight 64] [--latency 0.05 1]

One server process (scripts/bench/servers/instant.py) answers every request after the latency. It is
asked the same prompts by `--engine local` and by `--engine ray`, with all cores of this
machine; the best would be in flight / latency. Prints a line of JSON for each: calls a second once
the first answer is here, and how long that took, the start of Ray not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from throughput import make_corpus, server, settings_for

from ragemo.labels import LabelSet
from ragemo.llm import load_openai
from ragemo.llm.protocol import LanguageModel
from ragemo.llm.wrapped import WrappedModel
from ragemo.pipeline import Plan, carry_out, make_plan
from ragemo.pipeline.cluster.asking import asked_by
from ragemo.pipeline.cluster.connection import Cluster, open_cluster
from ragemo.settings import Settings
from ragemo.types import Ballot, Prompt


class Watched(WrappedModel):
    """Notes when it is first asked, and when answers are here."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self.begun = 0.0
        self.answered: list[float] = []

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """See `LanguageModel`."""
        self.begun = self.begun or time.perf_counter()
        ballots = await self.model.ask(prompt, labels, samples)
        self.answered.append(time.perf_counter())
        return ballots


def main() -> None:
    """Ask in each way and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1_280)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency", type=float, nargs="+", default=[0.05, 1.0], help="seconds")
    options = parser.parse_args()
    os.environ["RAGEMO_ENDPOINTS"] = ""
    with open_cluster() as cluster:
        for latency in options.latency:
            with server(latency) as url:
                settings = settings_for(url, options.in_flight)
                plan = make_plan(
                    make_corpus(options.calls), settings, llm=load_openai(settings.llm)
                )
                for name, where in (("local", None), ("ray", cluster)):
                    line = {"engine": name, "latency": latency} | measured(plan, settings, where)
                    print(json.dumps(line), flush=True)


def measured(plan: Plan, settings: Settings, cluster: Cluster | None) -> dict[str, float]:
    """Carry a plan out, by workers of a cluster or here."""
    own = load_openai(settings.llm)
    with ExitStack() as until_done:
        folder = until_done.enter_context(tempfile.TemporaryDirectory())
        asked: LanguageModel = own
        if cluster is not None:
            (asked,) = until_done.enter_context(asked_by(cluster, [own], settings))
        model = Watched(asked)
        carry_out(plan, settings, Path(folder) / "run", llm=model)
    first, last = model.answered[0], model.answered[-1]
    return {
        "calls": len(model.answered),
        "first answer after": round(first - model.begun, 2),
        "calls a second": round((len(model.answered) - 1) / (last - first), 1),
    }


if __name__ == "__main__":
    main()
