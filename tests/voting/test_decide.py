"""From ballots to verdicts."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.types import Ballot
from ragemo.voting.decide import decide, decided_labels
from ragemo.voting.panel import POOLS, untried_panel
from ragemo.voting.transitions import Transitions, links_of
from ragemo.voting.votes import count_votes
from tests.conftest import LABELS, make_turn
from tests.voting.electorate import (
    SIZE,
    distributions,
    electorates,
    leans,
    says,
    some_examples,
    turns_of,
)

EVEN = (1 / SIZE,) * SIZE
VOTERS = ["v0", "v1", "v2", "v3", "llm"]
STAYS = Transitions(
    np.array(EVEN), np.full((3, 3), 0.05) + 0.85 * np.eye(3), np.full((3, 3), 0.1) + 0.7 * np.eye(3)
)
"""The own label and the other's tend to stay."""

causal_pools = pytest.mark.parametrize("pool", ["log", "mean", "majority"])

INVALID = Ballot("u000", "llm", 1, answer="perhaps")
FAILED = Ballot("u000", "llm", 2, error="timeout")


def a_panel(pool="log", **fields):
    return replace(untried_panel(pool, VOTERS, SIZE), **fields)


def verdicts_on(ballots, targets=("u000",), panel=None, turns=None, **options):
    return decide(
        turns or turns_of(len(targets)),
        targets,
        ballots,
        LABELS,
        panels={"all": panel or a_panel()},
        part_of=dict.fromkeys(targets, "all"),
        **options,
    ).verdicts


def verdict_on(ballots, **options):
    (verdict,) = verdicts_on(ballots, **options)
    return verdict


@st.composite
def any_panel(draw, pools=POOLS, decoders=("none", "filter", "viterbi")):
    return a_panel(
        draw(st.sampled_from(pools)),
        prior=draw(distributions.filter(all)),
        correction=draw(st.sampled_from([0.0, 0.4])),
        temperature=draw(st.sampled_from([0.6, 1.0, 2.0])),
        threshold=draw(st.sampled_from([None, 0.0, 0.5, 1.0])),
        decoder=draw(st.sampled_from(decoders)),
        transitions=draw(st.sampled_from([None, STAYS])),
    )


# -- one verdict ---------------------------------------------------------------------------------


def test_a_worked_example():
    ballots = [
        leans(0.5, 0.3, 0.2, voter="v0"),
        says("hap", "v1"),
        says("hap", "v2"),
        INVALID,
        FAILED,
    ]
    verdict = verdict_on(ballots, panel=a_panel("mean", threshold=0.5))
    assert verdict.label == "hap"
    assert verdict.distribution == pytest.approx((0.5 / 3, 2.3 / 3, 0.2 / 3))
    assert verdict.confidence == verdict.distribution[1]
    assert verdict.agreement == pytest.approx(2 / 3)
    assert (verdict.invalid, verdict.failed) == (1, 1)
    assert verdict.label_set == ("hap",)
    assert not verdict.abstained


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(
    ("ballots", "lost"), [([], (0, 0)), ([INVALID, FAILED, replace(FAILED, sample=3)], (1, 2))]
)
def test_without_a_usable_ballot_there_is_no_label_and_certainly_not_neutral(pool, ballots, lost):
    panel = a_panel(pool, prior=(0.8, 0.1, 0.1), threshold=0.9, decoder="filter", transitions=STAYS)
    ballots = [*ballots, says("hap", "v0", "u001")]
    verdict = verdicts_on(ballots, ("u000", "u001"), panel)[0]
    assert (verdict.label, verdict.distribution, verdict.label_set) == (None, None, ())
    assert (verdict.confidence, verdict.agreement) == (0, 0)
    assert (verdict.invalid, verdict.failed) == lost


def test_a_ballot_of_no_weight_is_no_ground_for_a_label():
    verdict = verdict_on([says("hap", "v0")], panel=a_panel(weights={"v0": 0.0, "v1": 1.0}))
    assert verdict.label is None
    assert verdict_on([says("hap", "stranger")]).label is None


@pytest.mark.parametrize("pool", POOLS)
def test_ties_go_to_the_label_that_stands_first(pool):
    for one, other in [("neu", "ang"), ("hap", "ang"), ("neu", "hap")]:
        ballots = [says(other, "v0"), says(one, "v1")]
        verdict = verdict_on(ballots, panel=a_panel(pool, threshold=0.0))
        assert verdict.label == one
        assert verdict.confidence == max(verdict.distribution)


@given(electorates(), any_panel(), st.sampled_from([0.0, 0.5, 0.9]))
@some_examples
def test_a_verdict_is_a_distribution_and_its_label_has_the_greatest_share(
    electorate, panel, abstain_below
):
    ballots, ids = electorate
    for verdict in verdicts_on(ballots, ids, panel, abstain_below=abstain_below):
        own = [b for b in ballots if b.utterance_id == verdict.utterance_id]
        usable = [b for b in own if b.distribution]
        assert verdict.invalid == sum(b.invalid for b in own)
        assert verdict.failed == sum(b.failed for b in own)
        assert (verdict.label is None) == (not usable)
        assert verdict.abstained == (verdict.confidence < abstain_below)
        if not usable:
            assert verdict.distribution is None
            continue
        assert sum(verdict.distribution) == pytest.approx(1)
        assert verdict.confidence == verdict.distribution[LABELS.index(verdict.label)]
        if panel.decoder != "viterbi":
            assert verdict.confidence == max(verdict.distribution)
        firsts = [b.distribution.index(max(b.distribution)) for b in usable]
        agreeing = firsts.count(LABELS.index(verdict.label))
        assert verdict.agreement == pytest.approx(agreeing / len(usable))
        if panel.threshold is None:
            assert verdict.label_set == ()
        else:
            assert verdict.label in verdict.label_set
            assert list(verdict.label_set) == [n for n in LABELS.names if n in verdict.label_set]


def test_a_label_set_holds_all_that_the_threshold_lets_in():
    ballots = [leans(0.5, 0.3, 0.2, voter="v0")]
    sets = [
        verdict_on(ballots, panel=a_panel("mean", threshold=q)).label_set
        for q in (0.2, 0.5, 0.75, 0.85)
    ]
    assert sets == [("neu",), ("neu",), ("neu", "hap"), LABELS.names]


def test_a_label_chosen_against_the_shares_is_in_its_set():
    """Before an angry turn by the same speaker, one that looks happy is angry to Viterbi."""
    turns = [make_turn(number=n, utterance_id=f"u{n:03}") for n in range(2)]
    ballots = [leans(0.1, 0.5, 0.4, voter="v0"), leans(0.1, 0.1, 0.8, voter="v0", utterance="u001")]
    panel = a_panel("mean", decoder="viterbi", transitions=STAYS, threshold=0.0)
    first, _ = verdicts_on(ballots, ("u000", "u001"), panel, turns)
    assert first.label == "ang"
    assert first.confidence == first.distribution[2] < first.distribution[1]
    assert first.label_set == ("hap", "ang")


@pytest.mark.parametrize(("below", "abstained"), [(0.0, False), (0.5, False), (0.51, True)])
def test_a_verdict_of_too_little_confidence_is_marked_and_keeps_its_label(below, abstained):
    verdict = verdict_on(
        [leans(0.5, 0.3, 0.2, voter="v0")], panel=a_panel("mean"), abstain_below=below
    )
    assert verdict.abstained is abstained
    assert verdict.label == "neu"


def test_what_has_no_label_is_abstained_on_where_any_confidence_is_asked_for():
    assert verdict_on([FAILED], abstain_below=0.1).abstained
    assert not verdict_on([FAILED]).abstained


# -- many verdicts -------------------------------------------------------------------------------


@some_examples
@given(electorates(), any_panel(), st.randoms())
def test_the_order_of_ballots_and_targets_changes_nothing(electorate, panel, dice):
    ballots, ids = electorate
    turns = turns_of(len(ids))
    before = {v.utterance_id: v for v in verdicts_on(ballots, ids, panel, turns)}
    dice.shuffle(ballots)
    targets = ids[:]
    dice.shuffle(targets)
    after = verdicts_on(ballots, targets, panel, turns)
    assert [v.utterance_id for v in after] == targets
    assert {v.utterance_id: v for v in after} == before


def test_what_the_pool_believed_before_the_dialogue_s_say_is_kept():
    turns = turns_of(4)
    ballots = [leans(0.2, 0.5, 0.3, voter="v0", utterance=t.utterance_id) for t in turns]
    targets = ["u003", "u001"]
    decision = decide(
        turns,
        targets,
        ballots,
        LABELS,
        panels={0: a_panel("mean", decoder="filter", transitions=STAYS)},
        part_of=dict.fromkeys(targets, 0),
    )
    assert decision.beliefs == pytest.approx(np.array([[0.2, 0.5, 0.3]] * 2))
    assert decision.verdicts[0].distribution != pytest.approx((0.2, 0.5, 0.3))


@causal_pools
@some_examples
@given(
    data=st.data(),
    electorate=electorates(utterances=7),
    other=electorates(utterances=7),
    now=st.integers(0, 6),
)
def test_a_later_turn_s_ballots_never_change_an_earlier_verdict(pool, data, electorate, other, now):
    """All is the same up to now; then everything is different, and more of it."""
    panel = data.draw(any_panel([pool], ["none", "filter"]))
    turns = turns_of(7, length=data.draw(st.integers(1, 7)))
    ids = [turn.utterance_id for turn in turns]
    before, changed = (
        [b for b in own if (b.utterance_id <= f"u{now:03}") == early]
        for own, early in ((electorate[0], True), (other[0], False))
    )
    first = verdicts_on(electorate[0], ids, panel, turns)
    second = verdicts_on([*before, *changed], ids, panel, turns)
    assert second[: now + 1] == first[: now + 1]
    third = verdicts_on(before, ids[: now + 1], panel, turns[: now + 1])
    assert third == first[: now + 1], "nor does it matter whether there are later turns"


def test_an_earlier_turn_s_ballots_do_change_a_later_verdict():
    """So that the test above says something of the filter."""
    turns = turns_of(3)
    ids = [turn.utterance_id for turn in turns]
    panel = a_panel("mean", decoder="filter", transitions=STAYS)
    later = leans(0.4, 0.35, 0.25, voter="v0", utterance="u002")
    labels = [
        verdicts_on([says(label, "v0", "u000"), later], ids, panel, turns)[2].label
        for label in LABELS.names
    ]
    assert labels == list(LABELS.names)


def test_turns_that_are_no_targets_link_their_neighbours_and_get_no_verdict():
    turns = turns_of(3)
    panel = a_panel("mean", decoder="filter", transitions=STAYS)
    ballots = [
        says("ang", "v0", "u000"),
        says("neu", "v0", "u001"),
        leans(0.4, 0.3, 0.3, voter="v0", utterance="u002"),
    ]
    asked = verdicts_on(ballots, ("u000", "u002"), panel, turns)
    assert [v.utterance_id for v in asked] == ["u000", "u002"]
    assert asked[1].label == "ang"


# -- parts of the index --------------------------------------------------------------------------


def by_parts(ballots, parts, panels, count=6):
    turns = turns_of(count)
    targets = [turn.utterance_id for turn in turns]
    part_of = dict(zip(targets, parts, strict=True))
    decision = decide(turns, targets, ballots, LABELS, panels=panels, part_of=part_of)
    return {verdict.utterance_id: verdict for verdict in decision.verdicts}


@some_examples
@given(
    st.data(),
    st.lists(st.sampled_from("ab"), min_size=6, max_size=6),
    any_panel(),
    any_panel(),
    any_panel(),
)
def test_a_target_s_verdict_depends_on_its_own_part_s_panel_and_ballots_alone(
    data, parts, panel, one, other
):
    """Whatever the pool: even what is learned from all utterances stays within the part."""
    ballots = data.draw(electorates(utterances=6))[0]
    own = {f"u{row:03}" for row, part in enumerate(parts) if part == "a"}
    first = by_parts(ballots, parts, {"a": panel, "b": one})
    elsewhere = [b for b in data.draw(electorates(utterances=6))[0] if b.utterance_id not in own]
    second = by_parts(
        [*(b for b in ballots if b.utterance_id in own), *elsewhere],
        parts,
        {"b": other, "a": panel},
    )
    assert all(second[target] == first[target] for target in own)


def test_each_part_is_decided_by_its_own_panel():
    ballots = [
        says(label, voter, f"u{row:03}")
        for row in range(6)
        for voter, label in [("v0", "hap"), ("v1", "ang")]
    ]
    weights = {"a": {"v0": 1.0, "v1": 0.2}, "b": {"v0": 0.2, "v1": 1.0}}
    panels = {part: a_panel(weights=own) for part, own in weights.items()}
    found = by_parts(ballots, "aabbab", panels)
    assert [found[f"u{row:03}"].label for row in range(6)] == [
        "hap",
        "hap",
        "ang",
        "ang",
        "hap",
        "ang",
    ]


def test_a_target_of_no_part_has_no_label():
    found = by_parts([says("hap", "v0")], "c-----", {"a": a_panel()})
    assert found["u000"].label is None


@given(electorates(utterances=12), st.lists(any_panel(), min_size=1, max_size=2), st.data())
def test_labels_alone_are_those_of_the_verdicts_however_many_dialogues_at_a_time(
    electorate, panels, data
):
    ballots, ids = electorate
    turns = turns_of(len(ids), length=3)
    places = st.integers(-1, len(panels) - 1)
    part = data.draw(st.lists(places, min_size=len(ids), max_size=len(ids)))
    decided = decide(
        turns,
        [name for name, place in zip(ids, part, strict=True) if place >= 0],
        ballots,
        LABELS,
        panels=dict(enumerate(panels)),
        part_of=dict(zip(ids, part, strict=True)),
    )
    labels = {verdict.utterance_id: verdict.label for verdict in decided.verdicts}
    with patch("ragemo.voting.decide.STRETCH", data.draw(st.integers(1, 4))):
        found = decided_labels(
            count_votes(ballots, ids, SIZE),
            links_of(turns),
            np.array(part),
            dict(enumerate(panels)),
        )
    assert [labels.get(name) for name in ids] == [
        None if place < 0 else LABELS.names[place] for place in found.tolist()
    ]
