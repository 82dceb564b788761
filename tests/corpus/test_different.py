"""How far transcripts differ: as one figure, and in which order they tell most."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from ragemo.corpus.different import most_different, transcript_disagreement
from ragemo.corpus.transcripts import Transcript
from ragemo.corpus.words import fold
from ragemo.types import Utterance


def heard(*texts):
    return Utterance("u", "d", 0, "A", {f"asr{number}": text for number, text in enumerate(texts)})


@pytest.mark.parametrize(
    ("texts", "rate"),
    [
        (("Oh, NO!", "oh no"), 0),
        (("oh no", "oh yes"), 1 / 2),
        (("a b c d", "a b"), (2 / 4 + 2 / 2) / 2),
        (("", "oh no"), 1),
        (("", ""), 0),
        (("one", "two three four five six"), 1),
        (("oh no", "oh no", "oh yes"), (0 + 1 / 2 + 1 / 2) / 3),
        (("我今天很开心。", "我今天很伤心"), 1 / 6),
        (("ที่นี่", "ที่นั่น"), (2 / 2 + 2 / 3) / 2),
    ],
)
def test_disagreement_is_the_mean_word_error_rate_of_pairs(texts, rate):
    assert transcript_disagreement(heard(*texts)) == pytest.approx(rate)


@pytest.mark.parametrize("texts", [(), ("alone",)])
def test_one_transcript_cannot_disagree(texts):
    assert transcript_disagreement(heard(*texts)) is None


@given(
    st.lists(st.text("ab ", max_size=8), min_size=2, max_size=5),
    st.randoms(),
)
def test_disagreement_is_a_share_whatever_the_order_of_the_systems(texts, dice):
    rate = transcript_disagreement(heard(*texts))
    assert rate is not None
    assert 0 <= rate <= 1
    assert (rate == 0) == (len({" ".join(text.split()) for text in texts}) == 1)
    dice.shuffle(texts)
    assert transcript_disagreement(heard(*texts)) == rate


def test_systems_that_heard_the_same_are_compared_once(monkeypatch):
    compared = []
    distance = Levenshtein.distance
    monkeypatch.setattr(
        Levenshtein, "distance", lambda *pair: compared.append(pair) or distance(*pair)
    )
    transcript_disagreement(heard(*["so it is"] * 9, *["So, it is!"] * 9, "so it was"))
    assert len(compared) == 1


# --- most_different


def test_each_is_as_unlike_those_before_as_can_be():
    hypotheses = {
        "a": "i am not so sure",
        "b": "I am not so sure!",
        "c": "i am not so sewer",
        "d": "hymn of no shore",
        "e": " ",
        "f": "...",
        "g": "hymn of no shores",
        "h": "nothing like these",
    }
    chosen = Transcript("I am not so sure!", "b")
    found = most_different(chosen, hypotheses)
    # d, g and h have no word in common with the first; then h none with d.
    assert [one.source for one in found] == ["b", "d", "h", "g", "c"]
    assert found[0] is chosen
    assert found[1] == Transcript("hymn of no shore", "d")
    for count in range(1, 7):
        assert most_different(chosen, hypotheses, count) == found[:count]


def test_characters_tell_where_no_blank_divides_words():
    hypotheses = {"a": "我今天很伤心", "b": "他们明年回来", "c": "我今天很开心吗"}
    found = most_different(Transcript("我今天很开心", "x"), hypotheses)
    assert [one.source for one in found] == ["x", "b", "a", "c"]


def test_of_equal_words_the_first_system_is_taken():
    chosen = Transcript("composed of them", "rover")
    found = most_different(chosen, {"z": "Oh, no!", "y": "oh no", "x": "composed of them."})
    assert found == [chosen, Transcript("oh no", "y")]


def test_where_nothing_was_chosen_the_others_follow():
    assert most_different(Transcript("", ""), {"a": "", "b": " "}) == [Transcript("", "")]
    assert most_different(Transcript("", "a"), {"a": "", "b": "oh"}) == [
        Transcript("", "a"),
        Transcript("oh", "b"),
    ]


SPEECH = st.lists(st.sampled_from(["i", "I", "am", "so", "no", "Sure."]), max_size=5).map(" ".join)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), SPEECH, min_size=1), st.randoms())
def test_the_next_is_the_farthest_from_those_before(hypotheses, dice):
    system = dice.choice(sorted(hypotheses))
    found = most_different(Transcript(hypotheses[system], system), hypotheses)
    folded = [fold(one.text) for one in found]
    assert len(set(folded)) == len(folded)
    assert set(folded[1:]) == {fold(text) for text in hypotheses.values()} - {folded[0], ""}
    assert all(hypotheses[one.source] == one.text for one in found)

    def nearest(text, number):
        return min(
            Levenshtein.normalized_distance(text.split(), other.split())
            for other in folded[:number]
        )

    for number in range(1, len(folded)):
        away = [nearest(text, number) for text in folded[number:]]
        assert away[0] == max(away)

    items = list(hypotheses.items())
    dice.shuffle(items)
    assert most_different(found[0], dict(items)) == found
