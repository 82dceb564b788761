"""A corpus labelled block by block becomes, byte for byte, the run of the corpus read whole."""

import shutil

import pytest

from ragemo.corpus import read_corpus
from ragemo.corpus.blocks import WholeCorpus
from ragemo.corpus.stream import CorpusStream
from ragemo.errors import DataError, ModelError, RunFolderError, SettingsError
from ragemo.pipeline import predict
from ragemo.pipeline.streaming import predict_stream
from ragemo.runs.parts import AT_ONCE
from ragemo.settings import resolve_settings
from tests.conftest import LABELS, FakeEmbedder
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
    settings_of,
)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("block", [1, 10])
def test_the_same_bytes_as_of_the_corpus_read_whole(tmp_path, name, block):
    rows, overrides = CASES[name]
    path, settings = put(tmp_path / "a.jsonl", rows), settings_of(**overrides)
    corpus = read_corpus(path, labels=LABELS)
    predict(corpus, settings, tmp_path / "whole", index=INDEX, embedder=EMBEDDER)
    whole = files_of(tmp_path / "whole")
    for kind, blocks in (("stream", CorpusStream(path, LABELS)), ("memory", WholeCorpus(corpus))):
        run = predict_stream(
            blocks, settings, tmp_path / kind, index=INDEX, embedder=EMBEDDER, block=block
        )
        found = files_of(run.path)
        assert found.keys() == whole.keys()
        for file, data in whole.items():
            assert found[file] == data, file
        assert [p.name for p in run.path.iterdir() if p.is_dir()] == [], "no parts are left"


def test_stopped_anywhere_it_goes_on_and_makes_no_part_again(tmp_path):
    stream = CorpusStream(put(tmp_path / "a.jsonl", MIXED), LABELS)
    settings = settings_of()
    whole = predict_stream(stream, settings, tmp_path / "whole", index=INDEX, embedder=EMBEDDER)
    folder, stops = tmp_path / "run", 0
    while True:
        made = {p: p.stat().st_mtime_ns for p in folder.glob("parts/*/panel.json")}
        try:
            predict_stream(
                stream,
                settings,
                folder,
                index=INDEX,
                embedder=Dying(4),
                block=6,
                resume=folder.exists(),
            )
        except StoppedError:
            stops += 1
            assert all(path.stat().st_mtime_ns == time for path, time in made.items())
            continue
        break
    assert stops > 2
    assert files_of(folder) == files_of(whole.path)


def test_stopped_while_parts_are_joined_it_goes_on(tmp_path, monkeypatch):
    stream = CorpusStream(put(tmp_path / "a.jsonl", FRESH), LABELS)
    options = {"index": INDEX, "embedder": EMBEDDER, "block": 6}
    whole = predict_stream(stream, settings_of(), tmp_path / "whole", **options)
    for name in ("replace_ballots", None):
        with monkeypatch.context() as patch:
            if name:
                patch.setattr(f"ragemo.runs.run.Run.{name}", lambda run, lines: 1 / 0)
            else:
                patch.setattr(shutil, "rmtree", lambda folder, **how: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                folder = tmp_path / "run"
                predict_stream(stream, settings_of(), folder, resume=folder.exists(), **options)
    predict_stream(stream, settings_of(), folder, resume=True, **options)
    assert files_of(folder) == files_of(whole.path)
    assert not (folder / "parts").exists()


def test_with_blocks_of_another_size_it_begins_anew(tmp_path):
    stream = CorpusStream(put(tmp_path / "a.jsonl", MIXED), LABELS)
    options = {"index": INDEX, "embedder": EMBEDDER}
    whole = predict_stream(stream, settings_of(), tmp_path / "whole", **options)
    for block in (6, 11, 3):
        with pytest.raises(StoppedError):
            predict_stream(
                stream,
                settings_of(),
                tmp_path / "run",
                index=INDEX,
                embedder=Dying(4),
                block=block,
                resume=block != 6,
            )
    run = predict_stream(stream, settings_of(), tmp_path / "run", resume=True, **options)
    assert files_of(run.path) == files_of(whole.path)


@pytest.mark.parametrize("begins_whole", [False, True])
def test_begun_block_by_block_it_may_go_on_as_a_whole_and_the_other_way_round(
    tmp_path, begins_whole
):
    path, settings = put(tmp_path / "a.jsonl", MIXED), settings_of()
    stream, corpus = CorpusStream(path, LABELS), read_corpus(path, labels=LABELS)
    options = {"index": INDEX, "embedder": EMBEDDER}
    whole = predict(corpus, settings, tmp_path / "whole", **options)
    run = tmp_path / "run"
    if begins_whole:
        shutil.copytree(whole.path, run)
        (run / "verdicts.jsonl").unlink()
        predict_stream(stream, settings, run, resume=True, **options)
    else:
        with pytest.raises(StoppedError):
            predict_stream(stream, settings, run, index=INDEX, embedder=Dying(4), block=6)
        predict(corpus, settings, run, resume=True, **options)
    assert files_of(run) == files_of(whole.path)
    assert not (run / "parts").exists()


def test_more_parts_than_files_may_be_open_are_put_in_order(tmp_path, monkeypatch):
    assert AT_ONCE > 2
    stream = CorpusStream(put(tmp_path / "a.jsonl", FRESH), LABELS)
    options = {"index": INDEX, "embedder": EMBEDDER}
    whole = predict_stream(stream, settings_of(), tmp_path / "whole", **options)
    monkeypatch.setattr("ragemo.runs.parts.AT_ONCE", 2)
    run = predict_stream(stream, settings_of(), tmp_path / "run", block=1, **options)
    assert files_of(run.path) == files_of(whole.path)


def test_a_fault_anywhere_in_the_file_leaves_nothing(tmp_path):
    rows = [*FRESH, {**FRESH[0], "id": "new", "turn": 99}]
    stream = CorpusStream(put(tmp_path / "a.jsonl", rows), LABELS)
    options = {"index": INDEX, "embedder": EMBEDDER, "block": 6}
    with pytest.raises(DataError, match="goes on here"):
        predict_stream(stream, settings_of(), tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_stream_of_which_nothing_was_labelled_leaves_nothing(tmp_path):
    class Broken(FakeEmbedder):
        def embed(self, texts, progress=None):
            raise ModelError("it broke")

    stream = CorpusStream(put(tmp_path / "a.jsonl", FRESH), LABELS)
    with pytest.raises(ModelError, match="it broke"):
        predict_stream(stream, settings_of(), tmp_path / "run", index=INDEX, embedder=Broken())
    assert not (tmp_path / "run").exists()


def test_what_a_stream_cannot_do_is_said(tmp_path):
    stream = CorpusStream(put(tmp_path / "a.jsonl", FRESH), LABELS)
    options = {"index": INDEX, "embedder": EMBEDDER}
    with pytest.raises(SettingsError, match="use --llm none"):
        predict_stream(stream, resolve_settings(), tmp_path / "run", **options)
    pool = settings_of(**{"voting.pool": "dawid-skene"})
    with pytest.raises(SettingsError, match="dawid-skene learns from the votes on all"):
        predict_stream(stream, pool, tmp_path / "run", **options)
    predict_stream(stream, settings_of(), tmp_path / "run", **options)
    with pytest.raises(RunFolderError, match="already holds a run"):
        predict_stream(stream, settings_of(), tmp_path / "run", **options)
    with pytest.raises(RunFolderError, match=r"settings\.seed was 0, now 1"):
        predict_stream(stream, settings_of(seed=1), tmp_path / "run", resume=True, **options)
