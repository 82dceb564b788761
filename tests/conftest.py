"""Small inputs shared by the rooms' tests, and the real models, loaded once."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

# Before torch and FAISS are loaded: threads that wait for each other on busy cores make a test
# ten times slower than one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

from ragemo.labels import LabelSet
from ragemo.models import (
    MINILM,
    SMOLLM2,
    EmbeddedModel,
    cache_folder,
    is_ready,
    model_folder,
)
from ragemo.retrieval.embedding.embedder import OnnxEmbedder, Vectors
from ragemo.types import Corpus, Dialogue, Turn, Utterance
from tests.warm import Forked

# A text is embedded once in all tests, of whatever worker; the user's models are used, and the
# user's vectors are neither read nor written. Workers begin with the environment of who began them.
os.environ.pop("RAGEMO_VECTORS", None)
if "PYTEST_XDIST_WORKER" not in os.environ:
    CACHE = tempfile.TemporaryDirectory(prefix="ragemo-cache-")
    MODELS = cache_folder().resolve() / "models"
    MODELS.mkdir(parents=True, exist_ok=True)
    Path(CACHE.name, "models").symlink_to(MODELS)
    os.environ["RAGEMO_CACHE"] = CACHE.name

# No test reads or writes the answers of who runs the tests.
ANSWERS = tempfile.TemporaryDirectory(prefix="ragemo-answers-")
os.environ["RAGEMO_ANSWERS"] = f"{ANSWERS.name}/shared.sqlite"
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.register_profile("nightly", deadline=None, max_examples=10_000)

# What the tests' servers can do is nothing to remember, and what is remembered is the user's.
os.environ["RAGEMO_ENDPOINTS"] = ""

# Each time the same inputs; without the profile there are more, and others each time.
settings.register_profile("ci", settings.get_profile("ci"), max_examples=40)

TESTS = Path(__file__).parent

SLOWEST = (
    "docs/test_examples.py",
    "docs/test_readme.py",
    "pipeline/test_cluster.py",
    "test_resume.py",
    "report/test_browser.py",
    "report/test_ablation.py",
    "llm/local/test_local_model.py",
    "cli/test_ablate.py",
    "test_classifier.py",
    "test_kills.py",
    "cli/test_ablate_killed.py",
    "llm/test_server.py",
    "llm/batch/test_killed.py",
    "docs/test_notebook.py",
)
"""Begun first: at the end one worker would be busy with such a file and the others idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    first = {TESTS / name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: first.get(item.path, len(first)))


HEARS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""First line of a program: it is interrupted even if who runs the tests is deaf to Ctrl-C, as
whatever a script starts in the background is."""

LABELS = LabelSet.from_dict(
    {
        "name": "three",
        "labels": [
            {"name": "neu", "word": "neutral", "definition": "no visible feeling"},
            {"name": "hap", "word": "happy", "aliases": ["joy"], "definition": "pleased"},
            {"name": "ang", "word": "angry", "definition": "furious"},
        ],
    }
)


def make_turn(text: str = "hello", number: int = 0, **fields: Any) -> Turn:
    """A turn of dialogue "d", unless told otherwise."""
    known = {"dialogue_id": "d", "speaker": "A", "session": None, "source": "asr"} | fields
    known.setdefault("utterance_id", f"{known['dialogue_id']}_{number}")
    return Turn(turn=number, text=text, **known)


def make_corpus(rows: Sequence[dict[str, Any]], labels: LabelSet = LABELS) -> Corpus:
    """A corpus of rows in order; a row has `dialogue` and `text`, and fields of `Utterance`."""
    grouped: dict[str, list[Utterance]] = {}
    for row in rows:
        fields = {"speaker": "A", "emotion": "neu"} | row
        name, text = fields.pop("dialogue"), fields.pop("text")
        own = grouped.setdefault(name, [])
        own.append(
            Utterance(
                id=f"{name}_{len(own)}",
                dialogue_id=name,
                turn=len(own),
                hypotheses={"asr": text},
                **fields,
            )
        )
    dialogues = tuple(Dialogue(name, tuple(own)) for name, own in grouped.items())
    return Corpus(dialogues, labels, "plain", Path("corpus.csv"), "0" * 64)


class FakeEmbedder:
    """A random unit vector for each text, always the same; counts the texts it was given."""

    def __init__(self, name: str = "fake", dimension: int = 8, salt: str = "") -> None:
        self.identity: dict[str, Any] = {"name": name, "precision": "fp32", "max_tokens": 9}
        self.dimension = dimension
        self.salt = salt

    def embed(
        self, texts: Sequence[str], progress: Callable[[int], None] = lambda done: None
    ) -> Vectors:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            if text.strip():
                seed = hashlib.sha256((self.salt + text).encode()).digest()
                drawn = np.random.default_rng(list(seed)).normal(size=self.dimension)
                vectors[row] = drawn / np.linalg.norm(drawn)
        return vectors


_numbers = itertools.count()


@pytest.fixture(autouse=True)
def answers_file(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's own answers are kept, whoever asks."""
    file = Path(ANSWERS.name) / f"{next(_numbers)}.sqlite"
    monkeypatch.setenv("RAGEMO_ANSWERS", str(file))
    return file


def folder_of(model: EmbeddedModel) -> Path:
    """The model's folder in this machine's cache; a test without it is skipped."""
    if not is_ready(model):
        pytest.skip(f"{model.name} is not in the cache: run `ragemo models pull {model.name}`")
    return model_folder(model.name)


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    return folder_of(MINILM)


@pytest.fixture(scope="session")
def smollm2_folder() -> Path:
    return folder_of(SMOLLM2)


@pytest.fixture(scope="session")
def embedder(minilm_folder: Path) -> OnnxEmbedder:
    """The real embedder in its default precision."""
    return OnnxEmbedder.load()


@pytest.fixture(scope="session")
def warm_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a process listens that runs `ragemo` in forks, see `tests.warm`."""
    path = tmp_path_factory.mktemp("warm") / "socket"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.warm", str(path)],
        env=os.environ | {"PYTHONPATH": str(TESTS.parent)},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield path
        process.kill()


@pytest.fixture(scope="session")
def start(warm_socket: Path) -> Callable[..., Forked]:
    """Begin a command in a process of its own, which need not import anything."""
    return partial(Forked, warm_socket)
