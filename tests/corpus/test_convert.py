"""What a format holds comes back from it; what it cannot hold is said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragemo.corpus import FORMATS, convert_corpus, read_corpus
from ragemo.errors import DataError, SettingsError
from ragemo.labels import load_labels
from ragemo.types import Dialogue
from tests.corpus.examples import EMORYNLP, GENSEC, MELD, PLAIN, SOUND, json_lines, put, put_sound

# Read once: this is what takes most of the time otherwise.
LABELS = {
    name: load_labels(known.LABELS) for name, known in FORMATS.items() if known.LABELS is not None
}

FILES = {
    "gensec": "out.json",
    "cped": "out.csv",
    "meld": "out.csv",
    "emorynlp": "out.csv",
    "topicalchat": "out.json",
    "plain": "out.jsonl",
    "plain csv": "out.csv",
}


def convert(corpus, folder, what, **how):
    """Convert, and read what was written."""
    path = folder / FILES[what]
    name = what.split()[0]
    labels = LABELS.get(name, corpus.labels)
    notes = convert_corpus(corpus, path, name, **how)
    return read_corpus(path, format=name, labels=labels), notes


# Meld's files have these Windows quotes in the place of control characters.
REPAIRED = str.maketrans("\x85\x91\x92\x93\x94\x95\x96\x97", "…‘’“”•–—")

# Line breaks, quotes, separators and characters that CSV, JSON or Python lists treat in their
# own way are what breaks a writer.
texts = st.text(
    st.sampled_from(",;'\"\\\r\n\t []{}ab\x91\x92’é😀\u2028\ufeff") | st.characters(codec="utf-8"),
    max_size=12,
).map(lambda text: text.replace("\0", ""))
names = texts.filter(str.strip)
PROFILES = st.sampled_from(["male", "female, young; high openness", "tall", "low openness, young"])
systems = names.filter(lambda name: name not in ("reference", "text"))


@st.composite
def plain_rows(draw, labels, *, several: bool):
    emotions = st.sampled_from(labels.names)
    found = draw(st.lists(systems, min_size=1, max_size=3, unique=True)) if several else []
    rows = []
    for dialogue in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        for turn in sorted(draw(st.sets(st.integers(0, 12), min_size=1, max_size=3))):
            row = {
                "id": f"{dialogue}#{turn}",
                "dialogue_id": dialogue,
                "turn": turn,
                "speaker": draw(texts),
                "needs_prediction": draw(st.booleans()),
                "emotion": draw(st.none() | emotions),
                "session": draw(st.none() | names),
                "reference": draw(st.none() | texts),
                "profile": draw(st.none() | texts | PROFILES),
                "scene": draw(st.none() | names),
                "stage": draw(st.none() | names),
            }
            if several:
                heard = draw(st.lists(st.sampled_from(found), unique=True))
                row["hypotheses"] = {name: draw(texts) for name in heard}
            else:
                row["text"] = draw(texts)
            rows.append(row)
    return rows


@pytest.mark.parametrize(
    ("what", "several"),
    [*((what, False) for what in FILES)]
    + [(what, True) for what in FILES if not FORMATS[what.split()[0]].ONE_TEXT],
)
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_round_trips(tmp_path, what, several, data):
    known = FORMATS[what.split()[0]]
    labels = LABELS[known.LABELS or "meld"]
    rows = data.draw(plain_rows(labels, several=several))
    plain = read_corpus(put(tmp_path, "in.jsonl", json_lines(rows)), labels=labels)

    there, notes = convert(plain, tmp_path, what)
    assert (notes == []) == (there.utterances == plain.utterances)
    assert [u.emotion for u in there.utterances] == [u.emotion for u in plain.utterances]
    assert [u.speaker for u in there.utterances] == [
        u.speaker.translate(REPAIRED if what == "meld" else {}) for u in plain.utterances
    ]
    if what == "plain":
        assert notes == []
    if not known.ONE_TEXT:
        assert [u.reference for u in there.utterances] == [u.reference for u in plain.utterances]
        assert [
            sorted(text for text in u.hypotheses.values() if text) for u in there.utterances
        ] == [sorted(text for text in u.hypotheses.values() if text) for u in plain.utterances]

    back, notes = convert(there, tmp_path, "plain")
    assert (back.utterances, notes) == (there.utterances, [])

    # What was written once is written the same again.
    path = tmp_path / FILES[what]
    again, notes = convert(there, tmp_path, what)
    first = path.read_bytes()
    assert (again.utterances, notes) == (there.utterances, [])
    convert(again, tmp_path, what)
    assert path.read_bytes() == first


@pytest.mark.parametrize("what", SOUND)
def test_a_format_holds_its_own_files(tmp_path, what):
    corpus = read_corpus(put_sound(tmp_path, what))
    again, notes = convert(corpus, tmp_path / "deep" / "er", what)
    assert (again.utterances, notes) == (corpus.utterances, [])


def test_a_reference_never_becomes_a_text(tmp_path):
    """Also where there is no hypothesis to stand beside it."""
    secret = "what was really said"
    rows = [{**PLAIN[0], "hypotheses": {}, "reference": secret, "emotion": "sad"}]
    corpus = read_corpus(put(tmp_path, "in.jsonl", json_lines(rows)), labels="topicalchat")
    for what in FILES:
        (utterance,) = convert(corpus, tmp_path, what)[0].utterances
        assert secret not in utterance.hypotheses.values(), what
        assert not any(utterance.hypotheses.values()), what


def test_gensec_to_meld_says_what_is_lost(tmp_path):
    corpus = read_corpus(put_sound(tmp_path, "gensec"), labels="gensec")
    rows = [{**GENSEC[0], "emotion": "sur"}, *GENSEC[1:]]
    corpus = read_corpus(put(tmp_path, "in.json", json.dumps(rows)))
    found, notes = convert(
        corpus, tmp_path, "meld", transcript=lambda utterance: utterance.hypotheses["whispertiny"]
    )
    assert [(u.id, u.emotion, u.hypotheses) for u in found.utterances] == [
        ("dia0_utt0", "surprise", {"text": "Where is my back?"}),
        ("dia0_utt1", "anger", {"text": "You lost it again!"}),
        ("dia1_utt0", "neutral", {"text": "Good morning."}),
    ]
    said = "\n".join(notes)
    for words in (
        "ids of 3 utterances are changed: 'Ses01F_script03_2_F000' is 'dia0_utt0'",
        "sessions of 3 utterances are lost",
        "references of 3 utterances are lost",
        "emotions of 3 utterances are changed: 'sur' is 'surprise'",
        "1 utterances that are context only now need a prediction",
        "hypotheses are 'text' and were 'hubertlarge', 'whispertiny'",
    ):
        assert words in said
    assert len(notes) == 7  # and the dialogues' ids


def test_meld_to_gensec_leaves_other_emotions_as_context(tmp_path):
    text = MELD.replace(",joy,", ",surprise,")
    corpus = read_corpus(put(tmp_path, "in.csv", text))
    found, notes = convert(corpus, tmp_path, "gensec")
    assert [(u.id, u.emotion, u.needs_prediction, u.turn) for u in found.utterances] == [
        ("dia4_U000", "sad", True, 0),
        ("dia4_U002", "neu", True, 1),
        ("dia7_U000", "surprise", False, 0),
    ]
    said = "\n".join(notes)
    assert "1 utterances are now context only" in said
    assert "turns of 1 utterances are changed: 2 is 1" in said


def test_labels_without_counterpart_are_refused_with_their_names(tmp_path):
    rows = [{**PLAIN[0], "emotion": "proud"}, {**PLAIN[2], "emotion": "sad"}]
    path = put(tmp_path, "in.jsonl", json_lines(rows))
    corpus = read_corpus(path)
    with pytest.raises(DataError, match=r"'proud'.*surprise") as caught:
        convert_corpus(corpus, tmp_path / "out.csv", "meld", transcript=lambda _: "")
    assert caught.value.path == path
    assert caught.value.record == "a0"
    assert not (tmp_path / "out.csv").exists()


def test_an_alias_decides_only_if_it_is_alone(tmp_path):
    path = tmp_path / "labels.yaml"
    path.write_text(
        "name: own\nlabels:\n"
        "- {name: rage, aliases: [anger, mad]}\n"
        "- {name: gloom, aliases: [sad, fear]}\n"
    )
    rows = [{**PLAIN[0], "emotion": "mad"}, {**PLAIN[2], "emotion": "rage"}]
    one = read_corpus(put(tmp_path, "in.jsonl", json_lines(rows)), labels=str(path))
    found, _ = convert(one, tmp_path, "topicalchat")
    assert {u.emotion for u in found.utterances} == {"Angry"}
    rows[0]["emotion"] = "gloom"
    two = read_corpus(put(tmp_path, "in.jsonl", json_lines(rows)), labels=str(path))
    with pytest.raises(DataError, match="'gloom'"):
        convert(two, tmp_path, "topicalchat")


def test_several_hypotheses_need_a_choice_where_one_text_is_held(tmp_path):
    corpus = read_corpus(put_sound(tmp_path, "gensec"))
    for name in ("meld", "emorynlp"):
        with pytest.raises(SettingsError, match=r"'hubertlarge', 'whispertiny'.*--transcript"):
            convert_corpus(corpus, tmp_path / "out.csv", name)
    assert not (tmp_path / "out.csv").exists()


def test_a_chosen_transcript_is_the_only_text_in_every_format(tmp_path):
    rows = [{**PLAIN[0], "emotion": "sad"}, {**PLAIN[2], "emotion": "joy"}]
    corpus = read_corpus(put(tmp_path, "in.jsonl", json_lines(rows)), labels="meld")
    for what in ("gensec", "meld", "plain", "plain csv"):
        found, _ = convert(corpus, tmp_path, what, transcript=lambda u: u.hypotheses["base"])
        assert [u.hypotheses for u in found.utterances] == [
            {"text": "So, it's over."},
            {"text": "Yes!"},
        ]


def test_a_hypothesis_named_like_a_field_is_lost_and_said(tmp_path):
    rows = [{**PLAIN[0], "hypotheses": {"speaker": "oh", "tiny": "ah"}, "emotion": "sad"}]
    corpus = read_corpus(put(tmp_path, "in.jsonl", json_lines(rows)), labels="gensec")
    found, notes = convert(corpus, tmp_path, "gensec")
    assert found.utterances[0].speaker == "Ann"
    assert found.utterances[0].hypotheses == {"tiny": "ah"}
    assert "hypotheses are 'tiny' and were 'speaker', 'tiny'" in notes


@pytest.mark.parametrize(
    ("what", "dialogues"),
    [
        ("meld", ["x", "dia0"]),
        ("meld", ["dia00", "dia0"]),
        ("emorynlp", ["x", "s01_e01_c01"]),
        ("emorynlp", ["s01_e01_c02", "s01_e01_c002"]),
        ("gensec", ["y", "x"]),
    ],
)
def test_dialogues_stay_apart_whatever_they_are_called(tmp_path, what, dialogues):
    rows = [
        {"id": f"x_U{i}", "dialogue_id": name, "turn": 0, "speaker": "", "text": name}
        for i, name in enumerate(dialogues)
    ]
    corpus = read_corpus(put(tmp_path, "in.jsonl", json_lines(rows)), labels="meld")
    found, _ = convert(corpus, tmp_path, what)
    assert [
        [u.hypotheses["text"] for u in dialogue.utterances] for dialogue in found.dialogues
    ] == [[name] for name in dialogues]


def test_ids_of_the_format_are_kept(tmp_path):
    for what in ("gensec", "meld", "emorynlp"):
        corpus = read_corpus(put_sound(tmp_path, what))
        plain, _ = convert(corpus, tmp_path, "plain")
        again, _ = convert(plain, tmp_path, what)
        assert [u.id for u in again.utterances] == [u.id for u in corpus.utterances]


def test_emorynlp_speakers_are_written_as_they_were(tmp_path):
    corpus = read_corpus(put_sound(tmp_path, "emorynlp"))
    convert_corpus(corpus, tmp_path / "out.csv", "emorynlp")
    written = (tmp_path / "out.csv").read_text()
    for cell in ("['Ann Lee']", '"[""Ann\'s Boss"", \'Ben Roe\']"', "[]"):
        assert f",{cell}," in EMORYNLP
        assert f",{cell}," in written


def test_a_joined_corpus_loses_the_names_of_its_parts_and_that_is_said(tmp_path):
    corpus = read_corpus(put_sound(tmp_path, "plain"))
    members = tuple(replace(u, corpus="own") for u in corpus.dialogues[0].utterances)
    corpus = replace(corpus, dialogues=(Dialogue("a", members),))
    _, notes = convert(corpus, tmp_path, "plain")
    assert notes == ["corpora of 2 utterances are lost: plain does not hold them"]


def test_changed_texts_are_said(tmp_path):
    rows = [{**PLAIN[0], "hypotheses": {"text": "it\x92s"}, "emotion": "sad"}]
    corpus = read_corpus(put(tmp_path, "in.jsonl", json_lines(rows)), labels="meld")
    found, notes = convert(corpus, tmp_path, "meld")
    assert found.utterances[0].hypotheses == {"text": "it’s"}
    assert "texts of text are changed in 1 utterances" in notes


def test_what_the_reader_would_refuse_is_not_written(tmp_path):
    corpus = read_corpus(put_sound(tmp_path, "meld"))
    long = replace(corpus.utterances[0], hypotheses={"text": "x" * 20_001})
    corpus = replace(corpus, dialogues=(Dialogue(long.dialogue_id, (long,)),))
    for what, file in FILES.items():
        with pytest.raises(DataError, match="20,001"):
            convert_corpus(corpus, tmp_path / file, what.split()[0])
        assert not (tmp_path / file).exists()


def test_places_that_cannot_be_written(tmp_path):
    corpus = read_corpus(put_sound(tmp_path, "meld"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        convert_corpus(corpus, tmp_path / "folder", "plain")
    with pytest.raises(SettingsError, match="unknown format 'auto'; known are gensec"):
        convert_corpus(corpus, tmp_path / "x", "auto")
