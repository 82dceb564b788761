"""What a template is shown of an utterance and its demonstrations."""

import json
import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ragemo.prompting.shown import clean, quoted
from ragemo.prompting.templates import load_template
from ragemo.types import Demonstration, Window
from tests.conftest import LABELS, make_turn
from tests.prompting.nasty import NASTY
from tests.prompting.own import own

CONTROL = re.compile(
    r"<\|?\w|</|<<|<｜|\[/?(INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_\w+)\]|\[gMASK\]"
)


@settings(max_examples=300)
@given(st.text(st.characters(), max_size=60) | st.sampled_from(NASTY))
@example('"')
def test_a_cleaned_text_is_one_line_without_control_tokens(text):
    cleaned = clean(text)
    assert cleaned == cleaned.strip()
    assert len(cleaned.splitlines()) <= 1
    for character in cleaned:
        category = unicodedata.category(character)
        assert category not in ("Cc", "Zl", "Zp", "Cs")
        assert category != "Cf" or character in "\u200c\u200d"
    assert not CONTROL.search(cleaned)
    inside = quoted(cleaned)[1:-1]
    assert not re.search(r'(?<!\\)(?:\\\\)*"', inside), "its quotes stay shut"
    assert json.loads(quoted(cleaned)) == cleaned


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('I said: "no", didn\'t I?', 'I said: "no", didn\'t I?'),
        ("  two\n lines ", "two lines"),
        ("Ça va 🙂 👩‍👩‍👧 कर्म می‌خواهم", "Ça va 🙂 👩‍👩‍👧 कर्म می‌خواهم"),
        ("if a < b and [sic] [laughs]", "if a < b and [sic] [laughs]"),
        ("<|im_end|>", "< |im_end|>"),
        ("[/INST]", "[ /INST]"),
        ("<\u200b|im_end|>", "< |im_end|>"),
        ("", ""),
    ],
)
def test_cleaning_changes_what_it_must_and_no_more(text, shown):
    assert clean(text) == shown


# -- turns ---------------------------------------------------------------------------------------


def last(template, window, demonstrations=(), **more):
    return template.render(window, demonstrations, LABELS, **more)[-1].content


def test_a_nameless_speaker_is_called_so(tmp_path):
    template = own(tmp_path, "{{ target.speaker }}")
    for name in ("", " ", "\u200b"):
        assert last(template, Window((make_turn("hi", speaker=name),))).startswith("Speaker")


def test_a_turn_says_what_the_corpus_says_of_it(tmp_path):
    turn = (
        "{{ turn.number }} {{ turn.speaker }} {{ turn.text }} {{ turn.profile }} {{ turn.scene }} "
        "{{ turn.stage }} {{ turn.disagreement }};"
    )
    template = own(
        tmp_path,
        f"{{% for turn in memory + context + [target] %}}{turn}{{% endfor %}}",
    )
    said = {"profile": "old\n", "scene": "<|kitchen|>", "stage": "end", "disagreement": 0.25}
    window = Window((make_turn("b", 7), make_turn("c", 9, **said)))
    assert last(template, window, memory=[make_turn("a", 2)]).splitlines()[0] == (
        "0 A a    None;1 A b    None;2 A c old < |kitchen|> end 0.25;"
    )


def test_hypotheses_are_distinct_and_the_chosen_one_stands_first(tmp_path):
    template = own(tmp_path, "{{ hypotheses | join('/') }}")
    for given_, shown in [
        ((), "now"),
        (("now", "no\n", "no", "", "know"), "now/no/know"),
        (("no", "now"), "now/no"),
    ]:
        window = Window((make_turn("now"),))
        assert last(template, window, hypotheses=given_).splitlines()[0] == shown
    assert last(template, Window((make_turn(""),)), hypotheses=("", "no")).startswith("/no")


# -- shares --------------------------------------------------------------------------------------

FEW_SHOT_SOFT = load_template("few-shot-soft")
SHARES = "{% for word, percent in {} %}{{ word }} {{ percent }},{% endfor %}"


def test_the_hint_is_all_labels_in_whole_percents_most_likely_first(tmp_path):
    template = own(tmp_path, SHARES.replace("{}", "hint"))
    window = Window((make_turn("now"),))
    first = "happy 62,neutral 37,angry 1,"
    assert last(template, window, hint=(0.372, 0.616, 0.012)).splitlines()[0] == first
    assert last(template, window, hint=(0.3, 0.3, 0.4)).startswith("angry 40,neutral 30,happy 30,")
    assert last(template, window) == 'target: "now"'


@pytest.mark.parametrize(
    ("soft", "shown"),
    [
        (None, "happy 100,"),
        ((0.1, 0.75, 0.15), "happy 75,angry 15,neutral 10,"),
        ((0.0, 0.93, 0.07), "happy 93,"),
        ((0.6, 0.4, 0.0), "neutral 60,happy 40,"),
    ],
)
def test_a_soft_label_shows_its_shares_of_ten_percent_or_more(tmp_path, soft, shown):
    loop = SHARES.replace("{}", "demonstrations[0].shares")
    template = own(tmp_path, "{% if demonstrations %}" + loop + "{% endif %}")
    window = Window((make_turn("example"),))
    demonstration = Demonstration(window, "hap", 0.5, soft)
    assert last(template, window, [demonstration]).splitlines()[0] == shown


@given(st.lists(st.floats(0.001, 1), min_size=3, max_size=3))
def test_shares_fall_and_none_is_small(weights):
    soft = tuple(weight / sum(weights) for weight in weights)
    window = Window((make_turn("example"),))
    line = last(FEW_SHOT_SOFT, window, [Demonstration(window, "hap", 0.5, soft)]).splitlines()[-2]
    shares = [int(share) for share in re.findall(r"(\d+)%", line)]
    assert shares == sorted(shares, reverse=True)
    assert min(shares) >= 10
    assert 80 <= sum(shares) <= 101


# -- order ---------------------------------------------------------------------------------------

MANY = [
    Demonstration(Window((make_turn(str(n), dialogue_id=f"o{n}", corpus=f"c{n}"),)), "hap", 1 - n)
    for n in range(8)
]


@pytest.fixture
def listing(tmp_path):
    template = own(
        tmp_path,
        "{% for d in demonstrations %}{{ d.target.text }}{{ ',' if not loop.last }}{% endfor %}",
    )

    def listed(order, target="t", seed=0, demonstrations=MANY):
        window = Window((make_turn("now", utterance_id=target),))
        line = last(template, window, demonstrations, order=order, seed=seed).splitlines()[0]
        return [int(text) for text in line.split(",")]

    return listed


def test_the_nearest_stands_where_it_is_told_to(listing):
    assert listing("nearest-last") == [7, 6, 5, 4, 3, 2, 1, 0]
    assert listing("nearest-first") == [0, 1, 2, 3, 4, 5, 6, 7]


def test_a_shuffled_order_is_drawn_for_each_utterance_and_seed(listing):
    first = listing("shuffled")
    assert sorted(first) == list(range(8))
    assert first == listing("shuffled")
    orders = {tuple(listing("shuffled", f"t{n}")) for n in range(20)}
    orders |= {tuple(listing("shuffled", "t", seed)) for seed in range(20)}
    assert len(orders) > 35


def test_a_dropped_demonstration_leaves_the_order_of_the_others(listing):
    some = [n for n in listing("shuffled") if n < 5]
    assert listing("shuffled", demonstrations=MANY[:5]) == some


def test_a_demonstration_tells_its_corpus(tmp_path):
    template = own(tmp_path, "{% for d in demonstrations %}{{ d.corpus }} {% endfor %}")
    assert last(template, Window((make_turn("now"),)), MANY[:2]).startswith("c1 c0")
