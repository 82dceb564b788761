"""The embedded language model against llama.cpp fed the same prompts; what reuse and `n` save.

    python scripts/bench/local_llm.py INDEX CORPUS [--limit 40] [--sets 4] [--out FILE.json]

INDEX is a folder of `ragemo index build`, CORPUS a labelled file of other dialogues; the prompts
are those of the first --limit utterances by `few-shot-chat` with eight demonstrations. Measured,
models loaded:

    embedded    `carry_out` with the embedded model, which scores every label (bfloat16 or fp32)
    server      llama.cpp with the shipped GGUF (about 4 bits a weight), posted the same prompts as
                bare requests, two in flight, sorted, so that what begins alike stands together; one
                answer, held to the labels by a grammar
    shared      both again, with `retrieval.sets`; the server says how many tokens it had cached
    n           the server, five answers to a prompt in one call and in five

A line's ratio is `ours` over `reference`, in prompts a second; what limits it is said with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from ragemo import Index, load_llm, read_corpus, resolve_settings
from ragemo.labels import LabelSet
from ragemo.llm.requests import label_grammar
from ragemo.llm.server import serve
from ragemo.pipeline import carry_out, make_plan
from ragemo.pipeline.asking_order import together
from ragemo.progress import Silent
from ragemo.retrieval.embedding.embedder import load_index_embedder
from ragemo.types import Prompt

ANSWERS = 5
"""Of the comparison of `n`; the server has as many slots."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--sets", type=int, default=4)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON, too")
    options = parser.parse_args()
    index = Index.load(options.index)
    corpus = read_corpus(options.corpus, labels=index.labels)
    embedder = load_index_embedder(index.embedder, say=Silent().say)
    lines: list[dict[str, Any]] = []

    def note(name: str, ours: float, reference: float, unit: str, limited_by: str) -> None:
        own, other, ratio = round(ours, 3), round(reference, 3), round(ours / reference, 3)
        values = (name, own, other, ratio, unit, None, limited_by)
        lines.append(dict(zip(KEYS, values, strict=True)))
        print(json.dumps(lines[-1]), flush=True)

    speeds: dict[str, list[float]] = {}
    for name, sets in (("own demonstrations", None), ("shared demonstrations", options.sets)):
        settings = resolve_settings(
            {},
            {
                "prompt.template": "few-shot-chat",
                "retrieval.sets": sets,
                "voting.checks": 0,
                "limit": options.limit,
            },
        )
        llm = load_llm(settings.llm)
        assert llm is not None
        plan = make_plan(corpus, settings, index=index, embedder=embedder, llm=llm)
        prompts = [plan.questions[target][0].prompt for target in together(plan.questions)]
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            carry_out(plan, settings, Path(folder) / "run", llm=llm)
            ours = len(prompts) / (time.perf_counter() - started)
        with serving() as url:
            seconds, cached = asyncio.run(post(url, sorted(prompts, key=said), plan.labels))
        server = len(prompts) / seconds
        speeds[name] = [ours, server]
        note(f"embedded against llama.cpp, {name}", ours, server, "prompts/s", EMBEDDED)
        note(f"tokens that llama.cpp had cached, {name}", cached, 1.0, "share", "the prompts")
    for number, who in enumerate(("embedded", "llama.cpp")):
        own, shared = (speeds[name][number] for name in speeds)
        note(
            f"{who}, shared against own demonstrations", shared, own, "prompts/s", "the last turns"
        )
    few = prompts[: max(options.limit // 4, 1)]
    with serving() as url:
        together_s, _ = asyncio.run(post(url, few, plan.labels, n=ANSWERS))
    with serving() as url:
        apart_s, _ = asyncio.run(post(url, few, plan.labels, times=ANSWERS))
    note("n=5 in one call against five calls", together_s, apart_s, "s", "writing the answers")
    if options.out:
        options.out.write_text(json.dumps(lines, indent=2) + "\n", encoding="utf-8")


KEYS = ("name", "ours", "reference", "ratio", "unit", "target", "limited_by")
EMBEDDED = "full-precision products of transformers, against 4-bit kernels"


def said(prompt: Prompt) -> list[str]:
    """What a prompt is sorted by."""
    return [message.content for message in prompt.messages]


async def post(
    url: str, prompts: Sequence[Prompt], labels: LabelSet, *, n: int = 1, times: int = 1
) -> tuple[float, float]:
    """Seconds for all, two in flight, and the share of their tokens that was cached."""
    waiting = iter([(prompt, seed) for prompt in prompts for seed in range(times)])
    tokens = cached = 0

    async with httpx2.AsyncClient(timeout=600) as client:

        async def work() -> None:
            nonlocal tokens, cached
            for prompt, seed in waiting:
                messages = [{"role": m.role, "content": m.content} for m in prompt.messages]
                body = {"messages": messages, "grammar": label_grammar(labels), "seed": seed}
                reply = await client.post(
                    f"{url}/chat/completions", json={**body, "n": n, "max_tokens": 16}
                )
                usage = reply.raise_for_status().json()["usage"]
                tokens += usage["prompt_tokens"]
                details = usage.get("prompt_tokens_details") or {}
                cached += details.get("cached_tokens", 0)

        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(work())
        return time.perf_counter() - started, cached / max(tokens, 1)


@contextmanager
def serving() -> Iterator[str]:
    """A server of the embedded model, fresh; its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawned = multiprocessing.get_context("spawn")
    ready = spawned.Event()
    process = spawned.Process(target=_serve, args=(port, ready), daemon=True)
    process.start()
    if not ready.wait(120):
        raise RuntimeError("the server did not begin to answer; what it said is above")
    yield f"http://127.0.0.1:{port}/v1"
    process.terminate()
    process.join()


def _serve(port: int, ready: Any) -> None:
    serve(port=port, slots=ANSWERS, ready=lambda url: ready.set())


if __name__ == "__main__":
    main()
