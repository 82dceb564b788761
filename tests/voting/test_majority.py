import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.types import Ballot, Demonstration, Window
from ragemo.voting.majority import majority
from tests.conftest import LABELS, make_turn


def says(label):
    return Ballot("u", "llm", distribution=LABELS.one_hot(label))


def leans(*shares):
    return Ballot("u", "llm", distribution=shares)


INVALID = Ballot("u", "llm", answer="perhaps")
FAILED = Ballot("u", "llm", error="timeout")


def shown(label, similarity):
    return Demonstration(Window((make_turn(),)), label, similarity)


def decide(ballots, demonstrations=()):
    return majority("u", ballots, demonstrations, LABELS)


labels = st.sampled_from(LABELS.names)
ballots = st.one_of(
    labels.map(says),
    st.lists(st.integers(0, 10), min_size=3, max_size=3)
    .filter(any)
    .map(lambda raw: leans(*(value / sum(raw) for value in raw))),
    st.sampled_from([INVALID, FAILED]),
)
demonstrations = st.lists(st.builds(shown, labels, st.floats(-1, 1)), max_size=4)


def test_sampled_answers_are_counted():
    verdict = decide([says("hap"), says("ang"), says("hap"), INVALID, FAILED, FAILED])
    assert verdict.label == "hap"
    assert verdict.distribution == pytest.approx((0, 2 / 3, 1 / 3))
    assert verdict.confidence == verdict.agreement == pytest.approx(2 / 3)
    assert (verdict.invalid, verdict.failed) == (1, 2)


def test_a_ballot_with_shares_gives_each_label_its_part():
    verdict = decide([leans(0.4, 0.6, 0.0), leans(0.9, 0.1, 0.0), leans(0.4, 0.6, 0.0)])
    assert verdict.label == "neu"
    assert verdict.distribution == pytest.approx((1.7 / 3, 1.3 / 3, 0))
    assert verdict.confidence == pytest.approx(1.7 / 3)
    assert verdict.agreement == pytest.approx(1 / 3), "one ballot's own first choice"


@pytest.mark.parametrize(("ballots", "invalid", "failed"), [([], 0, 0), ([INVALID, FAILED], 1, 1)])
def test_without_a_usable_ballot_there_is_no_label(ballots, invalid, failed):
    verdict = decide(ballots, [shown("hap", 0.9)])
    assert verdict.label is None
    assert verdict.distribution is None
    assert (verdict.confidence, verdict.agreement) == (0, 0)
    assert (verdict.invalid, verdict.failed) == (invalid, failed)


def test_a_tie_goes_to_the_label_of_the_most_similar_demonstrations():
    tie = [says("neu"), says("ang")]
    assert decide(tie, [shown("ang", 0.5), shown("ang", 0.5), shown("neu", 0.9)]).label == "ang"
    assert decide(tie, [shown("ang", 0.5), shown("neu", 0.9)]).label == "neu"
    assert decide(tie, [shown("hap", 0.9)]).label == "neu", "then to the first of the set"
    assert decide(tie).label == "neu"
    assert decide([says("ang"), says("hap")]).label == "hap"


def test_shares_that_sum_to_the_same_tie():
    """0.1 + 0.7 is less than 0.8 in floating point."""
    assert decide([leans(0.1, 0.8, 0.1), leans(0.7, 0.0, 0.3)]).label == "neu"


@given(st.lists(ballots, max_size=8), demonstrations, st.randoms())
def test_the_order_of_ballots_and_demonstrations_changes_nothing(given_ballots, examples, dice):
    verdict = decide(given_ballots, examples)
    for ordered in (given_ballots, examples):
        dice.shuffle(ordered)
    assert decide(given_ballots, examples) == verdict


@given(st.lists(ballots, max_size=8), demonstrations)
def test_a_verdict_is_a_distribution_and_its_label_the_greatest_share(given_ballots, examples):
    verdict = decide(given_ballots, examples)
    usable = [ballot for ballot in given_ballots if ballot.distribution]
    assert verdict.invalid == given_ballots.count(INVALID)
    assert verdict.failed == given_ballots.count(FAILED)
    if usable:
        assert sum(verdict.distribution) == pytest.approx(1)
        assert verdict.confidence == verdict.distribution[LABELS.index(verdict.label)]
        assert verdict.confidence == pytest.approx(max(verdict.distribution))
        assert 0 <= verdict.agreement <= 1


@given(st.lists(ballots, max_size=8), demonstrations)
def test_one_more_ballot_for_the_leader_never_hurts_it(given_ballots, examples):
    before = decide(given_ballots, examples)
    if before.label:
        after = decide([*given_ballots, says(before.label)], examples)
        assert after.label == before.label
        assert after.confidence >= before.confidence - 1e-12


@given(st.lists(ballots, max_size=6), demonstrations)
def test_invalid_and_failed_ballots_are_counted_and_decide_nothing(given_ballots, examples):
    before = decide(given_ballots, examples)
    after = decide([*given_ballots, INVALID, FAILED], examples)
    assert (after.invalid, after.failed) == (before.invalid + 1, before.failed + 1)
    assert (after.label, after.distribution) == (before.label, before.distribution)
    assert (after.confidence, after.agreement) == (before.confidence, before.agreement)
