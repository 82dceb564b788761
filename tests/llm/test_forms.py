"""From what a model says to a label and what it says beside it."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.labels import LabelSet, normalise
from ragemo.llm.answers import find_label
from ragemo.llm.forms import Answer, check_form, read_answer
from ragemo.prompting.forms import FORMS
from ragemo.types import Window
from tests.conftest import make_turn
from tests.fake_llm import FakeLLM

LABELS = LabelSet.from_dict(
    {
        "name": "four",
        "labels": [
            {"name": "hap", "word": "happiness", "aliases": ["happy", "joy"]},
            {"name": "sad", "word": "sadness"},
            {"name": "ang", "word": "anger"},
            {"name": "neu", "word": "neutral"},
        ],
    }
)
SPELLINGS = {
    spelling: label.name
    for label in LABELS
    for spelling in (label.name, label.word, *label.aliases)
}
WINDOW = Window(
    (
        make_turn("Where is the dog?", 0),
        make_turn("", 2),
        make_turn("He's gone, and I am SO sorry!", 3),
    )
)
OBJECTS = sorted(set(FORMS) - {"label"})

forms = st.sampled_from(sorted(FORMS))
spellings = st.sampled_from(sorted(SPELLINGS))
texts = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = {
    "label": spellings,
    "labels": st.lists(spellings, min_size=1, unique_by=SPELLINGS.get),
    "intensity": st.integers(0, 3),
    "valence": st.floats(-1, 1) | st.integers(-1, 1),
    "arousal": st.floats(-1, 1),
    "cause": st.integers(-2, 9),
    **dict.fromkeys(("reasons", "transcript", "translation", "evidence"), texts),
}


def read(answer, form="rated", window=WINDOW):
    return read_answer(answer, form, LABELS, window)


def of(form, **changes):
    """A well-formed answer, with some of its keys changed; None takes a key away."""
    usual = {
        "label": "joy",
        "labels": ["joy"],
        "intensity": 2,
        "valence": 0.5,
        "arousal": -1,
        "cause": 1,
    }
    values = {key: usual.get(key, "so sorry") for key in FORMS[form].properties} | changes
    return json.dumps({key: value for key, value in values.items() if value is not None})


# -- what is accepted ----------------------------------------------------------------------------


@given(
    st.sampled_from(OBJECTS),
    st.data(),
    st.sampled_from(["{}", "```json\n{}\n```", "<think>sad? {{</think>\n{}", "\n {} "]),
    st.sampled_from([None, 0, 3]),
    st.booleans(),
)
def test_a_well_formed_answer_says_what_was_written(form, data, dress, indent, cut):
    keys = data.draw(st.permutations(FORMS[form].properties))
    values = {key: data.draw(VALUES[key]) for key in keys}
    text = json.dumps(values, indent=indent, ensure_ascii=data.draw(st.booleans()))
    answer = dress.format(text.removesuffix("}") if cut else text)
    said = read(answer, form)
    json.dumps(said.details, allow_nan=False).encode()
    if form == "labels":
        names = {SPELLINGS[spelling] for spelling in values["labels"]}
        assert said.details == {"labels": [name for name in LABELS.names if name in names]}
        assert [share > 0 for share in said.distribution] == [n in names for n in LABELS.names]
        assert math.fsum(said.distribution) == pytest.approx(1)
        return
    assert said.distribution == LABELS.one_hot(SPELLINGS[values["label"]])
    assert answer[said.label.start : said.label.end] == values["label"]
    for key in set(keys) - {"label", "cause"}:
        value = values[key]
        assert said.details[key] == (value.strip() if isinstance(value, str) else value)
    if form == "cause":
        turns = {1: "d_0", 2: "d_2", 3: "d_3"}
        assert said.details == {"cause": turns.get(values["cause"])}


@given(spellings, st.sampled_from(["{}", "**{}**\n", '"{}"', "```\n{}```", "<think>.</think>{}."]))
@pytest.mark.parametrize("form", OBJECTS)
def test_a_bare_label_counts_without_details(form, spelling, dress):
    said = read(dress.format(spelling.upper()), form)
    assert said.distribution == LABELS.one_hot(SPELLINGS[spelling])
    assert said.details == {}


@given(st.text() | spellings)
def test_the_form_label_is_read_as_any_label(answer):
    found = find_label(answer, LABELS)
    said = read(answer, "label")
    assert (said.label, said.details) == (found, {})
    assert said.distribution == (None if found is None else LABELS.one_hot(found.name))


# -- what is not ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", OBJECTS)
def test_an_object_that_is_not_as_asked_for_is_no_label(form):
    whole = of(form)
    assert read(whole, form).distribution is not None
    first = json.dumps(FORMS[form].properties[0])
    for answer in (
        *(of(form, **{key: None}) for key in FORMS[form].properties),
        of(form, **{"Label": "joy"}),
        of(form, **{"": ""}),
        whole.removesuffix("}") + f", {first}: {json.dumps('joy')}}}",
        whole + " I hope this helps.",
        "Sure! " + whole,
        whole + whole,
        f"[{whole}]",
        "<think>" + whole,
        *(whole[:end] for end in range(len(whole) - 1)),
    ):
        assert read(answer, form) == Answer(), answer


@pytest.mark.parametrize(
    ("form", "key", "values"),
    [
        ("rated", "label", ["", "glee", "joy or anger", ["joy"], 1, {}]),
        ("rated", "intensity", [-1, 4, 1.5, 2.0, "2", True, [], 10**400]),
        ("rated", "valence", [-1.01, 1.01, math.nan, math.inf, "0", False, [0.5], 10**400]),
        ("rated", "arousal", [2, "high", {}]),
        ("labels", "labels", [[], "joy", ["joy", "happy"], ["glee"], ["joy", 1], {"joy": 1}]),
        ("cause", "cause", ["1", 1.0, True, [1]]),
        ("evidence", "evidence", [1, ["so"], True]),
        ("reasoned", "reasons", [1, ["so"], {}]),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_no_label(form, key, values):
    for value in values:
        assert read(of(form, **{key: value}), form) == Answer(), value


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{",
        "{}",
        "{" * 100_000,
        '{"label":' * 100_000,
        '{"label": ' + "[" * 100_000,
        '{"cause": ' + "9" * 10_000,
        '{"label": "joy", ' * 100_000,
        '{"label"' + " " * 1_000_000,
        "joy. Because I am glad.",
        "label: joy",
        "joy or anger",
        "not joy",
    ],
)
def test_what_is_no_answer_is_invalid_and_soon_read(answer):
    for form in OBJECTS:
        assert read(answer, form) == Answer()


pieces = st.sampled_from(
    [*'{}[]":, \n', '"label"', '"labels"', '"joy"', '"cause"', "1", "```", "anger", "<think>",
     "</think>", '{"label": "joy", "cause": ', '{"labels": ["joy", "anger"', "null", "-0.5"]
)  # fmt: skip


@given(st.lists(pieces | st.text(max_size=3), max_size=12).map("".join), forms)
def test_junk_never_becomes_a_label_that_it_does_not_hold(answer, form):
    said = read(answer, form)
    json.dumps(said.details).encode()
    for label, share in zip(LABELS, said.distribution or (), strict=False):
        if share > 0:
            spelled = (label.name, label.word, *label.aliases)
            assert any(normalise(spelling) in normalise(answer) for spelling in spelled)
    if said.distribution is None:
        assert said == Answer()


# -- what is compared with the conversation ------------------------------------------------------


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("so sorry", True),
        ("and I am so sorry", True),
        ("I... am SO", True),
        ("hes gone", True),
        ("Where is the dog?", True),
        ("where is the", True),
        ("sorry", False),
        ("so sorr", False),
        ("dog he's", False),
        ("sorry so", False),
        ("I am so glad", False),
        ("", False),
        ("?!", False),
    ],
)
def test_a_quote_is_looked_for_in_what_was_shown(quote, found):
    said = read(of("evidence", evidence=quote), "evidence")
    assert said.details == {"evidence": quote, "found": found}
    assert said.distribution == LABELS.one_hot("hap")


@pytest.mark.parametrize(
    ("text", "quote", "found"),
    [
        ("Oh.", "oh", True),
        ("我很高兴", "很高", True),
        ("我很高兴", "高", False),
        ("我很高兴", "高很", False),
        ("😀", "😀", False),
    ],
)
def test_a_short_text_is_quoted_whole(text, quote, found):
    answer = of("evidence", evidence=quote)
    assert read(answer, "evidence", Window((make_turn(text),))).details["found"] is found


def test_without_a_known_window_nothing_was_said():
    assert read(of("evidence"), "evidence", None).details["found"] is False
    assert read(of("cause"), "cause", None).details == {"cause": None}


def test_texts_can_be_kept():
    """Half a surrogate pair cannot be written as UTF-8; an endless text need not be."""
    said = read(r'{"reasons": "a\ud800b", "label": "joy"}', "reasoned")
    assert said.details == {"reasons": "a?b"}
    said = read(of("reasoned", reasons="y" * 10_000), "reasoned")
    assert len(said.details["reasons"]) == 2_000


# -- who can answer ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", OBJECTS)
def test_a_model_that_scores_labels_cannot_answer_in_other_forms(form):
    model = FakeLLM()
    check_form(model, form)
    model.exact = True
    check_form(model, "label")
    with pytest.raises(SettingsError, match=rf"'{form}', but fake only scores .*--mode sample"):
        check_form(model, form)
