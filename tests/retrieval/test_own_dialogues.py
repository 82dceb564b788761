"""Which dialogues of a corpus are those that the index holds itself."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ragemo.corpus import read_corpus
from ragemo.retrieval.restrict import find_kinship, survey_kinship
from tests.conftest import make_turn
from tests.retrieval.worlds import index_of


def dialogue_of(name, texts):
    return [make_turn(text, n, dialogue_id=name) for n, text in enumerate(texts)]


KNOWN = [
    *dialogue_of("0", ["Oh my God, he's back!", "I know, I saw him.", "So what do we do?"]),
    *dialogue_of("1", ["The bus leaves at nine.", "", "Then hurry up, will you?"]),
]
OWN = index_of(KNOWN, ["neu"] * 6)


def own_dialogues(index, turns, **options):
    return find_kinship(index, turns, **options).own


def test_the_same_words_are_the_same_dialogue():
    assert own_dialogues(OWN, KNOWN) == {"0", "1"}
    assert own_dialogues(OWN, KNOWN[:3]) >= {"0"}


def test_the_same_ids_with_other_words_are_another_corpus_s():
    """MELD numbers the dialogues of each split from 0."""
    others = [
        *dialogue_of("0", ["Hey, how was your day?", "Fine.", "Coffee?"]),
        *dialogue_of("1", ["Pivot!", "Shut up, shut up!", "Okay."]),
    ]
    assert own_dialogues(OWN, others) == set()
    assert own_dialogues(OWN, others, same_corpus=True) == {"0", "1"}


def test_another_transcript_of_the_recording_is_the_same_dialogue():
    heard = [
        *dialogue_of("0", ["oh my god his back", "i know i saw them", "what do we do"]),
        *dialogue_of("1", ["the bus leaves at night", "", "then hurry up will you"]),
    ]
    assert own_dialogues(OWN, heard) == {"0", "1"}


def test_a_dialogue_that_was_hardly_understood_is_told_by_the_rest_of_its_corpus():
    heard = [
        *dialogue_of("0", ["oh my god his back", "i know i saw them", "what do we do"]),
        *dialogue_of("1", ["a bass lives a tonight", "", "ten harry a pill you"]),
    ]
    assert own_dialogues(OWN, heard) == {"0", "1"}
    silent = [*heard[:3], *dialogue_of("1", ["", "", ""])]
    assert own_dialogues(OWN, silent) == {"0", "1"}


def test_one_own_dialogue_among_many_others_is_found():
    texts = [f"word{n} and word{n + 1}" for n in range(60)]
    index = index_of([*KNOWN, *dialogue_of("2", texts)], ["neu"] * 66)
    others = [*KNOWN[:3], *dialogue_of("2", [f"quite other{n} things" for n in range(60)])]
    assert own_dialogues(index, others) == {"0"}


def test_without_common_ids_or_words_nothing_is_its_own():
    assert own_dialogues(OWN, [replace(turn, dialogue_id="q") for turn in KNOWN]) == set()
    assert own_dialogues(OWN, [replace(turn, turn=turn.turn + 9) for turn in KNOWN]) == set()
    assert own_dialogues(OWN, [replace(turn, text="…") for turn in KNOWN]) == set()
    assert own_dialogues(OWN, []) == set()


def joined_with(later):
    """An index of a first corpus and a later one, whose ids begin with its name."""
    first = [replace(turn, corpus="one") for turn in dialogue_of("0", ["Coffee?"] * 9)]
    renamed = [replace(t, dialogue_id=f"two/{t.dialogue_id}", corpus="two") for t in later]
    return index_of([*first, *renamed], ["neu"] * (len(first) + len(renamed)))


def left_out(index, turns):
    kinship = find_kinship(index, turns)
    dialogues = {}
    for turn in turns:
        dialogues.setdefault(turn.dialogue_id, []).append(turn)
    blocks = list(dialogues.values())
    assert survey_kinship(index.turns, lambda: iter(blocks)) == kinship, "in blocks as in one"
    return kinship.twins


SHORT = [*KNOWN, *dialogue_of("2", ["Hi.", "Hello, you."]), *dialogue_of("3", ["No!", "Hm?"])]


def test_a_copy_of_a_later_corpus_has_its_twins_there():
    """Also of dialogues that are too short, or understood too badly, to be told by their words."""
    index = joined_with(SHORT)
    assert own_dialogues(index, SHORT) == set(), "no guard by id knows them"
    assert left_out(index, SHORT) == {"two/0", "two/1", "two/2", "two/3"}
    heard = [*SHORT[:3], *dialogue_of("1", ["a bass lives a tonight", "", "ten harry a pill you"])]
    assert left_out(index, heard) == {"two/0", "two/1"}, "nothing that is not asked about"


def test_other_dialogues_of_the_ids_of_a_later_corpus_are_no_twins():
    long = [*SHORT, *dialogue_of("4", [f"word{n}" for n in range(40)])]
    others = [replace(turn, text=f"quite other{n} things") for n, turn in enumerate(long)]
    assert left_out(joined_with(long), others) == set()
    assert left_out(joined_with(long), [*SHORT[6:8], *others[8:]]) == {"two/2"}


def test_a_joined_corpus_that_is_asked_about_leaves_nothing_out_for_all():
    index = joined_with(SHORT)
    assert own_dialogues(index, index.turns) >= {"0", "two/0", "two/3"}
    assert left_out(index, index.turns) == set()


@pytest.fixture(scope="module")
def data():
    if "RAGEMO_DATA" not in os.environ:
        pytest.skip("RAGEMO_DATA is not set: it names the folder with the corpora")
    return Path(os.environ["RAGEMO_DATA"])


def heard_by(corpus, system):
    """An index of a corpus as one recogniser heard it; without vectors, which are not asked for."""
    found = [
        make_turn(u.hypotheses[system], u.turn, dialogue_id=u.dialogue_id, utterance_id=u.id)
        for u in corpus.utterances
    ]
    return index_of(found, ["neu"] * len(found))


def test_recognisers_of_any_quality_hear_the_same_dialogues(data):
    corpus = read_corpus(data / "meld_asr" / "train.json")
    every = {dialogue.id for dialogue in corpus.dialogues}
    for one, other in [("whispertiny", "whisperbase"), ("whispertiny", "pocketsphinx")]:
        indexes = heard_by(corpus, one), heard_by(corpus, other)
        assert own_dialogues(indexes[0], indexes[1].turns) == every
        assert own_dialogues(indexes[1], indexes[0].turns) == every


def test_two_splits_of_meld_have_no_dialogue_in_common(data):
    train, dev = (
        read_corpus(data / "meld" / f"{split}_sent_emo.csv") for split in ("train", "dev")
    )
    (system,) = train.utterances[0].hypotheses
    index = heard_by(train, system)
    queries = heard_by(dev, system).turns
    assert {turn.dialogue_id for turn in queries} & {turn.dialogue_id for turn in index.turns}
    assert own_dialogues(index, queries) == set()
