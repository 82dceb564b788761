"""The report counts what a file holds and lists everything that is wrong with it."""

from __future__ import annotations

import json

import pytest

from ragemo.corpus import check_corpus
from ragemo.errors import SettingsError
from tests.corpus.examples import GENSEC, PLAIN, SOUND, json_lines, put, put_sound


def test_what_a_file_holds(tmp_path):
    report = check_corpus(put_sound(tmp_path, "gensec"))
    assert (report.format, report.label_set) == ("gensec", "gensec")
    assert (report.dialogues, report.utterances, report.to_predict) == (2, 3, 2)
    assert report.turns == (1, 1.5, 2)
    assert (report.speakers, report.sessions) == (2, 1)
    assert report.labels == {"neu": 1, "hap": 0, "sad": 0, "ang": 1, "fru": 1}
    assert list(report.labels)[-1] == "fru"
    hubert = report.systems["hubertlarge"]
    assert (hubert.texts, hubert.empty, hubert.mean_words) == (3, 1, 4.0)
    assert report.problems == ()


def test_empty_and_repeated_texts(tmp_path):
    said = [
        {"tiny": "oh my god", "base": "Oh my God!"},
        {"tiny": "Oh  MY god", "base": "oh my god!"},
        {"tiny": "oh my god", "base": "Oh my cod!"},
        {"tiny": " ", "base": ""},
        {"tiny": "", "base": ""},
    ]
    rows = [{**PLAIN[0], "id": f"x{i}", "turn": i, "hypotheses": h} for i, h in enumerate(said)]
    report = check_corpus(put(tmp_path, "x.jsonl", json_lines(rows)))
    assert report.without_text == 2
    assert report.repeated == 1
    assert report.systems["tiny"].empty == 2


def test_all_problems_are_listed_by_line_and_the_rest_is_counted(tmp_path):
    rows = [dict(row) for row in GENSEC]
    rows[0]["speaker"] = None
    rows[0]["need_prediction"] = "perhaps"
    rows[2]["emotion"] = "glee"
    path = put(tmp_path, "x.json", json.dumps(rows, indent=0)[:-1] + ", {")
    report = check_corpus(path)
    assert [(p.line, p.field) for p in report.problems] == [
        (2, "speaker"),
        (2, "need_prediction"),
        (20, "emotion"),
        (29, None),
    ]
    assert {str(problem.path) for problem in report.problems} == {str(path)}
    assert report.utterances == 2
    assert report.labels["ang"] == 0
    assert report.dialogues == 2


def test_a_broken_json_line_does_not_hide_the_next_ones(tmp_path):
    first, second, third = json_lines(PLAIN).splitlines()
    text = "\n".join((first, second[:-1], third.replace("glad", "")[:-1] + ', "x": 1}'))
    report = check_corpus(put(tmp_path, "x.jsonl", text))
    assert [problem.line for problem in report.problems] == [2, 3]
    assert report.utterances == 1


@pytest.mark.parametrize(("name", "data"), [("x.csv", b"\xff"), ("x.csv", b""), ("none", None)])
def test_files_of_which_nothing_can_be_read(tmp_path, name, data):
    path = tmp_path / name if data is None else put(tmp_path, name, data)
    report = check_corpus(path)
    assert len(report.problems) == 1
    assert (report.utterances, report.turns, report.format) == (0, None, None)
    assert (report.sha256 is None) == (data is None)


def test_a_file_without_emotions_can_be_checked(tmp_path):
    rows = [{key: value for key, value in row.items() if key != "emotion"} for row in PLAIN]
    report = check_corpus(put(tmp_path, "x.jsonl", json_lines(rows)))
    assert (report.utterances, report.label_set, report.labels) == (3, None, {})
    assert report.problems == ()


def test_settings_are_still_refused(tmp_path):
    with pytest.raises(SettingsError):
        check_corpus(put_sound(tmp_path, "meld"), format="none")
    with pytest.raises(SettingsError):
        check_corpus(put_sound(tmp_path, "meld"), labels="none")


@pytest.mark.parametrize("what", SOUND)
def test_the_report_is_plain_data(tmp_path, what):
    name, text = SOUND[what]
    report = check_corpus(put(tmp_path, name, text + "x"))
    data = json.loads(json.dumps(report.to_dict()))
    assert data["path"] == str(tmp_path / name)
    assert data["utterances"] == report.utterances
    assert data["turns"] == {
        "min": report.turns[0],
        "median": report.turns[1],
        "max": report.turns[2],
    }
    (listed,) = data["problems"]
    assert listed["line"] == report.problems[0].line
    assert listed["message"] == report.problems[0].message
