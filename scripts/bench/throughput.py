"""Predictions a second, from prompts to a finished run folder, against loops that only post them.

    python scripts/bench/throughput.py [--utterances 8000] [--latency 0.05] [--in-flight 64]
                                       [--rounds 4] [--out FILE.json]

One server process (scripts/bench/servers/instant.py) answers every request after the latency. It is
asked the same prompts, in turn, by

    ragemo        carry_out: the queue, answers read, each on disk before it counts, an answer
                  cache, the verdicts, all files; planning (prompts) is apart and shown
    official      the official client in a plain asyncio loop, `chat.completions.create`
    posting       the official client's `post`, with the JSON read here
    bare          httpx2 alone, which the official client asks with
    aiohttp       aiohttp alone, with two headers; ragemo asks with it, and sends the client's

The loops keep nothing and check nothing. Each is warmed up first; in every other round they come in
the opposite order; medians over the rounds. CPU is that of the asking process, all threads;
ragemo's own is what it takes beyond `aiohttp`.
Prints a line of JSON each; --out writes them as a list, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import openai

from ragemo.files import write_json
from ragemo.labels import LabelSet
from ragemo.llm import load_openai
from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.pipeline import Plan, carry_out, make_plan
from ragemo.settings import Settings, resolve_settings
from ragemo.types import Corpus, Dialogue, Utterance

LABELS = LabelSet.from_dict(
    {"name": "six", "labels": ["neutral", "joy", "anger", "sadness", "fear", "surprise"]}
)
SERVER = Path(__file__).parent / "servers" / "instant.py"
Messages = list[dict[str, str]]
Post = Callable[[Messages], Awaitable[None]]


@dataclass(frozen=True)
class Took:
    """Seconds on the clock, and of the processor, for all prompts."""

    seconds: float
    cpu: float


class Watch:
    """Measures what stands in its block."""

    def __enter__(self) -> Watch:
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        wall, cpu = self._began
        self.took = Took(time.perf_counter() - wall, time.process_time() - cpu)


@contextmanager
def server(latency: float) -> Iterator[str]:
    """The base URL of a server of its own."""
    command = [sys.executable, str(SERVER), "--latency", str(latency), "--answer", "neutral"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


def make_corpus(utterances: int) -> Corpus:
    """Dialogues of twelve turns, no two alike."""
    dialogues = [
        Dialogue(
            f"d{first}",
            tuple(
                Utterance(
                    id=f"d{first}_{turn}",
                    dialogue_id=f"d{first}",
                    turn=turn,
                    speaker="AB"[turn % 2],
                    hypotheses={"asr": f"well, number {first + turn} is what I have waited for"},
                    emotion=None,
                )
                for turn in range(min(12, utterances - first))
            ),
        )
        for first in range(0, utterances, 12)
    ]
    return Corpus(tuple(dialogues), LABELS, "plain", Path("made.csv"), f"{utterances:064d}")


def settings_for(url: str, in_flight: int) -> Settings:
    """How ragemo is run: one answer on an utterance, no index."""
    return resolve_settings(
        {},
        {
            "llm.model": "instant",
            "llm.backend": "openai",
            "llm.base_url": url,
            "llm.concurrency": in_flight,
            "retrieval.k": 0,
        },
    )


def run_ragemo(plan: Plan, settings: Settings, folder: Path) -> Took:
    """Carry a plan out, into a folder that is not there yet."""
    model = load_openai(settings.llm)
    with Watch() as watch:
        cache = AnswerCache(folder / "answers.sqlite")
        run = carry_out(plan, settings, folder / "run", llm=model, cache=cache)
        cache.close()
    labels = {verdict.label for verdict in run.verdicts()}
    if labels != {"neutral"} or len(run.verdicts()) != len(plan.targets):
        raise SystemExit(f"ragemo was not answered as expected: {labels}")
    return watch.took


async def run_loop(post: Post, prompts: list[Messages], in_flight: int) -> Took:
    """Post all prompts, so many at once."""
    waiting = iter(prompts)

    async def work() -> None:
        for messages in waiting:
            await post(messages)

    with Watch() as watch:
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(work())
    return watch.took


async def loop_official(url: str, prompts: list[Messages], in_flight: int) -> Took:
    """The official client as its documentation shows it."""
    async with openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:

        async def post(messages: Any) -> None:
            completion = await client.chat.completions.create(
                model="instant", messages=messages, max_tokens=16
            )
            assert completion.choices[0].message.content == "neutral"

        return await run_loop(post, prompts, in_flight)


async def loop_posting(url: str, prompts: list[Messages], in_flight: int) -> Took:
    """The official client without its types."""
    async with openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:

        async def post(messages: Messages) -> None:
            response = await client.post(
                "/chat/completions", cast_to=httpx2.Response, content=body_of(messages)
            )
            check(response.content)

        return await run_loop(post, prompts, in_flight)


def body_of(messages: Messages) -> bytes:
    """A request's JSON."""
    return json.dumps({"model": "instant", "messages": messages, "max_tokens": 16}).encode()


def check(content: bytes) -> None:
    """Read the answer."""
    assert json.loads(content)["choices"][0]["message"]["content"] == "neutral"


async def loop_bare(url: str, prompts: list[Messages], in_flight: int) -> Took:
    """The HTTP library below the official client."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=in_flight)
    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:

        async def post(messages: Messages) -> None:
            response = await client.post(
                f"{url}/chat/completions",
                json={"model": "instant", "messages": messages, "max_tokens": 16},
            )
            check(response.content)

        return await run_loop(post, prompts, in_flight)


async def loop_aiohttp(url: str, prompts: list[Messages], in_flight: int) -> Took:
    """The HTTP library that ragemo sends by."""
    headers = {"Authorization": "Bearer none", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def post(messages: Messages) -> None:
            async with session.post(f"{url}/chat/completions", data=body_of(messages)) as response:
                check(await response.read())

        return await run_loop(post, prompts, in_flight)


LOOPS = {
    "official": loop_official,
    "posting": loop_posting,
    "bare": loop_bare,
    "aiohttp": loop_aiohttp,
}


def lines(took: dict[str, list[Took]], utterances: int, bound: float) -> list[dict[str, Any]]:
    """The figures, a line each."""

    def rate(name: str) -> float:
        return utterances / statistics.median(one.seconds for one in took[name])

    def cpu(name: str) -> float:
        return 1_000 * statistics.median(one.cpu for one in took[name]) / utterances

    table: list[dict[str, Any]] = [
        {
            "name": f"prediction against a loop: {name}",
            "ours": round(rate("ragemo"), 1),
            "reference": round(rate(name), 1),
            "ratio": round(rate("ragemo") / rate(name), 3),
            "unit": "utterances/s",
            "target": "at least 0.97",
            "limited_by": f"one core: {cpu('ragemo'):.2f} ms a call, {cpu(name):.2f} in the loop "
            f"(the latency alone allows {bound:.0f}/s)",
        }
        for name in LOOPS
    ]
    own = cpu("ragemo") - cpu("aiohttp")
    table.append(
        {
            "name": "own processor time, against a millisecond",
            "ours": round(own, 3),
            "reference": 1.0,
            "ratio": round(own, 3),
            "unit": "ms/utterance",
            "target": "at most 1.00",
            "limited_by": "queue, reading answers, writing ballots and cache, verdicts, files",
        }
    )
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--utterances", type=int, default=8_000)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON, too")
    options = parser.parse_args()
    os.environ["RAGEMO_ENDPOINTS"] = ""
    took: dict[str, list[Took]] = {"ragemo": [], **{name: [] for name in LOOPS}}
    with server(options.latency) as url, tempfile.TemporaryDirectory() as temporary:
        settings = settings_for(url, options.in_flight)
        warm_up = make_plan(make_corpus(256), settings, llm=load_openai(settings.llm))
        with Watch() as watch:
            plan = make_plan(
                make_corpus(options.utterances), settings, llm=load_openai(settings.llm)
            )
        planning = watch.took
        for number in range(-1, options.rounds):
            one = warm_up if number < 0 else plan
            prompts = [
                [{"role": part.role, "content": part.content} for part in question.prompt.messages]
                for questions in one.questions.values()
                for question in questions
            ]
            for name in took if number % 2 else reversed(took):
                if name == "ragemo":
                    result = run_ragemo(one, settings, Path(temporary) / str(number))
                else:
                    result = asyncio.run(LOOPS[name](url, prompts, options.in_flight))
                if number >= 0:
                    took[name].append(result)
    table = lines(took, options.utterances, options.in_flight / options.latency)
    for line in table:
        print(json.dumps(line))
    milliseconds = 1_000 * planning.seconds / options.utterances
    print(f"planning, apart: {milliseconds:.2f} ms/utterance")
    if options.out:
        write_json(options.out, table)


if __name__ == "__main__":
    main()
