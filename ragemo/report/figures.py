"""Figures of a run for its page: scores, reliability, costs, and what it was made with."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ragemo.report.reasons import has_say
from ragemo.runs.run import Run
from ragemo.runs.scores import score_run, scored
from ragemo.scoring.metrics import calibration_bins
from ragemo.scoring.predictions import Predictions
from ragemo.settings import Settings
from ragemo.types import Ballot, Verdict


def score_data(
    run: Run, verdicts: Sequence[Verdict], *, samples: int, seed: int
) -> dict[str, Any] | None:
    """The run's score as `Score.to_dict` gives it, and its reliability diagram.

    None where no predicted utterance has a gold label.
    """
    predictions = scored(run, verdicts)
    if not predictions:
        return None
    score = score_run(run, samples=samples, seed=seed)
    return {**score.to_dict(), "reliability": reliability(predictions)}


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


def cost_data(ballots: Sequence[Ballot]) -> list[dict[str, Any]]:
    """For each voter and purpose, in the order of the ballots: what was asked, and what it took.

    `cost` is in US dollars, None where the price of an answer is unknown; `median_seconds` and
    `slowest_seconds` are of single answers.
    """
    groups: dict[tuple[str, str], list[Ballot]] = {}
    for ballot in ballots:
        groups.setdefault((ballot.voter, ballot.purpose), []).append(ballot)
    rows = []
    for (voter, purpose), own in groups.items():
        usages = [ballot.usage for ballot in own]
        # What was never asked of anybody costs nothing and takes no time.
        asked = any(usage.seconds or usage.prompt_tokens for usage in usages)
        costs = [usage.cost for usage in usages if usage.cost is not None]
        rows.append(
            {
                "voter": voter,
                "purpose": purpose,
                "ballots": len(own),
                "invalid": sum(ballot.invalid for ballot in own),
                "failed": sum(ballot.failed for ballot in own),
                "asked": asked,
                "prompt_tokens": sum(usage.prompt_tokens for usage in usages),
                "cached_tokens": sum(usage.cached_tokens for usage in usages),
                "answer_tokens": sum(usage.answer_tokens for usage in usages),
                "cost": sum(costs) if len(costs) == len(usages) else None,
                "median_seconds": statistics.median(usage.seconds for usage in usages),
                "slowest_seconds": max(usage.seconds for usage in usages),
                "seconds": sum(usage.seconds for usage in usages),
            }
        )
    return rows


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
