from dataclasses import FrozenInstanceError, fields

import pytest

from ragemo.errors import DataError
from ragemo.types import Ballot, Corpus, Dialogue, Turn, Utterance, Window
from tests.conftest import make_corpus, make_turn


def utterance(turn, dialogue="d"):
    return Utterance(f"{dialogue}_{turn}", dialogue, turn, "A", {"asr": "hi"})


def test_a_window_ends_in_its_target():
    turns = tuple(make_turn(number=number) for number in (0, 2, 5))
    window = Window(turns)
    assert window.target == turns[2]
    assert window.context == turns[:2]
    assert Window(turns[:1]).context == ()


@pytest.mark.parametrize(
    "turns",
    [
        (),
        (make_turn(number=2), make_turn(number=1)),
        (make_turn(number=1), make_turn(number=1)),
        (make_turn(number=0), make_turn(number=1, dialogue_id="other")),
    ],
)
def test_a_window_takes_no_later_turn_and_one_dialogue_only(turns):
    with pytest.raises(ValueError, match="window"):
        Window(turns)


def test_a_turn_has_no_place_for_gold_labels_and_reference_transcripts():
    names = {field.name for field in fields(Turn)}
    assert names == {
        "utterance_id",
        "dialogue_id",
        "turn",
        "speaker",
        "session",
        "text",
        "source",
        "profile",
        "scene",
        "stage",
        "corpus",
        "disagreement",
    }
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        make_turn().emotion = "ang"


def test_turns_of_a_dialogue_rise_and_may_have_gaps():
    assert len(Dialogue("d", (utterance(0), utterance(3), utterance(4))).utterances) == 3


@pytest.mark.parametrize(
    ("utterances", "said"),
    [
        ((), "dialogue 'd' has no utterances"),
        ((utterance(0), utterance(1, "e")), "utterance 'e_1': it belongs to dialogue 'e'"),
        ((utterance(1), utterance(1)), "turn 1 follows turn 1"),
        ((utterance(2), utterance(1)), "turn 1 follows turn 2"),
        ((utterance(-1),), "turn -1 follows"),
    ],
)
def test_an_unsound_dialogue_is_refused(utterances, said):
    with pytest.raises(DataError, match=said):
        Dialogue("d", utterances)


def test_a_corpus_lists_its_utterances_in_order():
    corpus = make_corpus([{"dialogue": name, "text": "x"} for name in ("b", "a", "b")])
    assert isinstance(corpus, Corpus)
    assert [u.id for u in corpus.utterances] == ["b_0", "b_1", "a_0"]


@pytest.mark.parametrize(
    ("ballot", "invalid", "failed"),
    [
        (Ballot("u", "v", distribution=(1.0, 0.0)), False, False),
        (Ballot("u", "v", answer="perhaps"), True, False),
        (Ballot("u", "v", error="timeout"), False, True),
    ],
)
def test_a_ballot_is_valid_or_invalid_or_failed(ballot, invalid, failed):
    assert (ballot.invalid, ballot.failed) == (invalid, failed)
