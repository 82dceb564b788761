"""What ballots say beside the label, brought together."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.types import Ballot
from ragemo.voting.details import bring_together
from tests.conftest import LABELS

NAMES = LABELS.names


def ballot(label, sample=0, *, voter="llm", **details):
    shares = None if label is None else LABELS.one_hot(label)
    return Ballot("u", voter, sample, shares, details=details)


def several(names, sample, **details):
    shares = tuple((name in names) / len(names) for name in NAMES)
    return Ballot("u", "llm", sample, shares, details={"labels": names, **details})


def together(*ballots, label="hap", how="majority"):
    return bring_together(ballots, label, LABELS, how)


@pytest.mark.parametrize(
    ("how", "names"),
    [("union", ["neu", "hap", "ang"]), ("majority", ["hap", "ang"]), ("intersection", ["ang"])],
)
def test_lists_of_labels_are_joined_as_the_settings_say(how, names):
    lists = [["hap", "ang"], ["ang"], ["neu", "hap", "ang"]]
    ballots = [several(names, sample) for sample, names in enumerate(lists)]
    # Who gives no list takes no part.
    ballots += [ballot("neu", 7), ballot("neu", 8), ballot("neu", voter="neighbours")]
    assert together(*ballots, label="ang", how=how) == {"labels": names}


@pytest.mark.parametrize("how", ["majority", "intersection"])
def test_half_is_no_majority_and_the_verdict_s_label_stands_in(how):
    ballots = (several(["hap"], 0), several(["ang"], 1))
    assert together(*ballots, label="neu", how=how) == {"labels": ["neu"]}
    assert together(*ballots, how="union") == {"labels": ["hap", "ang"]}


def test_numbers_are_means_over_the_ballots_for_the_label():
    rated = together(
        ballot("hap", 0, intensity=3, valence=1.0, arousal=-0.004),
        ballot("hap", 1, intensity=2, valence=0.0, arousal=-0.002),
        ballot("hap", 2, intensity=2, valence=-0.5, arousal=0.0),
        ballot("ang", 3, intensity=0, valence=-1.0, arousal=1.0),
        ballot("hap", 4),
    )
    assert rated == {"intensity": 2.33, "valence": 0.17, "arousal": 0.0}
    assert math.copysign(1, rated["arousal"]) == 1, "no -0.0"


def test_a_ballot_is_for_its_likeliest_label():
    soft = Ballot("u", "llm", 0, (0.2, 0.5, 0.3), details={"reasons": "glad"})
    even = Ballot("u", "llm", 1, (0.0, 0.5, 0.5 + 1e-15), details={"reasons": "even"})
    assert together(soft) == {"reasons": "glad"}
    assert together(soft, label="ang") == {}
    assert together(even) == {"reasons": "even"}, "the first of the set among equals"


def test_a_quote_counts_if_it_was_said():
    ballots = [
        ballot("hap", 0, evidence="made up", found=False),
        ballot("ang", 1, evidence="other label", found=True),
        ballot("hap", 2, evidence="yay indeed", found=True),
        ballot("hap", 3, evidence="oh yes", found=True),
    ]
    assert together(*ballots) == {"evidence": "yay indeed"}
    assert together(*ballots[:2]) == {}


def test_the_cause_is_the_turn_named_most_often():
    causes = ["d_3", "d_1", "d_2", "d_1", "d_2", None, None, None]
    ballots = [ballot("hap", sample, cause=cause) for sample, cause in enumerate(causes)]
    ballots += [ballot("ang", sample, cause="d_9") for sample in range(10, 15)]
    assert together(*ballots) == {"cause": "d_1"}
    assert together(*ballots, label="ang") == {"cause": "d_9"}
    assert together(*ballots[5:8]) == {}


def test_texts_are_the_first_ballot_s():
    ballots = [
        ballot("ang", 0, transcript="no"),
        ballot("hap", 2, voter="b", transcript="later"),
        ballot("hap", 1, voter="b", transcript="first", translation="premier"),
        ballot("hap", 10, voter="b", reasons="tenth"),
    ]
    told = {"transcript": "first", "translation": "premier", "reasons": "tenth"}
    assert together(*ballots) == told


def test_nothing_is_told_of_nothing():
    assert together() == {}
    assert together(ballot("hap"), ballot("ang", 1)) == {}
    assert together(ballot("hap", reasons="so"), label=None) == {}
    assert together(ballot(None, reasons="so")) == {}, "an invalid ballot says nothing"


details = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.sampled_from([["hap"], ["neu", "ang"], ["hap", "ang"], list(NAMES)]),
        "intensity": st.integers(0, 3),
        "valence": st.floats(-1, 1),
        "cause": st.sampled_from([None, "d_1", "d_2"]),
        "evidence": st.sampled_from(["one two", "three four"]),
        "found": st.booleans(),
        "reasons": st.text(max_size=2),
    },
)
ballots = st.lists(
    st.builds(
        lambda key, label, told: ballot(label, key[1], voter=key[0], **told),
        st.tuples(st.sampled_from("ab"), st.integers(0, 9)),
        st.sampled_from([*NAMES, None]),
        details,
    ),
    max_size=8,
    unique_by=lambda one: one.key,
)


rules = st.sampled_from(["union", "majority", "intersection"])


@given(ballots, st.sampled_from(NAMES), rules, st.data())
def test_the_order_of_the_ballots_leaves_no_trace(cast, label, how, data):
    told = bring_together(cast, label, LABELS, how)
    assert bring_together(data.draw(st.permutations(cast)), label, LABELS, how) == told
    assert json.loads(json.dumps(told)) == told, "it is read from a file as it was written"
    own = {
        name for one in cast for name in one.details if one.distribution == LABELS.one_hot(label)
    }
    assert set(told) <= own | {"labels"}
    assert told.get("labels", ["any"])
    assert -1 <= told.get("valence", 0) <= 1


@given(ballots, st.sampled_from(NAMES))
def test_a_stricter_rule_keeps_fewer_labels(cast, label):
    kept = [
        set(bring_together(cast, label, LABELS, how).get("labels", ())) - {label}
        for how in ("intersection", "majority", "union")
    ]
    assert kept[0] <= kept[1] <= kept[2]
