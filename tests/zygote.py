"""A process that has imported and planned everything, and forks a run for each order.

    python -m tests.zygote PORT

says "ready", then reads orders from standard input, each a line of JSON:

    {"run": folder, "cache": file, "said": file, "lines": n or null, "seconds": s}

and says how the run ended, as `os.waitpid` does. It is killed `seconds` after `n` lines are in its
ballots; null lets it end.
"""

import asyncio
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.pipeline import carry_out, make_plan
from ragemo.types import Ballot, Usage
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import settings_with, telling_corpus

CONCURRENCY = 8
CORPUS = telling_corpus(20, 10, "d")
SETTINGS = settings_with(retrieval__k=0, prompt__context=2)


class Client(FakeLLM):
    """Asks a server of tests/llm/servers/counting.py, a connection for each call in flight."""

    concurrency = CONCURRENCY

    def __init__(self, port):
        super().__init__()
        self.port = port
        self.free = []

    async def ask(self, prompt, labels, samples):
        reader, writer = (
            self.free.pop() if self.free else await asyncio.open_connection("127.0.0.1", self.port)
        )
        messages = [{"role": one.role, "content": one.content} for one in prompt.messages]
        body = json.dumps({"messages": messages}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        length = int((await reader.readuntil(b"\r\n\r\n")).split(b"content-length:")[1].split()[0])
        answer = json.loads(await reader.readexactly(length))["choices"][0]["message"]["content"]
        self.free.append((reader, writer))
        shares, usage = labels.one_hot(labels.find(answer)), Usage(100, 0, 2, 0.001, 0.01)
        return [
            Ballot(prompt.utterance_id, self.name, one, shares, answer=answer, usage=usage)
            for one in samples
        ]

    async def close(self):
        while self.free:
            self.free.pop()[1].close()


def lines(file):
    try:
        return file.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def carry_out_order(plan, llm, order):
    cache = AnswerCache(order["cache"])
    carry_out(plan, SETTINGS, order["run"], llm=llm, cache=cache, resume=True)
    cache.close()


def fork_one(plan, llm, order):
    """How it ended."""
    child = os.fork()
    if child == 0:
        try:
            carry_out_order(plan, llm, order)
            os._exit(0)
        except BaseException:
            Path(order["said"]).write_text(traceback.format_exc())
            os._exit(1)
    if order["lines"] is not None:
        while lines(Path(order["run"], "ballots.jsonl")) < order["lines"]:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.0005)
        time.sleep(order["seconds"])
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    own = Client(int(sys.argv[1]))
    planned = make_plan(CORPUS, SETTINGS, llm=own)
    # What is imported late is imported here once.
    carry_out_order(planned, own, json.loads(sys.argv[2]))
    print("ready", flush=True)
    for text in sys.stdin:
        print(fork_one(planned, own, json.loads(text)), flush=True)
