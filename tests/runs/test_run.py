import json
import os
import resource
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import RunFolderError
from ragemo.runs.manifest import FREE_TO_CHANGE
from ragemo.runs.records import RunUtterance
from ragemo.runs.run import Run
from ragemo.types import Ballot, Demonstration, Usage, Verdict, Window
from ragemo.voting.panel import Panel
from tests.conftest import LABELS, make_turn

MANIFEST = {
    "ragemo": "0.1.0",
    "settings": {
        "seed": 0,
        "retrieval": {"k": 8, "exclude": "dialogue"},
        "voting": {"voters": None},
        "limit": None,
        "llm": {"model": "smollm2", "concurrency": 8, "timeout": 60.0, "attempts": 5},
    },
    "corpus": {"file": "dev.csv", "format": "plain", "sha256": "0" * 64},
    "transcript": "first",
    "notes": [],
    "uses_reference_transcripts": False,
    "labels": LABELS.to_dict(),
    "index": None,
    "llm": None,
}
UTTERANCES = (
    RunUtterance(make_turn("hé\u2028llo", 0), None, predicted=False),
    RunUtterance(make_turn('"quoted", 😀', 1, session="s1"), "hap", predicted=True, row=7),
    RunUtterance(make_turn("", 2, utterance_id='d,"2'), None, predicted=True),
)
BALLOT = Ballot(
    "d_1",
    "llm",
    sample=2,
    distribution=(0.1, 0.7, 0.2),
    log_likelihoods=(-3.25, -0.5, -1e-9),
    answer="héllo\n\u2028 😀",
    usage=Usage(100, 40, 3, 0.00125, 0.5),
)
OTHERS = [
    Ballot("d_1", "llm", sample=3, answer="perhaps"),
    Ballot("d_1", "llm", sample=4, error="timeout"),
    Ballot("d_1", "llm", sample=5, details={"labels": ["hap"], "cause": None, "valence": -0.5}),
    Ballot("d_1", "neighbours", distribution=(1 / 3, 1 / 3, 1 / 3)),
    Ballot("d_1", "llm", sample=3, answer="perhaps", variant="context 2", purpose="check"),
]
DEMONSTRATION = Demonstration(Window((make_turn("x", dialogue_id="o"),)), "hap", 0.123456)
VERDICTS = [
    Verdict("d_1", "hap", (0.1, 0.7, 0.2), 0.7, 2 / 3, 1, 2, ("hap", "ang"), abstained=True),
    Verdict('d,"2', None, None, 0.0, 0.0, failed=1),
]
DETAILED = replace(
    VERDICTS[0], details={"labels": ["hap", "ang"], "intensity": 1.5, "reasons": "é"}
)
PANELS = [
    {
        "left_out": [place],
        "panel": Panel("log", {"llm": 0.5}, (0.2, 0.3, 0.5)).to_dict(),
        "index_alone": None,
        "weighed": [],
    }
    for place in (-1, 0)
]
REVIEW = '"utterance_id","reasons"\n"d_1","héllo"\n'


@pytest.fixture
def folder(tmp_path):
    """A run with one answer."""
    with Run.create(tmp_path / "runs" / "one", MANIFEST, UTTERANCES) as run:
        run.append([BALLOT])
    return run.path


# -- writing and reading -------------------------------------------------------------------------


def test_what_is_written_is_read_again(folder):
    with Run.resume(folder, MANIFEST) as run:
        run.append(OTHERS)
        run.append([])
    run = Run.open(folder)
    assert run.manifest == {"kind": "run", "format": 4, **MANIFEST}
    assert run.labels == LABELS
    assert run.utterances == UTTERANCES
    assert run.ballots() == [BALLOT, *OTHERS]


def test_an_answer_is_on_disk_when_it_is_added(tmp_path):
    with Run.create(tmp_path / "run", MANIFEST, UTTERANCES) as run:
        assert Run.open(run.path).ballots() == []
        run.append([BALLOT])
        assert Run.open(run.path).ballots() == [BALLOT]


def test_where_a_call_was_made_again_the_last_answer_counts(folder):
    failed, again = OTHERS[1], replace(OTHERS[1], error=None, answer="joy")
    with Run.resume(folder, MANIFEST) as run:
        run.append([failed])
        run.append([OTHERS[0], again])
    assert Run.open(folder).ballots() == [BALLOT, again, OTHERS[0]]


def test_decisions_are_read_again_and_predictions_have_these_bytes(folder):
    with Run.resume(folder, MANIFEST) as run:
        run.finish(VERDICTS, {"d_1": [DEMONSTRATION]}, panels=PANELS, parts=[1, 0], review=REVIEW)
    run = Run.open(folder)
    assert run.verdicts() == VERDICTS
    assert (run.panels(), run.parts()) == (PANELS, [1, 0])
    assert (folder / "predictions.csv").read_bytes() == (
        b"id,label,confidence,neu,hap,ang,label_set,abstained\n"
        b"d_1,hap,0.700000,0.100000,0.700000,0.200000,hap|ang,yes\n"
        b'"d,""2",,0.000000,,,,,\n'
    )
    first, second = map(json.loads, (folder / "verdicts.jsonl").read_text().splitlines())
    assert first["demonstrations"] == [{"id": "o_0", "label": "hap", "similarity": 0.123456}]
    assert second["demonstrations"] == []
    # A spreadsheet takes it for UTF-8 by its mark.
    assert (folder / "review.csv").read_bytes() == b"\xef\xbb\xbf" + REVIEW.encode()


def test_details_of_decisions_are_read_again_and_have_columns(folder):
    with Run.resume(folder, MANIFEST) as run:
        run.finish([DETAILED, VERDICTS[1]], {})
    assert Run.open(folder).verdicts() == [DETAILED, VERDICTS[1]]
    header, first, second = (folder / "predictions.csv").read_text("utf-8").splitlines()
    assert header.endswith(",abstained,intensity,labels,reasons")
    assert first.endswith(",yes,1.5,hap|ang,é")
    assert second.endswith(",,,,")


def test_without_panels_every_verdict_is_the_first_one_s(folder):
    with Run.resume(folder, MANIFEST) as run:
        run.finish(VERDICTS, {})
    run = Run.open(folder)
    assert (run.panels(), run.parts()) == ([], [0, 0])


def test_decided_anew_a_run_holds_the_new_decisions_alone(folder):
    with Run.resume(folder, MANIFEST) as run:
        run.finish(VERDICTS, {"d_1": [DEMONSTRATION]}, panels=PANELS, parts=[1, 0], review=REVIEW)
    with Run.resume(folder, MANIFEST) as run:
        run.finish(VERDICTS[1:], {}, panels=PANELS[:1])
    run = Run.open(folder)
    assert (run.verdicts(), run.panels(), run.parts()) == (VERDICTS[1:], PANELS[:1], [0])
    assert len((folder / "predictions.csv").read_text().splitlines()) == 2


def test_an_unfinished_run_has_no_decisions(folder):
    with pytest.raises(RunFolderError, match=r"not finished; finish it with .*--resume"):
        Run.open(folder).verdicts()


def test_a_run_opened_to_read_takes_no_answer(folder):
    with pytest.raises(RunFolderError, match="not open for writing"):
        Run.open(folder).append([BALLOT])


def test_a_removed_run_leaves_its_place_free(folder):
    Run.resume(folder, MANIFEST).remove()
    assert not folder.exists()
    Run.create(folder, MANIFEST, UTTERANCES).close()


# -- stopped and gone on -------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_run_killed_at_any_byte_loses_at_most_the_answer_in_work(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("run") / "run"
    ballots = [replace(BALLOT, sample=sample) for sample in range(3)]
    with Run.create(path, MANIFEST, UTTERANCES) as run:
        run.append(ballots)
    file = path / "ballots.jsonl"
    whole = file.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    file.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    assert Run.open(path).ballots() == ballots[:kept]
    with Run.resume(path, MANIFEST) as run:
        assert run.ballots() == ballots[:kept]
        run.append(ballots[kept:])
    assert Run.open(path).ballots() == ballots
    assert file.read_bytes() == whole


def test_going_on_with_the_same_settings_keeps_all(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with Run.resume(folder, json.loads(json.dumps(MANIFEST))) as run:
        assert run.ballots() == [BALLOT]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def changed(name, value):
    manifest = json.loads(json.dumps(MANIFEST))
    *sections, last = name.split(".")
    section = manifest
    for key in sections:
        section = section[key]
    section[last] = value
    return manifest


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("settings.retrieval.k", 4, "settings.retrieval.k was 8, now 4"),
        ("settings.llm.model", "x", "settings.llm.model was 'smollm2', now 'x'"),
        ("settings.new", 1, "settings.new was None, now 1"),
        ("ragemo", "0.2.0", "ragemo was '0.1.0', now '0.2.0'"),
        ("index", {"fingerprint": "abc"}, "index was None, now"),
        ("labels.name", "other", "labels.name was 'three', now 'other'"),
    ],
)
def test_going_on_with_other_settings_is_refused_and_names_them(folder, name, value, said):
    before = (folder / "ballots.jsonl").read_bytes()
    with pytest.raises(RunFolderError) as caught:
        Run.resume(folder, changed(name, value))
    assert said in str(caught.value)
    assert str(caught.value).count(", now ") == 1
    assert (folder / "ballots.jsonl").read_bytes() == before
    Run.resume(folder, MANIFEST).close()  # the refused one left no lock behind


@pytest.mark.parametrize("name", FREE_TO_CHANGE)
def test_how_fast_answers_come_may_change(folder, name):
    Run.resume(folder, changed(name, 1)).close()


def test_a_second_writer_is_kept_out_as_long_as_the_first_is_there(folder):
    with Run.resume(folder, MANIFEST) as run:
        with pytest.raises(RunFolderError, match="another process is writing to this run"):
            Run.resume(folder, MANIFEST)
        script = (
            "import json, sys; from pathlib import Path; from ragemo.runs.run import Run\n"
            "Run.resume(Path(sys.argv[1]), json.loads(sys.argv[2]))"
        )
        command = [sys.executable, "-c", script, str(folder), json.dumps(MANIFEST)]
        other = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "another process is writing to this run" in other.stderr
        run.append(OTHERS)
    Run.resume(folder, MANIFEST).close()
    assert Run.open(folder).ballots() == [BALLOT, *OTHERS]


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


@pytest.mark.parametrize("line", [b"{", b"[]", b"3", b"{}", b'{"utterance_id": "x"}', b"\xff"])
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("utterances.jsonl", lambda run: run.utterances),
        ("ballots.jsonl", Run.ballots),
        ("verdicts.jsonl", Run.verdicts),
        ("verdicts.jsonl", Run.parts),
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
