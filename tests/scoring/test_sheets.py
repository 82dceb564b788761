import csv
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ragemo.labels import LabelSet
from ragemo.scoring.comparison import compare
from ragemo.scoring.comparison_tables import (
    comparison_latex,
    comparison_markdown,
    comparison_table,
    p_value,
)
from ragemo.scoring.rows import COLUMNS, comparison_rows, rows_csv, score_rows
from ragemo.scoring.score import score
from ragemo.scoring.sheets import Sheet, latex_text, markdown
from ragemo.scoring.slices import Grouping
from ragemo.scoring.tables import score_latex, score_markdown, score_table
from tests.scoring.inputs import invented, predictions

MADE = invented(120, 12)
SLICES = {"half": Grouping(("one", "two"), np.repeat([0, 1], 60))}
SCORE = score(predictions(MADE), training_counts=None, slices=SLICES, samples=50)
OTHER = [u if n % 5 else type(u)(u.id, u.dialogue_id, u.gold, "fear") for n, u in enumerate(MADE)]
BASE, SECOND = predictions(MADE), predictions(OTHER)
COMPARISON = compare({"a_1 & co": BASE, "b": SECOND, "c": BASE}, samples=50)


def printed(table) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    return console.file.getvalue()


@given(st.text())
def test_nothing_in_a_text_is_a_command_to_latex(text):
    escaped = latex_text(text)
    known = (
        r"\\textbackslash\{\}|\\textasciitilde\{\}|\\textasciicircum\{\}|\\textless\{\}"
        r"|\\textgreater\{\}|\\textbar\{\}|\\[{}$&#_%]|\{[\[\]*]\}|\$-\$"
    )
    rest = re.sub(known, "", escaped)
    assert not set(rest) & set('\\{}$&#_%~^<>|"[]*')
    assert "\n" not in escaped


def test_minus_signs_of_numbers_are_minus_signs():
    assert latex_text("-1.5 [-2.0, +.5] GPT-4") == "$-$1.5 {[}$-$2.0, +.5{]} GPT-4"


def test_a_latex_table_has_as_many_columns_as_its_preamble_says():
    for text in (score_latex(SCORE, "run_1", slices=True), comparison_latex(COMPARISON)):
        assert text.startswith("% needs \\usepackage{booktabs}\n")
        for columns, body in re.findall(
            r"begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL
        ):
            rows = [line for line in body.splitlines() if line.endswith(r"\\")]
            assert len(rows) > 1
            assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(columns) - 1}
            assert body.count(r"\toprule") == body.count(r"\bottomrule") == 1
    assert r"run\_1" in score_latex(SCORE, "run_1")
    assert r"a\_1 \& co" in comparison_latex(COMPARISON)


def test_notes_cannot_leave_their_comment():
    made = score(predictions(MADE), training_counts=None, samples=5, notes=["one\n\\input{two}"])
    for line in score_latex(made).splitlines():
        assert "input" not in line or line.startswith("%")


def test_slices_are_shown_where_they_are_asked_for():
    for show in (score_markdown, score_latex, lambda *a, **k: printed(score_table(*a, **k))):
        assert "By half" in show(SCORE, "r", slices=True)
        assert "By half" not in show(SCORE, "r")


def test_long_names_fit_eighty_columns():
    labels = LabelSet.from_dict({"name": "x", "labels": ["Curious to dive much deeper", "neutral"]})
    made = invented(300, 30, labels=labels)
    slices = {"speaker": Grouping(("Somebody with quite a long name",), np.zeros(300, np.int64))}
    result = score(predictions(made, labels), training_counts=None, slices=slices, samples=20)
    text = printed(score_table(result, "a-run-with-quite-a-long-name", slices=True))
    text += printed(comparison_table(COMPARISON))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


def test_a_comparison_tells_every_metric_of_every_system():
    shown = printed(comparison_table(COMPARISON))
    for text in (shown, comparison_markdown(COMPARISON)):
        flat = " ".join(text.split())
        for system in COMPARISON.systems:
            assert f"{system.name} against a_1 & co" in flat
            one = system.metrics["uar"]
            assert (
                f"{100 * one.difference:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]" in flat
            )
            assert f"{system.mcnemar.fixed} fixed, {system.mcnemar.broken} broken" in flat
        assert "Holm" in flat
    alone = compare({"a": BASE, "b": SECOND}, samples=20)
    assert "Holm" not in printed(comparison_table(alone)) + comparison_latex(alone)


@pytest.mark.parametrize(
    ("value", "text"), [(0.00099, "<.001"), (0.001, ".001"), (0.0496, ".050"), (1.0, "1")]
)
def test_p_values_are_short(value, text):
    assert p_value(value) == text


def test_markdown_cells_stay_in_their_column():
    text = Sheet("t", ("a|b", "n"), (("x\\|y\nz", "1"),)).markdown()
    rows = [re.sub(r"\\.", "", line) for line in text.splitlines()]
    assert {row.count("|") for row in rows} == {3}


HOSTILE = "# <img src=x onerror=alert(1)>\n## [x](javascript:alert(2)) ![](http://evil/p.png) | \\"


def test_nothing_in_markdown_gets_out_of_its_line():
    sheet = Sheet(HOSTILE, ("system", "n"), ((HOSTILE, "1"),))
    text = markdown([sheet, sheet], [HOSTILE, "p <.001, [69.1, 78.0]"])
    assert not re.search(r"(?<!\\)<[a-z]|\]\(|^#", text, re.MULTILINE)
    assert text.splitlines()[-1] == "p <.001, [69.1, 78.0]", "what is ours stays as it is"
    assert {line.count("|") - line.count("\\|") for line in text.splitlines()} == {0, 3}


def read(text):
    rows = list(csv.DictReader(io.StringIO(text)))
    assert all(None not in row and set(row) == set(COLUMNS) for row in rows)
    return rows


def test_csv_has_every_figure_of_a_score():
    rows = read(rows_csv(score_rows(SCORE, "r")))
    found = {(row["section"], row["name"], row["metric"]): row for row in rows}
    assert len(found) == len(rows)
    for name, value in SCORE.metrics.items():
        row = found["run", "r", name]
        assert float(row["value"]) == value
        assert (float(row["low"]), float(row["high"])) == SCORE.intervals[name]
    for group in SCORE.slices["half"]:
        row = found["slice: half", group.group, "accuracy"]
        assert (float(row["value"]), int(row["n"])) == (group.accuracy, group.n)
    assert float(found["label", "joy", "f1"]["value"]) == SCORE.per_class["joy"].f1
    assert int(found["confusion", "joy", "sad"]["value"]) == SCORE.confusion[1][2]
    assert float(found["calibration", "r", "ece"]["value"]) == SCORE.calibration.ece


def test_csv_has_every_figure_of_a_comparison():
    rows = read(rows_csv(comparison_rows(COMPARISON)))
    found = {(row["run"], row["section"], row["metric"]): row for row in rows}
    assert len(found) == len(rows)
    system = COMPARISON.systems[0]
    row = found["b", "difference", "uar"]
    one = system.metrics["uar"]
    assert [float(row[key]) for key in ("value", "low", "high")] == [
        one.difference,
        one.low,
        one.high,
    ]
    assert float(found["b", "p Holm", "uar"]["value"]) == one.p_holm
    assert int(found["b", "utterances", "broken"]["value"]) == system.mcnemar.broken


def test_no_name_is_a_formula_to_a_spreadsheet():
    text = rows_csv(score_rows(SCORE, "=1+1"))
    assert {row["run"] for row in read(text)} == {"'=1+1"}
