"""What MLflow and Weights & Biases know of a run afterwards, read back from their stores."""

import json
import shutil
import struct
import sys
import time
from pathlib import Path

import pytest

import ragemo
from ragemo import log_run, score_run
from ragemo.errors import SettingsError
from ragemo.settings import resolve_settings
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import ROWS, ask_all, make_corpus

KEY = "sk-never-to-be-told"


def run_in(folder, rows=ROWS, **overrides):
    llm = FakeLLM(lambda prompt, sample: "happy" if sample == 0 else "angry")
    settings = resolve_settings({}, {"retrieval.k": 0, "llm.samples": 2} | overrides)
    return ask_all(make_corpus(rows), folder / "one", settings, llm=llm)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A template of one's own, which a run knows by its whole path."""
    file = tmp_path_factory.mktemp("own") / "mine.jinja"
    shutil.copy(Path(ragemo.__file__).parent / "prompting/templates/zero-shot.jinja", file)
    return file


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_in(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def score(run):
    return score_run(run, samples=50)


@pytest.fixture(autouse=True)
def stores(tmp_path, monkeypatch):
    """Local stores, and a key that nobody is to see."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow").as_uri())
    # MLflow wants a database in its place; the skinny package has none, a server would do.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))


def expected_metrics(score):
    found = dict(score.metrics)
    for name, bounds in score.intervals.items():
        found |= dict(zip((f"{name}.low", f"{name}.high"), bounds or (), strict=False))
    for baseline, metrics in score.baselines.items():
        for name, value in metrics.items():
            found[f"baseline.{baseline.replace(' ', '_')}.{name}"] = value
    return {name: value for name, value in found.items() if value is not None}


def test_mlflow(run, score, tmp_path):
    import mlflow

    logged = log_run(run, to="mlflow", experiment="moods", samples=50)
    client = mlflow.MlflowClient()
    found = client.get_run(logged)
    assert client.get_experiment(found.info.experiment_id).name == "moods"
    assert (found.info.run_name, found.info.status) == ("one", "FINISHED")
    for name, value in expected_metrics(score).items():
        assert found.data.metrics[name] == pytest.approx(value), name
    assert found.data.metrics["n"] == score.n
    assert found.data.params["retrieval.k"] == "0"
    assert found.data.params["llm.samples"] == "2"
    assert found.data.params["manifest.corpus.sha256"] == run.manifest["corpus"]["sha256"]
    folder = Path(client.download_artifacts(logged, "", str(tmp_path)))
    assert json.loads((folder / "manifest.json").read_text()) == run.manifest
    lines = (folder / "predictions.csv").read_text().splitlines()
    assert len(lines) == len(ROWS) + 1
    assert json.loads((folder / "score.json").read_text()) == score.to_dict()
    again = log_run(run, to="mlflow", experiment="moods", samples=50)
    assert again != logged
    assert client.get_run(again).info.experiment_id == found.info.experiment_id
    assert mlflow.active_run() is None


def records_of(file):
    """The records of a .wandb file: blocks of 32 KiB with chunks of crc, length and type."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, whole = file.read_bytes(), b""
    place = 7  # the file's own header
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        if place + 7 + length > len(data):
            return  # it is being written
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last chunk of one
            yield Record.FromString(whole)
            whole = b""


def logged_in(file):
    """The configuration, the summary and the files that it holds by now."""
    config, summary, artifacts = {}, {}, []
    for record in records_of(file):
        if record.HasField("run"):
            assert (record.run.project, record.run.display_name) == ("moods", "one")
            assert record.run.host == ""
            assert not record.run.HasField("git")
            config |= {
                entry.key: json.loads(entry.value_json) for entry in record.run.config.update
            }
        if record.HasField("summary"):
            for entry in record.summary.update:
                summary[entry.key or ".".join(entry.nested_key)] = json.loads(entry.value_json)
        if record.HasField("artifact"):
            artifacts += [entry.path for entry in record.artifact.manifest.contents]
    return config, summary, artifacts


def test_wandb(run, score, tmp_path):
    logged = log_run(run, to="wandb", experiment="moods", samples=50)
    (file,) = tmp_path.rglob(f"run-{logged}.wandb")
    config, summary, artifacts = logged_in(file)
    end = time.monotonic() + 20
    while not ("accuracy" in summary and artifacts) and time.monotonic() < end:
        time.sleep(0.1)  # a process of its own writes it, and outlives the run
        config, summary, artifacts = logged_in(file)
    for name, value in expected_metrics(score).items():
        assert summary[name] == pytest.approx(value), name
    assert config["retrieval.k"] == "0"
    assert config["manifest.corpus.sha256"] == run.manifest["corpus"]["sha256"]
    assert sorted(artifacts) == ["manifest.json", "predictions.csv", "score.json"]


def test_a_run_without_gold_labels_has_no_metrics(tmp_path):
    import mlflow

    rows = [row | {"emotion": None} for row in ROWS[:4]]
    found = mlflow.MlflowClient().get_run(log_run(run_in(tmp_path, rows), to="mlflow"))
    assert found.data.metrics == {}
    assert found.data.params["seed"] == "0"


@pytest.mark.parametrize("to", ["mlflow", "wandb"])
def test_nothing_of_this_machine_is_told(to, tmp_path, template):
    run = run_in(tmp_path / "secret", ROWS[:4], **{"prompt.template": str(template)})
    assert str(template) in (run.path / "manifest.json").read_text()
    log_run(run, to=to, samples=20)
    # What W&B's own programs note down in their logs stays here.
    sent = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".log"]
    told = b"".join(path.read_bytes() for path in sent if run.path not in path.parents)
    assert b"mine.jinja" in told
    for secret in (str(template.parent), str(run.path.parent), KEY):
        assert secret.encode() not in told, secret


@pytest.mark.parametrize("to", ["mlflow", "wandb"])
def test_a_missing_library_is_named(run, monkeypatch, to):
    monkeypatch.setitem(sys.modules, to, None)
    with pytest.raises(SettingsError, match=rf"{to} .*pip install 'ragemo\[{to}\]'"):
        log_run(run, to=to)


def test_what_a_tracker_does_not_take_is_one_message(run, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "gopher://nowhere")
    with pytest.raises(SettingsError, match="MLflow did not take the run"):
        log_run(run, to="mlflow")
    with pytest.raises(SettingsError, match="'tensorboard': expected mlflow or wandb"):
        log_run(run, to="tensorboard")
