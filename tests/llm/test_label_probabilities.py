"""From the tokens of an answer, and what else they might have been, to a distribution."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ragemo.labels import LabelSet
from ragemo.llm.answers import read_label
from ragemo.llm.label_probabilities import Token, label_probabilities

LABELS = LabelSet.from_dict(
    {
        "name": "six",
        "labels": [
            {"name": "neu", "word": "neutral", "aliases": ["no emotion"]},
            "joy",
            "sadness",
            "surprise",
            {"name": "fear", "aliases": ["scared", "afraid"]},
            {"name": "anger", "aliases": ["angry", "mad"]},
        ],
    }
)


def token(text, probability=None, /, **others):
    """A token with what else might have stood there; keywords are the others' texts."""
    return listed(text, probability, others)


def listed(text, probability, others):
    text = text.encode() if isinstance(text, str) else text
    alternatives = [] if probability is None else [(text, probability)]
    alternatives += [
        (other.encode() if isinstance(other, str) else other, share)
        for other, share in others.items()
    ]
    return Token(text, 1.0 if probability is None else probability, tuple(alternatives))


def plain(*texts):
    """Tokens of which nothing matters but their texts."""
    return tuple(token(text) for text in texts)


def shares(answer, tokens, labels=LABELS):
    """The distribution by label's name."""
    distribution = label_probabilities(answer, tuple(tokens), labels)
    assert distribution is not None
    assert sum(distribution) == pytest.approx(1)
    return dict(zip(labels.names, distribution, strict=True))


JOY_OR_ANGER = token("joy", 0.6, anger=0.3, The=0.05)
MOSTLY_JOY = {"joy": 0.6, "anger": 0.3}
MOSTLY_JOY |= dict.fromkeys(("neu", "sadness", "surprise", "fear"), 0.05 / 4)


class TestWhereTheLabelBegins:
    def check(self, answer, tokens):
        total = sum(MOSTLY_JOY.values())
        got = shares(answer, tokens)
        assert got == pytest.approx({name: share / total for name, share in MOSTLY_JOY.items()})

    def test_a_bare_label(self):
        self.check("joy", [JOY_OR_ANGER])

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ((), ("<|im_end|>",)),
            (("\n",), (".", "\n")),
            (("**",), ("**", "</s>")),
            (("Label", ":", " "), ()),
            (("The", " emotion", " is", " "), (".",)),
            (('{"', "label", '":', ' "'), ('"}',)),
            (("{\n", "  ", '"', "label", '"', ": ", '"'), ('"', "\n", "}")),
            (("```", "json", "\n", '{"', "label", '": "'), ('"}', "\n```")),
            (("<think>", "joy", " or", " anger", "?", "</think>", "\n\n"), ("<eos>",)),
        ],
    )
    def test_a_label_in_any_dress(self, before, after):
        answer = "".join((*before, "joy", *after)).removesuffix("<eos>")
        for end in ("<|im_end|>", "</s>"):
            answer = answer.removesuffix(end)
        self.check(answer, [*plain(*before), JOY_OR_ANGER, *plain(*after)])

    def test_thoughts_that_a_server_keeps_apart(self):
        tokens = [*plain("joy", " it", " is", "</think>"), JOY_OR_ANGER, *plain("<eos>")]
        self.check("joy", tokens)

    def test_blanks_that_a_server_strips(self):
        self.check("joy", [*plain("\n", " "), JOY_OR_ANGER])
        self.check('{"label": "joy"}', [*plain('{"label":', '"'), JOY_OR_ANGER, *plain('"}')])

    @pytest.mark.parametrize(
        ("before", "lead", "after"),
        [
            ("", '"', '"'),
            ("", " ", "."),
            ('{"label":', ' "', '"}'),
            ("", '{"label":"', '"}'),
            ("emotion", ": ", ""),
            ("The emotion", " is ", ""),
        ],
    )
    def test_a_token_that_holds_what_stands_before_the_label(self, before, lead, after):
        own = listed(f"{lead}joy", 0.6, {f"{lead}anger": 0.3, f"{lead}The": 0.05})
        self.check(f"{before}{lead}joy{after}", [*plain(before), own, *plain(after)])

    def test_an_alternative_that_lacks_the_words_before_the_label(self):
        """It would be read as a label, but in an answer that begins otherwise."""
        own = listed('{"label":"joy', 0.6, {'{"label":"anger': 0.3, "sadness": 0.05})
        self.check('{"label":"joy"}', [own, *plain('"}')])

    def test_an_alternative_that_lacks_the_marks_before_the_label(self):
        own = listed('"joy', 0.6, {"anger": 0.2, " ang": 0.1, '"The': 0.05})
        self.check('"joy"', [own, *plain('"')])

    def test_case_blanks_and_marks_do_not_matter(self):
        own = listed("joy", 0.3, {" Joy": 0.2, '"JOY': 0.1, "*anger": 0.2, " Ang": 0.1, "I": 0.05})
        self.check("joy", [own])

    def test_an_alias_is_its_label(self):
        own = listed("joy", 0.6, {"mad": 0.2, "angry": 0.1, "Well": 0.05})
        self.check("joy", [own])

    def test_letters_in_parts(self):
        labels = LabelSet.from_dict({"name": "parts", "labels": ["müde", "mut", "mäh"]})
        tokens = [
            listed(b"m\xc3", 0.8, {"mut": 0.1, b"\xe4": 0.1}),
            listed(b"\xbcde", 0.75, {b"\xa4h": 0.25}),
        ]
        got = shares("m\u00fcde", tokens, labels)
        assert got == pytest.approx(
            {"m\u00fcde": 0.6 / 0.9, "mut": 0.1 / 0.9, "m\u00e4h": 0.2 / 0.9}
        )


class TestBeginnings:
    def test_the_answers_own_token_is_followed(self):
        tokens = [token("s", 0.8, joy=0.2), token("ad", 0.75, ur=0.25), *plain("ness")]
        got = shares("sadness", tokens)
        assert got["sadness"] == pytest.approx(0.6)
        assert got["surprise"] == pytest.approx(0.2)
        assert got["joy"] == pytest.approx(0.2)

    def test_it_is_followed_to_an_alias(self):
        tokens = [token("s", 0.8, joy=0.2), token("cared", 0.5, adness=0.5)]
        got = shares("scared", tokens)
        assert got["fear"] == pytest.approx(0.4)
        assert got["sadness"] == pytest.approx(0.4)
        assert got["surprise"] == 0

    def test_it_is_followed_to_an_alias_of_another_label_than_the_word_that_begins_alike(self):
        got = shares("afraid", [token("a", 0.8, joy=0.2), token("fraid", 0.25, nger=0.75)])
        assert got["fear"] == pytest.approx(0.2)
        assert got["anger"] == pytest.approx(0.6)

    def test_it_is_not_followed_once_a_single_label_is_left(self):
        """As with the alternatives, of which no more than the beginning is known."""
        got = shares("anger", [token("ang", 0.75, joy=0.25), token("er", 0.1, le=0.9)])
        assert got["anger"] == pytest.approx(0.75)

    def test_it_is_followed_over_blanks(self):
        labels = LabelSet.from_dict({"name": "n", "labels": ["no emotion", "no idea", "joy"]})
        tokens = [token("no", 0.9, joy=0.1), *plain(" "), token("emotion", 0.8, idea=0.2)]
        got = shares("no emotion", tokens, labels)
        assert got == pytest.approx({"no emotion": 0.72, "no idea": 0.18, "joy": 0.1})

    def test_a_label_that_begins_another_is_taken_to_be_finished(self):
        labels = LabelSet.from_dict({"name": "n", "labels": ["sad", "sadness", "joy"]})
        got = shares("sad.", [token("sad", 0.8, joy=0.2), token(".", 0.5, ness=0.5)], labels)
        assert got == pytest.approx({"sad": 0.8, "sadness": 0, "joy": 0.2})

    def test_a_word_has_one_way_to_begin(self):
        got = shares("joy", [token("joy", 0.5, s=0.3, sur=0.2)])
        assert got["sadness"] == pytest.approx(0.3)
        assert got["surprise"] == pytest.approx(0.2)

    def test_another_form_is_no_other_way(self):
        """A word after a blank is another token, whether or not the bare word is one."""
        own = listed("joy", 0.5, {"s": 0.3, " sad": 0.01, "sur": 0.19})
        got = shares("joy", [own])
        assert got["sadness"] == pytest.approx(0.31)
        assert got["surprise"] == pytest.approx(0.19)

    def test_what_is_for_several_is_shared_as_what_is_for_one(self):
        got = shares("joy", [token("joy", 0.5, s=0.2, sad=0.2, sur=0.1)])
        assert got["sadness"] == pytest.approx(0.2 + 0.2 * 2 / 3)
        assert got["surprise"] == pytest.approx(0.1 + 0.2 / 3)

    def test_without_any_that_is_for_one_it_is_shared_evenly(self):
        got = shares("joy", [token("joy", 0.6, s=0.4)])
        assert got["sadness"] == got["surprise"] == pytest.approx(0.2)

    def test_a_word_goes_before_other_spellings(self):
        """ "s" begins scared, too, which is an alias of fear."""
        assert shares("joy", [token("joy", 0.6, s=0.4)])["fear"] == 0
        assert shares("joy", [token("joy", 0.6, sc=0.4)])["fear"] == pytest.approx(0.4)

    def test_what_goes_on_otherwise_is_no_label(self):
        got = shares("joy", [token("joy", 0.6, joyless=0.2, angst=0.1, feared=0.1)])
        assert got["joy"] == pytest.approx(1)


class TestWhatIsNotListed:
    def test_no_more_than_the_smallest_listed(self):
        got = shares("joy", [token("joy", 0.7, anger=0.1, I=0.02)])
        # 0.18 is not listed; four labels are missing.
        assert got["fear"] / got["joy"] == pytest.approx(0.02 / 0.7)

    def test_no_more_than_an_even_part_of_the_rest(self):
        got = shares("joy", [token("joy", 0.7, anger=0.26)])
        assert got["fear"] / got["joy"] == pytest.approx(0.04 / 4 / 0.7)

    def test_nothing_where_everything_is_listed(self):
        got = shares("joy", [token("joy", 0.75, anger=0.25)])
        assert got["fear"] == got["sadness"] == 0

    def test_an_answer_that_is_not_among_the_likeliest(self):
        own = Token(b"fear", 0.01, ((b"joy", 0.8), (b"anger", 0.1)))
        got = shares("fear", [own])
        assert got["fear"] / got["joy"] == pytest.approx(0.01 / 0.8)
        assert max(got, key=got.get) == "joy", "it was drawn, and is not the likeliest"

    def test_a_place_further_on(self):
        got = shares("sadness", [token("s", 0.2, joy=0.8), token("adness", 0.9, o=0.06)])
        assert got["surprise"] / got["joy"] == pytest.approx(0.2 * 0.04 / 0.8)

    def test_no_list_at_all(self):
        got = shares("joy", [Token(b"joy", 0.9)])
        assert got["joy"] == pytest.approx(0.9)
        assert got["fear"] == pytest.approx(0.02)

    def test_two_tokens_that_look_alike(self):
        own = Token(b"joy", 0.5, ((b"joy", 0.1), (b"joy", 0.5), (b"anger", 0.4)))
        assert shares("joy", [own])["joy"] == pytest.approx(0.6)


class TestNoDistribution:
    @pytest.mark.parametrize(
        ("answer", "tokens"),
        [
            ("joy", []),
            ("joy", [token("ang", 0.9)]),
            ("joy", [token("j", 0.9), token("o", 0.9)]),
            ("The joy", [token("The"), token(" joy", 0.9)]),
            ("joy or anger", [token("joy", 0.9), *plain(" or", " anger")]),
            ("", [token("joy", 0.9)]),
            ("joy", [token("joy", 0.49, The=0.51)]),
            ("joy", [listed("joy", 0.4, {'"': 0.6})]),
            ("sadness", [token("s", 1.0), token("ad", 0.4, **{"-": 0.6}), *plain("ness")]),
            ("joy", [token("joy", 0.9, anger=0.2)]),
            ("joy", [token("joy", 0.0, anger=0.9)]),
            ("sadness", [token("s", 0.9), token("adness", 0.0, urprise=1.0)]),
        ],
        ids=[
            "no tokens",
            "other tokens",
            "too few tokens",
            "no label",
            "two labels",
            "no answer",
            "the model was about to say something else",
            "or to go on with a mark",
            "likewise within the label",
            "more than all",
            "an answer that could not be drawn",
            "nor its second token",
        ],
    )  # fmt: skip
    def test_none(self, answer, tokens):
        assert label_probabilities(answer, tuple(tokens), LABELS) is None

    def test_half_is_enough(self):
        assert shares("joy", [token("joy", 0.5, The=0.5)])["joy"] == 1


names = st.sampled_from(LABELS.names)
spellings = st.sampled_from(
    [spelling for label in LABELS for spelling in (label.name, label.word, *label.aliases)]
)
beginnings = st.builds(
    lambda dress, text, cut, case: dress + case(text[:cut]),
    st.sampled_from(["", " ", '"', "**"]),
    spellings,
    st.integers(1, 12),
    st.sampled_from([str.lower, str.title, str.upper]),
)
texts = st.one_of(beginnings, st.text(max_size=4)).map(lambda text: text.encode(errors="ignore"))


@st.composite
def answers(draw):
    """An answer, its tokens and their alternatives, whose probabilities add up to 1 at most."""
    spelling = draw(spellings)
    answer = draw(st.sampled_from(["{}", " {}.", '{{"label": "{}"}}', "Label: {}\n"]))
    answer = answer.format(spelling)
    cuts = sorted(draw(st.sets(st.integers(1, len(answer) - 1), max_size=5)))
    tokens = []
    for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
        others = draw(st.lists(texts, max_size=8))
        weights = [draw(st.floats(0, 1)) for _ in range(len(others) + 2)]
        total = sum(weights) or 1.0
        own, _, *rest = (weight / total for weight in weights)
        text = answer[start:end].encode()
        tokens.append(Token(text, own, tuple(zip([text, *others], [own, *rest], strict=True))))
    return answer, tokens


@given(answers(), st.randoms())
def test_a_distribution_or_nothing(drawn, random):
    answer, tokens = drawn
    distribution = label_probabilities(answer, tuple(tokens), LABELS)
    mixed = [
        Token(
            token.text,
            token.probability,
            tuple(random.sample(token.alternatives, len(token.alternatives))),
        )
        for token in tokens
    ]
    assert label_probabilities(answer, tuple(mixed), LABELS) == distribution, "in any order"
    if distribution is not None:
        assert len(distribution) == len(LABELS)
        assert math.fsum(distribution) == pytest.approx(1)
        assert min(distribution) >= 0
        assert distribution[LABELS.index(read_label(answer, LABELS))] > 0


@given(st.lists(st.floats(0.001, 1), min_size=6, max_size=6), names, st.floats(0, 0.49))
def test_what_a_model_believes_comes_out(beliefs, said, other):
    """A model that writes each label in its own two tokens, and all of them are listed."""
    beliefs = [belief / sum(beliefs) for belief in beliefs]
    words = dict(zip(LABELS.words, beliefs, strict=True))
    answer = LABELS.words[LABELS.index(said)]
    first = {}
    for word, belief in words.items():
        first[word[:2]] = first.get(word[:2], 0) + belief * (1 - other)
    tokens = [listed(answer[:2], first.pop(answer[:2]), {**first, "I": other})]
    tokens.append(listed(answer[2:], 1.0, {}))
    got = shares(answer, tokens)
    assert list(got.values()) == pytest.approx(beliefs)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.booleans())
def test_what_begins_alike_comes_out_where_it_was_drawn(one, other, sad):
    """P(sadness) = one * other, P(surprise) = one * (1 - other), whichever the answer is."""
    assume(one * other > 0)
    both = {"adness": other, "urprise": 1 - other}
    said = "adness" if sad else "urprise"
    tokens = [token("s", one, joy=1 - one), listed(said, both.pop(said), both)]
    got = shares(f"s{said}", tokens)
    assert got["sadness"] == pytest.approx(one * other)
    assert got["surprise"] == pytest.approx(one * (1 - other))
    assert got["joy"] == pytest.approx(1 - one)
