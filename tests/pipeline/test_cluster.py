"""A real Ray cluster of two worker nodes: the same bytes, whoever is lost on the way."""

import asyncio
import os
import pickle
import signal
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from unittest import mock

import pytest

from ragemo.corpus import read_corpus
from ragemo.corpus.stream import CorpusStream
from ragemo.errors import DataError, EndpointError, ModelError, RagemoError
from ragemo.llm import load_llm
from ragemo.llm.wrapped import WrappedModel
from ragemo.pipeline import predict
from ragemo.pipeline.cluster import pieces
from ragemo.pipeline.cluster.asking import asked_by
from ragemo.pipeline.cluster.connection import open_cluster
from ragemo.pipeline.cluster.labelling import parts_on
from ragemo.pipeline.streaming import predict_stream
from ragemo.retrieval.pieces import Piece, cut
from ragemo.settings import resolve_settings
from tests.cli.conftest import command, corpora, everything, index, test_file, train, workplace
from tests.conftest import LABELS, FakeEmbedder
from tests.llm.conftest import scenario, scripted_port
from tests.pipeline.blockwise import (
    EMBEDDER,
    FRESH,
    INDEX,
    MIXED,
    files_of,
    put,
    settings_of,
)

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ragemo[ray]'")

__all__ = ["command", "corpora", "index", "scenario", "scripted_port"]
__all__ += ["test_file", "train", "workplace"]

KEY = "sk-planted-0123456789abcdef"

STORE = 80 * 2**20
"""Bytes of a node's object store, about the least that Ray takes."""


SOON = {
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 2,
    "raylet_rpc_server_reconnect_timeout_base_s": 1,
    "raylet_rpc_server_reconnect_timeout_max_s": 1,
}
"""That a node is lost is noticed soon."""


class Nodes:
    """Two worker nodes of one core each, which can be lost."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        self.cluster = Cluster()
        with mock.patch.dict(os.environ, OPENAI_API_KEY=KEY):  # of the nodes alone
            try:
                self.cluster.add_node(
                    num_cpus=0,
                    object_store_memory=STORE,
                    include_dashboard=False,
                    _system_config=SOON,
                )
                self.alive = [self.add(), self.add()]
                self.cluster.wait_for_nodes()
            except BaseException:
                self.cluster.shutdown()
                raise

    def add(self):
        return self.cluster.add_node(wait=False, num_cpus=1, object_store_memory=STORE)

    def lose(self):
        """One of them is gone, as if its power had failed."""
        self.cluster.remove_node(self.alive.pop(), allow_graceful=False)

    def is_lost(self):
        """Whether the head and one worker node are left; it takes the head a moment to notice."""
        for _ in range(300):
            if sum(node["Alive"] for node in ray.nodes()) == 2:
                return True
            time.sleep(0.1)
        return False


@pytest.fixture(scope="module")
def nodes():
    try:
        nodes = Nodes()
    except Exception:  # Ray waits for half a minute, which a busy machine may take
        nodes = Nodes()
    ray.init(address=nodes.cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield nodes
    finally:
        ray.shutdown()
        nodes.cluster.shutdown()


@pytest.fixture
def cluster(nodes):
    """However many nodes are left, one at least."""
    with open_cluster() as cluster:
        yield cluster


@pytest.fixture
def both(nodes):
    """Two nodes, one of which may be lost."""
    while len(nodes.alive) < 2:
        nodes.alive.append(nodes.add())
        nodes.cluster.wait_for_nodes()
    with open_cluster() as cluster:
        assert cluster.workers == 2
        yield cluster


class Slow(FakeEmbedder):
    """Takes a while, so that a worker that is lost was at work."""

    def embed(self, texts, progress=lambda done: None):
        time.sleep(0.2)
        return super().embed(texts, progress)


class Mortal(FakeEmbedder):
    """The process of a copy dies at its second call, once."""

    def __init__(self, grave, *, is_copy=False):
        super().__init__()
        self.grave = grave
        self.left = 2 if is_copy else -1

    def __reduce__(self):
        return partial(Mortal, is_copy=True), (self.grave,)

    def embed(self, texts, progress=lambda done: None):
        self.left -= 1
        if self.left == 0 and not self.grave.exists():
            self.grave.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed(texts, progress)


def noted(make_parts, numbers, after_first=lambda: None):
    """The parts, their numbers noted; something happens after the first one."""

    def parts(*what):
        for number, part in make_parts(*what):
            numbers.append(number)
            yield number, part
            if len(numbers) == 1:
                after_first()

    return parts


CALLS, AT_ONCE = 20, 4


def asking(url, **more):
    """Settings of a run that asks the scripted server."""
    overrides = {"llm.model": "m", "llm.base_url": url, "llm.samples": 2, "voting.stop": "none"}
    overrides |= {
        "llm.concurrency": AT_ONCE,
        "voting.checks": 0,
        "voting.calibration": "none",
        "retrieval.k": 0,
    }
    return resolve_settings(overrides=overrides | more)


class Losing(WrappedModel):
    """Something happens when the first answer is here."""

    def __init__(self, model, then):
        super().__init__(model)
        self.then = [then]

    async def ask(self, prompt, labels, samples):
        ballots = await self.model.ask(prompt, labels, samples)
        if self.then:
            await asyncio.to_thread(self.then.pop())
        return ballots


def test_a_node_is_lost_while_an_endpoint_is_asked(tmp_path, both, nodes, scenario):
    """Every answer is here once, and the key stands nowhere."""
    corpus = read_corpus(put(tmp_path / "a.jsonl", FRESH), labels=LABELS)
    settings = asking(scenario.url, limit=CALLS)
    here = load_llm(settings.llm, asks=False)
    scenario.script(answers=("happy", "angry", "neutral"), by_prompt=True)
    local = predict(corpus, settings, tmp_path / "local", llm=here)
    before = len(scenario.seen)
    with asked_by(both, [here], settings) as (model,):
        run = predict(corpus, settings, tmp_path / "run", llm=Losing(model, nodes.lose))
    assert nodes.is_lost()
    keys = [ballot.key for ballot in run.ballots()]
    assert len(keys) == len(set(keys)) == 2 * CALLS
    for name in ("predictions.csv", "verdicts.jsonl", "manifest.json"):
        assert (run.path / name).read_bytes() == (local.path / name).read_bytes(), name
    seen = scenario.seen[before:]
    assert before <= len(seen) <= before + 2 * AT_ONCE, "only calls under way are made again"
    assert {request["key"] for request in seen} == {f"Bearer {KEY}"}
    for folder in (Path(nodes.cluster.head_node.get_session_dir_path()), run.path):
        assert KEY.encode() not in everything(folder)


def test_an_endpoint_that_refuses_the_workers_ends_the_run_in_words(tmp_path, cluster, scenario):
    """What was answered before is kept."""
    corpus = read_corpus(put(tmp_path / "a.jsonl", FRESH), labels=LABELS)
    settings = asking(scenario.url, limit=CALLS)
    here = load_llm(settings.llm, asks=False)
    refusal = {"status": 401, "body": {"error": {"message": "no"}}}
    scenario.script(*[{"ok": True}] * 10, *[refusal] * 100, answers=("happy",))
    with (
        asked_by(cluster, [here], settings) as (model,),
        pytest.raises(EndpointError, match="the key was not accepted"),
    ):
        predict(corpus, settings, tmp_path / "run", llm=model)
    kept = (tmp_path / "run" / "ballots.jsonl").read_text().splitlines()
    assert len(kept) == 2 * 10


@dataclass(frozen=True)
class WatchedPiece(Piece):
    """Leaves word of the nodes on which it is searched."""

    seen: Path

    def search(self, queries, k):
        (self.seen / f"{self.first} {ray.get_runtime_context().get_node_id()}").touch()
        return super().search(queries, k)


def test_a_node_is_lost_during_the_run(tmp_path, both, nodes, monkeypatch):
    """With the worker and the half of the index that were there."""
    path, settings = put(tmp_path / "a.jsonl", MIXED), settings_of()
    stream = CorpusStream(path, LABELS)
    options = {"index": INDEX, "block": 1}
    whole = predict_stream(stream, settings, tmp_path / "whole", embedder=EMBEDDER, **options)
    seen = tmp_path / "seen"
    seen.mkdir()
    monkeypatch.setattr(
        pieces, "cut", lambda *how: [WatchedPiece(**vars(one), seen=seen) for one in cut(*how)]
    )
    numbers = []
    parts = noted(parts_on(both, index_shards=2), numbers, nodes.lose)
    run = predict_stream(
        stream, settings, tmp_path / "run", embedder=Slow(), make_parts=parts, **options
    )
    assert nodes.is_lost()
    there, moved = sorted(Counter(path.name.split()[0] for path in seen.iterdir()).values())
    assert (there, moved) == (1, 2), "each piece lay on a node, and one of them went to the other's"
    assert files_of(run.path) == files_of(whole.path)
    assert sorted(numbers) == list(range(len(numbers)))
    assert len(numbers) > 6


class StoppedError(Exception):
    pass


def test_a_worker_s_process_is_killed_then_the_run_is_stopped_and_goes_on_here(
    tmp_path, cluster, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # where no worker is
    path, settings = put(Path("a.jsonl"), FRESH), settings_of()
    stream = CorpusStream(path, LABELS)
    options = {"index": INDEX, "block": 5}
    whole = predict_stream(stream, settings, tmp_path / "whole", embedder=EMBEDDER, **options)
    grave = tmp_path / "grave"
    numbers = []

    def parts(*what):
        for number, part in parts_on(cluster)(*what):
            if grave.exists() and len(numbers) >= 5:
                raise StoppedError
            numbers.append(number)
            yield number, part

    with pytest.raises(StoppedError):
        predict_stream(
            stream, settings, tmp_path / "run", embedder=Mortal(grave), make_parts=parts, **options
        )
    made = sorted(path.parent.name for path in (tmp_path / "run").glob("parts/*/panel.json"))
    assert made == [f"{number:06d}" for number in sorted(numbers)]
    run = predict_stream(
        stream, settings, tmp_path / "run", embedder=EMBEDDER, resume=True, **options
    )
    assert files_of(run.path) == files_of(whole.path)


class Absent(FakeEmbedder):
    """It cannot be loaded elsewhere."""

    def __reduce__(self):
        return missing, ("another",)


def missing(name):
    raise ModelError(f"no model {name}")


class Torn(CorpusStream):
    """Whoever reads a copy of it finds a fault."""

    is_copy = False

    def __setstate__(self, state):
        self.__dict__ |= state | {"is_copy": True}

    def blocks(self, size):
        yield next(super().blocks(size))
        if self.is_copy:
            raise DataError("it is torn", path=Path(self.path.name))
        yield from islice(super().blocks(size), 1, None)


@pytest.mark.parametrize(
    ("kind", "embedder", "error"),
    [
        (CorpusStream, Absent(), "a worker of the cluster cannot load what it needs: no model"),
        (Torn, EMBEDDER, "a.jsonl: it is torn"),
    ],
)
def test_what_a_worker_finds_wrong_is_said_in_words(tmp_path, cluster, kind, embedder, error):
    stream = kind(put(tmp_path / "a.jsonl", FRESH), LABELS)
    with pytest.raises(RagemoError, match=error) as caught:
        predict_stream(
            stream,
            settings_of(),
            tmp_path / "run",
            index=INDEX,
            embedder=embedder,
            block=20,
            make_parts=parts_on(cluster),
        )
    assert "Traceback" not in str(caught.value)


def test_the_real_embedder_travels(embedder):
    again = pickle.loads(pickle.dumps(embedder))
    assert again.identity == embedder.identity
    assert (again.embed(["so glad"]) == embedder.embed(["so glad"])).all()


def test_a_command_has_its_work_done_by_the_cluster(tmp_path, cluster, command, index, test_file):
    """A corpus that is read whole, and the real embedder."""
    common = ("predict", test_file, "--index", index, "--llm", "none", "--quiet", "--out")
    for folder, more in (("local", ()), ("ray", ("--engine", "ray"))):
        done = command(*common, folder, *more)
        assert done.code == 0, done.err
    assert files_of(Path("ray")) == files_of(Path("local"))
