"""`ragemo export`."""

import json
from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture
def run(command, test_file, index):
    done = command("predict", test_file, "--index", index, "--llm", "none", "--out", "run")
    assert done.code == 0, done.err
    return Path("run")


def test_every_format_holds_the_same_predictions(command, run):
    own = pd.read_csv("run/predictions.csv")
    for name, read in (
        ("csv", pd.read_csv),
        ("jsonl", lambda file: pd.read_json(file, lines=True)),
        ("parquet", pd.read_parquet),
    ):
        done = command("export", run, "--format", name, "--out", f"table.{name}")
        assert (done.code, done.out, done.err) == (0, f"table.{name}: 18 utterances\n", "")
        table = read(f"table.{name}")
        assert table.id.tolist() == own.id.tolist()
        assert table.label.tolist() == own.label.tolist()
        assert table.probability_sad.tolist() == pytest.approx(own.sad.tolist(), abs=1e-6)
    done = command("export", run, "--format", "datasets", "--out", "folder")
    assert (done.code, done.out, done.err) == (0, "folder: 18 utterances\n", "")
    import datasets

    found = datasets.load_from_disk("folder")
    names = found.features["label"].names
    assert [names[place] for place in found["label"]] == own.label.tolist()


def test_replacing_has_to_be_asked_for(command, run):
    assert command("export", run, "--out", "table.csv").code == 0
    done = command("export", run, "--out", "table.csv")
    assert (done.code, done.out) == (2, "")
    assert (
        done.err == "error: table.csv is there already; --overwrite (overwrite=True) replaces it\n"
    )
    assert command("export", run, "--out", "table.csv", "--overwrite").code == 0


def test_a_run_is_logged(command, run, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    options = ("--log", "mlflow", "--experiment", "moods", "--bootstrap", 20)
    done = command("export", run, *options, "--out", "table.csv")
    assert (done.code, done.err) == (0, "")
    table, logged = done.out.splitlines()
    assert table == "table.csv: 18 utterances"
    said, _, run_id = logged.rpartition(" ")
    assert said == "mlflow: moods, run"
    score = json.loads(command("score", run, "--format", "json", "--bootstrap", 20).out)
    metrics = mlflow.MlflowClient().get_run(run_id).data.metrics
    assert metrics["uar"] == pytest.approx(score["uar"])
    assert metrics["uar.low"] == pytest.approx(score["intervals"]["uar"][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "nothing to do: give --out"),
        (("--out", "table.xlsx", "--format", "xlsx"), "expected one of csv, jsonl, parquet"),
        (("--out", "table.jsonl", "--format", "csv"), "its name says jsonl, the format is csv"),
        (("--out", "table"), "table: its name tells no format"),
        (("--out", "table.xlsx"), "let it end with .csv, .jsonl or .parquet, or say which"),
        (("--log", "tensorboard"), "expected mlflow or wandb"),
    ],
)
def test_what_is_refused(command, run, options, message):
    done = command("export", run, *options)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert not list(Path().glob("table*"))


def test_there_has_to_be_a_run(command):
    done = command("export", "nowhere", "--out", "table.csv")
    assert done.code == 2
    assert "nowhere: no run here" in done.err
