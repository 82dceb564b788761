"""What came of an ablation: a row of figures for each cell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ragemo.ablation.costs import read_costs
from ragemo.ablation.design import Axis
from ragemo.corpus.checked import MOST, NO_RECORD, require, typed
from ragemo.errors import RunFolderError
from ragemo.files import file_in, parse_json
from ragemo.scoring.metrics import METRICS
from ragemo.scoring.paired import Difference
from ragemo.scoring.slices import GroupScore

Interval = tuple[float, float] | None

NOT_RUN = "not run"
"""The failure of a cell that was not reached."""

COMPARED = ("weighted_f1", "uar")
"""Metrics whose difference to the first cell is told."""


@dataclass(frozen=True, slots=True)
class CellResult:
    """The figures of one cell.

    Attributes:
        name: unique in the ablation.
        values: axis -> label of its value; empty for a cell of the list.
        settings: dotted settings -> what the cell sets them to.
        run: its run's folder, below the ablation's.
        failure: why there are no figures; "" if there are.
        n: scored utterances; 0 where there are no figures.
        invalid: utterances with an answer that is no label.
        errors: utterances with a call that failed.
        metrics: accuracy, uar, weighted_f1 and macro_f1 in [0, 1].
        intervals: metric -> its 95 % interval; None with a single dialogue.
        differences: of `COMPARED`: this cell's minus the first cell's, with 95 % intervals by
            paired bootstrap over dialogues; empty for the first one.
        calls: answers of language models, as if the cell had been alone, those that weigh the
            model included.
        prompt_tokens: of these, see `ragemo.ablation.summary`: as counted before asking, a
            prompt once for all its answers where the model can share it.
        answer_tokens: of these, as the model told.
        cost: US dollars of these tokens, nothing cached; None where a price is unknown.
        word_error_rate: of the chosen transcripts against the reference, case and punctuation
            aside; None where there is no reference.
        word_error_bands: figures by the utterances' own word error rate.
        seconds: of the answers, an utterance; None without a language model. It is no part of
            `to_dict`: it differs from run to run.
    """

    name: str
    values: Mapping[str, str]
    settings: Mapping[str, Any]
    run: str
    failure: str = ""
    n: int = 0
    invalid: int = 0
    errors: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    differences: Mapping[str, Difference] = field(default_factory=dict)
    calls: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cost: float | None = 0.0
    word_error_rate: float | None = None
    word_error_bands: tuple[GroupScore, ...] = ()
    seconds: float | None = None

    @property
    def tokens_per_utterance(self) -> float:
        """Tokens sent and answered for each scored utterance."""
        return (self.prompt_tokens + self.answer_tokens) / self.n if self.n else 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready data; `from_dict` reads it back."""
        return {
            **{name: value for name, value in asdict(self).items() if name != "seconds"},
            "intervals": {name: one and list(one) for name, one in self.intervals.items()},
            "word_error_bands": [band.to_dict() for band in self.word_error_bands],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CellResult:
        """What `to_dict` gave.

        Raises:
            ValueError: in words, if it is not.
        """
        cell = typed(cls, data)
        _check_metrics(cell)
        counts = (cell.n, cell.invalid, cell.errors, cell.calls)
        tokens = (cell.prompt_tokens, cell.answer_tokens)
        require("a count", all(0 <= count < MOST for count in (*counts, *tokens)))
        require("cost", 0 <= (cell.cost or 0) < MOST)
        require("run", FOLDER.fullmatch(cell.run) is not None)
        return cell


FOLDER = re.compile(r"cells/[0-9a-f]{12}")
"""Where a cell's run lies, see `ragemo.ablation.folder`."""


def _check_metrics(cell: CellResult) -> None:
    """Whether a cell has all its figures, each in its range, or a reason to have none."""
    known = set(METRICS)
    require("metrics", cell.metrics.keys() == cell.intervals.keys())
    require("metrics", cell.metrics.keys() == (set() if cell.failure else known))
    require("differences", cell.differences.keys() <= set(COMPARED) & cell.metrics.keys())
    shares: list[float | None] = [*cell.metrics.values()]
    for band in cell.word_error_bands:
        shares += [band.accuracy, band.weighted_f1, band.uar]
        require("word_error_bands", 0 <= band.n < MOST and 0 <= band.dialogues < MOST)
    for interval in (cell.intervals, *(band.intervals for band in cell.word_error_bands)):
        shares += [bound for one in interval.values() for bound in one or ()]
    require("a share", all(one is None or 0 <= one <= 1 for one in shares))
    for one in cell.differences.values():
        bounds = (one.difference, one.low or 0, one.high or 0)
        require("differences", all(-1 <= bound <= 1 for bound in bounds))
    require("word_error_rate", 0 <= (cell.word_error_rate or 0) < MOST)


@dataclass(frozen=True, slots=True)
class AblationResult:
    """What came of an ablation.

    Attributes:
        name: of the ablation.
        axes: of its grid; () if it is only a list.
        cells: the grid, the last axis moving fastest, and then the list. The first is the one
            that the others are compared with.
        corpus: name of the corpus file.
        index: fingerprint of the index, or None.
        dialogues: the dialogues that are scored.
        bootstrap_samples, seed: of the intervals.
        notes: what a reader must know beside the figures.
    """

    name: str
    axes: tuple[Axis, ...]
    cells: tuple[CellResult, ...]
    corpus: str
    index: str | None
    dialogues: int
    bootstrap_samples: int
    seed: int
    notes: tuple[str, ...] = ()

    @property
    def done(self) -> tuple[CellResult, ...]:
        """The cells that have figures."""
        return tuple(cell for cell in self.cells if not cell.failure)

    @property
    def failed(self) -> tuple[CellResult, ...]:
        """The cells that have none, or in which calls failed."""
        return tuple(cell for cell in self.cells if cell.failure or cell.errors)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready data; `from_dict` reads it back. Without seconds, so that it can be
        reproduced to the byte."""
        return {
            **asdict(self),
            "axes": [{"name": axis.name, "labels": list(axis.labels)} for axis in self.axes],
            "cells": [cell.to_dict() for cell in self.cells],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AblationResult:
        """What `to_dict` gave.

        Raises:
            ValueError: in words, if it is not.
        """
        result = typed(cls, {**data, "cells": [CellResult.from_dict(one) for one in data["cells"]]})
        axes = {axis.name: axis.labels for axis in result.axes}
        require("axes", len(axes) == len(result.axes))
        for cell in result.cells:
            # A cell of the grid has a value of each axis, one of the list has none.
            require("values", not cell.values or cell.values.keys() == axes.keys())
            require("values", all(one in axes[name] for name, one in cell.values.items()))
        require("cells", len({cell.name for cell in result.cells}) == len(result.cells) > 0)
        counts = (result.dialogues, result.bootstrap_samples)
        require("a count", all(0 <= count < MOST for count in counts))
        return result

    @classmethod
    def open(cls, path: Path | str) -> AblationResult:
        """The result in an ablation's folder.

        Raises:
            RunFolderError: if there is none, or it cannot be read.
        """
        file = Path(path) / "result.json"
        try:
            result = cls.from_dict(parse_json(file_in(file.parent, file.name).read_bytes()))
        except FileNotFoundError:
            raise RunFolderError(
                f"{path}: no result of an ablation here; `ragemo ablate FILE --out {path}` makes "
                "one, with --resume if one was begun there"
            ) from None
        except (*NO_RECORD, OSError) as error:
            raise RunFolderError(
                f"{file}: not a result that ragemo wrote ({error!r}); run the ablation again with "
                "--resume"
            ) from None
        took = read_costs(file.parent)["cells"]
        seconds = {run: one.get("seconds_per_utterance") for run, one in took.items()}
        cells = tuple(replace(cell, seconds=seconds.get(cell.run)) for cell in result.cells)
        return replace(result, cells=cells)
