"""A run's folder, written, stopped and gone on with."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import RunFolderError
from ragemo.runs.manifest import FREE_TO_CHANGE
from ragemo.runs.run import Run
from tests.conftest import LABELS
from tests.runs.inputs import (
    BALLOT,
    DEMONSTRATION,
    DETAILED,
    MANIFEST,
    OTHERS,
    PANELS,
    REVIEW,
    UTTERANCES,
    VERDICTS,
)

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
