"""Shards whose jobs ask a language model: the run of all is that of one job, and nothing is paid
twice."""

import json
import re
import shutil
from collections import Counter

import pytest

from ragemo.errors import EndpointError, RunFolderError, SettingsError
from ragemo.pipeline import carry_out, make_plan
from ragemo.pipeline.sharing import refuse_settling
from ragemo.retrieval.index import Index
from ragemo.runs.answered import holds_answers, merge_answers
from ragemo.runs.run import Run
from ragemo.types import Shard
from tests.conftest import FakeEmbedder
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import decided, settings_with, telling_corpus, varied

ASKING = {"retrieval__k": 2, "llm__samples": 2, "voting__stop": "none", "voting__checks": 12}
CORPUS = telling_corpus(7, 4, "x")


@pytest.fixture(scope="module")
def index():
    return Index.build(telling_corpus(8, 5, "d"), FakeEmbedder())


def go(folder, index, shard=None, llm=None, resume=False, **overrides):
    """One job; what it asked."""
    llm, settings = llm or FakeLLM(varied), settings_with(**(ASKING | overrides))
    plan = make_plan(CORPUS, settings, index=index, embedder=FakeEmbedder(), llm=llm)
    carry_out(plan, settings, folder, llm=llm, shard=shard, resume=resume)
    return llm.asked


def shards_of(folder, index, of=3, **overrides):
    """The folders of all shards, and what each asked."""
    folders = [folder / f"shard-{number}" for number in range(1, of + 1)]
    jobs = enumerate(folders, start=1)
    return folders, [go(f, index, Shard(number, of), **overrides) for number, f in jobs]


@pytest.fixture(scope="module")
def made(tmp_path_factory, index):
    folder = tmp_path_factory.mktemp("made")
    asked = go(folder / "whole", index)
    folders, parts = shards_of(folder, index)
    return folder / "whole", asked, folders, parts


@pytest.fixture
def shards(made, tmp_path):
    return [shutil.copytree(folder, tmp_path / folder.name) for folder in made[2]]


def lines(folder):
    return sorted((folder / "ballots.jsonl").read_text(encoding="utf-8").splitlines())


def test_all_shards_merged_and_decided_are_the_run_of_one_job(tmp_path, index, made):
    whole, asked, folders, parts = made
    assert all(parts), "each has something to ask"
    assert Counter(one for own in parts for one in own) == Counter(asked), "once in all shards"
    dialogues = [{name.rpartition("_")[0] for name, _ in own if name[0] == "x"} for own in parts]
    assert sum(map(len, dialogues)) == len(set().union(*dialogues)) == 7
    merge_answers(folders[::-1], tmp_path / "run")
    assert go(tmp_path / "run", index, resume=True) == []
    assert decided(tmp_path / "run") == decided(whole)
    assert lines(tmp_path / "run") == lines(whole)
    assert (tmp_path / "run/manifest.json").read_bytes() == (whole / "manifest.json").read_bytes()


def test_more_shards_than_dialogues(tmp_path, index, made):
    folders, parts = shards_of(tmp_path, index, of=9)
    assert not parts[-1] or {name[0] for name, _ in parts[-1]} == {"d"}, "a check at most"
    merge_answers(folders, tmp_path / "run")
    assert go(tmp_path / "run", index, resume=True) == []
    assert decided(tmp_path / "run") == decided(made[0])


def test_a_job_that_stopped_goes_on_and_asks_nothing_again(tmp_path, index, made, shards):
    whole, _, _, parts = made
    folder, heard = tmp_path / "again", []
    for count in range(0, len(parts[1]), 4):
        llm = FakeLLM(varied, fate=(4, EndpointError("gone")))
        with pytest.raises(EndpointError):
            go(folder, index, Shard(2, 3), llm, resume=count > 0)
        heard += [(line["utterance_id"], line["sample"]) for line in _ballots(folder)][len(heard) :]
        with pytest.raises(RunFolderError, match="shard 2/3 is not finished; go on with"):
            merge_answers([shards[0], folder, shards[2]], tmp_path / "run")
        if len(heard) + 4 >= len(parts[1]):
            break
    rest = go(folder, index, Shard(2, 3), resume=True)
    assert Counter([*heard, *rest]) == Counter(parts[1])
    merge_answers([shards[0], folder, shards[2]], tmp_path / "run")
    go(tmp_path / "run", index, resume=True)
    assert decided(tmp_path / "run") == decided(whole)


def _ballots(folder):
    text = (folder / "ballots.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_calls_that_failed_are_made_again_by_the_job_that_decides(tmp_path, index, made):
    def sometimes(prompt, sample):
        return None if prompt.utterance_id == "x0_1" else varied(prompt, sample)

    folders, _ = shards_of(tmp_path, index, llm=FakeLLM(sometimes))
    assert [json.loads((f / "answered.json").read_text())["failed"] for f in folders] == [2, 0, 0]
    merge_answers(folders, tmp_path / "run")
    assert set(go(tmp_path / "run", index, resume=True)) == {("x0_1", 0), ("x0_1", 1)}
    assert decided(tmp_path / "run") == decided(made[0])


def test_shards_may_be_asked_at_another_pace(tmp_path, index, made, shards):
    go(tmp_path / "slow", index, Shard(2, 3), llm__concurrency=3, llm__requests_per_minute=60_000)
    merge_answers([shards[0], tmp_path / "slow", shards[2]], tmp_path / "run")
    assert go(tmp_path / "run", index, resume=True) == []
    assert decided(tmp_path / "run") == decided(made[0])


def test_a_shard_that_is_not_copied_whole_is_not_merged(tmp_path, shards):
    file = shards[1] / "ballots.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:3]))
    with pytest.raises(RunFolderError, match="3 answers, where 20 were given; copy it again"):
        merge_answers(shards, tmp_path / "run")
    (shards[1] / "answered.json").write_text("[]")
    with pytest.raises(RunFolderError, match=r"answered.json: cannot be read"):
        merge_answers(shards, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_shard_of_a_number_that_cannot_be_is_named(tmp_path, shards):
    file = shards[1] / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"shard": {"number": 5, "of": 3}}))
    with pytest.raises(RunFolderError, match=f"^{re.escape(str(file))}: shard 5/3: expected"):
        merge_answers(shards, tmp_path / "run")


def test_a_shard_that_is_gone_on_with_is_not_finished_until_it_is(tmp_path, index, shards):
    failing = FakeLLM(lambda p, s: None if p.utterance_id == "x0_1" else varied(p, s))
    go(tmp_path / "some", index, Shard(1, 3), failing)
    gone = FakeLLM(fate=(0, EndpointError("gone")))
    with pytest.raises(EndpointError):
        go(tmp_path / "some", index, Shard(1, 3), gone, resume=True)
    with pytest.raises(RunFolderError, match="shard 1/3 is not finished"):
        merge_answers([tmp_path / "some", *shards[1:]], tmp_path / "run")


def test_a_shard_is_told_apart_and_decides_nothing(tmp_path, made, shards):
    assert [holds_answers(folder) for folder in (*shards, made[0], tmp_path)] == [
        *(True, True, True),
        *(False, False),
    ]
    with pytest.raises(RunFolderError, match="it is a shard; `ragemo runs merge SHARD"):
        Run.open(shards[0]).verdicts()


def test_what_cannot_be_merged_is_one_message(tmp_path, index, made, shards):
    one, two, three = shards
    other = tmp_path / "other"
    go(other, index, Shard(2, 3), seed=5)
    for folders, words in (
        ([one, three], "2 of 3 shards are given; missing: 2"),
        ([one, two, two], "are both shard 2/3"),
        ([one, other, three], r"of another run .*settings.seed is 5, there 0"),
        ([one, two, three, made[0]], "a run, and no shard of one; leave it out"),
    ):
        with pytest.raises(RunFolderError, match=words):
            merge_answers(folders, tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"cannot be resumed.*shard.number was 1, now 2"):
        go(one, index, Shard(2, 3), resume=True)
    (tmp_path / "there").mkdir()
    (tmp_path / "there/thesis.txt").write_text("years of work")
    with pytest.raises(RunFolderError, match="exists already"):
        merge_answers(shards, tmp_path / "there")
    with (two / "prompts.jsonl").open("a", encoding="utf-8") as file:
        file.write("{}\n")
    with pytest.raises(RunFolderError, match=r"its prompts.jsonl is not that of"):
        merge_answers(shards, tmp_path / "run")
    shutil.copy(one / "prompts.jsonl", two)
    for name in ("ballots.jsonl", "answered.json"):
        shutil.copy(one / name, two)
    with pytest.raises(RunFolderError, match="that another shard has"):
        merge_answers(shards, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_settled_early_is_not_shared():
    with pytest.raises(SettingsError, match="add --stop none, or ask without --shard"):
        refuse_settling(settings_with(llm__samples=3))
    refuse_settling(settings_with(llm__samples=3, voting__stop="none"))
    refuse_settling(settings_with(llm__samples=1))
