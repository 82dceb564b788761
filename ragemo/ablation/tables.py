"""The result as tables: for a terminal, a page, and a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from ragemo.ablation.results import COMPARED, NOT_RUN, AblationResult, CellResult
from ragemo.files import as_cell
from ragemo.scoring.metrics import METRICS
from ragemo.scoring.sheets import markdown_line, markdown_text
from ragemo.scoring.tables import HEADINGS

if TYPE_CHECKING:
    from rich.console import Group


def result_csv(result: AblationResult) -> str:
    """A row for each cell; metrics are fractions of 1, and empty where there is no figure."""
    axes = [axis.name for axis in result.axes]
    header = ["cell", *axes, "failure", "n", "invalid", "errors"]
    for metric in METRICS:
        header += [metric, f"{metric}_low", f"{metric}_high"]
    for metric in COMPARED:
        header += [f"{metric}_difference", f"{metric}_difference_low", f"{metric}_difference_high"]
    header += ["calls", "prompt_tokens", "answer_tokens", "cost", "word_error_rate", "run"]
    rows = [header, *(_csv_row(cell, axes) for cell in result.cells)]
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def _csv_row(cell: CellResult, axes: list[str]) -> list[str]:
    # Numbers are left as they are: a minus in front is no formula.
    row = [as_cell(t) for t in (cell.name, *(cell.values.get(a, "") for a in axes), cell.failure)]
    row += [str(cell.n), str(cell.invalid), str(cell.errors)]
    for metric in METRICS:
        row += [_six(value) for value in (cell.metrics.get(metric), *_both(cell, metric))]
    for metric in COMPARED:
        one = cell.differences.get(metric)
        row += [_six(v) for v in (one.difference, one.low, one.high)] if one else ["", "", ""]
    row += [str(cell.calls), str(cell.prompt_tokens), str(cell.answer_tokens), _six(cell.cost)]
    return [*row, _six(cell.word_error_rate), cell.run]


def result_markdown(result: AblationResult) -> str:
    """The rows as a Markdown table in percent, with lines of counts and notes below."""
    header = columns(result)
    lines = [
        "| " + " | ".join(header) + " |",
        "| --- |" + " ---: |" * (len(header) - 1),
    ]
    for row in table_rows(result):
        lines.append("| " + " | ".join(map(markdown_text, row)) + " |")
    return "\n".join([*lines, "", "  \n".join(map(markdown_line, remarks(result))), ""])


def result_table(result: AblationResult) -> Group:
    """What fits a terminal, as a rich table; print it with a rich `Console`."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    headings = ["weighted F1", "difference", "UAR", "accuracy"]
    if _asked(result):
        headings += ["tokens", "seconds"]
    headings += ["WER"] * _heard(result)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(Text("cell"), min_width=16)
    for heading in headings:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for cell in result.cells:
        if cell.failure:
            table.add_row(Text(cell.name), _state(cell))
            continue
        row = [_with_bounds(cell, "weighted_f1"), _difference(cell, "weighted_f1")]
        row += [_percent(cell.metrics["uar"]), _percent(cell.metrics["accuracy"])]
        if _asked(result):
            row.append(f"{cell.tokens_per_utterance:,.0f}")
            row.append("" if cell.seconds is None else f"{cell.seconds:.2f}")
        if _heard(result):
            row.append(_share(cell.word_error_rate))
        table.add_row(Text(cell.name), *(Text(text.replace(" [", "\n[")) for text in row))
    title = f"{result.name}: percent, with 95 % intervals"
    if _asked(result):
        title += "; tokens and seconds an utterance"
    return Group(Text(title), table, "", *(Text(line) for line in remarks(result)))


def columns(result: AblationResult) -> list[str]:
    """The headings of `table_rows`."""
    found = ["cell", *HEADINGS.values()]
    found += ["weighted F1, difference", "UAR, difference"]
    if _asked(result):
        found += ["invalid", "calls", "tokens/utterance", "cost"]
    return found + ["WER"] * _heard(result)


def table_rows(result: AblationResult) -> list[list[str]]:
    """The texts of each cell's row, metrics in percent."""
    return [_row(result, cell) for cell in result.cells]


def remarks(result: AblationResult) -> list[str]:
    """What a reader must know beside the figures."""
    scored = next((cell.n for cell in result.done), 0)
    lines = [
        f"{result.corpus}: n = {scored} utterances in {result.dialogues} dialogues. Differences "
        f"are to {result.cells[0].name}."
    ]
    if result.bootstrap_samples:
        lines.append(
            f"Intervals: dialogues resampled {result.bootstrap_samples} times, seed {result.seed}."
        )
    if _asked(result):
        lines.append(
            "Calls, tokens and cost are what each cell would take alone, with nothing cached."
        )
    failed = [cell for cell in result.cells if cell.failure and cell.failure != NOT_RUN]
    lines += [f"{cell.name}: {cell.failure}" for cell in failed]
    return [*lines, *(f"Note: {note}" for note in result.notes)]


def _row(result: AblationResult, cell: CellResult) -> list[str]:
    if cell.failure:
        return [cell.name, _state(cell), *[""] * (len(columns(result)) - 2)]
    row = [cell.name]
    row += [_with_bounds(cell, metric) for metric in HEADINGS]
    row += [_difference(cell, metric) for metric in COMPARED]
    if _asked(result):
        cost = "unknown" if cell.cost is None else f"${cell.cost:.4f}" if cell.cost else "free"
        row += [str(cell.invalid), f"{cell.calls:,}", f"{cell.tokens_per_utterance:,.0f}", cost]
    if _heard(result):
        row.append(_share(cell.word_error_rate))
    return row


def _state(cell: CellResult) -> str:
    """Why a cell has no figures, in short."""
    return NOT_RUN if cell.failure == NOT_RUN else "failed"


def _with_bounds(cell: CellResult, metric: str) -> str:
    return _percent(cell.metrics[metric]) + _bounds(*_both(cell, metric))


def _difference(cell: CellResult, metric: str) -> str:
    one = cell.differences.get(metric)
    return f"{100 * one.difference:+.1f}{_bounds(one.low, one.high, '+')}" if one else ""


def _asked(result: AblationResult) -> bool:
    return any(cell.calls for cell in result.cells)


def _heard(result: AblationResult) -> bool:
    return any(cell.word_error_rate is not None for cell in result.cells)


def _both(cell: CellResult, metric: str) -> tuple[float | None, float | None]:
    return cell.intervals.get(metric) or (None, None)


def _bounds(low: float | None, high: float | None, sign: str = "") -> str:
    if low is None or high is None:
        return ""
    return f" [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _share(value: float | None) -> str:
    return "" if value is None else _percent(value)


def _six(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
