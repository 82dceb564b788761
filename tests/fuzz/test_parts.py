"""The parts of a run may be anybody's: they are joined, or refused in words."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.corpus.stream import CorpusStream
from ragemo.errors import RunFolderError
from ragemo.llm.batch.folder import BatchFolder
from ragemo.pipeline import streaming
from ragemo.runs.parts import FILES, TABLES, join_parts, part_folder
from ragemo.runs.run import Run
from tests.conftest import LABELS
from tests.fuzz.damage import damaged_bytes, damaged_json, damaged_lines, fuzz, only_our_errors
from tests.pipeline.blockwise import EMBEDDER, INDEX, MIXED, put, settings_of

NAMES = ("panel.json", *FILES, *TABLES)


class StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that was stopped before its parts were joined, and the folder of its victim."""
    folder = tmp_path_factory.mktemp("parts")
    put(folder / "a.jsonl", MIXED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "join_parts", stop)
        with pytest.raises(StoppedError):
            label(folder, "sound")
    return folder


def stop(*parts):
    raise StoppedError


def label(folder, name, *, resume=False):
    stream = CorpusStream(folder / "a.jsonl", LABELS)
    options = {"index": INDEX, "embedder": EMBEDDER, "block": 10, "resume": resume}
    return streaming.predict_stream(stream, settings_of(), folder / name, **options)


def victim_of(folder):
    victim = folder / "victim"
    shutil.rmtree(victim, ignore_errors=True)
    shutil.copytree(folder / "sound", victim)
    return victim


def join(run):
    join_parts(run, sorted((run / "parts").glob("0*")), lambda lines: list(lines) and None)


@pytest.mark.parametrize("name", NAMES)
def test_whoever_joins_parts(runs, name):
    sound = (part_folder(runs / "sound", 1) / name).read_bytes()
    if name.endswith(".jsonl"):
        damaged = damaged_lines(sound)
    elif name.endswith(".json"):
        damaged = st.one_of(damaged_json(json.loads(sound)), damaged_bytes(sound))
    else:
        damaged = damaged_bytes(sound)

    @fuzz(15)
    @given(damaged)
    def try_one(data):
        victim = victim_of(runs)
        (part_folder(victim, 1) / name).write_bytes(data)
        with only_our_errors():
            join(victim)

    try_one()


def test_a_part_without_a_file_or_with_half_a_line_is_named(runs):
    for name in NAMES:
        victim = victim_of(runs)
        file = part_folder(victim, 1) / name
        data = file.read_bytes()
        file.unlink()
        with pytest.raises(RunFolderError, match="000001"):
            join(victim)
        file.write_bytes(data[:-3] or b"")
        if data:
            with pytest.raises(RunFolderError, match=r"000001.* this part is made again"):
                join(victim)


def test_a_sound_run_is_gone_on_with(runs):
    victim_of(runs)
    assert label(runs, "victim", resume=True).verdicts()


# -- attacks that were thought of ------------------------------------------------------------------


def moved(path, place):
    """The path as a link to where its content is now."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    target = place / path.name
    if path.exists():
        path.rename(target)
    path.symlink_to(target)
    return target


@pytest.mark.parametrize("name", ["parts", "parts/000001", "parts/000001/utterances.jsonl"])
def test_no_part_is_read_elsewhere(runs, name):
    victim = victim_of(runs)
    moved(victim / name, runs / "elsewhere")
    with pytest.raises(RunFolderError, match="leads out of its folder"):
        label(runs, "victim", resume=True)


def test_no_part_is_written_elsewhere(runs):
    victim = victim_of(runs)
    shutil.rmtree(part_folder(victim, 1))
    target = moved(victim / "parts", runs / "elsewhere")
    before = sorted(target.iterdir())
    with pytest.raises(RunFolderError, match="leads out of its folder"):
        label(runs, "victim", resume=True)
    assert sorted(target.iterdir()) == before


@pytest.mark.parametrize("there", [True, False])
def test_no_ballot_is_written_elsewhere(runs, there):
    victim = victim_of(runs)
    file = victim / "ballots.jsonl"
    file.write_bytes(b"half a line")
    if not there:
        file.unlink()
    target = moved(file, runs / "elsewhere")
    with pytest.raises(RunFolderError, match="leads out of its folder"):
        Run.resume(victim, Run.open(victim).manifest)
    assert target.exists() == there
    assert not there or target.read_bytes() == b"half a line"


@pytest.mark.parametrize("name", ["", "state.json"])
def test_no_batch_lies_elsewhere(tmp_path, name):
    sound = tmp_path / "sound" / "batch"
    BatchFolder(sound).write([b'{"custom_id": "a"}\n'], "m", {})
    moved(sound / name if name else sound, tmp_path / "elsewhere")
    with pytest.raises(RunFolderError, match="leads out of its folder"):
        BatchFolder(sound)
