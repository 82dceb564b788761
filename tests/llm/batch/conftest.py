"""A server with batches, and runs that ask it."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from ragemo.llm.batch import BatchOptions
from ragemo.llm.openai_model import OpenAIModel
from ragemo.pipeline import predict
from ragemo.settings import resolve_settings
from tests.conftest import make_corpus
from tests.llm.conftest import api_environment, first_line, stop

__all__ = ["api_environment"]

CORPUS = make_corpus([{"dialogue": "ab"[n // 3], "text": f"word {n}"} for n in range(6)])
WAIT = BatchOptions(poll=0.01)
NO_WAIT = BatchOptions(poll=0.01, wait=False)
FILES = BatchOptions(files_only=True)
BUSY = [503, {"message": "overloaded"}]
DERIVED = ("panel.json", "predictions.csv", "review.csv", "verdicts.jsonl")


@pytest.fixture(scope="session")
def batch_port():
    script = Path(__file__).parents[1] / "servers" / "batches.py"
    process = subprocess.Popen([sys.executable, str(script)], stdout=-1, text=True)
    try:
        yield int(first_line(process, 20))
    finally:
        stop(process, signal.SIGTERM)


class Endpoint:
    """One test's share of the server; see tests/llm/servers/batches.py."""

    def __init__(self, port, name):
        self.address = f"http://127.0.0.1:{port}/{name}"
        self.url = f"{self.address}/v1"

    def script(self, *batches, answers=("happy", "angry", "neutral"), **rules):
        self._call("PUT", {"batches": batches, "rules": rules, "answers": answers})

    def change(self, **fields):
        self._call("PATCH", fields)

    def cancel(self, batch):
        request = urllib.request.Request(f"{self.url}/batches/{batch}/cancel", b"", method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    @property
    def batches(self):
        """Those that were created, with the lines of their request files."""
        return self._call("GET")["batches"]

    @property
    def uploads(self):
        """The request files that came."""
        return self._call("GET")["uploads"]

    @property
    def chats(self):
        """How many calls came that were not in a file."""
        return self._call("GET")["chats"]

    @property
    def requests(self):
        """All requests of all batches."""
        return [json.loads(line) for batch in self.batches for line in batch["requests"]]

    def _call(self, method, data=None):
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self.address, body, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


@pytest.fixture
def endpoint(batch_port, request, api_environment):
    endpoint = Endpoint(batch_port, f"{abs(hash(request.node.nodeid))}-{time.monotonic_ns()}")
    endpoint.script()
    return endpoint


class Lines:
    """Hears what is said."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)

    def __str__(self):
        return "\n".join(self.lines)

    def stage(self, name, total):
        from ragemo.progress import Silent

        return Silent().stage(name, total)


def run_by_batch(
    endpoint,
    folder,
    batch=WAIT,
    *,
    corpus=CORPUS,
    constraint="auto",
    model=None,
    resume=False,
    said=None,
    cache=None,
    budget=None,
    **settings,
):
    """A run without an index; `settings` by name, with two underscores for a dot."""
    overrides = {"retrieval.k": 0, "prompt.template": "zero-shot"}
    overrides |= {name.replace("__", "."): value for name, value in settings.items()}
    resolved = resolve_settings({}, overrides)
    model = model or OpenAIModel(
        "some-model", base_url=endpoint.url, constraint=constraint, backoff=0.01, timeout=20
    )
    return predict(
        corpus,
        resolved,
        folder,
        llm=model,
        batch=batch,
        cache=cache,
        budget=budget,
        resume=resume,
        progress=said or Lines(),
    )


def derived(folder):
    return {name: (folder / name).read_bytes() for name in DERIVED}


def answers(run):
    return {
        ballot.key: (ballot.distribution, ballot.answer, ballot.error) for ballot in run.ballots()
    }
