"""An ablation's folder for its page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from ragemo.ablation.costs import read_costs
from ragemo.ablation.folder import own_place
from ragemo.ablation.results import NOT_RUN, AblationResult, CellResult
from ragemo.corpus.checked import NO_RECORD
from ragemo.errors import RunFolderError
from ragemo.files import file_in, parse_json
from ragemo.report.figures import settings_data
from ragemo.report.folders import short_names, with_short_names
from ragemo.report.page import ABLATION, render
from ragemo.runs.run import Run

MANIFEST = "ablation.json"


def is_ablation(folder: Path) -> bool:
    """Whether a folder is an ablation's, not a run's."""
    return (folder / MANIFEST).is_file()


def ablation_report(folder: Path) -> str:
    """The page of an ablation.

    Args:
        folder: where `ragemo ablate` put it.

    Returns:
        The page; the same folder gives the same text.

    Raises:
        RunFolderError: if it has no result yet, or one that cannot be read.
    """
    return render(ablation_data(folder), scripts=ABLATION)


def ablation_data(folder: Path) -> dict[str, Any]:
    """What the page shows: the result as `AblationResult` has it, and what it cost.

    `asked` is what was really asked for, `seconds` how long the cells took together (None where
    that is not known), `common` what is not the default in cells that do not set it themselves.
    Absolute paths are short names.
    """
    result = AblationResult.open(folder)
    try:
        manifest = parse_json(file_in(folder, MANIFEST).read_bytes())
        version, digest = str(manifest["ragemo"]), str(manifest["corpus"]["sha256"])
    except (*NO_RECORD, OSError) as error:
        raise RunFolderError(
            f"{folder}: {MANIFEST} is not what ragemo wrote ({error!r}); run the ablation again "
            "with --resume"
        ) from None
    costs = read_costs(folder)
    # Cells that left the design are in the costs still; a cell that never ran is not.
    runs = dict.fromkeys(cell.run for cell in result.cells)
    walls = [costs["cells"][run].get("wall") for run in runs if run in costs["cells"]]
    common = _common(folder, result)
    data = {
        "name": result.name,
        "ragemo": version,
        "corpus": result.corpus,
        "sha256": digest,
        "index": result.index,
        "dialogues": result.dialogues,
        "bootstrap_samples": result.bootstrap_samples,
        "seed": result.seed,
        "notes": list(result.notes),
        "axes": [{"name": axis.name, "labels": list(axis.labels)} for axis in result.axes],
        "cells": [_cell_data(cell) for cell in result.cells],
        "asked": costs["asked"],
        "seconds": None if None in walls else sum(walls),
        "common": common,
        "command": _command(result, folder.resolve().name),
    }
    names = short_names([[cell.settings for cell in result.cells], common])
    return {name: with_short_names(own, names) for name, own in data.items()}


def _command(result: AblationResult, out: str) -> str:
    """What makes the ablation again from its file; the corpus and the index by name alone."""
    parts = ["ragemo", "ablate", "ablation.yaml", "--data", result.corpus]
    parts += ["--index", "INDEX"] if result.index else []
    return shlex.join([*parts, "--bootstrap", str(result.bootstrap_samples or 1000), "--out", out])


def _cell_data(cell: CellResult) -> dict[str, Any]:
    bands = cell.word_error_bands
    return {
        **cell.to_dict(),
        "seconds": cell.seconds,
        "not_run": cell.failure == NOT_RUN,
        "word_error_bands": [
            {"group": band.group, "n": band.n, "accuracy": band.accuracy} for band in bands
        ],
    }


def _common(folder: Path, result: AblationResult) -> list[dict[str, Any]]:
    """Settings that are not the default in cells that do not set them themselves."""
    found: dict[str, dict[str, Any]] = {}
    varied = _varied(result)
    for cell in result.done:
        if found and varied <= found.keys() | cell.settings.keys():
            continue  # nothing new
        try:
            settings = settings_data(Run.open(own_place(folder, cell.run)))
        except RunFolderError:
            continue  # a cell's folder may have been moved away; the figures are in the result
        for one in settings:
            if one["name"] not in cell.settings:
                found.setdefault(one["name"], one)
    return [one for one in found.values() if one["changed"]]


def _varied(result: AblationResult) -> set[str]:
    """Settings that any cell sets."""
    return {name for cell in result.cells for name in cell.settings}
