"""Two servers on loopback, each started once: a real one and one that misbehaves on purpose."""

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.models import SMOLLM2, is_ready
from tests.conftest import HEARS_CTRL_C
from tests.llm.asking import KEY

REAL_SERVER = """
from ragemo.llm.server import serve
serve(threads=1, ready=lambda url: print(url, flush=True))
"""


def first_line(process, seconds):
    """What a server says once it is ready."""
    if not select.select([process.stdout], [], [], seconds)[0]:
        raise TimeoutError(f"the server said nothing for {seconds} s")
    return process.stdout.readline().strip()


def stop(process, how):
    """End a server; what it wrote to stdout after its first line."""
    process.send_signal(how)
    try:
        return process.communicate(timeout=60)[0]
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def llama_url():
    """llama.cpp's server with the embedded model."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    if not is_ready(SMOLLM2):
        pytest.skip(f"{SMOLLM2.name} is not in the cache: run `ragemo models pull {SMOLLM2.name}`")
    program = HEARS_CTRL_C + REAL_SERVER
    process = subprocess.Popen([sys.executable, "-c", program], stdout=-1, text=True)
    try:
        yield first_line(process, 60)
    finally:
        rest = stop(process, signal.SIGINT)
    assert rest == "", "nothing but the ready line belongs on stdout"
    assert process.returncode == 0


@pytest.fixture(scope="session")
def scripted_port():
    script = Path(__file__).parent / "servers" / "scripted.py"
    process = subprocess.Popen([sys.executable, str(script)], stdout=-1, text=True)
    try:
        yield int(first_line(process, 20))
    finally:
        stop(process, signal.SIGTERM)


class Scenario:
    """One test's share of the scripted server."""

    def __init__(self, port, name):
        self.address = f"http://127.0.0.1:{port}/{name}"
        self.url = f"{self.address}/v1"

    def script(self, *steps, answers=("joy",), **rules):
        """What the server does; see tests/llm/servers/scripted.py."""
        self.call("PUT", {"steps": steps, "rules": rules, "answers": answers})

    @property
    def seen(self):
        """The requests that came, in order."""
        return self.call("GET")

    def call(self, method, data=None):
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self.address, body, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


@pytest.fixture
def scenario(scripted_port, request):
    scenario = Scenario(scripted_port, f"{abs(hash(request.node.nodeid))}-{time.monotonic_ns()}")
    scenario.script()
    return scenario


@pytest.fixture
def api_environment(monkeypatch, tmp_path):
    """A key, and no other setting from outside."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    # No TLS on loopback: reading the usual certificates takes longer than most of these tests.
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    proxies = [name for name in os.environ if name.lower().endswith("_proxy")]
    for name in ("OPENAI_BASE_URL", "OPENAI_CUSTOM_HEADERS", "RAGEMO_PRICES", *proxies):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cache(tmp_path):
    """Answers of nobody so far."""
    cache = AnswerCache(tmp_path / "below" / "answers.sqlite")
    yield cache
    cache.close()
