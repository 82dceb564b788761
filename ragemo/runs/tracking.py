"""A finished run in MLflow or Weights & Biases: settings, metrics, manifest and predictions.

Where it goes is told by the trackers' own variables: MLFLOW_TRACKING_URI; WANDB_MODE, WANDB_DIR,
WANDB_API_KEY. Nothing of this machine is sent along: no folders, no host, no code, no git.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragemo.errors import SettingsError
from ragemo.files import canonical_json, indented_json, write_text
from ragemo.runs.export import csv_lines, load_extra, predictions_table, without_folders
from ragemo.runs.run import Run
from ragemo.runs.scores import score_run

MOST_PARAMS = 100
"""MLflow takes no more in one request."""


@dataclass(frozen=True)
class Record:
    """What a tracker is told of a run.

    Attributes:
        name: the run folder's.
        params: settings by dotted name, and what identifies the data below `manifest.`.
        metrics: figures by name; a bound of a metric's 95 % interval is `NAME.low`, `NAME.high`,
            a baseline's metric `baseline.BASELINE.NAME`. Empty without gold labels.
        files: file name -> content.
    """

    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    files: Mapping[str, str]


def log_run(
    run: Run, to: str, *, experiment: str = "ragemo", samples: int = 1000, seed: int = 0
) -> str:
    """Log a finished run to an experiment tracker.

    Args:
        run: a finished run; without gold labels no metrics are logged.
        to: "mlflow" or "wandb".
        experiment: MLflow's experiment, or the project at Weights & Biases.
        samples: of the bootstrap over dialogues, see `score_run`.
        seed: of the bootstrap.

    Returns:
        The id that the tracker gave the run.

    Raises:
        SettingsError: if the tracker is unknown or not installed, or does not take the run.
        RunFolderError: if the run is not finished.
    """
    if to not in TRACKERS:
        raise SettingsError(f"tracker {to!r}: expected {' or '.join(TRACKERS)}")
    record = record_of(run, samples=samples, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in record.files.items():
            write_text(Path(folder, name), content)
        return TRACKERS[to](record, experiment, Path(folder))


def record_of(run: Run, *, samples: int = 1000, seed: int = 0) -> Record:
    """What a tracker is told of a run; arguments as for `log_run`."""
    table = predictions_table(run)
    manifest = without_folders(run.manifest)
    others = {key: value for key, value in table.about.items() if key != "settings"}
    params = dict(_flat({**manifest["settings"], "manifest": others}))
    files = {"manifest.json": indented_json(manifest), "predictions.csv": "".join(csv_lines(table))}
    metrics: dict[str, float] = {}
    predicted = {verdict.utterance_id for verdict in run.verdicts()}
    if any(u.gold is not None and u.turn.utterance_id in predicted for u in run.utterances):
        score = score_run(run, samples=samples, seed=seed)
        metrics |= {"n": score.n, "invalid": score.invalid, "errors": score.errors}
        metrics |= score.metrics
        for name, bounds in score.intervals.items():
            if bounds is not None:
                metrics |= {f"{name}.low": bounds[0], f"{name}.high": bounds[1]}
        for baseline, figures in score.baselines.items():
            named = baseline.replace(" ", "_")
            metrics |= {f"baseline.{named}.{name}": value for name, value in figures.items()}
        files["score.json"] = indented_json(score.to_dict())
    return Record(str(table.about["run"]), params, metrics, files)


def _flat(data: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings by dotted name; what is no text is written as JSON."""
    for key, value in data.items():
        name = f"{place}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value if isinstance(value, str) else canonical_json(value)


def _log_to_mlflow(record: Record, experiment: str, folder: Path) -> str:
    mlflow = load_extra("mlflow", "mlflow")
    entities = mlflow.entities
    try:
        # A client of its own leaves the caller's active run alone, and adds no tags about the
        # script and its user.
        client = mlflow.MlflowClient()
        known = client.get_experiment_by_name(experiment)
        experiment_id = known.experiment_id if known else client.create_experiment(experiment)
        logged = client.create_run(experiment_id, run_name=record.name)
        run_id = str(logged.info.run_id)
        params = [entities.Param(_plain(name), value) for name, value in record.params.items()]
        for start in range(0, len(params), MOST_PARAMS):
            client.log_batch(run_id, params=params[start : start + MOST_PARAMS])
        now = int(time.time() * 1000)
        metrics = [entities.Metric(_plain(n), v, now, 0) for n, v in record.metrics.items()]
        client.log_batch(run_id, metrics=metrics)
        client.log_artifacts(run_id, str(folder))
        client.set_terminated(run_id)
    except mlflow.MlflowException as error:
        raise SettingsError(f"MLflow did not take the run: {error}") from None
    return run_id


def _log_to_wandb(record: Record, experiment: str, folder: Path) -> str:
    wandb = load_extra("wandb", "wandb")
    settings = wandb.Settings(
        silent=True,
        host="",
        console="off",
        save_code=False,
        disable_git=True,
        disable_code=True,
        disable_job_creation=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
    )
    try:
        run = wandb.init(
            project=experiment,
            name=record.name,
            config=dict(record.params),
            reinit="create_new",  # leaves the caller's active run alone
            settings=settings,
        )
        with run:
            run.summary.update(dict(record.metrics))
            artifact = wandb.Artifact(f"run-{_plain(record.name)}", type="run")
            for file in sorted(folder.iterdir()):
                artifact.add_file(str(file))
            run.log_artifact(artifact)
    except wandb.Error as error:
        raise SettingsError(f"Weights & Biases did not take the run: {error}") from None
    return str(run.id)


TRACKERS: Mapping[str, Callable[[Record, str, Path], str]] = {
    "mlflow": _log_to_mlflow,
    "wandb": _log_to_wandb,
}
"""Each takes a record, the experiment's name and the folder of its files."""


def _plain(name: str) -> str:
    """A name in letters that every tracker allows."""
    return re.sub(r"[^\w.-]", "_", name)
