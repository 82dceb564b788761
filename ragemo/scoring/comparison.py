"""Several systems against a baseline, on the same utterances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ragemo.errors import DataError, SettingsError
from ragemo.scoring.confusion import dialogue_confusions
from ragemo.scoring.metrics import headline, metrics_of
from ragemo.scoring.paired import confusion_differences
from ragemo.scoring.predictions import Predictions
from ragemo.scoring.significance import McNemar, holm, mcnemar, randomisation


@dataclass(frozen=True, slots=True)
class MetricDifference:
    """One metric of a system beside the baseline's.

    Attributes:
        value: the system's, in [0, 1].
        difference: the system's minus the baseline's; above 0 where the system is better.
        low, high: its 95 % interval by paired bootstrap; None with a single dialogue.
        p: two-sided, by approximate randomisation over dialogues.
        p_holm: adjusted by Holm for the number of systems compared with the baseline.
    """

    value: float
    difference: float
    low: float | None
    high: float | None
    p: float
    p_holm: float


@dataclass(frozen=True, slots=True)
class SystemComparison:
    """A system against the baseline.

    Attributes:
        name: the system's.
        metrics: metric -> its difference.
        mcnemar: of accuracy; with the utterances that were fixed and broken.
        mcnemar_holm: its p, adjusted by Holm.
        both_right: utterances that both have right.
        both_wrong: utterances that both have wrong.
        wrong_otherwise: those of them where the two say different things.
    """

    name: str
    metrics: Mapping[str, MetricDifference]
    mcnemar: McNemar
    mcnemar_holm: float
    both_right: int
    both_wrong: int
    wrong_otherwise: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Systems against a baseline.

    Attributes:
        baseline: its name.
        baseline_metrics: metric -> its value in [0, 1].
        n: the utterances that are compared.
        dialogues: those they come from.
        systems: in the order given.
        samples: of the bootstrap, and of the randomisation.
        seed: of both.
        notes: what a reader must know beside the figures.
    """

    baseline: str
    baseline_metrics: Mapping[str, float]
    n: int
    dialogues: int
    systems: tuple[SystemComparison, ...]
    samples: int
    seed: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready data; metrics are fractions of 1."""
        return {
            **asdict(self),
            "systems": [asdict(system) for system in self.systems],
            "notes": list(self.notes),
        }


def compare(
    systems: Mapping[str, Predictions],
    *,
    samples: int = 10_000,
    seed: int = 0,
    common: bool = False,
) -> Comparison:
    """Compare each system with the first one.

    Args:
        systems: name -> its predictions, all on the same labels; the first is the baseline.
        samples: of the bootstrap and of the randomisation, at least 1.
        seed: of both.
        common: compare on the utterances that all have, rather than refuse if they differ.

    Raises:
        DataError: if the systems are not on the same utterances and `common` is not set, or
            share none; or if gold labels or dialogues differ.
        SettingsError: if there are fewer than two systems, or `samples` is not 1 to
            100,000.
    """
    if len(systems) < 2:
        raise SettingsError("a comparison needs at least two runs: the baseline and another")
    parts, notes = _same_utterances(systems, common=common)
    names = list(parts)
    confusions = {name: dialogue_confusions(own) for name, own in parts.items()}
    metrics = metrics_of(parts[names[0]].labels)
    baseline = confusions[names[0]]
    found = []
    for name in names[1:]:
        how = {"samples": samples, "seed": seed}
        differences = confusion_differences(confusions[name], baseline, metrics, **how)
        chances = randomisation(confusions[name], baseline, metrics, **how)
        found.append((name, differences, chances, _tally(parts[names[0]], parts[name])))
    adjusted = {metric: holm([chances[metric] for _, _, chances, _ in found]) for metric in metrics}
    tests = [mcnemar(tally["fixed"], tally["broken"]) for _, _, _, tally in found]
    tests_adjusted = holm([test.p for test in tests])
    if len(baseline) < 2:
        notes.append("no 95 % intervals: they need at least two dialogues, here is one")
    return Comparison(
        baseline=names[0],
        baseline_metrics=headline(baseline.sum(axis=0), metrics),
        n=len(parts[names[0]]),
        dialogues=len(baseline),
        systems=tuple(
            SystemComparison(
                name=name,
                metrics={
                    metric: MetricDifference(
                        value=value,
                        difference=differences[metric].difference,
                        low=differences[metric].low,
                        high=differences[metric].high,
                        p=chances[metric],
                        p_holm=adjusted[metric][place],
                    )
                    for metric, value in headline(confusions[name].sum(axis=0), metrics).items()
                },
                mcnemar=tests[place],
                mcnemar_holm=tests_adjusted[place],
                both_right=tally["both_right"],
                both_wrong=tally["both_wrong"],
                wrong_otherwise=tally["wrong_otherwise"],
            )
            for place, (name, differences, chances, tally) in enumerate(found)
        ),
        samples=samples,
        seed=seed,
        notes=tuple(notes),
    )


def _same_utterances(
    systems: Mapping[str, Predictions], *, common: bool
) -> tuple[dict[str, Predictions], list[str]]:
    """The predictions to compare, sorted by id, and what is to be said of those left out."""
    shared = set.intersection(*(set(own.ids) for own in systems.values()))
    counts = ", ".join(f"{name} has {len(own)}" for name, own in systems.items())
    if not shared:
        raise DataError(
            f"the runs share no scored utterance ({counts}); a comparison needs runs on the same "
            "corpus file"
        )
    apart = any(len(own) != len(shared) for own in systems.values())
    if apart and not common:
        raise DataError(
            f"the runs are not on the same utterances: they share {len(shared)}, but {counts}. "
            "Predict the same file with the same --limit, or pass --common to compare on those "
            "they share"
        )
    parts = {}
    for name, own in systems.items():
        kept = own.take([row for row, key in enumerate(own.ids) if key in shared]) if apart else own
        parts[name] = kept.by_id()
    (baseline, first), *others = parts.items()
    for name, own in others:
        for row in np.flatnonzero(~own.same_gold(first))[:1].tolist():
            raise DataError(
                f"gold label and dialogue are {_gold(own, row)} in {name} but {_gold(first, row)} "
                f"in {baseline}; only runs on the same corpus can be compared",
                record=own.ids[row],
            )
    notes = [f"compared on the {len(shared)} utterances that all have ({counts})"] if apart else []
    return parts, notes


def _gold(predictions: Predictions, row: int) -> str:
    """The gold label and the dialogue of one of them, in words."""
    label = predictions.labels.names[predictions.gold[row]]
    return f"{label!r} and {predictions.dialogue_ids[predictions.dialogue[row]]!r}"


def _tally(baseline: Predictions, system: Predictions) -> dict[str, int]:
    before, after = baseline.right, system.right
    kinds = {
        "both_right": before & after,
        "fixed": ~before & after,
        "broken": before & ~after,
        "both_wrong": ~before & ~after,
        "wrong_otherwise": ~before & ~after & (baseline.predicted != system.predicted),
    }
    return {name: int(np.count_nonzero(where)) for name, where in kinds.items()}
