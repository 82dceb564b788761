"""From what a model says to a label."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.labels import LabelSet
from ragemo.llm.answers import find_label, read_label, without_thinking

LABELS = LabelSet.from_dict(
    {
        "name": "four",
        "labels": [
            {"name": "hap", "word": "happiness", "aliases": ["happy", "joy"]},
            {"name": "sad", "word": "sadness"},
            {"name": "ang", "word": "anger", "aliases": ["angry"]},
            {"name": "neu", "word": "neutral"},
        ],
    }
)
SPELLINGS = [
    (spelling, label.name)
    for label in LABELS
    for spelling in (label.name, label.word, *label.aliases)
]
spellings = st.sampled_from(SPELLINGS)
marks = st.text(alphabet=" \n\t*_`\"'.!?()", max_size=4)
cases = st.sampled_from([str.lower, str.upper, str.title])


@given(spellings, cases, marks, marks)
def test_a_spelling_in_any_case_and_dress_is_its_label(spelling, case, before, after):
    text, name = spelling
    assert read_label(before + case(text) + after, LABELS) == name


@given(
    spellings,
    cases,
    st.sampled_from(
        [
            "{}",
            "Label: {}",
            '{{"label": "{}"}}',
            '{{\n "sad" : "{}."',
            '```json\n{{"emotion":"*{}*"}}\n```',
            "<think>sad?</think> The emotion is {}, {}.",
            "**{}**\nBecause sad people say so.",
        ]
    ),
    st.text(alphabet=" \n\t", max_size=3),
)
def test_a_label_is_found_where_it_stands(spelling, case, form, blanks):
    text, name = case(spelling[0]), spelling[1]
    found = find_label(blanks + form.format(text, text) + blanks, LABELS)
    start = len(blanks) + len(form.split("{}")[0].format())
    assert (found.name, found.start, found.end) == (name, start, start + len(text))


@given(
    spellings,
    st.sampled_from(
        """Label: {}
emotion: {}
ANSWER = {}
**Label:** {}
**Emotion**: {}.
The emotion is {}.
the label is: {}
The answer is **{}**
"label": "{}"
""".splitlines()
    ),
)
def test_a_leading_word_is_passed_over(spelling, form):
    text, name = spelling
    assert read_label(form.format(text), LABELS) == name


@given(
    spellings,
    st.text(alphabet=string.ascii_letters + "_", max_size=10),
    st.sampled_from([None, 0, 1, 4]),
    st.sampled_from(["{}", "```json\n{}\n```", "```\n{}```", "\n {} \n"]),
)
def test_a_json_object_with_one_value_is_that_value(spelling, key, indent, form):
    text, name = spelling
    answer = form.format(json.dumps({key: text}, indent=indent))
    assert read_label(answer, LABELS) == name


@given(spellings, st.data())
def test_json_that_was_cut_off_counts_only_if_the_label_is_whole(spelling, data):
    text, name = spelling
    whole = json.dumps({"label": text})
    cut = data.draw(st.integers(0, len(whole)))
    expected = name if cut >= len(whole) - 1 else None
    assert read_label(whole[:cut], LABELS) == expected


@given(spellings, st.sampled_from([". ", ", ", ": ", " - ", " -- ", " (", " \u2014 ", "\n"]), cases)
def test_an_explanation_after_a_label_does_no_harm(spelling, separator, case):
    text, name = spelling
    assert read_label(case(text) + separator + "She got the job she wanted", LABELS) == name


@given(
    spellings,
    spellings,
    st.sampled_from(
        [" ", ", ", "/", " or ", " and ", ": ", ". Not ", " - ", " (", ", then ", "->"]
    ),
)
def test_two_labels_are_none(one, other, between):
    answer = one[0] + between + other[0]
    if one[1] != other[1]:
        assert read_label(answer, LABELS) is None


@given(
    spellings,
    spellings,
    st.sampled_from(["{}\n{}", "- {}\n- {}", "Label: {}\nLabel: {}", "{}: 10%\n\n1) {}: 85%"]),
)
def test_two_labels_in_two_lines_are_none(one, other, form):
    found = read_label(form.format(one[0], other[0]), LABELS)
    assert found == (one[1] if one[1] == other[1] else None)


@pytest.mark.parametrize(
    "answer", ["happy, other positive", "anger (negative-other)", "anger, other_negative"]
)
def test_a_label_of_several_words_is_another_one(answer):
    labels = LabelSet.from_dict(
        {
            "name": "cped",
            "labels": [
                {"name": "happy"},
                {"name": "anger"},
                {"name": "positive-other", "aliases": ["other positive"]},
                {"name": "negative-other", "aliases": ["other negative"]},
            ],
        }
    )
    assert read_label(answer, labels) is None
    assert read_label("other positive, of the other kind", labels) == "positive-other"


@pytest.mark.parametrize("answer", ["neutral (none)", "neutral: none", "Neutral, none."])
def test_a_label_that_is_named_twice_is_not_denied(answer):
    labels = LabelSet.from_dict(
        {"name": "two", "labels": [{"name": "neutral", "aliases": ["none"]}, {"name": "joy"}]}
    )
    assert read_label(answer, labels) == "neutral"
    assert read_label("joy: none", labels) is None


@given(
    spellings,
    st.sampled_from(["no", "No.", "false", "absent", "0", "0%", "0.0 %", "not", "not present"]),
    st.sampled_from([": {}", ", {}", " ({})", " - {}"]),
)
def test_a_label_that_is_denied_is_none(spelling, word, form):
    assert read_label(spelling[0] + form.format(word), LABELS) is None
    assert read_label(spelling[0] + form.format("0.85"), LABELS) == spelling[1]
    assert read_label(spelling[0] + form.format("no doubt"), LABELS) == spelling[1]


@given(
    spellings,
    st.sampled_from(
        """not {}
no {}
un{}
{}?? I cannot tell
I feel {}
{} is absent
The emotion is not {}.
label: not {}
{{"label": "{0}", "label": "{0}"}}
{{"a": "{0}", "b": "{0}"}}
{{"label": ["{}"]}}
{{"label": {{"label": "{}"}}}}
{{"label": "{}"}} or so
<think>{}""".splitlines()
    ),
)
def test_a_label_that_is_only_mentioned_is_none(spelling, form):
    assert read_label(form.format(spelling[0]), LABELS) is None


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " ",
        "\n",
        "{",
        "{}",
        "{}}",
        "null",
        "[]",
        "0",
        "\u0000",
        "label:",
        "```",
        "```\n```",
        "The emotion is",
        "surprise",
        '{"label": null}',
        '{"label": ""}',
        "<think>",
        "</think>",
        "[" * 9999,
        '{"a":' * 9999,
        "I cannot help with that.",
    ],
)
def test_what_is_no_label_is_none(answer):
    assert read_label(answer, LABELS) is None


@given(st.text())
def test_any_text_is_a_label_of_the_set_or_none(answer):
    assert read_label(answer, LABELS) in (None, *LABELS.names)


@given(
    st.text(alphabet=st.characters(exclude_characters="<>")),
    st.text(alphabet=st.characters(exclude_characters="<>")) | spellings.map(lambda pair: pair[0]),
    st.booleans(),
)
def test_thoughts_change_nothing(thought, answer, opened):
    thinking = ("<think>" if opened else "") + thought + "</think>" + answer
    assert read_label(thinking, LABELS) == read_label(answer, LABELS)


@given(st.text(alphabet=st.characters(exclude_characters="<>")))
def test_an_unfinished_thought_says_nothing(thought):
    assert without_thinking("\n<think>" + thought) == ""


def test_a_very_long_answer_is_read_quickly():
    # A quadratic parser would take minutes, which the time limit of a test ends.
    assert read_label("joy, " + "word " * 200_000, LABELS) == "hap"
    assert read_label("<think>" * 100_000, LABELS) is None
    assert read_label("* " * 500_000, LABELS) is None
    assert read_label("```\n" + " \n" * 300_000, LABELS) is None
    assert read_label("the " * 300_000, LABELS) is None


@pytest.mark.parametrize("filling", [" ", "\n", "```", "<think>", "joy ", "*"])
def test_a_megabyte_in_a_code_block_is_read_in_no_time(filling):
    answer = f"```\n{filling * (1_000_000 // len(filling))}x"
    assert read_label(answer, LABELS) is None
