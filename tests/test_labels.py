import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.labels import (
    DEFAULT_COLOURS,
    Label,
    LabelSet,
    available_label_sets,
    load_labels,
    normalise,
)
from tests.conftest import LABELS


@pytest.mark.parametrize(
    "spelling", ["hap", "happy", "joy", " Happy! ", "**JOY**", '"hap"', "h-a-p", "Happy\n"]
)
def test_every_spelling_finds_its_label(spelling):
    assert LABELS.find(spelling) == "hap"


@pytest.mark.parametrize("text", ["", " ", "!?", "happ", "happiness", "neutral happy", "happy2"])
def test_what_is_no_spelling_finds_nothing(text):
    assert LABELS.find(text) is None


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("one", "other"), [("-1", "1"), ("\u22122", "2"), ("दुःख", "दाख"), ("ดี", "ดู"), (" -1 ", "1.")]
)
def test_what_tells_two_labels_apart_is_kept(one, other):
    labels = LabelSet.infer([one, other])
    assert {labels.find(one), labels.find(other)} == {one, other}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-joy", "joy"),
        ("- 1", "1"),
        ("İyi", "iyi"),
        ("فَرَح", "فرح"),
        ("joy\ufe0f", "joy"),
        ("+1", "1"),
    ],
)
def test_what_tells_no_two_labels_apart_is_not(one, other):
    assert normalise(one) == normalise(other)


def test_order_is_kept():
    assert LABELS.names == ("neu", "hap", "ang")
    assert LABELS.words == ("neutral", "happy", "angry")
    assert [label.name for label in LABELS] == ["neu", "hap", "ang"]
    assert len(LABELS) == 3
    assert LABELS.index("ang") == 2
    with pytest.raises(ValueError):
        LABELS.index("angry")
    assert LABELS.one_hot("hap") == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("name", available_label_sets())
def test_shipped_sets_load_and_are_complete(name):
    labels = load_labels(name)
    assert labels.name == name
    assert all(label.definition for label in labels)
    assert len({label.colour for label in labels}) == len(labels)
    assert all(
        labels.find(word) == label for label, word in zip(labels.names, labels.words, strict=True)
    )


def test_the_challenge_s_codes_are_a_shipped_set():
    assert set(load_labels("gensec").names) == {"hap", "sad", "neu", "ang"}
    assert load_labels("gensec").find("Neutral.") == "neu"


def test_data_and_back():
    assert LabelSet.from_dict(LABELS.to_dict()) == LABELS
    for name in available_label_sets():
        labels = load_labels(name)
        assert LabelSet.from_dict(labels.to_dict()) == labels


def test_a_bare_name_is_enough_and_the_rest_has_defaults():
    labels = LabelSet.from_dict({"name": "two", "labels": ["joy", {"name": "anger"}]})
    assert labels.labels == (
        Label("joy", "joy", colour=DEFAULT_COLOURS[0]),
        Label("anger", "anger", colour=DEFAULT_COLOURS[1]),
    )


def test_inferred_labels_are_sorted_and_distinct():
    assert LabelSet.infer(["sad", "joy", "sad"]).names == ("joy", "sad")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["joy"], "at least two labels"),
        (["joy", "joy"], "'joy' means both label 1 ('joy') and label 2 ('joy')"),
        (["Joy", "joy!"], "'joy!' means both label 1 ('Joy') and label 2 ('joy!')"),
        (
            [{"name": "a", "aliases": ["glad"]}, {"name": "b", "word": "Glad"}],
            "'Glad' means both label 1 ('a') and label 2 ('b')",
        ),
        (["joy", "?!"], "'?!' has no letter or digit"),
        (["joy", False], "label 2 is False"),
        (["joy", {"word": "sad"}], "label 2 is {'word': 'sad'}"),
        (["joy", {"name": "sad", "color": "red"}], "'sad' has unknown keys ['color']"),
        (["joy", {"name": "sad", "word": None}], "'sad': word is None"),
        (["joy", {"name": "sad", "aliases": "blue"}], "'sad': aliases are 'blue'"),
        (["joy", {"name": "sad", "aliases": ["no", False]}], "'sad': aliases are ['no', False]"),
        (["joy", {"name": "sad", "colour": "red"}], "'sad': colour is 'red'"),
    ],
)
def test_a_wrong_set_is_refused_and_says_why(labels, said):
    with pytest.raises(SettingsError) as caught:
        LabelSet.from_dict({"name": "mine", "labels": labels}, "mine.yaml")
    assert said in str(caught.value)
    assert "mine" in str(caught.value)


@pytest.mark.parametrize("data", [None, [], {"labels": "joy, sad"}, {"name": "mine"}])
def test_data_of_another_shape_is_refused(data):
    with pytest.raises(SettingsError, match=r"mine\.yaml: expected a mapping with `name`"):
        LabelSet.from_dict(data, "mine.yaml")


def test_own_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("labels:\n  - joy\n  - name: sad\n    aliases: [blue]\n", encoding="utf-8")
    labels = load_labels(path)
    assert labels.name == "mine"
    assert labels.find("blue") == "sad"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"labels: [joy", "not valid YAML"), (b"\xff\xfe\xff", "cannot be read"), (b"", "mapping")],
)
def test_an_unusable_file_is_named(tmp_path, content, said):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_labels(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_set_names_those_there_are():
    with pytest.raises(SettingsError, match=r"no label set 'mled': expected one of .*meld.* path"):
        load_labels("mled")
