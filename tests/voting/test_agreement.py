import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ragemo.voting.agreement import CAP, agreement_weight

PRIOR = np.array([0.5, 0.3, 0.15, 0.05])
"""One label is half of everything, as neutral is."""


def drawn(shares, dice):
    """A bare label drawn from each row."""
    picks = (shares.cumsum(axis=1) < dice.random((len(shares), 1))).sum(axis=1)
    return np.eye(shares.shape[1])[np.minimum(picks, shares.shape[1] - 1)]


class World:
    """Gold labels, and calibrated beliefs of two trusted voters that see different signs."""

    def __init__(self, size=4000, seed=0):
        self.dice = np.random.default_rng(seed)
        self.gold = drawn(np.tile(PRIOR, (size, 1)), self.dice)
        # A sign is normal with mean d = 0.8 at the gold label: its log odds are d times the sign.
        logs = [0.8 * (0.8 * self.gold + self.dice.normal(size=self.gold.shape)) for _ in "ab"]
        self.members = [self.belief(one) for one in logs]
        self.reference = self.belief(logs[0] + logs[1])

    @staticmethod
    def belief(logs):
        odds = PRIOR * np.exp(logs - logs.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def knows(self, chance, guess=PRIOR):
        """A voter that knows the label now and then, and guesses otherwise."""
        guesses = drawn(np.tile(guess, (len(self.gold), 1)), self.dice)
        return np.where(self.dice.random((len(self.gold), 1)) < chance, self.gold, guesses)

    def weigh(self, shares, rows=None, **options):
        rows = slice(None) if rows is None else rows
        members = [member[rows] for member in self.members]
        shares = shares[rows]
        options = {"members": members} | options
        return agreement_weight(
            shares, np.ones(len(shares), dtype=bool), self.reference[rows], **options
        )


WORLD = World()


@pytest.mark.parametrize("label", range(4))
def test_a_voter_that_always_says_the_same_gets_no_weight(label):
    """However often the others say it, too."""
    found = WORLD.weigh(np.tile(np.eye(4)[label], (4000, 1)))
    assert found.weight == pytest.approx(0, abs=1e-9)
    assert found.agreement == pytest.approx(PRIOR[label], abs=0.02)


@pytest.mark.parametrize("guess", [PRIOR, np.ones(4) / 4, (0.9, 0.1, 0, 0)])
def test_a_guesser_gets_hardly_any_weight(guess):
    assert WORLD.weigh(WORLD.knows(0, guess)).weight < 0.05


def test_a_voter_that_is_wrong_on_purpose_gets_none():
    wrong = (1 - WORLD.gold) / 3
    assert WORLD.weigh(drawn(wrong, WORLD.dice)).weight == 0
    most_likely_wrong = np.where(WORLD.gold > 0, 0, WORLD.reference)
    cunning = np.eye(4)[most_likely_wrong.argmax(axis=1)]
    assert WORLD.weigh(cunning, members=()).weight < 0.05
    assert WORLD.weigh(1 - WORLD.gold).weight == 0


def test_the_better_voter_gets_the_greater_weight_up_to_the_cap():
    weights = [WORLD.weigh(WORLD.knows(chance)).weight for chance in (0.1, 0.3, 0.5, 0.8)]
    assert weights == sorted(weights)
    assert weights[0] > 0
    assert weights[2] > CAP / 2, "a voter that is right two times in three"
    assert weights[3] == CAP


@pytest.mark.parametrize("chance", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("guess", [PRIOR, (0.1, 0.1, 0.4, 0.4)])
def test_the_accuracy_is_that_of_a_voter_half_of_whose_skill_is_its_own(chance, guess):
    """Independent errors cannot be told from shared ones, so half of the skill is taken off."""
    found = WORLD.weigh(WORLD.knows(chance, guess))
    half = WORLD.knows(chance / 2, (1 - chance) * np.array(guess) + chance * PRIOR)
    assert found.accuracy == pytest.approx((half * WORLD.gold).sum(axis=1).mean(), abs=0.08)
    truth = chance + (1 - chance) * (np.array(guess) @ PRIOR)
    assert found.accuracy <= truth + 0.02


def test_a_copy_of_a_trusted_voter_does_not_lead():
    first = WORLD.members[0]
    for copy in (first, drawn(first, WORLD.dice), np.eye(4)[first.argmax(axis=1)]):
        assert WORLD.weigh(copy).weight < 0.05
        assert WORLD.weigh(copy, members=()).weight > 0.3, "unless the members are not told"


def test_a_copy_of_the_reference_s_choice_is_known_by_agreeing_too_much():
    """Even a voter that is always right would agree less often with an unsure belief."""
    copy = np.eye(4)[WORLD.reference.argmax(axis=1)]
    right = WORLD.weigh(WORLD.gold)
    assert WORLD.weigh(copy).agreement > right.agreement
    assert WORLD.weigh(copy).weight < 0.1
    assert right.weight == CAP


def test_agreement_where_the_belief_is_unsure_counts_less():
    """A voter that follows the belief just there, and guesses where it is sure."""
    unsure = WORLD.reference.max(axis=1, keepdims=True) < 0.6
    follower = np.where(unsure, np.eye(4)[WORLD.reference.argmax(axis=1)], WORLD.knows(0))
    assert WORLD.weigh(follower, members=()).weight < 0.25


def test_a_member_counts_where_it_spoke():
    """One that was silent half of the time says nothing there, not that no label is likely."""
    shares = WORLD.knows(0.5)
    partly = WORLD.members[0] * (np.arange(4000) % 2)[:, None]
    whole, part, never = (
        WORLD.weigh(shares, members=[member])
        for member in (WORLD.members[0], partly, np.zeros((4000, 4)))
    )
    assert part.weight == pytest.approx(whole.weight, abs=0.1)
    assert never == WORLD.weigh(shares, members=())


def test_a_voter_little_is_known_of_gets_a_small_weight():
    nobody = agreement_weight(np.zeros((3, 4)), np.zeros(3, dtype=bool), WORLD.reference[:3])
    assert (nobody.weight, nobody.n, nobody.agreement) == (pytest.approx(0.25), 0, 0)
    assert nobody.accuracy < 0.5
    flat = np.tile(PRIOR, (100, 1))
    assert agreement_weight(
        WORLD.gold[:100], np.ones(100, dtype=bool), flat
    ).weight == pytest.approx(0.25), "a reference that says nothing teaches nothing"
    guesser = WORLD.knows(0)
    weights = [WORLD.weigh(guesser, slice(0, n)).weight for n in (1, 5, 10)]
    assert weights == pytest.approx([0.25, 0.25 * 15 / 20, 0.25 * 10 / 20], abs=0.1)
    assert all(0 <= weight <= 0.4 for weight in weights)


def test_rows_it_did_not_vote_on_are_passed_over():
    shares, present = WORLD.knows(0.5), np.arange(4000) < 2000
    members = WORLD.members
    expected = agreement_weight(shares, present, WORLD.reference, members=members)
    shares[~present] = np.array([1, 0, 0, 0])
    assert agreement_weight(shares, present, WORLD.reference, members=members) == expected
    assert expected == WORLD.weigh(shares, slice(0, 2000))
    assert expected.n == 2000


def test_many_bare_labels_are_weighed_down_by_as_much_as_they_sharpen_the_vote():
    shares = WORLD.knows(0.5)
    one, five = WORLD.weigh(shares), WORLD.weigh(shares, ballots=5)
    assert five.weight / one.weight == pytest.approx(math.log(1 + 4) / math.log(1 + 5 * 4))


distributions = hnp.arrays(float, (12, 3), elements=st.floats(0.01, 1)).map(
    lambda raw: raw / raw.sum(axis=1, keepdims=True)
)
masks = hnp.arrays(bool, 12)


@given(distributions, masks, distributions, distributions)
def test_every_figure_is_in_its_range(shares, present, reference, member):
    found = agreement_weight(shares, present, reference, members=[member])
    assert 0 <= found.weight <= CAP
    assert 0 <= found.accuracy <= 1
    assert 0 <= found.agreement <= 1
    assert found.n == present.sum()


@given(distributions, masks, distributions, st.permutations(range(12)), st.permutations(range(3)))
def test_the_order_of_utterances_and_labels_changes_nothing(
    shares, present, reference, rows, labels
):
    expected = agreement_weight(shares, present, reference)
    found = agreement_weight(shares[rows][:, labels], present[rows], reference[rows][:, labels])
    assert found.weight == pytest.approx(expected.weight, abs=1e-6)
    assert found.accuracy == pytest.approx(expected.accuracy, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": np.ones((2, 4))}, "reference has shape"),
        ({"present": np.ones(2, dtype=bool)}, "present has shape"),
        ({"members": [np.ones((3, 3))]}, "a member has shape"),
        ({"ballots": 0}, "ballots is 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    fitting = {
        "shares": np.ones((3, 4)) / 4,
        "present": np.ones(3, dtype=bool),
        "reference": np.ones((3, 4)) / 4,
    }
    with pytest.raises(ValueError, match=message):
        agreement_weight(**(fitting | change))
