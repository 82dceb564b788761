"""The table of a run's decisions."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.runs.predictions import predictions_csv
from ragemo.types import Verdict
from tests.conftest import LABELS


def verdict(**details):
    return Verdict("u", "hap", (0.1, 0.7, 0.2), 0.7, 1.0, details=details)


def table(*verdicts):
    return list(csv.DictReader(io.StringIO(predictions_csv(verdicts, LABELS))))


def test_without_details_there_are_no_further_columns():
    assert predictions_csv([verdict()], LABELS) == (
        "id,label,confidence,neu,hap,ang,label_set,abstained\n"
        "u,hap,0.700000,0.100000,0.700000,0.200000,,\n"
    )


def test_there_is_a_column_for_each_detail_of_any_verdict():
    one, other = table(
        verdict(valence=-0.25, evidence='he said "no"'),
        verdict(labels=["hap", "ang"], intensity=2.0),
    )
    assert list(one)[-4:] == ["evidence", "intensity", "labels", "valence"]
    assert [one[key] for key in list(one)[-4:]] == ['he said "no"', "", "", "-0.25"]
    assert [other[key] for key in list(one)[-4:]] == ["", "2.0", "hap|ang", ""]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        (" \n=1+1", "'=1+1"),
        ("-1", "'-1"),
        ("+49", "'+49"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("a; =1", "a; '=1"),
        ("\u200b=1", "'\u200b=1"),
        ("two\r\nlines", "two lines"),
        ("1-1", "1-1"),
    ],
)
def test_a_text_is_no_formula(text, cell):
    (row,) = table(verdict(reasons=text))
    assert row["reasons"] == cell


@given(st.text() | st.sampled_from("=+-@").flatmap(lambda sign: st.text().map(sign.__add__)))
def test_no_text_begins_a_formula(text):
    (row,) = table(verdict(transcript=text, labels=["hap"]))
    assert not row["transcript"].startswith(tuple("=+-@\t\r＝＋－＠"))
    assert row["labels"] == "hap"
