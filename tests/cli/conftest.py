"""The command line in this process, small real corpora, and the servers of the model tests."""

import contextlib
import io
import json
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

import pytest

import ragemo
from ragemo.cli import main
from ragemo.retrieval.embedding.embedder import load_embedder
from tests.llm.conftest import llama_url, scenario, scripted_port

__all__ = ["llama_url", "scenario", "scripted_port"]

SAMPLE = Path(ragemo.__file__).parent / "sample"


@dataclass(frozen=True)
class Outcome:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


def run_command(*arguments):
    """`ragemo ARGUMENTS` in this process, streams apart."""
    out, err = io.StringIO(), io.StringIO()
    command = ["ragemo", *map(str, arguments)]
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", command),
        pytest.raises(SystemExit) as end,
    ):
        main()
    code = end.value.code
    return Outcome(0 if code is None else code, out.getvalue(), err.getvalue())


@cache
def loaded(name, precision):
    return load_embedder(name, precision)


def load_once(name="minilm", precision="int8", say=None):
    """An embedder that other commands may have loaded: it is never changed."""
    return loaded(name, precision)


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty working folder, no setting from outside, and an embedder that is there already."""
    monkeypatch.setattr("ragemo.retrieval.embedding.embedder.load_embedder", load_once)
    with mock.patch.dict(os.environ):  # what a .env file adds goes with it
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "RAGEMO_PRICES"):
            os.environ.pop(name, None)
        work = tmp_path / "work"
        work.mkdir()
        monkeypatch.chdir(work)
        yield work


@pytest.fixture
def command():
    return run_command


@pytest.fixture(scope="session")
def corpora(tmp_path_factory, minilm_folder):
    """train.json and test.json: the first dialogues of the shipped sample."""
    folder = tmp_path_factory.mktemp("corpora")
    for name, count in (("train.json", 60), ("test.json", 24)):
        rows = json.loads((SAMPLE / name).read_text(encoding="utf-8"))[:count]
        (folder / name).write_text(json.dumps(rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def train(corpora):
    return corpora / "train.json"


@pytest.fixture(scope="session")
def test_file(corpora):
    return corpora / "test.json"


@pytest.fixture(scope="session")
def index(train):
    """The index folder of train.json."""
    folder = train.parent / "index"
    done = run_command("index", "build", train, "--out", folder)
    assert done.code == 0, done.err
    return folder


def asking(test_file, *more, limit=3):
    """A command that asks an endpoint about few utterances, one at a time."""
    return [
        *("predict", test_file, "--llm", "some-model", "--limit", limit, "--out", "run"),
        *("--k", 0, "--set", "llm.concurrency=1", "--set", "llm.attempts=1", *more),
    ]


def everything(folder):
    """All that the files below a folder hold."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
