"""Which examples of an index count."""

import pytest

from ragemo.errors import SettingsError
from ragemo.retrieval.restrict import shut_out
from ragemo.retrieval.retrieve import retrieve
from ragemo.settings import OnlySettings
from tests.conftest import FakeEmbedder, make_turn
from tests.retrieval.worlds import index_of

ROWS = [
    # dialogue, corpus, speaker, session, text, label
    ("a", "meld", "Ann", "s1", "oh", "neu"),
    ("a", "meld", "Bob", "s1", "oh my God!", "hap"),
    ("b", "meld", "Ann", "s2", "no, no, no way", "ang"),
    ("b", "meld", "Cid", "s2", "not an example", None),
    ("c", "cped", "", None, "…", "hap"),
    ("c", "cped", "Bob", None, "so glad", "hap"),
]
INDEX = index_of(
    [
        make_turn(text, n, dialogue_id=dialogue, corpus=corpus, speaker=speaker, session=session)
        for n, (dialogue, corpus, speaker, session, text, _) in enumerate(ROWS)
    ],
    [row[-1] for row in ROWS],
)


def kept(**only):
    """Rows that count."""
    left_out = shut_out(INDEX, OnlySettings(**only))
    return INDEX.examples[~left_out].tolist()


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ({}, [0, 1, 2, 4, 5]),
        ({"corpora": ("cped",)}, [4, 5]),
        ({"corpora": ("cped", "meld")}, [0, 1, 2, 4, 5]),
        ({"speakers": ("Ann",)}, [0, 2]),
        ({"speakers": ("Ann", "Bob")}, [0, 1, 2, 5]),
        ({"sessions": ("s1",)}, [0, 1]),
        ({"labels": ("hap", "ang")}, [1, 2, 4, 5]),
        ({"shortest": 2}, [1, 2, 5]),
        ({"longest": 1}, [0, 4]),
        ({"longest": 3}, [0, 1, 4, 5]),
        ({"shortest": 3, "longest": 3}, [1]),
        ({"speakers": ("Bob",), "corpora": ("meld",)}, [1]),
    ],
)
def test_those_count_that_are_asked_for(only, expected):
    assert kept(**only) == expected


@pytest.mark.parametrize(
    ("only", "said"),
    [
        (
            {"corpora": ("iemocap",)},
            r"only\.corpora: the index has no 'iemocap'; it has cped, meld",
        ),
        ({"speakers": ("Ann", "ann")}, r"only\.speakers: .* no 'ann'; it has Ann, Bob"),
        ({"speakers": ("Cid",)}, r"only\.speakers: the index has no 'Cid'"),  # no example is his
        ({"speakers": ("",)}, r"only\.speakers: the index has no ''"),
        ({"sessions": ("s3",)}, r"only\.sessions: the index has no 's3'; it has s1, s2"),
        ({"labels": ("happy",)}, r"only\.labels: .* no 'happy'; it has ang, hap, neu"),
    ],
)
def test_a_name_that_is_not_there_is_refused(only, said):
    with pytest.raises(SettingsError, match=said):
        kept(**only)


@pytest.mark.parametrize(
    "only",
    [
        {"shortest": 9},
        {"shortest": 3, "longest": 2},
        {"corpora": ("cped",), "speakers": ("Ann",)},
        {"labels": ()},
    ],
)
def test_nothing_left_is_refused(only):
    with pytest.raises(SettingsError, match=r"retrieval\.only leaves no example .* ask for less"):
        kept(**only)


def test_characters_count_where_no_blank_divides_words():
    index = index_of([make_turn("我很开心", dialogue_id="a"), make_turn("so glad")], ["hap", "hap"])
    assert shut_out(index, OnlySettings(shortest=3)).tolist() == [False, True]
    assert shut_out(index, OnlySettings(longest=3)).tolist() == [True, False]


def test_names_that_are_listed_are_not_endless():
    many = [make_turn("x", n, dialogue_id="a", speaker=f"p{n:02}") for n in range(30)]
    with pytest.raises(SettingsError, match=r"p18, p19, \.\.\.$"):
        shut_out(index_of(many, ["neu"] * 30), OnlySettings(speakers=("nobody",)))


@pytest.mark.parametrize("strategy", ["knn", "balanced", "emotion", "vote-k"])
def test_a_retrieval_knows_nothing_of_what_does_not_count(strategy):
    """Neither its demonstrations nor its voters."""
    asked = [make_turn("so glad", dialogue_id="q")]

    def found(index, only=None):
        return retrieve(
            index, FakeEmbedder(), asked, [0], k=9, strategy=[strategy], only=only
        ).found

    only = OnlySettings(labels=("hap", "ang"))
    gold = [None if label == "neu" else label for label in INDEX.gold]
    assert found(INDEX, only) == found(index_of(INDEX.turns, gold))
    assert found(INDEX, only) != found(INDEX)
    assert {one.label for one in found(INDEX, only)[0].demonstrations} == {"hap", "ang"}
