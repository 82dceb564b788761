"""A comparison for people: tables for the terminal, Markdown and LaTeX."""

from __future__ import annotations

from rich.console import Group

from ragemo.scoring.comparison import Comparison, MetricDifference, SystemComparison
from ragemo.scoring.sheets import Sheet, latex, markdown, markdown_line, percent, terminal
from ragemo.scoring.tables import ALL_HEADINGS, HEADINGS, notes


def comparison_table(comparison: Comparison) -> Group:
    """A comparison as rich tables that fit 80 columns, one a system."""
    sheets = [_against_baseline(comparison, system) for system in comparison.systems]
    return terminal(sheets, _remarks(comparison))


def comparison_markdown(comparison: Comparison) -> str:
    """The same as Markdown tables."""
    sheets = [_against_baseline(comparison, system) for system in comparison.systems]
    return f"{markdown_line(sheets[0].title)}\n\n" + markdown(sheets, _remarks(comparison))


def comparison_latex(comparison: Comparison) -> str:
    """One LaTeX table of all systems: figures, differences with intervals, and p values."""
    rows = [(comparison.baseline, *(percent(comparison.baseline_metrics[m]) for m in HEADINGS))]
    for system in comparison.systems:
        own = [system.metrics[m] for m in HEADINGS]
        rows += [
            (system.name, *(percent(one.value) for one in own)),
            (f"difference from {comparison.baseline}", *map(_difference, own)),
            (
                "p" if len(comparison.systems) == 1 else "p (Holm)",
                *(p_value(o.p_holm) for o in own),
            ),
        ]
    title = f"Percent, on {comparison.n} utterances; differences in points with 95 % intervals"
    sheet = Sheet(title, ("system", *HEADINGS.values()), tuple(rows))
    return latex([sheet], _remarks(comparison))


def _against_baseline(comparison: Comparison, system: SystemComparison) -> Sheet:
    several = len(comparison.systems) > 1
    rows = []
    for metric, one in system.metrics.items():
        value = comparison.baseline_metrics[metric]
        row = (ALL_HEADINGS[metric], percent(value), percent(one.value), _difference(one))
        rows.append((*row, p_value(one.p), *([p_value(one.p_holm)] if several else [])))
    return Sheet(
        f"{system.name} against {comparison.baseline}, percent; the difference with its "
        "95 % interval",
        ("metric", "baseline", "system", "difference", "p", *(["p (Holm)"] if several else [])),
        tuple(rows),
    )


def _remarks(comparison: Comparison) -> list[str]:
    dialogues = "1 dialogue" if comparison.dialogues == 1 else f"{comparison.dialogues} dialogues"
    lines = [f"n = {comparison.n} utterances in {dialogues}; baseline {comparison.baseline}."]
    for system in comparison.systems:
        test = system.mcnemar
        kind = "exact" if test.exact else "chi-squared"
        adjusted = f", Holm {p_value(system.mcnemar_holm)}" if len(comparison.systems) > 1 else ""
        lines.append(
            f"{system.name}: {test.fixed} fixed, {test.broken} broken, "
            f"{system.both_right} right in both, {system.both_wrong} wrong in both "
            f"({system.wrong_otherwise} of them otherwise); "
            f"McNemar ({kind}) p = {p_value(test.p)}{adjusted}."
        )
    lines.append(
        f"Intervals: paired bootstrap; p: approximate randomisation; both over dialogues, "
        f"{comparison.samples} samples, seed {comparison.seed}."
    )
    if len(comparison.systems) > 1:
        lines.append(
            f"Holm: p of each metric, adjusted for {len(comparison.systems)} systems compared "
            "with the baseline."
        )
    return [*lines, *notes(comparison.notes)]


def _difference(one: MetricDifference) -> str:
    figure = f"{100 * one.difference:+.1f}"
    if one.low is None or one.high is None:
        return figure
    return f"{figure} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"


def p_value(value: float) -> str:
    """A p value: three digits, or "<.001"."""
    if value < 0.001:
        return "<.001"
    return f"{value:.3f}".removeprefix("0") if value < 0.9995 else "1"
