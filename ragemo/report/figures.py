"""Figures of a run for its page: scores, reliability, costs, and what it was made with."""

from __future__ import annotations

import statistics
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ragemo.report.reasons import has_say
from ragemo.runs.run import Run
from ragemo.runs.scores import score_run
from ragemo.scoring.metrics import calibration_bins
from ragemo.scoring.predictions import Predictions
from ragemo.settings import Settings
from ragemo.types import Ballot


def score_data(run: Run, own: Predictions, *, samples: int, seed: int) -> dict[str, Any] | None:
    """The run's score as `Score.to_dict` gives it, and its reliability diagram.

    None where no predicted utterance has a gold label.
    """
    if not own:
        return None
    score = score_run(run, own, samples=samples, seed=seed)
    return {**score.to_dict(), "reliability": reliability(own)}


def reliability(predictions: Predictions) -> list[dict[str, float]]:
    """The bins of the reliability diagram: `n`, mean `confidence` and `accuracy` of each.

    The bins are those of the expected calibration error (see `ragemo.scoring.metrics`): 15 of
    one width, the upper end in it; empty ones are left out.
    """
    import numpy as np

    sure = predictions.sure
    confidence, right = predictions.confidence[sure], predictions.right[sure]
    bins = calibration_bins(confidence)
    return [
        {
            "n": int((bins == number).sum()),
            "confidence": float(confidence[bins == number].mean()),
            "accuracy": float(right[bins == number].mean()),
        }
        for number in np.unique(bins)
    ]


def cost_data(ballots: Iterable[Ballot]) -> list[dict[str, Any]]:
    """For each voter and purpose, in the order of the ballots: what was asked, and what it took.

    `cost` is in US dollars, None where the price of an answer is unknown; `median_seconds` and
    `slowest_seconds` are of single answers. Ballots are taken one by one and not kept.
    """
    groups: dict[tuple[str, str], _Spent] = {}
    for ballot in ballots:
        place = ballot.voter, ballot.purpose
        if place not in groups:
            groups[place] = _Spent()
        groups[place].add(ballot)
    return [
        {"voter": voter, "purpose": purpose, **spent.data()}
        for (voter, purpose), spent in groups.items()
    ]


class _Spent:
    """What a voter's ballots of one purpose took."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._seconds, self._costs = array("d"), array("d")

    def add(self, ballot: Ballot) -> None:
        usage = ballot.usage
        self._counts["invalid"] += ballot.invalid
        self._counts["failed"] += ballot.failed
        for name in ("prompt_tokens", "cached_tokens", "answer_tokens"):
            self._counts[name] += getattr(usage, name)
        self._seconds.append(usage.seconds)
        if usage.cost is not None:
            self._costs.append(usage.cost)

    def data(self) -> dict[str, Any]:
        counts, seconds = self._counts, self._seconds
        known = len(self._costs) == len(seconds)
        return {
            "ballots": len(seconds),
            "invalid": counts["invalid"],
            "failed": counts["failed"],
            # What was never asked of anybody costs nothing and takes no time.
            "asked": bool(any(seconds) or counts["prompt_tokens"]),
            "prompt_tokens": counts["prompt_tokens"],
            "cached_tokens": counts["cached_tokens"],
            "answer_tokens": counts["answer_tokens"],
            "cost": sum(self._costs) if known else None,
            "median_seconds": statistics.median(seconds),
            "slowest_seconds": max(seconds),
            "seconds": sum(seconds),
        }


def settings_data(run: Run) -> list[dict[str, Any]]:
    """Every setting by its dotted name, its value, and whether that is not the default."""
    defaults = dict(_flat(Settings().model_dump(mode="json")))
    return [
        {"name": name, "value": value, "changed": name in defaults and defaults[name] != value}
        for name, value in _flat(run.manifest["settings"])
    ]


def manifest_data(run: Run) -> list[dict[str, Any]]:
    """What else the manifest holds, by dotted name."""
    apart = ("settings", "labels", "notes", "kind", "format")
    rest = {name: value for name, value in run.manifest.items() if name not in apart}
    return [{"name": name, "value": value} for name, value in _flat(rest)]


def panels_data(run: Run) -> list[dict[str, Any]]:
    """Who counted how much in each panel, and what came after the pool."""
    found = []
    for record in run.panels():
        panel = record["panel"]
        weighed = {one["voter"]: one for one in record["weighed"]}
        transitions = panel["transitions"] if panel["decoder"] != "none" else None
        found.append(
            {
                "pool": panel["pool"],
                "voters": [
                    {"voter": voter, "weight": weight, **weighed.get(voter, {})}
                    for voter, weight in panel["weights"].items()
                    if has_say(run, voter)
                ],
                "prior": panel["prior"],
                "correction": panel["correction"],
                "temperature": panel["temperature"],
                "has_sets": panel["threshold"] is not None,
                "decoder": panel["decoder"],
                "own_strength": transitions and transitions["own_strength"],
                "other_strength": transitions and transitions["other_strength"],
            }
        )
    return found


def _flat(data: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Leaves of nested mappings with their dotted names."""
    rows: list[tuple[str, Any]] = []
    for name, value in data.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{above}{name}.")
        else:
            rows.append((f"{above}{name}", value))
    return rows
