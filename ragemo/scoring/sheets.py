"""A table that is the same in the terminal, in Markdown and in LaTeX."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ragemo.errors import SettingsError

LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    # At the start of a row, they would be read as an option of the command before it.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}

_MARKDOWN = re.compile(r"[\\|]|<(?=[A-Za-z/!?])")
"""What would be a cell's end, an element, or take the meaning of what follows."""

_MINUS = re.compile(r"(?<!\w)-(?=[\d.])")


FORMATS = ("table", "json", "csv", "markdown", "latex")
"""What scores and comparisons are printed as."""


def require_format(name: str) -> None:
    """Refuse a format that is none of `FORMATS`.

    Raises:
        SettingsError: naming those that are.
    """
    if name not in FORMATS:
        raise SettingsError(f"--format {name}: expected one of {', '.join(FORMATS)}")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table.

    Attributes:
        title: what it shows.
        header: of each column.
        rows: cells as texts; a cell may have two lines.
        texts: how many columns, from the left, hold texts; the others are figures.
        bold: (row, column) of the cells that are set apart in the terminal.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1
    bold: Collection[tuple[int, int]] = ()

    def rich(self) -> Group:
        """For a rich `Console`."""
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1))
        for place, heading in enumerate(self.header):
            if place < self.texts:
                table.add_column(Text(heading), overflow="fold")
            else:
                table.add_column(Text(heading), justify="right", no_wrap=True)
        for row, cells in enumerate(self.rows):
            styles = ["bold" if (row, column) in self.bold else "" for column in range(len(cells))]
            table.add_row(*(Text(cell, style) for cell, style in zip(cells, styles, strict=True)))
        return Group(Text(self.title), table)

    def markdown(self) -> str:
        """A Markdown table, without its title."""
        rules = ["---" if place < self.texts else "---:" for place in range(len(self.header))]
        lines = [self.header, rules, *self.rows]
        return "\n".join("| " + " | ".join(map(markdown_text, line)) + " |" for line in lines)

    def latex(self) -> str:
        """A LaTeX table with the rules of the package booktabs."""
        columns = "l" * self.texts + "r" * (len(self.header) - self.texts)
        return "\n".join(
            [
                r"\begin{table}",
                r"  \centering",
                rf"  \caption{{{latex_text(self.title)}}}",
                rf"  \begin{{tabular}}{{{columns}}}",
                r"    \toprule",
                _latex_row(self.header),
                r"    \midrule",
                *map(_latex_row, self.rows),
                r"    \bottomrule",
                r"  \end{tabular}",
                r"\end{table}",
            ]
        )


def terminal(sheets: Sequence[Sheet], remarks: Sequence[str]) -> Group:
    """Sheets with lines of remarks below, for a rich `Console`."""
    parts: list[RenderableType] = []
    for sheet in sheets:
        parts += [sheet.rich(), ""]
    return Group(*parts, *map(Text, remarks))


def markdown(sheets: Sequence[Sheet], remarks: Sequence[str]) -> str:
    """Markdown tables with lines of remarks below; the first needs no title."""
    first, *others = sheets
    titled = (f"{markdown_line(sheet.title)}\n\n{sheet.markdown()}" for sheet in others)
    return "\n\n".join([first.markdown(), *titled, "  \n".join(map(markdown_line, remarks))]) + "\n"


def latex(sheets: Sequence[Sheet], remarks: Sequence[str]) -> str:
    """LaTeX tables; remarks become comments above them."""
    comments = ["needs \\usepackage{booktabs}", *(" ".join(line.split()) for line in remarks)]
    lines = [f"% {line}" for line in comments]
    return "\n".join([*lines, *(sheet.latex() for sheet in sheets)]) + "\n"


def latex_text(text: str) -> str:
    """A text for LaTeX: nothing in it is a command, and minus signs are minus signs."""
    pieces = _MINUS.split(" ".join(text.split()))
    return "$-$".join("".join(LATEX.get(letter, letter) for letter in piece) for piece in pieces)


def _latex_row(cells: Sequence[str]) -> str:
    return "    " + " & ".join(map(latex_text, cells)) + r" \\"


def markdown_text(text: str) -> str:
    """A text inside a line of Markdown: nothing in it is a cell, an element, a link or an image."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(text.split())).replace("](", "]\\(")


def markdown_line(text: str) -> str:
    """The same as a line of its own, which is no heading, list or quotation."""
    return re.sub(r"^(?=[#>+~=*-])", r"\\", markdown_text(text))


def percent(value: float) -> str:
    """A fraction of 1 in percent, with one digit."""
    return f"{100 * value:.1f}"


def interval(bounds: tuple[float, float] | None) -> str:
    """An interval in percent, or nothing."""
    return "" if bounds is None else f"[{percent(bounds[0])}, {percent(bounds[1])}]"
