"""A file of predictions becomes ballots that say what it says, or one message about a fault."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import random
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ragemo.errors import DataError, RagemoError
from ragemo.runs.run import Run, RunUtterance
from ragemo.types import Ballot, Verdict
from ragemo.voting.imported import read_ballots
from ragemo.voting.matching import match_ballots
from ragemo.voting.votes import count_votes
from tests.conftest import LABELS, make_turn

MANY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def put(folder, content, name="audio.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def json_lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(folder, content, **how):
    return read_ballots(put(folder, content), LABELS, **how)


def shares_of(imported):
    return {ballot.utterance_id: ballot.distribution for ballot in imported.ballots}


def problem(folder, content, **how) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, content, **how)
    message = str(caught.value)
    assert message.startswith(str(folder / "audio.csv"))
    return message.removeprefix(str(folder / "audio.csv"))


# Forms of files


@pytest.mark.parametrize(
    "text",
    [
        "id,label\na,hap\nb,ang\n",
        "utterance_id,prediction\na,Happy\nb,ANGRY\n",
        "predicted,id\njoy,a\n ang ,b\n",
        'emotion,id\n\n"happy","a"\n\n\nang,b',
        "\ufeffid,label\r\na,hap\r\nb,ang\r\n",
        "id,neu,hap,ang\na,0,1,0\nb,0,0,1\n",
        "id,Angry,joy,label\na,0.0,1.0,ang\nb,1e0,0,?\n",
        "id,neu,hap,ang,label\na,,,,hap\nb,0,0,7,hap\n",
        json_lines(
            {"id": "a", "label": "hap"}, {"id": "b", "label": "ang", "joy": None, "neu": " "}
        ),
        json_lines({"id": "a", "hap": 1, "neu": 0}, {"id": "b", "ang": "1.0"}),
        json_lines({"id": "a", "distribution": {"happy": 1}}, {"id": "b", "label": "ang"}),
        json_lines(
            {"id": "a", "probabilities": {"HAP": 0.5, "neu": 0}},
            {"id": "b", "probabilities": {"ang": 3e-320}},
        ),
        json.dumps([{"id": "a", "label": "hap"}, {"id": "b", "label": "ang"}], indent=1),
    ],
)
def test_every_form_gives_the_same_ballots(tmp_path, text):
    imported = read(tmp_path, text)
    assert shares_of(imported) == {"a": (0, 1, 0), "b": (0, 0, 1)}
    assert imported.voters == ("audio",)
    assert {(b.voter, b.sample, b.failed, b.invalid) for b in imported.ballots} == {
        ("audio", 0, False, False)
    }
    assert imported.sha256 == sha256(imported.path.read_bytes()).hexdigest()


def test_a_bare_label_is_kept_as_it_was_written(tmp_path):
    assert read(tmp_path, "id,label\na, Happy!\n").ballots == (
        Ballot("a", "audio", distribution=(0, 1, 0), answer=" Happy!"),
    )


@pytest.mark.parametrize("label", ["ang", "bored", 3, None])
def test_a_label_beside_probabilities_has_no_say(tmp_path, label):
    row = {"id": "a", "label": label, "distribution": {"neu": 0.25, "hap": 0.75}}
    assert read(tmp_path, json_lines(row)).ballots == (
        Ballot("a", "audio", distribution=(0.25, 0.75, 0)),
    )


def test_predictions_of_ragemo_itself_are_read_as_they_are(tmp_path):
    verdicts = [
        Verdict("d_0", "hap", (0.1234567, 0.7, 0.1765433), 0.7, 1.0),
        Verdict('d,"1"', "neu", (1 / 3, 1 / 3, 1 / 3), 1 / 3, 1.0),
        Verdict("d_2", None, None, 0.0, 0.0, failed=1),
    ]
    manifest = {"settings": {}, "labels": LABELS.to_dict()}
    with Run.create(tmp_path / "run", manifest, [RunUtterance(make_turn(), None, True)]) as run:
        run.finish(verdicts, {})
    imported = read_ballots(tmp_path / "run" / "predictions.csv", LABELS)
    assert imported.voters == ("predictions",)
    assert shares_of(imported) == {
        verdict.utterance_id: pytest.approx(verdict.distribution, abs=1e-6)
        for verdict in verdicts[:2]
    }
    for ballot in imported.ballots:
        assert sum(ballot.distribution) == pytest.approx(1, abs=1e-12)
    assert imported.notes == ("Rows without a label or probabilities, which cast no vote: 1.",)


def test_systems_and_samples_are_told_apart(tmp_path):
    imported = read(
        tmp_path,
        "id,voter,sample,label\na,text,0,hap\na,text,1,ang\na,audio,0,neu\nb,text,3,hap\n",
    )
    assert imported.voters == ("audio", "text")
    assert [(b.voter, b.utterance_id, b.sample) for b in imported.ballots] == [
        ("audio", "a", 0),
        ("text", "a", 0),
        ("text", "a", 1),
        ("text", "b", 3),
    ]
    votes = count_votes(imported.ballots, ["a", "b"], len(LABELS))
    assert votes.shares[1].tolist() == [[0, 0.5, 0.5], [0, 1, 0]]
    assert votes.present.tolist() == [[True, False], [True, True]]


def test_the_caller_may_name_the_system(tmp_path):
    text = "id,label\na,hap\n"
    assert read(tmp_path, text, name="wavlm", reserved=["audio"]).voters == ("wavlm",)
    assert "'wavlm'" in problem(tmp_path, text, name="wavlm", reserved=["wavlm"])


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
distributions = (
    st.lists(st.floats(0, 1), min_size=3, max_size=3)
    .filter(lambda raw: sum(raw) > 1e-3)
    .map(lambda raw: tuple(share / math.fsum(raw) for share in raw))
)
tables = st.dictionaries(
    st.tuples(names.filter(str.strip), st.sampled_from(["text", "audio"]), st.integers(0, 2)),
    distributions,
    min_size=1,
    max_size=8,
)


def by_label(shares):
    return dict(zip(LABELS.names, shares, strict=True))


def as_csv(rows):
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["id", "system", "sample", *LABELS.words])
    writer.writerows([*key, *shares] for key, shares in rows)
    return file.getvalue()


def as_flat_json(rows):
    return json_lines(
        *(
            {"id": name, "system": system, "sample": sample, **by_label(shares)}
            for (name, system, sample), shares in rows
        )
    )


def as_nested_json(rows):
    return json_lines(
        *(
            {
                "utterance_id": name,
                "voter": system,
                "sample": sample,
                "distribution": {
                    label: share for label, share in by_label(shares).items() if share
                },
            }
            for (name, system, sample), shares in rows
        )
    )


@MANY
@given(tables, st.sampled_from([as_csv, as_flat_json, as_nested_json]), st.randoms())
def test_what_is_written_in_any_order_comes_back(tmp_path, table, write, dice):
    rows = list(table.items())
    dice.shuffle(rows)
    imported = read(tmp_path, write(rows))
    found = {(b.utterance_id, b.voter, b.sample): b.distribution for b in imported.ballots}
    assert found == {key: pytest.approx(shares, abs=1e-15) for key, shares in table.items()}
    assert len(imported.ballots) == len(table)
    assert imported.ballots == read(tmp_path, write(sorted(rows))).ballots


# What a person should know


def test_a_sound_file_needs_no_notes(tmp_path):
    assert read(tmp_path, "id,neu,hap,ang\na,.2,.3,.5004\nb,0,0,1\n").notes == ()


def test_probabilities_are_normalised_and_those_far_off_counted(tmp_path):
    imported = read(
        tmp_path, "id,neu,hap,ang\na,.2,.3,.5\nb,20,30,50\nc,1e308,1e308,1e308\nd,.2,.302,.5\n"
    )
    assert shares_of(imported) == {
        "a": pytest.approx((0.2, 0.3, 0.5)),
        "b": pytest.approx((0.2, 0.3, 0.5)),
        "c": pytest.approx((1 / 3, 1 / 3, 1 / 3)),
        "d": pytest.approx((0.2 / 1.002, 0.302 / 1.002, 0.5 / 1.002)),
    }
    (note,) = imported.notes
    assert "3 of 4" in note
    assert "line 3, for one, sums to 100" in note


def test_a_label_without_a_column_has_probability_0(tmp_path):
    for text in (
        "id,neu,ang\na,.5,.5\n",
        json_lines({"id": "a", "distribution": {"ang": 1, "neu": 1e-9}}),
    ):
        imported = read(tmp_path, text)
        assert shares_of(imported)["a"][1] == 0
        assert imported.notes == ("No row gives a probability for 'hap': taken as 0.",)


def test_an_answer_that_is_no_label_is_invalid_and_shown(tmp_path):
    imported = read(tmp_path, "id,label\na,hap\nb,bored\nc,none of them\nd,bored\n")
    assert shares_of(imported) == {"a": (0, 1, 0), "b": None, "c": None, "d": None}
    assert [b.answer for b in imported.ballots if b.invalid] == ["bored", "none of them", "bored"]
    (note,) = imported.notes
    for part in ("'audio'", "3 of 4", "'bored' (2)", "'none of them' (1)", "neu, hap, ang"):
        assert part in note
    assert count_votes(imported.ballots, list("abcd"), 3).present.sum() == 1


def test_a_row_that_says_nothing_casts_no_vote(tmp_path):
    imported = read(tmp_path, "id,label\na,hap\nb,\nc,  \n")
    assert [ballot.utterance_id for ballot in imported.ballots] == ["a"]
    assert imported.notes == ("Rows without a label or probabilities, which cast no vote: 2.",)


def test_a_repeated_row_counts_once(tmp_path):
    imported = read(tmp_path, "id,label,text\na,hap,hi\nb,hap,x\na,hap,hello\na,hap,\n")
    assert [ballot.utterance_id for ballot in imported.ballots] == ["a", "b"]
    assert "Rows that repeat an earlier one, counted once: 2." in imported.notes


def test_what_is_passed_over_is_listed(tmp_path):
    rows = [{"id": "a", "label": "hap", "text": ["junk"], "distribution": {"ang": 1, "bored": 2}}]
    assert read(tmp_path, json_lines(*rows)).notes[-1] == (
        "Columns passed over: 'text', 'distribution.bored'."
    )
    assert "'', 'speaker'" in read(tmp_path, ",id,label,speaker\n0,a,hap,X\n").notes[0]


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


@MANY
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


@MANY
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


@MANY
@given(rows_of_junk)
def test_any_json_values_give_ballots_or_an_error(tmp_path, rows):
    read_anything(tmp_path, json_lines(*rows))


# Held against a run


def imported_of(folder, ids, label="hap"):
    return read(folder, "id,label\n" + "".join(f"{name},{label}\n" for name in ids))


def test_a_file_that_fits_needs_no_notes(tmp_path):
    assert match_ballots(imported_of(tmp_path, "cab"), ["a", "b", "c"]) == ()


def test_missing_and_extra_ids_are_counted(tmp_path):
    notes = match_ballots(imported_of(tmp_path, "apqxyz"), list("abcd"), labelled=["p", "q", "r"])
    missing, known, unknown = notes
    for part in ("'audio'", "3 of the 4", "'b', 'c'"):
        assert part in missing
    assert known.endswith("can be weighed: 2.")
    assert "3 ('x', 'y')" in unknown


def test_each_system_is_matched(tmp_path):
    imported = read(tmp_path, "id,system,label\na,one,hap\nb,one,hap\na,two,ang\nx,three,ang\n")
    notes = match_ballots(imported, ["b", "a"])
    assert ["'three' has no row on 2 of the 2" in note for note in notes].count(True) == 1
    assert ["'two' has no row on 1 of the 2" in note for note in notes].count(True) == 1
    assert not any("'one'" in note for note in notes)


def test_an_invalid_answer_is_a_row_all_the_same(tmp_path):
    imported = read(tmp_path, "id,label\na,hap\nb,bored\n")
    assert match_ballots(imported, ["a", "b"]) == ()


def test_no_id_in_common_is_an_error_that_shows_both(tmp_path):
    imported = imported_of(tmp_path, ["u3", "u1", "u2"])
    with pytest.raises(DataError) as caught:
        match_ballots(imported, ["dia0_utt1", "dia0_utt0", "dia1_utt0"])
    assert caught.value.path == imported.path
    for part in ("'u1', 'u2' (3 in all)", "'dia0_utt0', 'dia0_utt1'", "another way"):
        assert part in str(caught.value)
    with pytest.raises(DataError, match="2 of its ids are labelled utterances of the index"):
        match_ballots(imported, ["a"], labelled=["u1", "u2"])


@MANY
@given(st.sets(names.filter(str.strip), min_size=1, max_size=6), st.integers(0, 6), st.integers(0))
def test_notes_do_not_depend_on_the_order(tmp_path, ids, asked, seed):
    rows = [{"id": name, "label": "hap"} for name in sorted(ids)]
    utterances = [*sorted(ids)[:asked], "another", "and another"]
    results = []
    for _ in range(2):
        try:
            results.append(match_ballots(read(tmp_path, json_lines(*rows)), utterances))
        except DataError as error:
            results.append(str(error))
        random.Random(seed).shuffle(rows)
        utterances.reverse()
    assert results[0] == results[1]
