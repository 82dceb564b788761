"""Shards may be anybody's: they are merged, or refused in words."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.corpus.stream import CorpusStream
from ragemo.errors import RagemoError, RunFolderError
from ragemo.files import sha256_file
from ragemo.pipeline import carry_out, make_plan
from ragemo.pipeline.sharding import predict_shard
from ragemo.retrieval.material import take_in
from ragemo.retrieval.shards import merge_index_shards, write_index_shard
from ragemo.runs.answered import merge_answers
from ragemo.runs.merging import merge_shards
from ragemo.runs.run import Run
from ragemo.runs.shards import RunShard
from ragemo.types import Shard
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.fake_llm import FakeLLM
from tests.fuzz.damage import damaged_bytes, damaged_json, damaged_lines, fuzz, only_our_errors
from tests.pipeline.blockwise import EMBEDDER, INDEX, MIXED, put, settings_of


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two shards of a run, and the folder of the second one's victim."""
    folder = tmp_path_factory.mktemp("shards")
    stream = CorpusStream(put(folder / "a.jsonl", MIXED), LABELS)
    for number in (1, 2):
        out = folder / str(number)
        how = {"index": INDEX, "embedder": EMBEDDER, "block": 12}
        predict_shard(stream, settings_of(), out, Shard(number, 2), **how)
    return folder


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """Two shards of an index, and the folder of the second one's victim."""
    folder = tmp_path_factory.mktemp("pieces")
    rows = [
        {"dialogue": f"d{n // 3}", "text": f"words {n}", "emotion": LABELS.names[n % 3]}
        for n in range(12)
    ]
    material = take_in(make_corpus(rows), "asr")
    for number in (1, 2):
        write_index_shard(material, folder / str(number), Shard(number, 2), FakeEmbedder())
    return folder


def victim_of(folder):
    victim = folder / "victim"
    shutil.rmtree(victim, ignore_errors=True)
    shutil.copytree(folder / "2", victim)
    return victim


def damaged(name, sound):
    if name.endswith(".jsonl"):
        return damaged_lines(sound)
    if name.endswith(".json"):
        return st.one_of(damaged_json(json.loads(sound)), damaged_bytes(sound))
    return damaged_bytes(sound)


def merged(folder, victim):
    shutil.rmtree(folder / "run", ignore_errors=True)
    return merge_shards([folder / "1", victim], folder / "run")


NAMES = ("manifest.json", "checksums.json")
PARTS = ("utterances.jsonl", "verdicts.jsonl", "examples.jsonl", "panel.json", "review.csv")


@pytest.mark.parametrize("name", [*NAMES, *(f"parts/000001/{part}" for part in PARTS)])
def test_whoever_merges_shards_of_a_run(shards, name):
    sound = (shards / "2" / name).read_bytes()

    @fuzz(15)
    @given(damaged(name, sound))
    def try_one(data):
        victim = victim_of(shards)
        (victim / name).write_bytes(data)
        with only_our_errors():
            if name.startswith("parts"):
                RunShard.open(victim).finish()  # by somebody who knows how to write checksums
            run = merged(shards, victim)
            assert len(run.utterances) == len(MIXED)

    try_one()


def test_a_shard_with_links_out_of_its_folder_is_refused(shards):
    for name in ("manifest.json", "checksums.json", "parts", "parts/000001"):
        victim = victim_of(shards)
        elsewhere = shards / "elsewhere"
        shutil.rmtree(elsewhere, ignore_errors=True)
        elsewhere.mkdir()
        (victim / name).rename(elsewhere / "it")
        (victim / name).symlink_to(elsewhere / "it")
        with pytest.raises(RunFolderError, match=r"victim.*(leads out|is damaged)"):
            merged(shards, victim)
        assert not (shards / "run").exists()


def test_a_sound_run_is_merged(shards):
    assert isinstance(merged(shards, victim_of(shards)), Run)


@pytest.mark.parametrize("name", ["manifest.json", "utterances.jsonl", "vectors.npy"])
def test_whoever_merges_shards_of_an_index(pieces, name):
    sound = (pieces / "2" / name).read_bytes()

    @fuzz(25)
    @given(damaged(name, sound))
    def try_one(data):
        victim = victim_of(pieces)
        (victim / name).write_bytes(data)
        if name != "manifest.json":
            manifest = json.loads((victim / "manifest.json").read_bytes())
            manifest["files"][name] = sha256_file(victim / name)
            (victim / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        with only_our_errors():
            index = merge_index_shards([pieces / "1", victim])
            assert len(index.turns) == 12

    try_one()


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Two shards whose jobs asked a language model."""
    folder = tmp_path_factory.mktemp("answers")
    corpus = make_corpus([{"dialogue": f"d{n}", "text": f"words {n}"} for n in range(4)])
    settings, llm = settings_of(**{"llm.model": "fake", "retrieval.k": 0}), FakeLLM()
    for number in (1, 2):
        plan = make_plan(corpus, settings, llm=llm)
        carry_out(plan, settings, folder / str(number), llm=llm, shard=Shard(number, 2))
    return folder


@pytest.mark.parametrize("name", ["manifest.json", "ballots.jsonl", "answered.json"])
def test_whoever_merges_answers(answers, name):
    sound = (answers / "2" / name).read_bytes()

    @fuzz(40)
    @given(damaged(name, sound))
    def try_one(data):
        victim = victim_of(answers)
        (victim / name).write_bytes(data)
        shutil.rmtree(answers / "run", ignore_errors=True)
        with only_our_errors():
            run = merge_answers([answers / "1", victim], answers / "run")
            assert len(run.utterances) == 4

    try_one()


def test_a_shard_that_is_none_is_refused(answers):
    victim = victim_of(answers)
    manifest = json.loads((victim / "manifest.json").read_bytes())
    (victim / "manifest.json").write_text(json.dumps(manifest | {"shard": None}))
    shutil.rmtree(answers / "run", ignore_errors=True)
    with pytest.raises(RunFolderError, match="shard"):
        merge_answers([answers / "1", victim], answers / "run")


def test_sound_answers_are_merged(answers):
    shutil.rmtree(answers / "run", ignore_errors=True)
    run = merge_answers([answers / "1", answers / "2"], answers / "run")
    assert len(run.ballots()) == 4


def test_a_sound_index_is_merged(pieces):
    assert len(merge_index_shards([pieces / "1", pieces / "2"]).examples) == 12
    with pytest.raises(RagemoError, match="missing: 2"):
        merge_index_shards([pieces / "1"])
