import pytest

from ragemo.runs.slices import OTHERS, SLICES, SPEAKERS, run_slices
from tests.scoring.runs import utterance


def groups(name, utterances):
    """Group -> ids, of the groups that have any."""
    ids = [one.turn.utterance_id for one in utterances if one.predicted and one.gold is not None]
    found = run_slices(utterances, ids)[name]
    assert len(found.group) == len(ids)
    own = {
        group: [one for one, its in zip(ids, found.group.tolist(), strict=True) if its == place]
        for place, group in enumerate(found.names)
    }
    return {group: ids for group, ids in own.items() if ids}


def test_gold_labels_come_by_how_frequent_they_are():
    made = [utterance(0, "fear"), utterance(1, "joy"), utterance(2, "joy")]
    found = groups("gold label", made)
    assert list(found.items()) == [("joy", ["d_1", "d_2"]), ("fear", ["d_0"])]


def test_the_most_frequent_speakers_have_groups_and_the_rest_share_one():
    names = [f"S{n}" for n in range(SPEAKERS + 3)]
    made = [
        utterance(0, dialogue_id=f"{name}{again}", speaker=name)
        for place, name in enumerate(names)
        for again in range(20 - place)
    ]
    found = groups("speaker", made)
    assert list(found) == [*names[:SPEAKERS], OTHERS]
    assert sum(map(len, found.values())) == len(made)
    assert groups("speaker", [utterance(0, speaker="")]) == {}


def test_turns_are_places_in_the_dialogue_with_its_context_counted():
    # Turn numbers have gaps and may start above 0.
    made = [utterance(7 + 3 * place, predicted=place != 1) for place in range(12)]
    found = groups("turn", made)
    assert {name: len(ids) for name, ids in found.items()} == {
        "first": 1,
        "2-5": 3,
        "6-10": 5,
        "later": 2,
    }
    assert found["first"] == ["d_7"]


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("", "no words"),
        ("... !", "no words"),
        ("Oh, my God!", "1-3"),
        ("one two three four", "4-8"),
        ("w " * 9, "9-15"),
        ("w " * 16, "16 or more"),
        ("我不知道", "4-8"),
    ],
)
def test_lengths_are_words_or_characters_where_no_blanks_stand(text, band):
    assert list(groups("length in words", [utterance(0, text=text)])) == [band]


def test_disagreement_is_banded_and_absent_where_there_are_no_systems():
    values = [0.0, 0.1, 0.25, 0.5, 1.0, None]
    made = [utterance(n, disagreement=value) for n, value in enumerate(values)]
    assert groups("ASR disagreement", made) == {
        "none": ["d_0"],
        "below .25": ["d_1"],
        ".25 to .5": ["d_2"],
        ".5 or more": ["d_3", "d_4"],
    }
    assert groups("ASR disagreement", [utterance(0)]) == {}


def test_duplicates_are_told_where_there_was_an_index():
    made = [utterance(n, duplicate=value) for n, value in enumerate([True, False, None])]
    assert groups("duplicate", made) == {"in the index": ["d_0"], "not in the index": ["d_1"]}


def test_a_shift_is_from_the_speakers_own_last_turn():
    made = [
        utterance(0, "joy", speaker="A"),
        utterance(1, "sadness", speaker="B"),
        utterance(2, "joy", speaker="A"),
        utterance(3, "joy", speaker="B"),
        utterance(4, None, speaker="A"),
        utterance(5, "joy", speaker="A"),
        utterance(0, "joy", dialogue_id="e", speaker="A"),
    ]
    assert groups("shift", made) == {
        "same label": ["d_2"],
        "other label": ["d_3"],
        "no last label": ["d_0", "d_1", "d_5", "e_0"],
    }


def test_nobody_is_the_same_speaker_by_an_empty_name():
    made = [utterance(0, "joy", speaker=""), utterance(1, "joy", speaker="")]
    assert groups("shift", made) == {"no last label": ["d_0", "d_1"]}


def test_context_and_what_has_no_gold_label_is_in_no_group_and_no_group_shares_an_utterance():
    made = [utterance(n, disagreement=0.3, duplicate=False) for n in range(8)]
    made += [utterance(8, predicted=False, duplicate=True), utterance(9, None)]
    for name in SLICES:
        ids = [one for own in groups(name, made).values() for one in own]
        assert sorted(ids) == [f"d_{n}" for n in range(8)], name


def test_a_speaker_called_like_the_rest_keeps_a_group(tmp_path):
    speakers = ["all others"] * 4 + [f"s{n}" for n in range(9) for _ in range(2)]
    cases = [utterance(n, speaker=name) for n, name in enumerate(speakers)]
    found = groups("speaker", cases)
    assert len(found["all others"]) == 4
    assert sum(map(len, found.values())) == len(cases)


def test_which_speakers_have_groups_does_not_depend_on_the_order_of_the_corpus():
    names = [f"S{n}" for n in range(SPEAKERS + 3)]
    for order in (names, names[::-1]):
        found = groups("speaker", [utterance(n, speaker=name) for n, name in enumerate(order)])
        assert list(found) == [*names[:SPEAKERS], OTHERS]
