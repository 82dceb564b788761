"""A run's folder may be anybody's: whoever reads it gets on with it or refuses it in words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.errors import RunFolderError
from ragemo.pipeline import vote
from ragemo.pipeline.calibrating import calibrate
from ragemo.pipeline.pooling import retrieval_of
from ragemo.report.write import write_report
from ragemo.runs.compare import compare_runs
from ragemo.runs.export import export_predictions
from ragemo.runs.run import Run
from ragemo.runs.scores import condition_of, score_run
from ragemo.runs.submission import write_submission
from ragemo.runs.tracking import record_of
from ragemo.scoring.tables import score_table
from ragemo.settings import VotingSettings, resolve_settings
from tests.fuzz.damage import damaged_bytes, damaged_json, damaged_lines, fuzz, only_our_errors
from tests.report.inputs import TEST, make_run, with_context

FILES = [
    "manifest.json",
    "utterances.jsonl",
    "prompts.jsonl",
    "ballots.jsonl",
    "verdicts.jsonl",
    "examples.jsonl",
    "panel.json",
]
"""What is read; the others are only written."""

QUICK = {"samples": 3}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A sound run, and the folder of its victim."""
    from tests.report.inputs import make_index

    folder = tmp_path_factory.mktemp("runs")
    corpus = with_context(TEST)
    few = type(corpus)(
        corpus.dialogues[-2:], corpus.labels, corpus.format, corpus.path, corpus.sha256
    )
    make_run(folder / "sound", make_index(), corpus=few)
    return folder


def pool(run: Run, place: Path) -> None:
    settings = resolve_settings({"retrieval": retrieval_of(run)})
    shutil.rmtree(place / "voted", ignore_errors=True)
    vote([run], settings, place / "voted")


READERS: dict[str, Callable[[Run, Path], object]] = {
    "score": lambda run, place: score_table(score_run(run, **QUICK), "x"),
    "published": lambda run, place: condition_of(run),
    "compare": lambda run, place: compare_runs([Run.open(place / "sound"), run], **QUICK),
    "report": lambda run, place: write_report(run, place / "page.html", **QUICK),
    "both": lambda run, place: write_report(
        Run.open(place / "sound"), place / "page.html", run, **QUICK
    ),
    "export": lambda run, place: export_predictions(
        run, place / "table.csv", "csv", overwrite=True
    ),
    "jsonl": lambda run, place: export_predictions(
        run, place / "table.jsonl", "jsonl", overwrite=True
    ),
    "parquet": lambda run, place: export_predictions(
        run, place / "table.parquet", "parquet", overwrite=True
    ),
    "track": lambda run, place: record_of(run, **QUICK),
    "submit": lambda run, place: write_submission(
        run, place / "pred.csv", fill="neighbours", overwrite=True
    ),
    "calibrate": lambda run, place: calibrate(run, VotingSettings(), **QUICK),
    "vote": pool,
}


@pytest.mark.parametrize("name", FILES)
def test_whoever_reads_a_run(runs, name):
    sound = (runs / "sound" / name).read_bytes()
    if name.endswith(".jsonl"):
        damaged = damaged_lines(sound)
    else:
        damaged = st.one_of(damaged_json(json.loads(sound)), damaged_bytes(sound))

    @fuzz(20)
    @given(damaged, st.sampled_from(sorted(READERS)))
    def try_one(data, reader):
        victim = runs / "victim"
        shutil.rmtree(victim, ignore_errors=True)
        shutil.copytree(runs / "sound", victim)
        (victim / name).write_bytes(data)
        with only_our_errors():
            READERS[reader](Run.open(victim), runs)

    try_one()


def test_all_that_is_read_is_damaged_here(runs):
    written = {path.name for path in (runs / "sound").iterdir()}
    assert written - set(FILES) == {"predictions.csv", "review.csv"}


@pytest.mark.parametrize("reader", sorted(READERS))
def test_a_sound_run_is_read(runs, reader):
    with only_our_errors():
        READERS[reader](Run.open(runs / "sound"), runs)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("index", "label_counts", "neu"), "0"),
        (("index", "label_counts", "neu"), 1.0),
        (("index", "label_counts", "neu"), True),
        (("uses_reference_transcripts",), "no"),
        (("settings", "limit"), "6"),
    ],
)
def test_a_value_that_is_nearly_of_its_type_is_none(runs, place, value):
    """What is read later is the file's own value, so nothing may be taken for another one."""
    victim = runs / "victim"
    shutil.rmtree(victim, ignore_errors=True)
    shutil.copytree(runs / "sound", victim)
    manifest = json.loads((victim / "manifest.json").read_text())
    *holders, name = place
    holder = manifest
    for one in holders:
        holder = holder[one]
    assert name in holder
    holder[name] = value
    (victim / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunFolderError, match=r"manifest\.json.*" + ".*".join(place)):
        Run.open(victim)
