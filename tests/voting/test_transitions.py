"""Inertia and contagion as they are learned: links, transitions and their strengths."""

import itertools
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.corpus.read import read_corpus
from ragemo.voting import dialogue
from ragemo.voting.dialogue import FOLDS, fit_strengths, forward_filter
from ragemo.voting.transitions import Links, Transitions, count_transitions, links_of
from ragemo.voting.viterbi import viterbi
from tests.conftest import make_turn
from tests.voting.electorate import linked, speakers, sticky

NEU, HAP, ANG = range(3)
UNKNOWN = -1


# -- links -----------------------------------------------------------------------------------


def test_links_lead_to_the_own_last_turn_and_to_the_other_speaker_s_preceding_one():
    links = linked("ABBCA", "BA", "A")
    assert links.own.tolist() == [-1, -1, 1, -1, 0, -1, -1, -1]
    assert links.other.tolist() == [-1, 0, -1, 2, 3, -1, 5, -1]


def test_a_turn_without_a_speaker_is_nobody_s():
    links = linked("-A--A")
    assert links.own.tolist() == [-1, -1, -1, -1, 1]
    assert links.other.tolist() == [-1, 0, 1, -1, 3]


def test_no_turns_have_no_links():
    links = linked()
    assert forward_filter(np.zeros((0, 3)), links, sticky()).shape == (0, 3)
    assert viterbi(np.zeros((0, 3)), links, sticky()).tolist() == []


@pytest.mark.parametrize(
    ("own", "other"), [([-1, 1], [-1, -1]), ([-1, -1], [1, -1]), ([-2], [-1]), ([-1], [-1, -1])]
)
def test_a_link_to_a_later_turn_is_refused(own, other):
    with pytest.raises(ValueError, match="earlier row"):
        Links(np.array(own), np.array(other))


@given(st.lists(st.text("ABC", min_size=1, max_size=7), min_size=1, max_size=5))
def test_dialogues_are_told_by_their_links(spoken):
    expected = [number for number, said in enumerate(spoken) for _ in said]
    assert linked(*spoken).dialogues.tolist() == expected


@given(st.lists(speakers, min_size=2, max_size=6), st.data())
def test_the_links_of_some_dialogues_are_as_if_there_were_no_others(spoken, data):
    kept = data.draw(st.lists(st.booleans(), min_size=len(spoken), max_size=len(spoken)))
    rows = np.array(
        [keep for said, keep in zip(spoken, kept, strict=True) for _ in said], dtype=bool
    )
    alone = linked(*itertools.compress(spoken, kept))
    among = linked(*spoken).of(rows)
    assert among.own.tolist() == alone.own.tolist()
    assert among.other.tolist() == alone.other.tolist()


# -- transitions -----------------------------------------------------------------------------


def test_transitions_are_counted_where_both_ends_are_known():
    links = linked("AAAA", "AB", "AB")
    gold = np.array([HAP, HAP, UNKNOWN, HAP, ANG, NEU, ANG, UNKNOWN])
    prior = np.array([0.5, 0.3, 0.2])
    counted = count_transitions(links, gold, prior)

    after_hap = prior * np.array([1 / (0.5 + 1), 2 / (0.3 + 1), 1 / (0.2 + 1)])
    assert counted.own[HAP] == pytest.approx(after_hap / after_hap.sum(), abs=1e-6)
    after_ang = prior * np.array([2 / (0.5 + 1), 1 / (0.3 + 1), 1 / (0.2 + 1)])
    assert counted.other[ANG] == pytest.approx(after_ang / after_ang.sum(), abs=1e-6)
    for nothing_seen in (counted.own[NEU], counted.own[ANG], counted.other[HAP]):
        assert nothing_seen == pytest.approx(prior)
    assert (counted.own_strength, counted.other_strength) == (1, 1)


def test_an_own_turn_two_turns_back_counts_half():
    gold = np.array([HAP, NEU, HAP])
    counted = count_transitions(linked("ABA"), gold, [0.5, 0.3, 0.2])
    after_hap = np.array([0.5 / (0.25 + 1), 0.3 * 1.5 / (0.15 + 1), 0.2 / (0.1 + 1)])
    assert counted.own[HAP] == pytest.approx(after_hap / after_hap.sum(), abs=1e-6)


def test_a_label_that_was_hardly_seen_is_not_ruled_out():
    """A thousand links without it are no news of a label of which only 0.1 are expected."""
    gold = np.array([NEU] * 500 + [HAP] * 500)
    counted = count_transitions(linked("A" * 1000), gold, [0.49995, 0.49995, 0.0001])
    assert (counted.own[:, ANG] / counted.prior[ANG] > 0.4).all()
    assert counted.own[NEU, HAP] / counted.prior[HAP] < 0.02, "but this one is"


@given(st.lists(speakers, min_size=1, max_size=6), st.data())
def test_transitions_are_distributions_and_come_back_from_json(spoken, data):
    links = linked(*spoken)
    size = len(links.own)
    gold = np.array(data.draw(st.lists(st.integers(-1, 2), min_size=size, max_size=size)))
    counted = replace(count_transitions(links, gold, [0.2, 0.7, 0.1]), own_strength=0.25)
    for matrix in (counted.own, counted.other):
        assert (matrix > 0).all()
        assert matrix.sum(axis=1) == pytest.approx(1, abs=1e-5)
    read = Transitions.from_dict(json.loads(json.dumps(counted.to_dict())))
    assert read.to_dict() == counted.to_dict()
    beliefs = np.full((size, 3), 1 / 3)
    assert np.array_equal(
        forward_filter(beliefs, links, read), forward_filter(beliefs, links, counted)
    )


@pytest.mark.parametrize(
    "damage",
    [
        {"prior": [0.5, 0.5]},
        {"own": [[1, 0, 0]] * 3},
        {"other": [[0.2, 0.8]] * 2},
        {"own_strength": -0.5},
        {"other_strength": math.nan},
    ],
)
def test_damaged_transitions_are_refused(damage):
    with pytest.raises(ValueError, match=r"."):
        Transitions.from_dict(sticky().to_dict() | damage)


# -- fitting ---------------------------------------------------------------------------------


def invented(dialogues, inertia, seed, turns=12, labels=3):
    """Two speakers in turn, who each keep their label with a probability, else draw another.

    The voters know the label in half of the cases, and say how sure they can be.
    """
    dice = np.random.default_rng(seed)
    gold = dice.integers(0, labels, (dialogues, turns))
    for turn in range(2, turns):
        kept = dice.random(dialogues) < inertia
        gold[kept, turn] = gold[kept, turn - 2]
    gold = gold.ravel()
    said = np.where(dice.random(len(gold)) < 0.5, gold, dice.integers(0, labels, len(gold)))
    beliefs = np.full((labels, labels), 0.5 / labels) + 0.5 * np.eye(labels)
    return linked(*["AB" * (turns // 2)] * dialogues), gold, beliefs[said]


def fitted(links, gold, beliefs):
    labels = beliefs.shape[1]
    counted = count_transitions(links, gold, np.full(labels, 1 / labels))
    return fit_strengths(beliefs, links, gold, counted)


def log_loss(beliefs, gold):
    return -np.log(beliefs[np.arange(len(gold)), gold]).mean()


def test_inertia_is_found_and_helps_on_other_dialogues():
    transitions = fitted(*invented(80, 0.8, seed=0))
    assert transitions.own_strength >= 1
    assert transitions.other_strength <= 0.25
    links, gold, beliefs = invented(80, 0.8, seed=1)
    filtered = forward_filter(beliefs, links, transitions)
    assert log_loss(filtered, gold) < log_loss(beliefs, gold) - 0.05
    assert (filtered.argmax(axis=1) == gold).mean() > (beliefs.argmax(axis=1) == gold).mean()


def test_chance_is_not_taken_for_inertia():
    """With transitions that know the labels they are tried on, it is taken for it in nearly all."""
    found = [fitted(*invented(10, 0.0, seed, labels=7)) for seed in range(20)]
    assert sum(one.own_strength == one.other_strength == 0 for one in found) >= 15


def test_one_dialogue_teaches_no_strength():
    assert FOLDS > 1
    transitions = fitted(*invented(1, 1.0, seed=0, turns=40))
    assert (transitions.own_strength, transitions.other_strength) == (0, 0)


def test_only_labelled_rows_that_were_voted_on_count():
    links, gold, beliefs = invented(60, 0.8, seed=2)
    everything = fitted(links, gold, beliefs)
    silent = fitted(links, gold, np.zeros_like(beliefs))
    unknown = fitted(links, np.full_like(gold, UNKNOWN), beliefs)
    assert everything.own_strength > 0
    assert (silent.own_strength, silent.other_strength) == (0, 0)
    assert (unknown.own_strength, unknown.other_strength) == (0, 0)


def test_the_transitions_keep_their_counts():
    links, gold, beliefs = invented(60, 0.8, seed=3)
    counted = count_transitions(links, gold, np.full(3, 1 / 3))
    kept = fit_strengths(beliefs, links, gold, replace(counted, own_strength=9.0))
    assert kept.to_dict() | {"own_strength": 1.0, "other_strength": 1.0} == counted.to_dict()
    assert kept.own_strength != 9, "what they had before is passed over"


def test_dialogues_may_be_filtered_some_at_a_time(monkeypatch):
    links, gold, beliefs = invented(60, 0.8, seed=4)
    at_once = fitted(links, gold, beliefs)
    monkeypatch.setattr(dialogue, "AT_ONCE", 30)
    again = fitted(Links(links.own, links.other), gold, beliefs)
    assert at_once.own_strength > 0
    assert again.to_dict() == at_once.to_dict()


def test_emotions_have_inertia_in_meld():
    """An own label makes itself likelier than it makes any other, whichever it is."""
    if "RAGEMO_DATA" not in os.environ:
        pytest.skip("RAGEMO_DATA is not set: it names the folder of the corpora")
    file = Path(os.environ["RAGEMO_DATA"]) / "meld/train_sent_emo.csv"
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    corpus = read_corpus(file)
    turns = [
        make_turn(number=u.turn, dialogue_id=u.dialogue_id, speaker=u.speaker)
        for u in corpus.utterances
    ]
    gold = np.array([corpus.labels.index(u.emotion) for u in corpus.utterances])
    transitions = count_transitions(links_of(turns), gold, np.bincount(gold) / len(gold))
    lift = transitions.own / transitions.prior
    assert (lift.argmax(axis=1) == np.arange(7)).all()
    assert (np.diag(transitions.own) > np.diag(transitions.other)).all()


@given(st.lists(speakers, min_size=1, max_size=6), st.integers(1, 12))
def test_stretches_are_whole_dialogues_and_together_all_rows(dialogues, length):
    links = linked(*dialogues)
    stretches = list(links.stretches(length))
    ends = [stretch.stop for stretch in stretches]
    assert [stretch.start for stretch in stretches] == [0, *ends[:-1]]
    assert ends[-1] == len(links.own)
    assert all(stretch.stop - stretch.start >= length for stretch in stretches[:-1])
    for stretch in stretches:
        inside = np.zeros(len(links.own), dtype=bool)
        inside[stretch] = True
        own, among = links.of(inside), links.within(stretch)
        assert (among.own == own.own).all()
        assert (among.other == own.other).all()
        # No link leads out of it.
        for link in (links.own, links.other):
            assert ((link[stretch] == -1) | (link[stretch] >= stretch.start)).all()
