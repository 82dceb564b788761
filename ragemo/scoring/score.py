"""A run's predictions become its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from ragemo.errors import DataError, SettingsError
from ragemo.scoring.baselines import constant_confusion, most_frequent, random_headline
from ragemo.scoring.bootstrap import intervals
from ragemo.scoring.confusion import dialogue_confusions
from ragemo.scoring.metrics import (
    METRICS,
    WITHOUT_NEUTRAL,
    Calibration,
    calibration,
    class_metrics,
    headline,
    metrics_of,
)
from ragemo.scoring.predictions import Predictions
from ragemo.scoring.selective import RiskCoverage, selective
from ragemo.scoring.sets import SetScore, score_sets
from ragemo.scoring.slices import GroupScore, Slices, score_slices

COUNTS = ("n", "dialogues", "invalid", "errors", "abstained")
MICRO = ("micro_f1", WITHOUT_NEUTRAL)


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Precision, recall and F1 of one label in [0, 1], and how many gold utterances it has."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Score:
    """What a run is worth.

    Attributes:
        n: scored utterances.
        dialogues: the dialogues they come from.
        accuracy: share labelled rightly (WA).
        uar: unweighted average recall.
        weighted_f1: mean F1 weighted by support.
        macro_f1: mean F1 over the labels that occur.
        micro_f1: F1 of all labels' counts together; the accuracy, if each prediction is a label.
        micro_f1_without_neutral: the same of all labels but neutral; None where the set has none.
        invalid: utterances whose answer is no label.
        errors: utterances that got no answer.
        abstained: utterances whose verdict was withheld; their labels are scored all the same.
        accuracy_of_kept: share labelled rightly of the others; None if there is none.
        intervals: metric -> 95 % interval as (low, high), or None where there is none.
        per_class: label -> its figures, in label order.
        confusion: counts, gold by predicted; the last column is "no label".
        calibration: of the predictions with a distribution, or None.
        selective: risk and coverage of the predictions with a distribution, or None.
        label_sets: coverage and size of the label sets, or None where there are none.
        baselines: name -> metric -> value, on the same utterances.
        slices: slice -> figures of its groups, in the order in which they are shown.
        seed: of the resampling and the random baseline.
        bootstrap_samples: how many samples the intervals rest on; 0 where there are none.
        notes: what a reader must know beside the figures.
    """

    n: int
    dialogues: int
    accuracy: float
    uar: float
    weighted_f1: float
    macro_f1: float
    micro_f1: float
    micro_f1_without_neutral: float | None
    invalid: int
    errors: int
    abstained: int
    accuracy_of_kept: float | None
    intervals: Mapping[str, tuple[float, float] | None]
    per_class: Mapping[str, ClassScore]
    confusion: tuple[tuple[int, ...], ...]
    calibration: Calibration | None
    selective: RiskCoverage | None
    label_sets: SetScore | None
    baselines: Mapping[str, Mapping[str, float]]
    seed: int
    bootstrap_samples: int
    notes: tuple[str, ...] = ()
    slices: Mapping[str, tuple[GroupScore, ...]] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels, in order."""
        return tuple(self.per_class)

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics by name, as `baselines` has them for the other systems."""
        values = {name: getattr(self, name) for name in (*METRICS, *MICRO)}
        return {name: value for name, value in values.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready data; `from_dict` reads it back.

        Metrics are fractions of 1. `confusion` has `labels` (rows, and all columns but the
        last, which is "no label") and `counts`.
        """
        return {
            "n": self.n,
            "dialogues": self.dialogues,
            **{name: getattr(self, name) for name in (*METRICS, *MICRO)},
            "invalid": self.invalid,
            "errors": self.errors,
            "abstained": self.abstained,
            "accuracy_of_kept": self.accuracy_of_kept,
            "intervals": {
                name: None if bounds is None else list(bounds)
                for name, bounds in self.intervals.items()
            },
            "per_class": {name: asdict(figures) for name, figures in self.per_class.items()},
            "confusion": {
                "labels": list(self.labels),
                "counts": [list(row) for row in self.confusion],
            },
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "selective": None if self.selective is None else self.selective.to_dict(),
            "label_sets": None if self.label_sets is None else asdict(self.label_sets),
            "baselines": {name: dict(metrics) for name, metrics in self.baselines.items()},
            "seed": self.seed,
            "bootstrap_samples": self.bootstrap_samples,
            "notes": list(self.notes),
            "slices": {
                name: [group.to_dict() for group in groups] for name, groups in self.slices.items()
            },
        }

    @classmethod
    def from_dict(cls, data: Any, source: str = "score") -> Score:
        """A score from what `to_dict` gave.

        Raises:
            DataError: naming `source`, if something is missing or of another shape.
        """
        try:
            return cls(
                **{name: data[name] for name in (*COUNTS, *METRICS, *MICRO, "accuracy_of_kept")},
                intervals={
                    name: None if bounds is None else (bounds[0], bounds[1])
                    for name, bounds in data["intervals"].items()
                },
                # Label order is kept in a list: JSON written with sorted keys loses it here.
                per_class={
                    name: ClassScore(**data["per_class"][name])
                    for name in data["confusion"]["labels"]
                },
                confusion=tuple(tuple(row) for row in data["confusion"]["counts"]),
                calibration=data["calibration"] and Calibration(**data["calibration"]),
                selective=data["selective"] and RiskCoverage.from_dict(data["selective"]),
                label_sets=data["label_sets"] and SetScore(**data["label_sets"]),
                baselines=data["baselines"],
                seed=data["seed"],
                bootstrap_samples=data["bootstrap_samples"],
                notes=tuple(data["notes"]),
                slices={
                    name: tuple(GroupScore.from_dict(group) for group in groups)
                    for name, groups in data["slices"].items()
                },
            )
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise DataError(
                f"not a score that ragemo wrote ({type(error).__name__}: {error}); "
                "score the run again",
                path=source,
            ) from None


def score(
    predictions: Predictions,
    *,
    training_counts: Mapping[str, int] | None,
    others: Mapping[str, Predictions] = MappingProxyType({}),
    slices: Slices = MappingProxyType({}),
    seed: int = 0,
    samples: int = 1000,
    notes: Sequence[str] = (),
) -> Score:
    """Score predictions, with intervals and baselines on the same utterances.

    Args:
        predictions: on the utterances that have a gold label, in any order.
        training_counts: label -> how often it occurs in training, for the majority baseline.
            If unknown (None or all zero), the majority of the scored labels takes its place
            and is named so.
        others: name -> predictions of another system for the same utterances.
        slices: slice -> the group of each of the predictions.
        seed: of the resampling and the random baseline.
        samples: how many bootstrap samples.
        notes: what a reader must know beside the figures, e.g. that the reference transcript
            was used.

    Raises:
        DataError: if there is nothing to score, or another system's utterances or gold labels
            differ.
        SettingsError: if `samples` is not 1 to 100,000, or a system has a baseline's name.
    """
    labels = predictions.labels
    if not predictions:
        raise DataError(
            "no utterance has a gold label, so there is nothing to score; "
            "give a file with emotions, or leave scoring out"
        )
    confusions = dialogue_confusions(predictions)
    total = confusions.sum(axis=0)
    support = total.sum(axis=1)
    metrics = metrics_of(labels)

    if training_counts and any(training_counts.get(name, 0) > 0 for name in labels.names):
        majority = {"majority": most_frequent(training_counts, labels)}
    else:
        scored = dict(zip(labels.names, support.tolist(), strict=True))
        majority = {"majority of the scored labels": most_frequent(scored, labels)}
    baselines = {
        name: headline(constant_confusion(support, labels.index(label)), metrics)
        for name, label in majority.items()
    }
    baselines["random"] = random_headline(support, seed, metrics)
    for name, other in others.items():
        if name in baselines:
            raise SettingsError(f"system {name!r} has the name of a baseline; rename it")
        _require_same(predictions, other, name)
        baselines[name] = headline(dialogue_confusions(other).sum(axis=0), metrics)

    bounds = intervals(confusions, seed, samples, metrics)
    resampled = len(confusions) > 1
    if not resampled:
        notes = (*notes, "no 95 % intervals: they need at least two dialogues, here is one")
    values, figures = headline(total, metrics), class_metrics(total)
    kept_right = predictions.right[~predictions.abstained]
    return Score(
        n=len(predictions),
        dialogues=len(confusions),
        **{name: values[name] for name in (*METRICS, "micro_f1")},
        micro_f1_without_neutral=values.get(WITHOUT_NEUTRAL),
        invalid=int(predictions.invalid.sum()),
        errors=int(predictions.failed.sum()),
        abstained=len(predictions) - len(kept_right),
        accuracy_of_kept=float(kept_right.mean()) if len(kept_right) else None,
        intervals=bounds,
        per_class={
            name: ClassScore(
                precision=float(figures.precision[k]),
                recall=float(figures.recall[k]),
                f1=float(figures.f1[k]),
                support=int(support[k]),
            )
            for k, name in enumerate(labels.names)
        },
        confusion=tuple(tuple(row) for row in total.tolist()),
        calibration=calibration(predictions),
        selective=selective(predictions),
        label_sets=score_sets(predictions),
        baselines=baselines,
        seed=seed,
        bootstrap_samples=samples if resampled else 0,
        notes=tuple(notes),
        slices=score_slices(predictions, slices, samples=samples, seed=seed),
    )


def _require_same(predictions: Predictions, others: Predictions, name: str) -> None:
    ours, theirs = predictions.by_id(), others.by_id()
    if ours.ids == theirs.ids and (ours.gold == theirs.gold).all():
        return
    gold, other = (dict(zip(p.ids, p.gold.tolist(), strict=True)) for p in (ours, theirs))
    record = min(key for key in gold.keys() | other.keys() if gold.get(key) != other.get(key))
    here, there = (
        None if (place := found.get(record)) is None else predictions.labels.names[place]
        for found in (gold, other)
    )
    raise DataError(
        f"system {name!r} has gold label {there!r} here and the run has {here!r}; both must be "
        "scored on the same utterances",
        record=record,
    )
