"""What an index knows of its own voters, row by row of its held-out dialogues."""

import numpy as np
import pytest

from ragemo.retrieval.index import Index
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.voting.labelled import labelled_of
from ragemo.voting.panel import fit_panel
from tests.conftest import LABELS, FakeEmbedder, make_corpus

WORDS = {"neu": "well then", "hap": "great fun", "ang": "shut up"}


def index_of(dialogues, turns=6):
    """Every third turn is context only."""
    rows = [
        {
            "dialogue": f"d{dialogue}",
            "text": f"{WORDS[label]} number {turn} of {dialogue}",
            "emotion": label,
            "needs_prediction": turn % 3 != 1,
            "speaker": "AB"[turn % 2],
        }
        for dialogue in range(dialogues)
        for turn in range(turns)
        for label in [LABELS.names[(dialogue + turn) % 3]]
    ]
    return Index.build(make_corpus(rows), FakeEmbedder(), transcript="asr")


@pytest.fixture(scope="module")
def index():
    return index_of(12)


def test_whole_dialogues_with_silent_context_turns(index):
    known = labelled_of(index)
    assert known.votes.voters == tuple(sorted(INDEX_VOTERS))
    assert known.votes.utterances == tuple(turn.utterance_id for turn in index.turns)
    context = [turn.turn % 3 == 1 for turn in index.turns]
    assert (known.gold == -1).tolist() == context
    assert (known.votes.present == ~np.array(context)).all()
    assert known.links.own[2] == 0
    assert known.gold.tolist() == index.label_positions.tolist()


def test_votes_stand_beside_the_windows_they_are_on(index):
    known = labelled_of(index)
    for voter, shares in index.fitted.votes.items():
        place = known.votes.voters.index(voter)
        assert np.array_equal(known.votes.shares[place][known.gold >= 0], shares)


def test_only_the_voters_that_count(index):
    known = labelled_of(index, ["probe", "llm"])
    assert known.votes.voters == ("probe",)
    assert labelled_of(index, []).votes.voters == ()
    assert np.array_equal(labelled_of(index, []).gold, known.gold)


def test_labels_an_index_was_not_given_are_unknown(index):
    left_out = np.array([index.turns[row].dialogue_id == "d3" for row in index.examples])
    known = labelled_of(index.without(left_out))
    assert not any(utterance.startswith("d3_") for utterance in known.votes.utterances)
    assert len(known.gold) == 11 * 6


def test_an_index_of_one_dialogue_knows_nothing_of_its_voters():
    """No window could be asked about without its own dialogue."""
    index = index_of(1)
    known = labelled_of(index)
    assert len(known.gold) == len(known.votes.utterances) == 0
    panel = fit_panel(known, index.prior)
    assert set(panel.weights) == set(INDEX_VOTERS)
    assert len(set(panel.weights.values())) == 1
