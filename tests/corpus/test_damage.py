"""Damaged files end in one message that says where and what."""

from __future__ import annotations

import copy
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragemo.corpus import FORMATS, read_corpus
from ragemo.errors import RagemoError, SettingsError
from tests.corpus.examples import (
    GENSEC,
    MELD,
    PLAIN,
    PLAIN_CSV,
    SOUND,
    TOPICALCHAT,
    json_lines,
    put,
    put_sound,
)
from tests.corpus.test_read import problem

MANY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


# Damaged files: (file name, bytes, line, record, field, part of the message)

DEEP = "[" * 100_000


def gensec(**changes) -> str:
    rows = copy.deepcopy(GENSEC)
    rows[1].update(changes)
    return json.dumps([{k: v for k, v in row.items() if v != "GONE"} for row in rows], indent=0)


def plain(**changes) -> str:
    rows = copy.deepcopy(PLAIN)
    rows[1].update(changes)
    return json_lines([{k: v for k, v in row.items() if v != "GONE"} for row in rows])


SECOND = "Ses01F_impro01_M000"
# With `indent=0` every field has its line: "[", then 9 lines for the first record.
SECOND_LINE = 11

DAMAGED = {
    "not UTF-8": ("a.csv", MELD.encode().replace(b"It is", b"It \xe9s"), 3, None, None, "0xe9"),
    "not UTF-8 after a mark": ("a.csv", b"\xef\xbb\xbfab\n\xff", 2, None, None, "at offset 6"),
    "utf-16": ("a.csv", MELD.encode("utf-16"), 1, None, None, "offset 0"),
    "empty": ("a.csv", "", None, None, None, "empty"),
    "blank": ("a.csv", "\ufeff \n\n", None, None, None, "empty"),
    "NUL": ("a.csv", MELD.replace("It is", "It\0is"), 3, None, None, "NUL"),
    "unknown columns": ("a.csv", "foo,bar\n1,2\n", None, None, None, "'foo', 'bar'.*emorynlp:"),
    "unknown keys": ("a.json", '[{"foo": 1}]', None, None, None, "'foo'.*gensec:"),
    "empty list": ("a.json", "[]", None, None, None, "empty JSON list"),
    "header only": ("a.csv", MELD.splitlines()[0], None, None, None, "no utterances"),
    "column twice": (
        "a.csv", MELD.replace("Season", "Speaker"), 1, None, None, "more than once: 'Speaker'",
    ),
    "column missing": ("a.csv", MELD.replace("Emotion", "Mood"), 1, None, None, "missing: 'Emot"),
    "ragged row": ("a.csv", MELD.replace("It is.,", "It, is.,"), 3, None, None, "10 cells.*9 col"),
    "open quote": ("a.csv", MELD.replace("It is.", '"It is.'), 3, None, None, "not CSV"),
    "text after quote": ("a.csv", MELD.replace('over?"', 'over?" x'), 2, None, None, "not CSV"),
    "huge cell": ("a.csv", MELD.replace("It is.", "x" * 140_000), 3, None, None, "not CSV"),
    "no number": (
        "a.csv", MELD.replace("negative,4,", "negative,four,"), 2, None, "Dialogue_ID", "'four'",
    ),
    "negative": (
        "a.csv", MELD.replace("negative,4,", "negative,-4,"), 2, None, "Dialogue_ID", "'-4'",
    ),
    "digits of no ASCII": (
        "a.csv", MELD.replace("negative,4,", "negative,٤,"), 2, None, "Dialogue_ID", "whole",
    ),
    "unknown label in meld": (
        "a.csv", MELD.replace(",joy,", ",glee,"), 4, "dia7_utt0", "Emotion", "'glee'.*surprise",
    ),
    "turn twice in meld": (
        "a.csv", MELD.replace("neutral,4,2", "neutral,4,0"), 3, "dia4_utt0", "id", "line 2",
    ),
    "long utterance": (
        "a.csv", MELD.replace("It is.", "x" * 20_001), 3, "dia4_utt2", "Utterance", "20,001 char",
    ),
    "broken off": ("a.json", gensec()[:-2], 28, None, None, "column"),
    "comma missing": ("a.json", gensec().replace('M000",\n"sp', 'M000"\n"sp', 1), 15, None, None,
                      "',' delimiter"),
    "comma between records": ("a.json", gensec().replace("},\n", "}\n", 1), 11, None, None, "','"),
    "text after the list": ("a.json", gensec() + "\nx", 30, None, None, "after the last"),
    "key twice": ("a.json", gensec().replace('"speaker": "Ses01_M"', '"id": "x"', 1), SECOND_LINE,
                  None, None, "'id' given more than once"),
    "deep": ("a.json", "[" + DEEP, 1, None, None, "deep"),
    "deep object": ("a.json", '{"a":' * 100_000, 1, None, None, "deep"),
    "deep record": ("a.json", gensec(speaker="DEEP").replace('"DEEP"', DEEP), SECOND_LINE, None,
                    None, "deep"),
    "huge integer": ("a.json", gensec(speaker="HUGE").replace('"HUGE"', "1" * 5000), SECOND_LINE,
                     None, None, "4300 digits"),
    "no object": ("a.json", gensec().replace("[", "[\n", 1).replace("]", ', "more"]'), 30, None,
                  None, "expected an object.*'more'"),
    "id missing": ("a.json", gensec(id="GONE"), SECOND_LINE, None, "id", "missing"),
    "id blank": ("a.json", gensec(id="  "), SECOND_LINE, None, "id", "empty"),
    "id of another shape": ("a.json", gensec(id="M000"), SECOND_LINE, "M000", "id", "Ses01F_scr"),
    "id twice": ("a.json", gensec(id=GENSEC[0]["id"]), SECOND_LINE, GENSEC[0]["id"], "id",
                 "line 2"),
    "id twice on one line": ("a.json", json.dumps([GENSEC[0]] * 2), 1, GENSEC[0]["id"], "id",
                             "line 1"),
    "flag": ("a.json", gensec(need_prediction="maybe"), SECOND_LINE, SECOND, "need_prediction",
             "yes or no, found 'maybe'"),
    "flag missing": ("a.json", gensec(need_prediction="GONE"), SECOND_LINE, SECOND,
                     "need_prediction", "yes or no"),
    "speaker missing": ("a.json", gensec(speaker="GONE"), SECOND_LINE, SECOND, "speaker",
                        "missing"),
    "speaker null": ("a.json", gensec(speaker=None), SECOND_LINE, SECOND, "speaker", "found None"),
    "hypothesis number": ("a.json", gensec(whispertiny=3), SECOND_LINE, SECOND, "whispertiny",
                          "string, found 3"),
    "hypothesis list": ("a.json", gensec(whispertiny=["x"]), SECOND_LINE, SECOND, "whispertiny",
                        "string"),
    "hypothesis called reference": ("a.json", gensec(reference="x"), SECOND_LINE, SECOND,
                                    "reference", "recogniser"),
    "unknown label": ("a.json", gensec(emotion="fru"), SECOND_LINE, SECOND, "emotion",
                      "'fru'; known are neu, hap, sad, ang"),
    "label number": ("a.json", gensec(emotion=1), SECOND_LINE, SECOND, "emotion", "string"),
    "escaped NUL": ("a.json", gensec(whispertiny="a\0b"), SECOND_LINE, SECOND, "whispertiny",
                    "NUL"),
    "surrogate": ("a.json", gensec(whispertiny="\ud800"), SECOND_LINE, SECOND, "whispertiny",
                  "surrogate"),
    "surrogate in a key": ("a.json", gensec(**{"\udc00": "x"}), SECOND_LINE, SECOND,
                           "name of a hypothesis", "surrogate"),
    "long reference": ("a.json", gensec(groundtruth="x" * 20_001), SECOND_LINE, SECOND,
                       "groundtruth", "20,001"),
    "json line": ("a.jsonl", json_lines(PLAIN[:1]) + '{"id": \n' + json_lines(PLAIN[1:]), 2, None,
                  None, "not JSON at column"),
    "two on a line": ("a.jsonl", plain().replace("}\n{", "} {", 1), 1, None, None, "one object"),
    "no object on a line": ("a.jsonl", plain() + "7\n", 4, None, None, "object.*7"),
    "deep line": ("a.jsonl", plain() + DEEP, 4, None, None, "deep"),
    "plain key": ("a.jsonl", plain(mood="x"), 2, None, None, "unknown keys: 'mood'.*hypotheses"),
    "plain column": ("a.csv", PLAIN_CSV.replace("text", "words"), 1, None, None,
                     "unknown columns: 'words'"),
    "plain without text": ("a.jsonl", plain(hypotheses="GONE"), 2, None, "text", "or hypotheses"),
    "plain csv without text": ("a.csv", "id,dialogue_id,turn,speaker\na,b,0,c\n", 1, None, None,
                               "missing: 'text'"),
    "plain text twice": ("a.jsonl", plain(text="x", hypotheses={"text": "y"}), 2, "a1", "text",
                         "also given"),
    "plain hypotheses": ("a.jsonl", plain(hypotheses=["x"]), 2, None, "hypotheses", "object"),
    "plain hypothesis": ("a.jsonl", plain(hypotheses={"tiny": 1}), 2, "a1", "hypotheses.tiny",
                         "string"),
    "plain hypothesis without name": ("a.jsonl", plain(hypotheses={"": "x"}), 2, "a1",
                                      "hypotheses.", "named after"),
    "plain column called reference": (
        "a.csv", PLAIN_CSV.replace("hypothesis:tiny", "hypothesis:reference"), 2, "a0",
        "hypothesis:reference", "human transcript"),
    "plain turn": ("a.jsonl", plain(turn="x"), 2, "a1", "turn", "whole number"),
    "plain turn true": ("a.jsonl", plain(turn=True), 2, "a1", "turn", "whole number"),
    "plain turn float": ("a.jsonl", plain(turn=1.0), 2, "a1", "turn", "whole number"),
    "plain turn huge": ("a.jsonl", plain(turn=10**4000), 2, "a1", "turn", "whole number"),
    "plain turn twice": ("a.jsonl", plain(turn=0), 2, "a1", "turn",
                         "turn 0 of dialogue 'a'.*line 1"),
    "plain dialogue blank": ("a.jsonl", plain(dialogue_id=""), 2, "a1", "dialogue_id", "empty"),
    "plain flag": ("a.jsonl", plain(needs_prediction=1), 2, "a1", "needs_prediction", "yes or no"),
    "plain label": ("a.jsonl", plain(needs_prediction="yes", emotion="?!"), 2, "a1", "emotion",
                    "'\\?!'"),
    "conversation": ("a.json", json.dumps({**TOPICALCHAT, "t_3": {}}, indent=0), 33, None, None,
                     "'t_3' has no list"),
    "conversation NUL": ("a.json", json.dumps({"t\0": TOPICALCHAT["t_2"]}), 1, None,
                         "conversation id", "NUL"),
    "conversation blank": ("a.json", json.dumps({" ": TOPICALCHAT["t_2"]}), 1, " _000",
                           "conversation id", "empty"),
    "message": ("a.json", json.dumps(TOPICALCHAT, indent=0).replace('"message": "I do.",', ""), 15,
                "t_1_001", "message", "missing"),
    "sentiment": ("a.json", json.dumps(TOPICALCHAT, indent=0).replace("Happy", "Bouncy"), 15,
                  "t_1_001", "sentiment", "'Bouncy'.*Curious"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGED)
def test_damage_is_named_and_located(tmp_path, what):
    name, data, line, record, field, message = DAMAGED[what]
    path = put(tmp_path, name, data)
    found = problem(path)
    assert (found.path, found.line, found.record, found.field) == (path, line, record, field)
    assert " ".join(str(found).split()) == str(found), "one line"
    assert re.search(message, found.message), found.message


def test_the_first_problem_counts_the_others(tmp_path):
    lines = MELD.splitlines(keepends=True)
    lines[1] = lines[1].replace("sadness", "gloom").replace(",0,1,2", ",x,1,2")
    lines[3] = lines[3].replace("joy", "glee")
    path = put(tmp_path, "a.csv", "".join(lines))
    found = problem(path)
    assert (found.line, found.field) == (2, "Utterance_ID")
    assert found.message.endswith(
        f"(and 1 more problem; `ragemo data check {path}` lists them all)"
    )


def test_a_format_that_is_named_is_not_guessed(tmp_path):
    assert "missing: 'Scene_ID'" in str(problem(put_sound(tmp_path, "meld"), format="emorynlp"))
    assert "JSON list" in str(problem(put_sound(tmp_path, "meld"), format="gensec"))
    assert "JSON object" in str(problem(put_sound(tmp_path, "gensec"), format="topicalchat"))
    with pytest.raises(SettingsError, match="unknown format 'iemocap'; known are auto, gensec"):
        read_corpus(put_sound(tmp_path, "meld"), format="iemocap")


def test_files_that_cannot_be_opened(tmp_path):
    assert "no such file" in str(problem(tmp_path / "none.json"))
    assert "folder" in str(problem(tmp_path))
    assert "cannot be read" in str(problem(put_sound(tmp_path, "meld") / "inside"))
    assert "cannot be read" in str(problem("a\0b"))


# Any bytes at all


def read_or_refuse(path, **how) -> None:
    """Nothing but an error meant for people may come out."""
    try:
        corpus = read_corpus(path, **how)
    except RagemoError as error:
        assert str(error)
    else:
        assert corpus.utterances


formats = st.sampled_from(["auto", *FORMATS])
suffixes = st.sampled_from([".json", ".jsonl", ".csv", ".txt"])


@MANY
@given(data=st.binary(max_size=300), name=formats, suffix=suffixes)
def test_any_bytes(tmp_path, data, name, suffix):
    read_or_refuse(put(tmp_path, f"any{suffix}", data), format=name)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@MANY
@given(what=st.sampled_from([*SOUND]), data=st.data(), name=formats)
def test_a_sound_file_with_any_cut_or_splice(tmp_path, what, data, name):
    file, text = SOUND[what]
    good = text.encode()
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 40)))
    splice = data.draw(
        st.binary(max_size=8)
        | st.sampled_from([b'"', b",", b"\r", b"\n\n", b"{", b"[", b"\\ud800", b"null", b"1e999"])
    )
    read_or_refuse(put(tmp_path, file, good[:start] + splice + good[end:]), format=name)


@MANY
@given(what=st.sampled_from(["gensec", "topicalchat", "plain"]), data=st.data())
def test_a_sound_file_with_any_value_in_any_place(tmp_path, what, data):
    sound = {"gensec": GENSEC, "topicalchat": TOPICALCHAT, "plain": PLAIN}[what]
    root = copy.deepcopy(sound)
    inner = root
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(inner[key], dict | list) and inner[key] and data.draw(st.booleans()):
            inner = inner[key]
        else:
            break
    inner[key] = data.draw(json_values)
    text = json_lines(root) if what == "plain" else json.dumps(root)
    read_or_refuse(put(tmp_path, SOUND[what][0], text))


@MANY
@given(depth=st.integers(900, 1100), what=st.sampled_from(["speaker", "emotion", "whispertiny"]))
def test_nesting_near_the_interpreter_s_limit(tmp_path, depth, what):
    text = gensec(**{what: "DEEP"}).replace('"DEEP"', "[" * depth + "]" * depth)
    assert problem(put(tmp_path, "a.json", text)).line == SECOND_LINE
