import json
import math
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.retrieval.voters import words
from ragemo.retrieval.voters.scale import UNTRIED
from ragemo.retrieval.voters.words import LONGEST, RARE, WordVoter, features
from tests.retrieval.worlds import ask, examples_of

VOCABULARY = ["oh", "my", "God", "no", "way", "I'm", "so", "glad", "!", "?!", "…"]

sentences = st.lists(st.sampled_from(VOCABULARY), max_size=6).map(" ".join)
rows = st.lists(
    st.tuples(sentences, st.integers(0, 2), st.integers(0, 3)), min_size=2, max_size=30
).map(lambda drawn: [*drawn, ("oh no", 0, 0), ("oh my", 1, 1)])


def fit(texts, labels, folds=None, count=3):
    return WordVoter.fit(examples_of(labels, folds or [0] * len(texts), texts=texts, count=count))


# -- features ------------------------------------------------------------------------------------


def test_words_marks_and_pairs_come_once_and_in_order():
    single, pairs = ["no", ",", "way", "?!"], ["< no", "no ,", ", no", "no way", "way ?!"]
    assert features("No, no way?!") == [*single, *pairs]


@pytest.mark.parametrize(
    ("text", "words_and_marks"),
    [
        ("", []),
        (" \n\t", []),
        ("🙂", []),
        ("so glad 🙂🎉!", ["so", "glad", "!"]),
        ("-- () \" '", []),
        ("don't DON’T", ["don't"]),
        ("'tis o'clock'", ["tis", "o'clock"]),
        ("STRASSE Straße", ["strasse"]),
        ("İyi iyi İYİ", ["iyi"]),
        ("ısı", ["ısı"]),
        ("déjà DÉJÀ", ["déjà"]),
        ("你好吗?我很棒", [*"你好吗?我很棒"]),
        ("ありがとう!", [*"ありがとう!"]),
        ("привет ПРИВЕТ", ["привет"]),
        ("ที่นี่ ok", ["ที่", "นี่", "ok"]),
        ("ភាសា", ["ភា", "សា"]),
        ("3 1/2 a_b", ["3", "1", "2", "a_b"]),
        ("well... well…", ["well", "...", "…"]),
        ("a\x00b", ["a", "b"]),
        ("\ud800x", ["x"]),
    ],
)
def test_odd_texts_have_the_words_one_would_expect(text, words_and_marks):
    assert [feature for feature in features(text) if " " not in feature] == words_and_marks


def test_a_very_long_word_is_cut():
    (word, pair) = features("x" * 10_000)
    assert word == "x" * LONGEST
    assert pair == f"< {word}"
    assert features("!" * 10_000)[0] == "!" * LONGEST


@given(st.text())
def test_any_text_has_features_whatever_its_case(text):
    found = features(text)
    assert len(set(found)) == len(found)
    assert all(0 < len(feature) <= 2 * LONGEST + 1 for feature in found)
    assert features(text.casefold()) == found
    single = {feature for feature in found if " " not in feature}
    assert {part for feature in found for part in feature.split(" ")} <= single | {"<"}
    assert bool(found) == bool(single)


# -- the voter -----------------------------------------------------------------------------------


def often_enough(texts):
    """The features that a voter of these texts counts."""
    often = Counter(feature for text in texts for feature in features(text))
    return {feature for feature, times in often.items() if times >= min(RARE, len(texts))}


def by_the_equation(texts, labels, known, text):
    """The score of a text for each of three labels, feature by feature."""
    counts = [Counter(), Counter(), Counter()]
    for one, label in zip(texts, labels, strict=True):
        counts[label].update(known.intersection(features(one)))
    total = sum(own.total() for own in counts)
    own = known.intersection(features(text))
    scores = []
    for label in range(3):
        score = 0.0
        for feature in own:
            share = (sum(each[feature] for each in counts) + 0.5) / (total + 0.5 * len(known))
            smoothed = counts[label][feature] + words.SMOOTHING * share
            score += math.log(smoothed / (counts[label].total() + words.SMOOTHING) / share)
        scores.append(score / math.sqrt(max(len(own), 1)))
    return scores


@contextmanager
def plain_words():
    """Weaker smoothing, so that a few texts say something, and a scale that is given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "SMOOTHING", 10)
        patch.setattr("ragemo.retrieval.voters.scale.SCALES", (2.0,))
        yield


def shares(scores, voter):
    weights = [p * math.exp(voter.scale * s) for p, s in zip(voter.prior, scores, strict=True)]
    # Evidence is kept in single precision.
    return pytest.approx(
        [weight / sum(weights) for weight in weights], abs=1e-6 + 1e-6 * voter.scale
    )


@settings(deadline=None, max_examples=40)
@given(rows, st.one_of(sentences, st.text()), st.floats(0, 10))
def test_votes_follow_the_equation(drawn, asked, scale):
    texts, labels, folds = map(list, zip(*drawn, strict=True))
    with plain_words():
        voter = replace(fit(texts, labels, folds)[0], scale=scale)
        scores = by_the_equation(texts, labels, often_enough(texts), asked)
    assert voter.prior == tuple((labels.count(label) + 1) / (len(labels) + 3) for label in range(3))
    assert voter.distributions(ask([asked]))[0].tolist() == shares(scores, voter)


@settings(deadline=None, max_examples=25)
@given(rows)
def test_what_is_held_out_is_asked_of_a_voter_that_never_counted_it(drawn):
    """Which features there are, T and the prior come from all; no count does."""
    texts, labels, folds = map(list, zip(*drawn, strict=True))
    known = often_enough(texts)
    with plain_words():
        voter, votes = fit(texts, labels, folds)
        for text, fold, said in zip(texts, folds, votes.tolist(), strict=True):
            others = [n for n in range(len(texts)) if folds[n] != fold]
            scores = by_the_equation(
                [texts[n] for n in others], [labels[n] for n in others], known, text
            )
            assert said == shares(scores, voter)


def test_it_knows_words_that_tell_labels_apart():
    texts = ["oh no !", "so glad", "the bus leaves"] * 60
    labels = [0, 1, 2] * 60
    voter, votes = fit(texts, labels, [n % 5 for n in range(180)])
    assert (votes.argmax(axis=1) == labels).all()
    assert votes.max(axis=1).min() > 0.5
    assert voter.distributions(ask(["GLAD!", "no", "Bus?"])).argmax(axis=1).tolist() == [1, 0, 2]


def test_labels_drawn_by_lot_teach_it_to_be_silent():
    chance = np.random.default_rng(0)
    texts = [" ".join(chance.choice(VOCABULARY, 4)) for _ in range(900)]
    labels = chance.integers(0, 3, 900)
    _, votes = fit(texts, labels, [n % 5 for n in range(900)])
    loss = -np.log(votes[np.arange(900), labels]).mean()
    assert loss == pytest.approx(math.log(3), abs=0.01)


@settings(deadline=None, max_examples=30)
@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_the_utterances_leaves_no_trace(drawn, chance):
    order = chance.sample(range(len(drawn)), len(drawn))
    one, votes = fit(*map(list, zip(*drawn, strict=True)))
    other, theirs = fit(*map(list, zip(*(drawn[n] for n in order), strict=True)))
    for name, array in one.arrays().items():
        assert np.array_equal(array, other.arrays()[name])
    if one.scale == other.scale:  # the mean of the losses is a sum in another order
        assert theirs == pytest.approx(votes[order], abs=2e-9)


@pytest.mark.parametrize("text", ["", "🙂", "unheard words", "x" * 10_000])
def test_where_no_word_is_known_the_prior_votes(text):
    voter, _ = fit(["oh no", "oh no", "oh my", "oh my"], [0, 0, 1, 2])
    assert voter.distributions(ask([text]))[0] == pytest.approx(voter.prior, abs=1e-9)


@pytest.mark.parametrize("texts", [["", "", "🙂", ""], ["a", "b", "c", "d"]])
def test_an_empty_vocabulary_leaves_the_prior(texts):
    """No word is said by as many as three."""
    voter, votes = fit(texts, [0, 0, 1, 1], [0, 1, 2, 3])
    assert len(voter.vocabulary) == 0
    assert votes == pytest.approx(np.tile(voter.prior, (4, 1)), abs=1e-9)
    assert voter.distributions(ask(["a", ""])) == pytest.approx(
        np.tile(voter.prior, (2, 1)), abs=1e-9
    )
    assert voter.strongest("a b c", 0) == []
    again = WordVoter.from_parts(voter.to_dict(), voter.arrays())
    assert np.array_equal(again.distributions(ask(["a"])), voter.distributions(ask(["a"])))


def test_a_label_without_examples_keeps_a_share():
    voter, votes = fit(["oh no", "so glad"] * 10, [0, 1] * 10, [n % 4 for n in range(20)])
    assert (votes > 0).all()
    assert (voter.distributions(ask(["oh no", "so glad", ""])) > 0).all()


def test_one_dialogue_alone_is_not_asked_about_itself():
    voter, votes = fit(["oh no", "so glad"], [0, 1])
    assert votes.shape == (0, 3)
    assert voter.scale == UNTRIED
    assert voter.distributions(ask(["oh no"])).argmax() == 0


def test_only_the_most_frequent_features_are_kept(monkeypatch):
    monkeypatch.setattr(words, "MOST_FEATURES", 1)
    voter, _ = fit(["my oh", "my oh", "my oh my", "oh"], [0, 0, 1, 2])
    assert voter.vocabulary.tolist() == ["oh"]


def test_the_strongest_words_are_named_strongest_first():
    texts = ["oh so glad", "oh so so", "oh dear", "oh dear no", "the bus"] * 20
    voter, _ = fit(texts, [1, 1, 0, 0, 2] * 20)
    said = voter.strongest("Oh, GLAD so; the unheard", 1, count=4)
    assert len(said) == 4
    assert all(evidence > 0 for _, evidence in said)
    assert [evidence for _, evidence in said] == sorted((e for _, e in said), reverse=True)
    assert said[0][0] in ("so", "oh so")
    assert {"glad", "so"} <= {feature for feature, _ in said}
    assert not {"the", "unheard"} & {feature for feature, _ in voter.strongest("the unheard", 1)}
    assert ("the", pytest.approx(voter.evidence[list(voter.vocabulary).index("the"), 2])) in list(
        voter.strongest("the", 2)
    )
    assert voter.strongest("", 1) == []


def test_its_parts_make_it_again():
    texts, labels = ["oh no", "so glad", "İyi 你好吗 strasse"] * 9, [0, 1, 2] * 9
    voter, _ = fit(texts, labels, [n % 5 for n in range(27)])
    again = WordVoter.from_parts(json.loads(json.dumps(voter.to_dict())), voter.arrays())
    assert np.array_equal(again.distributions(ask(texts)), voter.distributions(ask(texts)))
    assert again.strongest("so glad", 1) == voter.strongest("so glad", 1)
    assert not any(array.dtype.hasobject for array in voter.arrays().values())


@pytest.mark.parametrize(
    ("vocabulary", "evidence", "prior"),
    [
        (np.array(["a", "b"]), np.zeros((2, 3)), (0.5, 0.5)),
        (np.array(["a", "b"]), np.zeros((3, 2)), (0.5, 0.5)),
        (np.array(["a", "b"]), np.zeros(2), (0.5, 0.5)),
        (np.array([b"a", b"b"]), np.zeros((2, 2)), (0.5, 0.5)),
        (np.array([1, 2]), np.zeros((2, 2)), (0.5, 0.5)),
    ],
)
def test_parts_that_do_not_fit_are_refused(vocabulary, evidence, prior):
    with pytest.raises(ValueError, match="the words have evidence of shape"):
        WordVoter.from_parts(
            {"scale": 1.0, "prior": list(prior)}, {"vocabulary": vocabulary, "evidence": evidence}
        )
