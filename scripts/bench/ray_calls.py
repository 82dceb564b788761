"""Language models asked by a stage of Ray Data, or by a pool of actors: how fast, and how safe.

    python scripts/bench/ray_calls.py [--calls 640] [--in-flight 64] [--latency 0.05]

A call is a wait of so many seconds. Two actors on this machine make them, 64 at a time: as a stage
that is given one prompt a task, as one that is given eight, and called one prompt at a time as
`ragemo.pipeline.cluster.asking` does it. Prints a line of JSON for each: calls a second once the
first answer is here (the best would be in flight / latency), and how many answers had been made
and not handed over when a half of them had been: a run that is killed then pays for these again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ragemo.pipeline.cluster.connection import Cluster, open_cluster


class Asker:
    """Asks, and notes each answer in a file of its own.

    Args:
        folder: where it is noted.
        latency: seconds that a call takes.
    """

    def __init__(self, folder: str, latency: float) -> None:
        self._folder = Path(folder)
        self._latency = latency

    async def ask(self, number: int) -> int:
        """One call."""
        await asyncio.sleep(self._latency)
        (self._folder / str(number)).touch()
        return number

    async def __call__(self, batch: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        """Calls for all of a batch at once."""
        numbers = [int(number) for number in batch["item"]]
        yield {"answer": await asyncio.gather(*map(self.ask, numbers))}


def main() -> None:
    """Ask in each way and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=640)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.05)
    options = parser.parse_args()
    with open_cluster() as cluster:
        for name, rows in (("stage, 1 prompt a task", 1), ("stage, 8 prompts a task", 8)):
            with tempfile.TemporaryDirectory() as folder:
                log = Log(Path(folder), options.calls)
                by_stage(log, options, rows)
                log.print(name)
        with tempfile.TemporaryDirectory() as folder:
            log = Log(Path(folder), options.calls)
            asyncio.run(by_actors(log, options, cluster))
            log.print("actors, a prompt a call")


class Log:
    """What was handed over, and when.

    Args:
        folder: where answers are noted when they are made.
        calls: how many there will be.
    """

    def __init__(self, folder: Path, calls: int) -> None:
        self.folder = folder
        self._calls = calls
        self._handed: list[float] = []
        self._elsewhere = 0

    def hand_over(self) -> None:
        """One more answer is here."""
        self._handed.append(time.perf_counter())
        if len(self._handed) == self._calls // 2:
            self._elsewhere = len(os.listdir(self.folder)) - len(self._handed)  # noqa: PTH208

    def print(self, way: str) -> None:
        """A line of JSON."""
        seconds = self._handed[-1] - self._handed[0]
        line = {
            "way": way,
            "calls": len(self._handed),
            "calls a second": round((len(self._handed) - 1) / seconds),
            "made and not handed over": self._elsewhere,
        }
        print(json.dumps(line), flush=True)


def by_stage(log: Log, options: argparse.Namespace, rows: int) -> None:
    """As a dataset."""
    import ray.data

    tasks = options.in_flight // 2 // rows
    dataset = ray.data.from_items(
        list(range(options.calls)), override_num_blocks=options.calls // rows
    ).map_batches(
        Asker,
        fn_constructor_args=(str(log.folder), options.latency),
        batch_size=rows,
        compute=ray.data.ActorPoolStrategy(
            size=2, max_tasks_in_flight_per_actor=tasks, max_concurrent_calls_per_actor=tasks
        ),
        num_cpus=0.1,
    )
    dataset.context.enable_progress_bars = False
    for _ in dataset.iter_rows():
        log.hand_over()


async def by_actors(log: Log, options: argparse.Namespace, cluster: Cluster) -> None:
    """Call by call."""
    import ray

    remote = ray.remote(Asker).options(max_concurrency=options.in_flight, num_cpus=0)
    actors: Sequence[Any] = [remote.remote(str(log.folder), options.latency) for _ in range(2)]
    places = asyncio.Semaphore(options.in_flight)

    async def ask(number: int) -> None:
        async with places:
            await actors[number % 2].ask.remote(number)
            log.hand_over()

    await asyncio.gather(*(actor.ask.remote(0) for actor in actors))  # both are there
    await asyncio.gather(*map(ask, range(options.calls)))


if __name__ == "__main__":
    main()
