"""Folders that hold no run, or a damaged one, and disks without room."""

import json
import os
import resource

import pytest

from ragemo.errors import RunFolderError
from ragemo.runs.run import Run
from tests.runs.inputs import (
    BALLOT,
    MANIFEST,
    OTHERS,
    UTTERANCES,
    VERDICTS,
)

# -- folders that are none -----------------------------------------------------------------------


def test_a_run_begins_in_a_new_or_empty_folder_only(folder, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "text").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for path, what in [
        (folder, "already holds a run; pass --resume"),
        (tmp_path / "notes", "exists and is not a run"),
        (tmp_path / "file", "exists and is not a run"),
    ]:
        with pytest.raises(RunFolderError, match=what):
            Run.create(path, MANIFEST, UTTERANCES)
    assert Run.open(folder).ballots() == [BALLOT]
    (tmp_path / "empty").mkdir()
    Run.create(tmp_path / "empty", MANIFEST, UTTERANCES).close()
    with pytest.raises(RunFolderError, match="cannot be written"):
        Run.create(tmp_path / "file" / "run", MANIFEST, UTTERANCES)


@pytest.mark.parametrize("act", [Run.open, lambda path: Run.resume(path, MANIFEST)])
def test_a_folder_without_a_run_says_how_to_make_one(tmp_path, act):
    with pytest.raises(RunFolderError, match=r"no run here .*ragemo predict FILE --out"):
        act(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"format": 4}',
        b'{"kind": "index", "format": 4}',
        b'{"kind": "run"}',
        b"\xff",
    ],
)
def test_a_manifest_that_is_none_is_refused(folder, content):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"manifest\.json"):
        Run.open(folder)


@pytest.mark.parametrize("format_", [3, 5])
def test_a_run_of_another_format_is_refused_and_left_as_it_is(folder, format_):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": format_}))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for act in (Run.open, lambda path: Run.resume(path, MANIFEST)):
        with pytest.raises(
            RunFolderError, match=f"run format {format_}, this ragemo reads 4; predict again"
        ):
            act(folder)
    with pytest.raises(RunFolderError, match="already holds a run"):
        Run.create(folder, MANIFEST, UTTERANCES)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "line",
    [
        *(b"{", b"[]", b"3", b"{}", b'{"utterance_id": "x"}', b"\xff"),
        b'{"utterance_id": [], "demonstrations": []}',
    ],
)
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("utterances.jsonl", lambda run: run.utterances),
        ("ballots.jsonl", Run.ballots),
        ("verdicts.jsonl", Run.verdicts),
        ("verdicts.jsonl", Run.parts),
        ("verdicts.jsonl", Run.demonstrations),
    ],
)
def test_a_damaged_line_is_named(folder, name, read, line):
    with Run.resume(folder, MANIFEST) as run:
        run.finish(VERDICTS, {})
    file = folder / name
    file.write_bytes(file.read_bytes() + line + b"\n")
    number = file.read_bytes().count(b"\n")
    with pytest.raises(RunFolderError, match=f"{name}:{number}: .*the run is damaged"):
        read(Run.open(folder))


@pytest.mark.parametrize("predicted", [True, False])
def test_a_gold_label_of_another_set_is_named(folder, predicted):
    file = folder / "utterances.jsonl"
    first, *others = map(json.loads, filter(None, file.read_text("utf-8").split("\n")))
    lines = [
        json.dumps(one) for one in (first | {"gold": "bliss", "predicted": predicted}, *others)
    ]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(RunFolderError, match=r"utterances\.jsonl:1: .*bliss.* the run is damaged"):
        _ = Run.open(folder).utterances


def test_a_missing_file_is_named(folder):
    (folder / "utterances.jsonl").unlink()
    with pytest.raises(RunFolderError, match=r"utterances\.jsonl: cannot be read"):
        _ = Run.open(folder).utterances
    with pytest.raises(RunFolderError, match=r"panel\.json: cannot be read .*predict again"):
        Run.open(folder).panels()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"parts": 3}', b"\xff"])
def test_damaged_panels_are_named(folder, content):
    (folder / "panel.json").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"panel\.json: cannot be read .*predict again"):
        Run.open(folder).panels()


# -- full disks ----------------------------------------------------------------------------------


def no_room(*arguments):
    raise OSError(28, "No space left on device")


def test_an_answer_that_cannot_be_synced_is_an_error_and_earlier_ones_stay(folder, monkeypatch):
    with Run.resume(folder, MANIFEST) as run:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", no_room)
            with pytest.raises(RunFolderError, match=r"No space .*--resume; all earlier answers"):
                run.append(OTHERS)
        assert run.ballots() == [BALLOT]
        run.append(OTHERS[1:])
    assert Run.open(folder).ballots() == [BALLOT, *OTHERS[1:]]


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_leaves_no_half_line(folder, room):
    """The system's own limit stops the write after some bytes, as a full disk does."""
    size = (folder / "ballots.jsonl").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Run.resume(folder, MANIFEST) as run:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, hard))
        try:
            with pytest.raises(RunFolderError, match="an answer could not be written"):
                run.append(OTHERS)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (folder / "ballots.jsonl").stat().st_size == size
        run.append(OTHERS)
    assert Run.open(folder).ballots() == [BALLOT, *OTHERS]


def test_a_full_disk_while_the_run_is_created_or_finished_is_an_error(
    folder, tmp_path, monkeypatch
):
    with Run.resume(folder, MANIFEST) as run:
        monkeypatch.setattr(os, "fsync", no_room)
        with pytest.raises(RunFolderError, match=r"the decisions could not be written: .*No space"):
            run.finish(VERDICTS, {})
    with pytest.raises(RunFolderError, match=r"cannot be written: .*No space"):
        Run.create(tmp_path / "new", MANIFEST, UTTERANCES)
    monkeypatch.undo()
    assert Run.open(folder).ballots() == [BALLOT]
    with pytest.raises(RunFolderError, match="not finished"):
        Run.open(folder).verdicts()


def test_a_run_that_cannot_be_opened_for_writing_is_an_error(folder):
    (folder / "ballots.jsonl").unlink()
    (folder / "ballots.jsonl").mkdir()
    with pytest.raises(RunFolderError, match="cannot be written"):
        Run.resume(folder, MANIFEST)
