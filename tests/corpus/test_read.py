"""Sound files are read as they are; damaged ones end in one message that says where and what."""

from __future__ import annotations

import copy
import json
import re
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragemo.corpus import FORMATS, read_corpus
from ragemo.errors import DataError, RagemoError, SettingsError
from ragemo.labels import LabelSet
from tests.corpus.examples import (
    EMORYNLP,
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

MANY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def problem(path, **how) -> DataError:
    with pytest.raises(DataError) as caught:
        read_corpus(path, **how)
    return caught.value


def by_id(corpus) -> dict:
    return {utterance.id: utterance for utterance in corpus.utterances}


# Sound files


@pytest.mark.parametrize("what", SOUND)
def test_a_format_is_found_by_content_whatever_the_file_is_called(tmp_path, what):
    name, text = SOUND[what]
    expected = what.split()[0]
    assert read_corpus(put(tmp_path, name, text)).format == expected
    assert read_corpus(put(tmp_path, "data.txt", text)).format == expected
    assert read_corpus(put(tmp_path, name, text), format=expected).format == expected


@pytest.mark.parametrize("what", SOUND)
def test_the_corpus_says_where_it_came_from(tmp_path, what):
    path = put_sound(tmp_path, what)
    corpus = read_corpus(str(path))
    assert corpus.path == path
    assert corpus.sha256 == sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("what", SOUND)
def test_a_byte_order_mark_and_other_line_ends_change_nothing(tmp_path, what):
    name, text = SOUND[what]
    plain = read_corpus(put(tmp_path, name, text))
    marked = read_corpus(put(tmp_path, name, b"\xef\xbb\xbf" + text.encode()))
    windows = read_corpus(put(tmp_path, name, text.replace("\r\n", "\n").replace("\n", "\r\n")))
    assert plain.utterances == marked.utterances == windows.utterances


def test_gensec_keeps_every_system_and_cuts_dialogues_by_script(tmp_path):
    corpus = read_corpus(put_sound(tmp_path, "gensec"))
    assert [dialogue.id for dialogue in corpus.dialogues] == [
        "Ses01F_script03_2",
        "Ses01F_impro01",
    ]
    first, second = corpus.dialogues[0].utterances
    assert first.emotion == "fru"
    assert not first.needs_prediction
    assert second.id == "Ses01F_script03_2_M000"
    assert (second.turn, second.session, second.speaker) == (1, "Ses01", "Ses01_M")
    assert second.reference == "You lost it again!"
    assert second.hypotheses == {
        "whispertiny": "You lost it again!",
        "hubertlarge": "you lust it again",
    }
    assert corpus.labels.name == "gensec"


def test_gensec_without_labels_references_or_texts(tmp_path):
    rows = copy.deepcopy(GENSEC)
    rows[0]["emotion"] = " "
    del rows[1]["emotion"], rows[1]["groundtruth"]
    rows[1]["whispertiny"] = None
    rows[2]["groundtruth"] = ""
    found = by_id(read_corpus(put(tmp_path, "test.json", json.dumps(rows))))
    assert found["Ses01F_script03_2_F000"].emotion is None
    assert found["Ses01F_impro01_M000"].emotion is None
    assert found["Ses01F_impro01_M000"].reference is None
    assert found["Ses01F_impro01_M000"].hypotheses == {"whispertiny": "", "hubertlarge": ""}
    assert found["Ses01F_script03_2_M000"].reference is None


def test_gensec_sessions_are_those_of_iemocap_only(tmp_path):
    rows = [{**GENSEC[0], "id": "MELDdev_dia0012_U003"}]
    (utterance,) = read_corpus(put(tmp_path, "dev.json", json.dumps(rows))).utterances
    assert utterance.session is None
    assert utterance.dialogue_id == "MELDdev_dia0012"


def test_gensec_as_the_baseline_cuts_it(tmp_path):
    corpus = read_corpus(put_sound(tmp_path, "gensec"), segmentation="baseline")
    (dialogue,) = corpus.dialogues
    assert dialogue.id == "Ses01F"
    assert [u.id for u in dialogue.utterances] == [row["id"] for row in GENSEC]
    assert [u.turn for u in dialogue.utterances] == [0, 1, 2]


def test_only_gensec_has_the_baseline_segmentation(tmp_path):
    with pytest.raises(SettingsError, match=r"baseline.*gensec"):
        read_corpus(put_sound(tmp_path, "meld"), segmentation="baseline")
    with pytest.raises(SettingsError, match="unknown segmentation 'scenes'"):
        read_corpus(put_sound(tmp_path, "gensec"), segmentation="scenes")


def test_meld(tmp_path):
    corpus = read_corpus(put_sound(tmp_path, "meld"))
    assert [(u.id, u.dialogue_id, u.turn, u.speaker, u.emotion) for u in corpus.utterances] == [
        ("dia4_utt0", "dia4", 0, "Ann", "sadness"),
        ("dia4_utt2", "dia4", 2, "Ben", "neutral"),
        ("dia7_utt0", "dia7", 0, "Ann", "joy"),
    ]
    first = corpus.utterances[0]
    assert first.hypotheses == {"text": "So, it’s over?"}
    assert first.reference is None
    assert first.session is None


def test_meld_quotes_and_dashes_of_windows_are_repaired(tmp_path):
    text = MELD.replace("it’s over", "it\x92s \x93over\x94 \x96 now\x85")
    (first, *_) = read_corpus(put(tmp_path, "train.csv", text)).utterances
    assert first.hypotheses == {"text": "So, it’s “over” – now…?"}


def test_turns_of_a_dialogue_are_put_in_order(tmp_path):
    header, first, second, third = MELD.splitlines(keepends=True)
    corpus = read_corpus(put(tmp_path, "train.csv", header + second + third + first))
    assert [u.id for u in corpus.utterances] == ["dia4_utt0", "dia4_utt2", "dia7_utt0"]


def test_emorynlp(tmp_path):
    corpus = read_corpus(put_sound(tmp_path, "emorynlp"))
    assert [(u.id, u.dialogue_id, u.turn, u.speaker) for u in corpus.utterances] == [
        ("s01_e02_c03_u004", "s01_e02_c03", 4, "Ann Lee"),
        ("s01_e02_c03_u005", "s01_e02_c03", 5, "Ann's Boss, Ben Roe"),
        ("s01_e02_c12_u001", "s01_e02_c12", 1, ""),
    ]
    assert corpus.utterances[1].hypotheses == {"text": "Oh, hi!"}


@pytest.mark.parametrize(
    "speaker",
    ["Ann Lee", "['Ann'", "[Ann]", "[['Ann']]", "[1]", "['Ann' 'Ben']", "['Ann',, 'Ben']"],
)
def test_emorynlp_speakers_that_are_no_list(tmp_path, speaker):
    text = EMORYNLP.replace("['Ann Lee']", f'"{speaker}"')
    found = problem(put(tmp_path, "train.csv", text))
    assert (found.line, found.field, found.record) == (2, "Speaker", "s01_e02_c03_u004")


def test_topicalchat_with_and_without_recognisers(tmp_path):
    corpus = read_corpus(put_sound(tmp_path, "topicalchat"))
    heard, short, written = corpus.utterances
    assert heard.id == "t_1_000"
    assert heard.dialogue_id == "t_1"
    assert heard.hypotheses == {"asr_A": "Do you like t?", "asr_B": "do you like tea"}
    assert heard.reference == "Do you like tea?"
    assert (heard.speaker, heard.emotion) == ("agent_1", "Curious to dive deeper")
    assert (short.turn, short.hypotheses["asr_B"]) == (1, "")
    assert written.hypotheses == {"text": "Bad day."}
    assert written.reference is None


def test_plain_json_lines(tmp_path):
    corpus = read_corpus(put_sound(tmp_path, "plain"))
    first, second, third = corpus.utterances
    assert first.hypotheses == {"tiny": "so its over", "base": "So, it's over."}
    assert (first.session, first.reference) == ("one", "So it's over?")
    assert first.needs_prediction
    assert (second.emotion, second.needs_prediction) == ("bored", False)
    assert (third.dialogue_id, third.turn, third.needs_prediction) == ("b", 5, True)
    # "bored" is of a context-only utterance, so it is none of the labels.
    assert corpus.labels.names == ("glad", "sad")


def test_plain_csv(tmp_path):
    first, second, third = read_corpus(put_sound(tmp_path, "plain csv")).utterances
    assert first.hypotheses == {"text": "So it's over?", "tiny": "so its over"}
    assert (second.speaker, second.needs_prediction) == ("", False)
    assert third.hypotheses == {"text": "Yes!", "tiny": ""}


def test_labels_are_read_in_the_set_s_spelling(tmp_path):
    text = MELD.replace(",joy,", ",Happiness,").replace(",sadness,", ", SAD ,")
    corpus = read_corpus(put(tmp_path, "train.csv", text))
    assert [u.emotion for u in corpus.utterances] == ["sadness", "neutral", "joy"]


def test_a_given_label_set_overrides_the_format_s(tmp_path):
    path = put_sound(tmp_path, "meld")
    named = read_corpus(path, labels="gensec")
    assert named.labels.name == "gensec"
    assert [u.emotion for u in named.utterances] == ["sad", "neu", "hap"]
    own = LabelSet.from_dict(
        {
            "name": "valence",
            "labels": [
                {"name": "plus", "aliases": ["joy"]},
                {"name": "minus", "aliases": ["sadness"]},
                {"name": "neutral"},
            ],
        }
    )
    given_set = read_corpus(path, labels=own)
    assert given_set.labels is own
    assert [u.emotion for u in given_set.utterances] == ["minus", "neutral", "plus"]


def test_inferred_labels_fold_case(tmp_path):
    rows = [
        {**PLAIN[0], "id": name, "turn": i, "emotion": emotion}
        for i, (name, emotion) in enumerate([("x", "Sad"), ("y", "glad"), ("z", "sad ")])
    ]
    corpus = read_corpus(put(tmp_path, "x.jsonl", json_lines(rows)))
    assert corpus.labels.names == ("Sad", "glad")
    assert [u.emotion for u in corpus.utterances] == ["Sad", "glad", "Sad"]


def test_without_emotions_a_label_set_must_be_given(tmp_path):
    rows = [{key: value for key, value in row.items() if key != "emotion"} for row in PLAIN]
    path = put(tmp_path, "new.jsonl", json_lines(rows))
    with pytest.raises(SettingsError, match="--labels"):
        read_corpus(path)
    corpus = read_corpus(path, labels="meld")
    assert {u.emotion for u in corpus.utterances} == {None}
    assert corpus.labels.name == "meld"


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
