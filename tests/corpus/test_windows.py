"""A window holds what was said up to its target, and nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.corpus.transcripts import Transcript
from ragemo.corpus.windows import cut_windows, turns_of
from ragemo.errors import SettingsError
from ragemo.types import Dialogue, Turn, Utterance


def dialogue(name, places):
    return Dialogue(
        name,
        tuple(
            Utterance(
                id=f"{name}-{place}",
                dialogue_id=name,
                turn=place,
                speaker="AB"[place % 2],
                hypotheses={"whisperbase": "HYPOTHESIS-MARKER"},
                session="Ses01",
                reference="REFERENCE-MARKER",
                emotion="GOLD-MARKER",
                needs_prediction=place % 3 == 0,
            )
            for place in places
        ),
    )


def transcripts_of(dialogues):
    return {
        u.id: Transcript(f"said {u.id}", "whisperbase") for d in dialogues for u in d.utterances
    }


PLACES = st.lists(st.integers(0, 40), min_size=1, max_size=15, unique=True).map(sorted)
DIALOGUES = st.lists(PLACES, max_size=4).map(
    lambda corpus: [dialogue(f"d{number}", places) for number, places in enumerate(corpus)]
)


@settings(deadline=None)
@given(dialogues=DIALOGUES, context=st.one_of(st.none(), st.integers(0, 20)))
def test_windows_are_causal(dialogues, context):
    windows = cut_windows(dialogues, transcripts_of(dialogues), context)
    utterances = [u for d in dialogues for u in d.utterances]
    assert [w.target.utterance_id for w in windows] == [u.id for u in utterances]

    targets = [(d, place) for d in dialogues for place in range(len(d.utterances))]
    for window, (home, place) in zip(windows, targets, strict=True):
        expected = place if context is None else min(context, place)
        said_before = [u.id for u in home.utterances[:place]]
        assert [turn.utterance_id for turn in window.context] == said_before[place - expected :]
        assert all(turn.turn < window.target.turn for turn in window.context)
        assert {turn.dialogue_id for turn in window.turns} == {home.id}
        assert "MARKER" not in repr(window)


def test_a_turn_carries_the_chosen_transcript():
    one = dialogue("d", [0, 3])
    turns = turns_of(one, {"d-0": Transcript("Hi.", "whisperbase"), "d-3": Transcript("", "")})
    assert turns == (
        Turn("d-0", "d", 0, "A", "Ses01", "Hi.", "whisperbase"),
        Turn("d-3", "d", 3, "B", "Ses01", "", ""),
    )


def test_a_turn_says_what_is_known_of_it():
    one = dialogue("d", [0])
    known = {"profile": "woman, young", "scene": "car", "stage": "farewell", "corpus": "meld"}
    heard = {"tiny": "oh no", "base": "Oh, yes!"}
    one = Dialogue("d", (replace(one.utterances[0], hypotheses=heard, **known),))
    (turn,) = turns_of(one, {"d-0": Transcript("Oh, yes!", "base")})
    assert {name: getattr(turn, name) for name in known} == known
    assert turn.disagreement == 1 / 2


def test_a_missing_transcript_is_not_passed_over():
    with pytest.raises(KeyError, match="d-1"):
        cut_windows([dialogue("d", [0, 1])], {"d-0": Transcript("Hi.", "a")}, 2)


def test_negative_context_is_refused():
    with pytest.raises(SettingsError, match="context is -1"):
        cut_windows([], {}, -1)


def test_a_turn_is_made_once_for_all_windows_that_hold_it():
    long = [dialogue("long", range(200))]
    windows = cut_windows(long, transcripts_of(long), 4)
    assert sum(len(window.turns) for window in windows) == 5 * 200 - 10
    assert len({id(turn) for window in windows for turn in window.turns}) == 200
