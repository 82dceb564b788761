"""The consensus text: each place has the word that most recognisers heard there."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.corpus.rover import vote
from ragemo.corpus.transcripts import Transcript, choose_transcripts
from ragemo.corpus.words import fold
from ragemo.types import Utterance

WORDS = st.sampled_from(["i", "I", "am", "not", "so", "so,", "sure", "Sure.", "—", "well-known"])
SPEECH = st.lists(WORDS, min_size=1, max_size=7).map(" ".join)
CHINESE = st.text("我你好用手机，。 iP", min_size=1, max_size=8)
TEXTS = st.one_of(SPEECH, CHINESE, st.text(max_size=10)).filter(str.strip)
HYPOTHESES = st.dictionaries(st.sampled_from("abcdefg"), TEXTS, min_size=1)


def rover(*texts, **hypotheses):
    heard = dict(zip("abcdefghijk", texts, strict=False)) | hypotheses
    [chosen] = choose_transcripts([Utterance("u", "d", 0, "A", heard)], "rover")
    return chosen


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        # Nobody heard all of it.
        (("i am not so sewer", "i arm not so sure", "i am knot so sure"), "i am not so sure"),
        # A word that most have and the medoid has not; and one that only the medoid has.
        (("the cat on mat", "a cat on the mat", "the cats on the mat"), "the cat on the mat"),
        (("oh it is the end", "it is an end", "it is the and"), "it is the end"),
        # Two have "not", two have it not: the medoid decides.
        (("i am sure", "i am not sure", "i am sure", "i am not sure"), "i am sure"),
        (("we left", "we lift", "we laughed"), "we left"),
        (("I'm so sure", "I'm so sure"), "I'm so sure"),
    ],
)
def test_words_are_voted_on(texts, expected):
    assert rover(*texts) == Transcript(expected, "rover")


def test_silence_is_a_vote():
    assert rover("so i am sure", "i am sure", "i am sure").text == "i am sure"
    medoid = "they are so sure"
    assert vote([medoid, "they are sure", "they sure are"], medoid) == "they are sure"
    # All words of the medoid are voted out, and nobody's others in.
    assert vote(["a b c d", "a", "b", "c", "d"], "a b c d") == "a b c d"


def test_a_word_is_written_as_the_medoid_or_else_as_most_write_it():
    medoid = "Well, I am not shure."
    others = ["well i am not Sure!", "well I am not sure", "well i am not sure", "i am not Sure"]
    assert vote([medoid, *others], medoid) == "Well, I am not sure"
    assert vote([medoid, *others[::3], *others[1:3]], medoid) == "Well, I am not sure"
    # Equally many: the first in alphabetical order.
    assert vote(["oh no", "oh Yes", "oh yes"], "oh no") == "oh Yes"


def test_dashes_stay_with_their_words():
    medoid = "“ Oh — I am here"
    assert vote([medoid, "oh i was here", "oh i was there"], medoid) == "“ Oh — I was here"


def test_wordless_texts_have_no_vote():
    assert rover("...", "?!", "—", "oh no").text == "oh no"
    assert rover("i am sure", "am sure", "i am sure", "...", "?!").text == "i am sure"
    assert rover("...", "?!", "?!").text == "?!"
    assert rover("", " ", "\n") == Transcript("", "")
    assert rover("", "Oh. ", "") == Transcript("Oh. ", "rover")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("今天天汽很好", "今天天气恨好", "明天天气很好"), "今天天气很好"),
        (("我很好，谢谢。", "我恨好谢谢", "我很号，谢谢"), "我很好，谢谢。"),
        (("我用iPhone手鸡", "我有iPhone手机", "窝用iPhone手机"), "我用iPhone手机"),
        (("こんいちは", "こんにちわ", "てんにちは"), "こんにちは"),
        (("สวัสดิครับ", "สวัดดีครับ", "สวัสดีครัม"), "สวัสดีครับ"),
        # Words of other scripts are words, with their vowel signs.
        (("नमस्ते दुनिया", "नमस्ते दुनिया", "नमस्कार दुनिया"), "नमस्ते दुनिया"),
        (("안녕 세상", "안녕 새상", "안녕 세상"), "안녕 세상"),
    ],
)
def test_scripts_without_spaces_are_voted_on_by_letter(texts, expected):
    assert rover(*texts).text == expected


def test_spaces_between_chinese_clauses_stay():
    medoid = "我堵着车 你睡着啦 好吗"
    assert vote([medoid, "我堵着车 你睡着了", "我赌着车 你睡着了"], medoid) == "我堵着车 你睡着了"


def words(text):
    return set(text.split())


@settings(deadline=None)
@given(hypotheses=HYPOTHESES, data=st.data())
def test_any_hypotheses(hypotheses, data):
    chosen = rover(**hypotheses)
    texts = list(hypotheses.values())
    assert chosen.source == "rover"
    assert chosen.text.strip()
    # Nothing is made up.
    letters = {letter for text in texts for letter in text}
    assert set(chosen.text) <= letters | {" "}
    # The order of the systems leaves no trace.
    assert rover(**dict(data.draw(st.permutations(list(hypotheses.items()))))) == chosen
    if len(hypotheses) < 3 or len(set(texts)) == 1:
        [medoid] = choose_transcripts([Utterance("u", "d", 0, "A", hypotheses)], "consensus-ratio")
        assert chosen.text == medoid.text


@settings(deadline=None)
@given(st.lists(SPEECH, min_size=1, max_size=7))
def test_every_word_was_heard_by_somebody(texts):
    assert words(rover(*texts).text) <= {word for text in texts for word in words(text)}


@settings(deadline=None)
@given(st.one_of(SPEECH, CHINESE).filter(fold), st.lists(TEXTS, max_size=3), st.data())
def test_what_most_heard_wins(text, others, data):
    texts = [text] * (len(others) + 1) + others
    found = rover(*data.draw(st.permutations(texts))).text
    assert fold(found).replace(" ", "") == fold(text).replace(" ", "")
