"""CPED's files as published: who speaks and where is read, what gives the emotion away is not."""

import pytest

from ragemo.corpus import check_corpus, convert_corpus, read_corpus
from ragemo.corpus.formats import FORMATS
from ragemo.errors import DataError
from ragemo.labels import load_labels
from tests.corpus.examples import CPED, put, put_sound


def test_cped(tmp_path):
    corpus = read_corpus(put_sound(tmp_path, "cped"))
    assert (corpus.format, corpus.labels.name) == ("cped", "cped")
    assert [(u.id, u.dialogue_id, u.turn, u.speaker, u.session) for u in corpus.utterances] == [
        ("91_000_000", "91_000", 0, "安安", "91"),
        ("91_000_001", "91_000", 1, "老白", "91"),
        ("91_000_003", "91_000", 3, "其他", "91"),
        ("92_004_000", "92_004", 0, "小满", "92"),
    ]
    assert [(u.emotion, u.profile, u.scene) for u in corpus.utterances] == [
        ("depress", "female, young; high neuroticism, low openness", "home"),
        (
            "positive-other",
            "male, middle-aged; low neuroticism, high extraversion, high openness, "
            "high agreeableness, high conscientiousness",
            "home",
        ),
        ("neutral", "", ""),
        ("happy", "elderly; low conscientiousness", "other-venue"),
    ]
    first = corpus.utterances[0]
    assert first.hypotheses == {"text": "雨 怎么还没停"}
    assert first.reference is None


def test_what_gives_the_emotion_away_is_not_read(tmp_path):
    plain = read_corpus(put_sound(tmp_path, "cped"))
    rows = [row.split(",") for row in CPED.splitlines()]
    sentiment, act = rows[0].index("Sentiment"), rows[0].index("DA")
    for row in rows[1:]:
        row[sentiment] = row[act] = "ZZ"
    other = "".join(",".join(row) + "\n" for row in rows)
    assert other.count("ZZ") == 8
    found = read_corpus(put(tmp_path, "b.csv", other))
    assert found.utterances == plain.utterances
    assert "ZZ" not in repr(found.utterances)


def test_the_other_csv_formats_keep_their_files(tmp_path):
    for name in FORMATS:
        assert check_corpus(put_sound(tmp_path, name)).format == name


@pytest.mark.parametrize("bad", ["92_000_000", "91_0000", "91_000_x", "91_000", "91_000_1_1"])
def test_an_utterance_s_id_begins_with_its_dialogue_s(tmp_path, bad):
    path = put(tmp_path, "a.csv", CPED.replace("91_000_000", bad))
    with pytest.raises(DataError, match="expected the Dialogue_ID") as caught:
        read_corpus(path)
    assert (caught.value.line, caught.value.record) == (2, bad)
    assert caught.value.field == "Utterance_ID"


def test_a_missing_column_is_named(tmp_path):
    path = put(tmp_path, "a.csv", CPED.replace("Openness", "Open"))
    with pytest.raises(DataError, match=r"columns missing: 'Openness'"):
        read_corpus(path)


def test_unknown_emotions_are_refused(tmp_path):
    path = put(tmp_path, "a.csv", CPED.replace(",depress,", ",bored,"))
    with pytest.raises(DataError, match="unknown label 'bored'; known are happy, grateful"):
        read_corpus(path)


def test_labels_in_words_of_the_paper_and_in_chinese():
    labels = load_labels("cped")
    assert len(labels) == 13
    assert len({label.colour for label in labels}) == 13
    assert all(label.definition for label in labels)
    for spelling, name in {
        "other-positive": "positive-other",
        "other-negative": "negative-other",
        "feared": "fear",
        "depressed": "depress",
        "disgusted": "disgust",
        "高兴": "happy",
        "愤怒": "anger",
        "担心": "worried",
    }.items():
        assert labels.find(spelling) == name


def test_converting_says_which_profiles_cannot_be_held(tmp_path):
    text = (
        "id,dialogue_id,turn,speaker,text,emotion,profile,scene,stage\n"
        'x,a,0,Ann,Hello.,happy,"tall, young",home,start\n'
        "y,a,1,Ben,Oh.,fear,hasty,unknown,\n"
    )
    corpus = read_corpus(put(tmp_path, "a.csv", text), labels="cped")
    notes = convert_corpus(corpus, tmp_path / "out.csv", "cped")
    said = "\n".join(notes)
    assert "profiles of 1 utterances are changed: 'tall, young' is 'young'" in said
    assert "profiles of 1 utterances are lost: cped does not hold them" in said
    assert "scenes of 1 utterances are lost" in said
    assert "stages of 1 utterances are lost" in said
    found = read_corpus(tmp_path / "out.csv").utterances
    assert [(u.id, u.profile, u.scene) for u in found] == [
        ("a_000", "young", "home"),
        ("a_001", "", ""),
    ]


def test_converting_to_meld_loses_who_speaks_and_where(tmp_path):
    text = CPED.replace("positive-other", "happy").replace("depress", "sadness")
    corpus = read_corpus(put(tmp_path, "a.csv", text))
    notes = convert_corpus(corpus, tmp_path / "out.csv", "meld")
    assert "profiles of 3 utterances are lost: meld does not hold them" in notes
    assert "scenes of 3 utterances are lost: meld does not hold them" in notes
    assert "sessions of 4 utterances are lost: meld does not hold them" in notes
