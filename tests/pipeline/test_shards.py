"""Shards of a corpus, each labelled by a job that knows of no other, and the run they become."""

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.corpus import read_corpus
from ragemo.corpus.blocks import WholeCorpus
from ragemo.corpus.stream import CorpusStream
from ragemo.errors import RunFolderError, SettingsError
from ragemo.pipeline import calibrate, predict
from ragemo.pipeline.sharding import predict_shard
from ragemo.runs.merging import merge_shards
from ragemo.runs.run import Run
from ragemo.runs.shards import RunShard
from ragemo.settings import VotingSettings
from ragemo.types import Shard
from tests.conftest import LABELS
from tests.pipeline.blockwise import (
    CASES,
    EMBEDDER,
    FRESH,
    INDEX,
    MIXED,
    Dying,
    StoppedError,
    files_of,
    put,
    rows_of,
    settings_of,
)

OPTIONS = {"index": INDEX, "embedder": EMBEDDER}
MORE = (1, 3, 20)
"""Numbers of shards; there are fewer dialogues than the last one says."""


def shards_of(corpus, folder, of, how=None, **options):
    """The folders of all shards."""
    folders = []
    for number in range(1, of + 1):
        out = folder / f"shard-{number}"
        predict_shard(corpus, how or settings_of(), out, Shard(number, of), **OPTIONS | options)
        folders.append(out)
    return folders


def run_of(path, folder, how=None):
    """The run of the corpus without shards."""
    return predict(read_corpus(path, labels=LABELS), how or settings_of(), folder, **OPTIONS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three shards of a corpus, and the run of the corpus whole."""
    folder = tmp_path_factory.mktemp("made")
    path = put(folder / "a.jsonl", MIXED)
    run_of(path, folder / "whole")
    return shards_of(CorpusStream(path, LABELS), folder, 3, block=3), folder / "whole"


@pytest.fixture
def shards(made, tmp_path):
    """A copy of the three shards."""
    return [shutil.copytree(folder, tmp_path / folder.name) for folder in made[0]]


@pytest.mark.parametrize(
    ("name", "of"),
    [*((name, of) for name in CASES for of in (2, 5)), *(("own dialogues", of) for of in MORE)],
)
def test_the_run_of_all_shards_has_the_bytes_of_the_run_of_the_corpus(tmp_path, name, of):
    rows, overrides = CASES[name]
    assert len({row["dialogue_id"] for row in rows}) < MORE[-1]
    path, how = put(tmp_path / "a.jsonl", rows), settings_of(**overrides)
    whole = run_of(path, tmp_path / "whole", how)
    folders = shards_of(CorpusStream(path, LABELS), tmp_path, of, how)
    run = merge_shards(folders[::-1], tmp_path / "run")
    assert files_of(run.path) == files_of(whole.path)


@settings(deadline=None, max_examples=8)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    of=st.integers(1, 10),
    block=st.integers(1, 30),
)
def test_shards_are_whole_dialogues_each_once_however_they_are_cut(
    tmp_path_factory, lengths, of, block
):
    folder = tmp_path_factory.mktemp("cut")
    rows = [
        {**rows_of(["f1"], "fresh")[0], "id": f"{name}_{turn}", "dialogue_id": str(name)}
        | {"turn": turn}
        for name, length in enumerate(lengths)
        for turn in range(length)
    ]
    path = put(folder / "a.jsonl", rows)
    folders = shards_of(CorpusStream(path, LABELS), folder, of, block=block)
    seen = [
        [json.loads(line)["dialogue_id"] for line in file.read_text("utf-8").splitlines()]
        for shard in folders
        for file in sorted(shard.glob("parts/*/utterances.jsonl"))
    ]
    assert all(set(one).isdisjoint(other) for one in seen for other in seen if one is not other)
    assert sorted(name for one in seen for name in one) == sorted(r["dialogue_id"] for r in rows)
    assert max(map(len, seen)) < block + 9
    run = merge_shards(folders, folder / "run")
    assert [u.turn.utterance_id for u in run.utterances] == [row["id"] for row in rows]


def test_shards_of_any_format_whose_dialogues_interleave(tmp_path):
    rows = sorted(FRESH, key=lambda row: (row["turn"], row["id"]))
    path = put(tmp_path / "a.jsonl", rows)
    whole = run_of(path, tmp_path / "whole")
    corpus = WholeCorpus(read_corpus(path, labels=LABELS))
    run = merge_shards(shards_of(corpus, tmp_path, 4), tmp_path / "run")
    assert files_of(run.path) == files_of(whole.path)


def test_a_shard_that_was_stopped_goes_on_and_makes_no_part_again(tmp_path, made):
    stream = CorpusStream(put(tmp_path / "a.jsonl", MIXED), LABELS)
    folder, stops = tmp_path / "shard", 0
    while True:
        before = {p: p.stat().st_mtime_ns for p in folder.glob("parts/*/panel.json")}
        try:
            predict_shard(
                stream,
                settings_of(),
                folder,
                Shard(2, 3),
                index=INDEX,
                embedder=Dying(5),
                block=3,
                resume=folder.exists(),
            )
        except StoppedError:
            stops += 1
            assert all(path.stat().st_mtime_ns == time for path, time in before.items())
            assert not RunShard.open(folder).finished
            with pytest.raises(RunFolderError, match="shard 2/3 is not finished"):
                merge_shards([made[0][0], folder, made[0][2]], tmp_path / "run")
            continue
        break
    assert stops > 0
    run = merge_shards([made[0][0], folder, made[0][2]], tmp_path / "run")
    assert files_of(run.path) == files_of(made[1])


def edited(file, **changes):
    data = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**data, **changes}), "utf-8")


def test_what_is_not_all_of_one_run_is_refused(tmp_path, shards, made):
    one, two, three = shards
    stream = CorpusStream(put(tmp_path / "a.jsonl", MIXED), LABELS)
    other = CorpusStream(put(tmp_path / "b.jsonl", [*MIXED, *FRESH[-3:]]), LABELS)
    foreign = {
        "settings.seed is 1, there 0": (stream, settings_of(seed=1), Shard(2, 3)),
        "of is 2, there 3": (stream, settings_of(), Shard(2, 2)),
        "run.corpus.file is 'b.jsonl', there 'a.jsonl'": (other, settings_of(), Shard(2, 3)),
    }
    cases = {
        "2 of 3 shards are given; missing: 2. Give": [three, one],
        "both shard 1/3; give each shard once": [one, two, three, one],
        "no shard of a run here": [one, two, tmp_path / "nothing"],
        "not the manifest of a shard": [one, two, made[1]],
    }
    for number, (says, (corpus, how, shard)) in enumerate(foreign.items()):
        folder = tmp_path / f"foreign-{number}"
        predict_shard(corpus, how, folder, shard, block=3, **OPTIONS)
        cases[says] = [one, folder, three]
    for says, folders in cases.items():
        with pytest.raises(RunFolderError, match=says.replace(".", r"\.")):
            merge_shards(folders, tmp_path / "run")
        assert not (tmp_path / "run").exists()
    with pytest.raises(RunFolderError, match="exists already"):
        merge_shards(shards, one)
    with pytest.raises(RunFolderError, match="only a shard of a run; `ragemo runs merge"):
        Run.open(one)


@pytest.mark.parametrize("name", ["verdicts.jsonl", "review.csv", "panel.json"])
@pytest.mark.parametrize("harm", ["cut", "gone", "link", "sums"])
def test_a_damaged_shard_is_named_and_mended(tmp_path, shards, made, name, harm):
    file = shards[1] / "parts" / "000001" / name
    data = file.read_bytes()
    if harm == "cut":
        file.write_bytes(data[:-1])
    elif harm == "sums":
        (shards[1] / "checksums.json").write_text("[]")
    else:
        file.unlink()
    if harm == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunFolderError, match="shard-2: shard 2/3 is damaged"):
        merge_shards(shards, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    stream = CorpusStream(put(tmp_path / "a.jsonl", MIXED), LABELS)
    predict_shard(stream, settings_of(), shards[1], Shard(2, 3), block=3, resume=True, **OPTIONS)
    assert files_of(merge_shards(shards, tmp_path / "run").path) == files_of(made[1])


def rechecked(shard, block, name, change):
    """A part's file changed by somebody who knows how to write checksums."""
    file = shard / "parts" / f"{block:06d}" / name
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(change(lines)), "utf-8")
    RunShard.open(shard).finish()


def test_nothing_outside_of_a_shard_is_removed_as_damaged(tmp_path, shards):
    elsewhere = (shards[1] / "parts").rename(tmp_path / "elsewhere")
    (shards[1] / "parts").symlink_to(elsewhere)
    there = sorted(elsewhere.rglob("*"))
    stream = CorpusStream(put(tmp_path / "a.jsonl", MIXED), LABELS)
    again = {"block": 3, "resume": True, **OPTIONS}
    with pytest.raises(RunFolderError, match="leads out of the shard's folder"):
        predict_shard(stream, settings_of(), shards[1], Shard(2, 3), **again)
    assert sorted(elsewhere.rglob("*")) == there != []
    with pytest.raises(RunFolderError, match="shard-2: shard 2/3 is not finished"):
        merge_shards(shards, tmp_path / "run")


def test_each_utterance_is_proven_to_be_there_once(tmp_path, shards):
    rechecked(shards[0], 0, "utterances.jsonl", lambda lines: lines[1:])
    with pytest.raises(RunFolderError, match="utterances that are not the corpus's"):
        merge_shards(shards, tmp_path / "run")
    rechecked(shards[0], 0, "utterances.jsonl", lambda lines: [lines[0], *lines])
    with pytest.raises(RunFolderError, match="each once and in its order"):
        merge_shards(shards, tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir() if "run" in p.name] == []


def test_each_verdict_is_proven_to_be_there_once(tmp_path, shards):
    rechecked(shards[2], 2, "verdicts.jsonl", lambda lines: [*lines, lines[-1]])
    with pytest.raises(RunFolderError, match="the verdicts are not on the utterances"):
        merge_shards(shards, tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir() if "run" in p.name] == []


def test_lines_that_ragemo_did_not_write_are_one_message(tmp_path, shards):
    for name, file in ((2, "verdicts.jsonl"), (1, "utterances.jsonl")):
        rechecked(shards[name], name, file, lambda lines: ['["utterance_id"]\n', *lines])
        with pytest.raises(RunFolderError, match=f"{file}.*: not what ragemo wrote"):
            merge_shards(shards, tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir() if "run" in p.name] == []


def test_a_merge_that_cannot_be_written_leaves_nothing(tmp_path, shards, monkeypatch):
    def full(path, lines):
        if path.name == "examples.jsonl":
            raise OSError(28, "No space left on device")
        path.write_bytes(b"".join(lines))

    with monkeypatch.context() as patch:
        patch.setattr("ragemo.runs.merging.write_lines", full)
        with pytest.raises(RunFolderError, match="No space left"):
            merge_shards(shards, tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir() if "run" in p.name] == []
    merge_shards(shards, tmp_path / "run")


def test_shards_are_not_changed_by_a_merge_of_many(tmp_path, made, monkeypatch):
    monkeypatch.setattr("ragemo.runs.parts.AT_ONCE", 2)
    before = {p: p.stat().st_mtime_ns for folder in made[0] for p in folder.rglob("*")}
    assert files_of(merge_shards(made[0], tmp_path / "run").path) == files_of(made[1])
    assert {p: p.stat().st_mtime_ns for folder in made[0] for p in folder.rglob("*")} == before


def test_a_shard_in_use_and_one_of_other_settings_are_not_gone_on_with(tmp_path):
    stream = CorpusStream(put(tmp_path / "a.jsonl", FRESH), LABELS)
    folder = tmp_path / "shard"
    shard = predict_shard(stream, settings_of(), folder, Shard(1, 2), **OPTIONS)
    with pytest.raises(RunFolderError, match="already holds a shard"):
        predict_shard(stream, settings_of(), folder, Shard(1, 2), **OPTIONS)
    with pytest.raises(RunFolderError, match="number was 1, now 2"):
        predict_shard(stream, settings_of(), folder, Shard(2, 2), resume=True, **OPTIONS)
    with (
        RunShard.resume(folder, shard.manifest),
        pytest.raises(RunFolderError, match="another process"),
    ):
        predict_shard(stream, settings_of(), folder, Shard(1, 2), resume=True, **OPTIONS)


@pytest.mark.parametrize("how", ["gone", "a link"])
def test_a_part_that_cannot_be_read_is_named_when_a_shard_is_gone_on_with(tmp_path, how):
    stream = CorpusStream(put(tmp_path / "a.jsonl", FRESH), LABELS)
    folder = tmp_path / "shard"
    predict_shard(stream, settings_of(), folder, Shard(1, 2), block=3, **OPTIONS)
    before = files_of(folder)
    (folder / "checksums.json").unlink()
    part = min((folder / "parts").iterdir())
    (part / "utterances.jsonl").unlink()
    if how == "a link":
        (part / "utterances.jsonl").symlink_to("/dev/zero")
    with pytest.raises(RunFolderError, match=rf"utterances\.jsonl: .*remove {part} and go on"):
        predict_shard(stream, settings_of(), folder, Shard(1, 2), block=3, resume=True, **OPTIONS)
    shutil.rmtree(part)
    predict_shard(stream, settings_of(), folder, Shard(1, 2), block=3, resume=True, **OPTIONS)
    assert files_of(folder) == before


def test_a_shard_that_claims_more_blocks_than_any_corpus_has_is_refused(tmp_path, shards):
    file = shards[0] / "manifest.json"
    data = json.loads(file.read_text()) | {"number": 1, "of": 1}
    file.write_text(json.dumps(data | {"blocks": 10**12, "utterances": 10**12}))
    with pytest.raises(RunFolderError, match=r"manifest\.json: not what ragemo writes"):
        merge_shards(shards[:1], tmp_path / "run")


def test_what_depends_on_the_whole_corpus_is_refused(tmp_path):
    stream = CorpusStream(put(tmp_path / "a.jsonl", FRESH), LABELS)
    cases = {
        "use --llm none": settings_of(**{"llm.model": "smollm2"}),
        "voting.pool dawid-skene learns": settings_of(**{"voting.pool": "dawid-skene"}),
    }
    for says, how in cases.items():
        with pytest.raises(SettingsError, match=says):
            predict_shard(stream, how, tmp_path / "out", Shard(1, 2), **OPTIONS)
        assert not (tmp_path / "out").exists()


def test_weights_without_one_of_the_voters_are_refused(tmp_path):
    past = put(tmp_path / "past.jsonl", rows_of([f"p{n}" for n in range(16)], "past"))
    some = VotingSettings(voters=["neighbours", "words"])
    calibrate(run_of(past, tmp_path / "past"), some).write(tmp_path / "weights.json")
    path = put(tmp_path / "a.jsonl", FRESH)
    stream = CorpusStream(path, LABELS)
    weights = {"voting.weights": str(tmp_path / "weights.json")}
    with pytest.raises(SettingsError, match="has no weight for probe"):
        predict_shard(stream, settings_of(**weights), tmp_path / "out", Shard(1, 2), **OPTIONS)
    assert not (tmp_path / "out").exists()
    how = settings_of(**weights, **{"voting.voters": list(some.voters)})
    run = merge_shards(shards_of(stream, tmp_path, 2, how), tmp_path / "run")
    assert files_of(run.path) == files_of(run_of(path, tmp_path / "whole", how).path)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/2/3", "1/9999999"])
def test_what_is_no_shard(text):
    with pytest.raises(SettingsError, match="such as 2/8"):
        Shard.read(text)
