"""`ragemo data`, as a user types it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ragemo.cli.data import app
from ragemo.corpus import read_corpus
from ragemo.errors import DataError, SettingsError
from tests.corpus.examples import MELD, put, put_sound


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_check_shows_a_table_and_no_problems(tmp_path):
    result = run("check", put_sound(tmp_path, "gensec"))
    assert result.exit_code == 0
    for words in ("gensec", "whispertiny", "3, 2 to predict", "no problems"):
        assert words in result.stdout


def test_check_lists_problems_with_file_and_line_and_fails(tmp_path):
    good = put_sound(tmp_path, "gensec")
    bad = put(
        tmp_path, "bad.csv", MELD.replace("joy", "glee").replace("neutral,4,2", "neutral,4,x")
    )
    result = run("check", bad, good)
    assert result.exit_code == 2
    assert f"{bad}:3 " in result.stdout
    assert f"{bad}:4 " in result.stdout
    assert "no problems" in result.stdout


def test_check_prints_one_json_object_per_file(tmp_path):
    good, bad = put_sound(tmp_path, "gensec"), put(tmp_path, "bad.csv", b"\xff")
    result = run("check", "--format", "json", good, bad)
    assert result.exit_code == 2
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert (first["path"], first["problems"]) == (str(good), [])
    assert second["problems"][0]["line"] == 1


def test_check_refuses_an_unknown_output(tmp_path):
    with pytest.raises(SettingsError, match="table or json"):
        CliRunner().invoke(app, ["check", "--format", "xml", str(tmp_path)], catch_exceptions=False)


def test_convert_with_a_transcript(tmp_path):
    target = tmp_path / "out.jsonl"
    source = put_sound(tmp_path, "topicalchat")
    result = run("convert", source, target, "--to", "plain", "--transcript", "longest")
    assert result.exit_code == 0, result.output
    assert "3 utterances as plain" in result.stdout
    assert "hypotheses are 'text' and were 'asr_A', 'asr_B', 'text'" in result.stderr
    texts = [u.hypotheses for u in read_corpus(target, labels="topicalchat").utterances]
    assert texts == [{"text": "do you like tea"}, {"text": "I do."}, {"text": "Bad day."}]


def test_convert_says_when_the_text_is_the_reference(tmp_path):
    source, target = put_sound(tmp_path, "gensec"), tmp_path / "out.jsonl"
    result = run("convert", source, target, "--to", "plain", "--transcript", "reference")
    assert result.exit_code == 0
    assert "the text written is the human transcript" in result.stderr
    result = run("convert", source, target, "--to", "plain", "--transcript", "whispertiny")
    assert "human transcript" not in result.stderr


def test_convert_refuses_a_damaged_source(tmp_path):
    bad = put(tmp_path, "bad.csv", MELD.replace("joy", "glee"))
    with pytest.raises(DataError, match="glee"):
        CliRunner().invoke(
            app,
            ["convert", str(bad), str(tmp_path / "out"), "--to", "plain"],
            catch_exceptions=False,
        )
    assert not (tmp_path / "out").exists()
