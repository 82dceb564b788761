"""Sound files are read as they are."""

from __future__ import annotations

import copy
import json
import re
from hashlib import sha256

import pytest

from ragemo.corpus import read_corpus
from ragemo.errors import DataError, SettingsError
from ragemo.labels import LabelSet
from tests.corpus.examples import (
    EMORYNLP,
    GENSEC,
    MELD,
    PLAIN,
    SOUND,
    json_lines,
    put,
    put_sound,
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
    assert (first.profile, first.scene, first.stage) == ("woman, young", "kitchen", "farewell")
    assert (second.profile, second.scene, second.stage) == ("", "", "")
    # "bored" is of a context-only utterance, so it is none of the labels.
    assert corpus.labels.names == ("glad", "sad")


@pytest.mark.parametrize("format", ["auto", "plain"])
def test_a_json_list_is_the_json_lines(tmp_path, format):
    (tmp_path / "lines.jsonl").write_text(json_lines(PLAIN), encoding="utf-8")
    (tmp_path / "list.json").write_text(json.dumps(PLAIN, indent=1), encoding="utf-8")
    lines = read_corpus(tmp_path / "lines.jsonl")
    listed = read_corpus(tmp_path / "list.json", format=format)
    assert (listed.format, listed.dialogues) == ("plain", lines.dialogues)


def test_a_json_list_with_other_keys_is_told_by_them(tmp_path):
    path = tmp_path / "list.json"
    path.write_text('[{"text": "so", "label": "happy"}]', encoding="utf-8")
    said = r"list\.json:1: unknown keys: 'label'"
    assert re.search(said, str(problem(path, format="plain")))


def test_plain_csv(tmp_path):
    first, second, third = read_corpus(put_sound(tmp_path, "plain csv")).utterances
    assert first.hypotheses == {"text": "So it's over?", "tiny": "so its over"}
    assert (first.scene, first.profile) == ("kitchen", "")
    assert (second.speaker, second.needs_prediction, second.scene) == ("", False, "")
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
