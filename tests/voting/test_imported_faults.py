"""A file of predictions with faults gives one message that shows the first; none makes a crash."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ragemo.errors import DataError, RagemoError
from ragemo.voting.imported import read_ballots
from ragemo.voting.matching import match_ballots
from tests.conftest import LABELS
from tests.voting.electorate import json_lines, many_examples, problem, read

# Faults


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["empty"]),
        ("id,label\n", ["no predictions"]),
        ("id,label\n\n\n", ["no predictions"]),
        ("[]", ["no predictions"]),
        (b"id,label\na,\xff", [":2", "UTF-8"]),
        (b"PK\x03\x04\0\0", [":1", "NUL"]),
        ("id;label\na;hap\n", ["'id', 'utterance_id'", "'id;label'", "commas"]),
        ("need_id,label\na,hap\n", ["'id', 'utterance_id'", "found 'need_id', 'label'"]),
        ("id,utterance_id,label\na,a,hap\n", ["'id', 'utterance_id'", "keep"]),
        ("id,label,prediction\na,hap,ang\n", ["'label', 'prediction'", "gold", "keep"]),
        ("id,label,label\na,hap,ang\n", [":1", "more than once: 'label'"]),
        ("id,text\na,hap\n", ["nothing to vote with", "'label'", "'neu'", "found 'id', 'text'"]),
        ("id,label,hap\na,hap,.5\n", ["'hap'", "one label alone", "'neu', 'hap', 'ang'"]),
        ("id,label\na\n", [":2", "1 cells", "2 columns"]),
        ("id,label\na,hap\nb,hap,1\n", [":3", "3 cells"]),
        ('id,label\na,"hap\n', [":2", "not CSV"]),
        ("id,label\n ,hap\n", [":2", "'id'", "empty"]),
        ("id,label\na,\n", ["no row holds"]),
        ("id,neu,hap,ang\na,0,0,0\n", [":2", "'a'", "all labels are 0"]),
        ("id,neu,hap,ang\na,1,,0\n", [":2", "'a'", "'hap'", "expected a probability", "''"]),
        ("id,neu,hap,ang\na,1,nan,0\n", [":2", "'hap'", "'nan'"]),
        ("id,neu,hap,ang\na,1,0,inf\n", [":2", "'ang'", "'inf'"]),
        ("id,neu,hap,ang\na,1,0,1e999\n", [":2", "'ang'", "'1e999'"]),
        ("id,neu,hap,ang\na,1,-0.1,0\n", [":2", "'hap'", "'-0.1'"]),
        ('id,neu,hap,ang\na,"0,5","0,5",0\n', [":2", "'neu'", "'0,5'", "1 more problem)"]),
        ("id,neu,hap,joy\na,1,0,0\n", [":2", "'joy'", "second probability for 'hap'"]),
        ("id,label,sample\na,hap,0.5\n", [":2", "'sample'", "whole number", "'0.5'"]),
        ("id,label,system\na,hap,\n", [":2", "'system'", "empty"]),
        ("id,label,system,voter\na,hap,x,y\n", ["'system', 'voter'", "keep"]),
        ("id,label\na,hap\nb,neu\na,ang\n", [":4", "'a'", "line 2", "'sample'"]),
        ("id,label,sample\na,hap,1\na,ang,1\n", [":3", "'a'", "line 2"]),
        ("id,label\na,hap\na,bored\n", [":3", "'a'", "line 2"]),
        (
            "id,label\na,bored\nb,3\n",
            ["no answer of 'audio'", "2 in all", "'bored' (1)", "'3'", "neu, hap, ang"],
        ),
        ("id,label,system\na,hap,x\na,bored,y\n", ["no answer of 'y'"]),
        ("id,label\n\ufeff,hap\0\n", [":2", "NUL"]),
        (json_lines({"id": 7, "label": "hap"}), [":1", "'id'", "expected a string, found 7"]),
        (json_lines({"id": "a", "label": 3}), [":1", "'label'", "expected a string, found 3"]),
        (json_lines({"id": "a", "label": {"x": 1}}), [":1", "'label'", "expected a string"]),
        (json_lines({"id": "\ud800", "label": "hap"}), [":1", "surrogate"]),
        (json_lines({"id": "a", "label": "hap"}, {"label": "hap"}), [":2", "'id'", "missing"]),
        (json_lines({"id": "a", "label": "hap"}, ["b"]), [":2", "object", "['b']"]),
        ('{"id": "a", "label": "hap"}\n{"id": "b"', [":2", "not JSON"]),
        ('{"id": "a", "id": "b", "label": "hap"}', [":1", "'id'", "more than once"]),
        (json_lines({"id": "a", "distribution": [0.1, 0.9]}), [":1", "object", "[0.1, 0.9]"]),
        (json_lines({"id": "a", "distribution": False}), [":1", "object", "False"]),
        (json_lines({"id": "a", "distribution": {"bored": 1}}), [":1", "'bored'", "neu, hap, ang"]),
        (
            json_lines({"id": "a", "distribution": {"hap": True}}),
            [":1", "'distribution.hap'", "True"],
        ),
        (json_lines({"id": "a", "distribution": {"hap": math.nan}}), [":1", "nan"]),
        (json_lines({"id": "a", "distribution": {"hap": math.inf}}), [":1", "inf"]),
        (json_lines({"id": "a", "distribution": {"hap": None, "ang": 1}}), [":1", "None"]),
        (json_lines({"id": "a", "distribution": {"hap": [1]}}), [":1", "[1]"]),
        (json_lines({"id": "a", "distribution": {"hap": 10**400}}), [":1", "expected a probab"]),
        (json_lines({"id": "a", "distribution": {"hap": 1, "joy": 0}}), [":1", "second", "joy'"]),
        (
            json_lines({"id": "a", "distribution": {"hap": 1}, "ang": 0}),
            ["both in 'distribution' and in 'ang'"],
        ),
        (
            json_lines({"id": "a", "distribution": {}}, {"id": "b", "probabilities": {}}),
            ["'distribution', 'probabilities'", "keep"],
        ),
        ('{"id": "a", "label": ' + "[" * 100_000, [":1", "nested too deeply"]),
        ('{"id": "a", "sample": ' + "9" * 5000 + ', "label": "hap"}', [":1", "not JSON"]),
        ('{"id": "a", "sample": ' + "9" * 4000 + ', "label": "hap"}', [":1", "'sample'"]),
        ("id,label\n" + "a" * 30_000 + ",hap\n", [":2", "30,000 characters"]),
        ("id,label\na," + "x" * 200_000, [":2", "not CSV"]),
    ],
    ids=itertools.count(),
)
def test_a_fault_is_named_with_its_place(tmp_path, text, parts):
    message = problem(tmp_path, text)
    for part in parts:
        assert part in message
    assert len(message) < 600


def test_all_faults_are_counted_and_the_first_is_shown(tmp_path):
    message = problem(tmp_path, 'id,label,sample\na,hap,x\n,hap,1\nc,ang\nd,"a')
    assert message.startswith(":2 (utterance 'a', field 'sample')")
    assert message.endswith("(and 3 more problems)")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_ballots(tmp_path / "missing.csv", LABELS)
    with pytest.raises(DataError, match="folder"):
        read_ballots(tmp_path, LABELS)


@pytest.mark.parametrize(
    ("text", "place"),
    [("id,label\na,hap\n", ""), ("id,label,system\na,hap,x\na,hap,audio\n", ":3")],
)
def test_the_name_of_another_voter_is_refused(tmp_path, text, place):
    message = problem(tmp_path, text, reserved=("neighbours", "audio"))
    for part in (f"{place}: ", "'audio'", "taken: audio, neighbours", "'system'"):
        assert part in message


# Any file at all


def sound(imported):
    for ballot in imported.ballots:
        assert ballot.utterance_id.strip()
        assert ballot.voter in imported.voters
        if ballot.distribution is None:
            assert ballot.answer.strip()
        else:
            assert len(ballot.distribution) == len(LABELS)
            assert min(ballot.distribution) >= 0
            assert sum(ballot.distribution) == pytest.approx(1, abs=1e-12)
    assert len({(b.utterance_id, b.voter, b.sample) for b in imported.ballots}) == len(
        imported.ballots
    )


def read_anything(folder, content):
    try:
        imported = read(folder, content)
        sound(imported)
        match_ballots(imported, ["a", "b"], ["c"])
    except RagemoError as error:
        str(error).encode()
        return False
    return True


@many_examples
@given(st.one_of(st.binary(), st.text().map(str.encode)))
@example(b"\xef\xbb\xbf")
@example(b"\x0b")
@example(b'""')
@example(b"[")
@example(b"id,label\ra,hap\rb,ang")
def test_any_bytes_give_ballots_or_an_error(tmp_path, content):
    read_anything(tmp_path, content)


FILES = [
    "id,system,sample,neu,hap,ang\na,x,0,.1,.2,.7\nb,x,1,1,0,0\nc,y,0,.3,.3,.4\n",
    '\ufeffid,label,text\r\na,hap,"one, two"\r\nb,ang,\r\nc,neu,\'\r\n',
    json_lines({"id": "a", "label": "hap"}, {"id": "b", "hap": 0.5, "ang": "0.5"}),
    json_lines({"id": "a", "distribution": {"hap": 0.5, "joyful": 0.5}, "voter": "x"}),
]


@many_examples
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 150), st.integers(0, 4), st.binary(max_size=3)), max_size=3),
)
def test_a_damaged_file_gives_ballots_or_an_error(tmp_path, text, damages):
    content = text.encode()
    for position, length, other in damages:
        content = content[:position] + other + content[position + length :]
    assert read_anything(tmp_path, content) or damages


junk = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([10**400, -(10**400), 1e308, 5e-324, -0.0]),
        st.floats(),
        st.text(max_size=4),
        st.sampled_from(["a", "b", "hap", "joy", "0.5", "nan", "1e999", "\ud800"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["hap", "joy", "ang", "x"]), inner, max_size=3),
    ),
    max_leaves=5,
)
keys = st.sampled_from(
    ["id", "label", "neu", "hap", "ang", "sample", "system", "distribution", "text", "joy"]
)
rows_of_junk = st.lists(
    st.builds(dict.__or__, st.dictionaries(keys, junk, max_size=5), st.just({"id": "a"})),
    min_size=1,
    max_size=3,
)


@many_examples
@given(rows_of_junk)
def test_any_json_values_give_ballots_or_an_error(tmp_path, rows):
    read_anything(tmp_path, json_lines(*rows))
