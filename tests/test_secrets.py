"""A key and a password that were planted are sent, and stand nowhere else."""

from __future__ import annotations

import base64
import json
import logging
import os
import traceback
from urllib.parse import quote

import pytest
import yaml

from ragemo.errors import EndpointError
from ragemo.llm.openai_model import OpenAIModel
from tests.cli.conftest import SAMPLE
from tests.llm.asking import LABELS, PROMPT
from tests.llm.conftest import scenario, scripted_port

__all__ = ["scenario", "scripted_port"]

KEY = "sk-planted-0123456789abcdef"
USER, PASSWORD = "somebody", "p@ss/word-planted"
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
SECRETS = (KEY, PASSWORD, quote(PASSWORD, safe=""), BASIC)


def echo(status):
    """An error that repeats all it was sent, as the worst of gateways do."""
    message = f"bad key {KEY}, user {USER}:{PASSWORD}, authorization Basic {BASIC}"
    body = {"error": {"message": message, "code": KEY, "param": None}}
    return {"status": status, "body": body, "headers": {"x-echo": f"{KEY} {BASIC}"}}


def no_secret(text, where):
    for secret in SECRETS:
        assert secret not in text, f"{where} holds {secret}: {text[:2000]}"


def with_password(url):
    return url.replace("://", f"://{USER}:{quote(PASSWORD, safe='')}@")


LOGGING = """
from openai._utils import _logs
_logs.setup_logging()  # which it does as it is imported, and it is already
from ragemo.__main__ import main; main()
"""


@pytest.fixture
def ragemo(start, tmp_path):
    """A command in a process of its own, with both secrets in its environment. What it says."""

    def ragemo(*arguments, url):
        environment = os.environ | {
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": with_password(url),
            "OPENAI_LOG": "debug",
            "RAGEMO_ANSWERS": str(tmp_path / "answers.sqlite"),
            "SSL_CERT_DIR": str(tmp_path),
        }
        process = start(*arguments, cwd=tmp_path, env=environment, program=LOGGING)
        return "".join(process.communicate(timeout=120))

    return ragemo


QUICK = ["--k", 0, "--set", "llm.attempts=1", "--llm", "some-model"]


@pytest.fixture
def corpus(tmp_path):
    rows = json.loads((SAMPLE / "test.json").read_text(encoding="utf-8"))[:6]
    (tmp_path / "test.json").write_text(json.dumps(rows), encoding="utf-8")
    design = {
        "retrieval": {"k": 0},
        "llm": {"model": "some-model", "attempts": 1},
        "ablation": {"name": "x", "axes": {"prompt.context": [0, 2]}},
    }
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(design))
    return tmp_path / "test.json"


def test_no_file_and_no_word_holds_a_secret(ragemo, corpus, tmp_path, scenario):
    said = f"happy {KEY} {PASSWORD} {BASIC}"
    steps = [{"ok": True}, echo(500), echo(429), {"say": said}, echo(422), {"say": said}]
    scenario.script(*steps, *steps, answers=["happy"])
    asking = ["predict", corpus, "--out", "run", *QUICK]
    commands = [
        asking,
        [*asking, "--resume"],
        ["ablate", "x.yaml", "--data", corpus, "--out", "sweep", "--bootstrap", 1],
        ["prompt", "show", json.loads(corpus.read_text())[-1]["id"], "--data", corpus, *QUICK[:2],
         "--llm", "some-model"],
        ["score", "run", "--bootstrap", 1],
        ["report", "run", "--out", "page.html", "--bootstrap", 1],
        ["export", "run", "--out", "table.jsonl", "--format", "jsonl"],
        ["doctor", "--llm", "some-model"],
    ]  # fmt: skip
    for command in commands:
        said = ragemo(*command, url=scenario.url)
        assert "Traceback" not in said
        no_secret(said, command[0])
    assert scenario.seen
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    for path in written:
        no_secret(path.read_bytes().decode("utf-8", "replace"), path.name)
    assert any(b"[secret]" in path.read_bytes() for path in written)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429, 500])
def test_no_error_holds_a_secret_however_deep(scenario, monkeypatch, tmp_path, caplog, status):
    import asyncio

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    scenario.script(*[echo(status)] * 4)
    model = OpenAIModel("m", base_url=with_password(scenario.url), attempts=1, timeout=5)

    async def ask():
        try:
            return await model.ask(PROMPT, LABELS, (0,))
        finally:
            await model.close()

    with caplog.at_level(logging.INFO):
        try:
            found = repr(asyncio.run(ask()))
        except EndpointError as error:
            found = "".join(traceback.format_exception(error))
            inner, depth = error, 0
            while inner is not None and depth < 20:
                found += repr(inner) + repr(inner.args)
                inner, depth = inner.__cause__ or inner.__context__, depth + 1
    no_secret(found, "the error")
    no_secret(repr(model) + repr(vars(model)) + repr(model.identity), "the model")
    no_secret(caplog.text, "the log")
