"""A score for people: tables for the terminal and Markdown for a README."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ragemo.scoring.score import Score

HEADINGS = {
    "accuracy": "accuracy (WA)",
    "uar": "UAR",
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
}
WIDEST_CONFUSION = 10  # labels whose matrix still fits 80 columns


def score_table(score: Score, name: str = "this run") -> Group:
    """A score as rich tables that fit 80 columns; print it with a rich `Console`.

    Headline figures beside the baselines (in percent, with 95 % intervals), figures per label,
    the confusion matrix (of up to ten labels), and lines of counts and notes.
    """
    parts: list[RenderableType] = [*_headline(score, name), "", *_per_class(score), ""]
    if len(score.labels) <= WIDEST_CONFUSION:
        parts += [*_confusion(score), ""]
    return Group(*parts, *(Text(line) for line in _remarks(score)))


def score_markdown(score: Score, name: str = "this run") -> str:
    """The headline figures as a Markdown table with a line of counts and notes below."""
    lines = [
        "| system | " + " | ".join(HEADINGS.values()) + " |",
        "| --- |" + " ---: |" * len(HEADINGS),
    ]
    for system, cells in _systems(score, name):
        figures = [figure + (f" {interval}" if interval else "") for figure, interval in cells]
        escaped = system.replace("|", "\\|")
        lines.append(f"| {escaped} | " + " | ".join(figures) + " |")
    return "\n".join([*lines, "", "  \n".join(_remarks(score)), ""])


def _systems(score: Score, name: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each system's name and its (figure, interval) per metric; the run itself comes first."""
    rows = [(name, [(_percent(score.metrics[m]), _interval(score, m)) for m in HEADINGS])]
    for baseline, metrics in score.baselines.items():
        rows.append((baseline, [(_percent(metrics[m]), "") for m in HEADINGS]))
    return rows


def _headline(score: Score, name: str) -> tuple[Text, Table]:
    table = _table("system", *HEADINGS.values())
    for position, (system, cells) in enumerate(_systems(score, name)):
        texts = [Text("\n".join(filter(None, cell))) for cell in cells]
        table.add_row(Text(system), *texts, style="bold" if position == 0 else "")
    return Text("Percent" + (", with 95 % intervals" if score.bootstrap_samples else "")), table


def _per_class(score: Score) -> tuple[Text, Table]:
    table = _table("label", "precision", "recall", "F1", "support")
    for label, figures in score.per_class.items():
        values = (figures.precision, figures.recall, figures.f1)
        table.add_row(Text(label), *map(_percent, values), str(figures.support))
    return Text("Per label, percent"), table


def _confusion(score: Score) -> tuple[Text, Table]:
    rows = list(score.labels)
    headings = [label[:4] for label in rows]
    if len(set(headings)) < len(headings):
        headings = [str(position) for position in range(1, len(rows) + 1)]
        rows = [f"{number} {label}" for number, label in zip(headings, rows, strict=True)]
    title = "Confusion: gold label by row, predicted label by column"
    unlabelled = any(row[-1] for row in score.confusion)
    if unlabelled:
        headings.append("none")
        title += " (none: no label)"
    table = _table("gold", *headings)
    for position, (label, row) in enumerate(zip(rows, score.confusion, strict=True)):
        cells = [
            Text(str(count), style="bold" if column == position else "")
            for column, count in enumerate(row if unlabelled else row[:-1])
        ]
        table.add_row(Text(label), *cells)
    return Text(title), table


def _remarks(score: Score) -> list[str]:
    dialogues = "1 dialogue" if score.dialogues == 1 else f"{score.dialogues} dialogues"
    asked = f"invalid: {score.invalid}; errors: {score.errors}"
    lines = [f"n = {score.n} utterances in {dialogues}; {asked}."]
    if score.bootstrap_samples:
        lines.append(
            f"Intervals: dialogues resampled {score.bootstrap_samples} times, seed {score.seed}."
        )
    if score.calibration is not None:
        lines.append(
            f"Calibration of {score.calibration.n} distributions: "
            f"log loss {score.calibration.log_loss:.3f}, Brier {score.calibration.brier:.3f}, "
            f"ECE {score.calibration.ece:.3f}."
        )
    if score.selective is not None:
        surest = {round(100 * p.coverage): _percent(p.accuracy) for p in score.selective.curve}
        lines.append(
            f"Selective accuracy of {score.selective.n} distributions: all {surest[100]}, "
            f"the surest 80 % {surest[80]}, the surest 50 % {surest[50]}; "
            f"AURC {score.selective.aurc:.3f}."
        )
    if score.abstained:
        kept = ""
        if score.accuracy_of_kept is not None:
            kept = f"; accuracy of the others {_percent(score.accuracy_of_kept)}"
        lines.append(f"Abstained on {score.abstained} of {score.n} utterances{kept}.")
    if score.label_sets is not None:
        lines.append(
            f"Label sets of {score.label_sets.n} utterances: "
            f"{_percent(score.label_sets.coverage)} % hold the gold label, "
            f"{score.label_sets.mean_size:.2f} of {len(score.labels)} labels on average."
        )
    return [*lines, *(f"Note: {note}" for note in score.notes)]


def _table(names: str, *figures: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column(names, overflow="fold")
    for heading in figures:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    return table


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _interval(score: Score, metric: str) -> str:
    bounds = score.intervals[metric]
    return "" if bounds is None else f"[{_percent(bounds[0])}, {_percent(bounds[1])}]"
