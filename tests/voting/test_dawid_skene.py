import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.types import Ballot
from ragemo.voting.dawid_skene import calibrated_confusions, dawid_skene, default_confusion
from ragemo.voting.votes import count_votes

PRIOR = (0.5, 0.3, 0.2)


def label_ballots(names, voter):
    """One bare label per utterance; None where the voter is silent."""
    return [
        Ballot(f"u{i:04}", voter, distribution=tuple(np.eye(3)[name]))
        for i, name in enumerate(names)
        if name is not None
    ]


def votes_of(ballots, size):
    return count_votes(ballots, [f"u{i:04}" for i in range(size)], 3)


def noisy(gold, confusion, dice):
    return [int(dice.choice(3, p=confusion[label])) for label in gold]


@st.composite
def panels(draw):
    """Votes of a few voters, some silent at times, with bare labels, samples or shares."""
    size, voters = draw(st.integers(1, 12)), draw(st.integers(0, 4))
    shares = st.lists(st.integers(0, 5), min_size=3, max_size=3).filter(any)
    ballots = []
    for voter in range(voters):
        for row in range(size):
            for sample in range(draw(st.integers(0, 2))):
                raw = draw(shares)
                distribution = tuple(share / sum(raw) for share in raw)
                ballots.append(Ballot(f"u{row:04}", f"v{voter}", sample, distribution))
    return votes_of(ballots, size)


priors = st.lists(st.integers(0, 5), min_size=3, max_size=3).filter(any)


def as_prior(raw):
    return [share / sum(raw) for share in raw]


def test_confusions_and_labels_are_recovered():
    """One voter swaps the last two labels; with two decent ones beside it, that is found out."""
    dice = np.random.default_rng(0)
    gold = dice.choice(3, size=6000, p=PRIOR)
    decent = np.array([[0.8, 0.1, 0.1], [0.15, 0.7, 0.15], [0.1, 0.2, 0.7]])
    swapping = np.array([[0.9, 0.05, 0.05], [0.05, 0.05, 0.9], [0.05, 0.9, 0.05]])
    truth = {"a": decent, "b": decent, "c": swapping}
    ballots = [
        ballot
        for voter, confusion in truth.items()
        for ballot in label_ballots(noisy(gold, confusion, dice), voter)
    ]
    votes = votes_of(ballots, len(gold))
    found = dawid_skene(votes, PRIOR)
    for voter, confusion in truth.items():
        assert found.confusions[voter] == pytest.approx(confusion, abs=0.08)
    majority = votes.shares.sum(axis=0).argmax(axis=1)
    assert (found.distributions.argmax(axis=1) == gold).mean() > 0.9
    assert (majority == gold).mean() < 0.85


def test_by_hand_with_the_confusions_given():
    """Two voters, no step of EM: the prior times the confusions' columns."""
    confusion = np.array([[8.0, 1, 1], [2, 6, 2], [1, 1, 8]])
    votes = votes_of(label_ballots([1], "a") + label_ballots([2], "b"), 1)
    found = dawid_skene(votes, PRIOR, confusions={"a": confusion, "b": confusion}, iterations=0)
    expected = np.array([0.5 * 0.1 * 0.1, 0.3 * 0.6 * 0.2, 0.2 * 0.1 * 0.8])
    assert found.distributions[0] == pytest.approx(expected / expected.sum())
    assert found.iterations == 0


def test_an_even_vote_says_nothing_of_a_label_and_ballots_are_one_observation():
    """Ten ballots on a label weigh as much as one: they come from one voter."""
    one = votes_of([Ballot("u0000", "a", 0, (0.0, 1.0, 0.0))], 1)
    ten = votes_of([Ballot("u0000", "a", n, (0.0, 1.0, 0.0)) for n in range(10)], 1)
    assert dawid_skene(ten, PRIOR).distributions == pytest.approx(
        dawid_skene(one, PRIOR).distributions
    )
    # A voter that says its base rates of everything has told nothing.
    bland = votes_of([Ballot(f"u{i:04}", "a", 0, PRIOR) for i in range(30)], 30)
    assert dawid_skene(bland, PRIOR).distributions == pytest.approx(np.tile(PRIOR, (30, 1)))


def test_without_votes_the_prior_stands_whether_shared_or_each_its_own():
    votes = votes_of(label_ballots([0, None, 2], "a"), 3)
    assert dawid_skene(votes, PRIOR).distributions[1] == pytest.approx(PRIOR)
    own = np.array([PRIOR, (0.1, 0.1, 0.8), PRIOR])
    assert dawid_skene(votes, own).distributions[1] == pytest.approx((0.1, 0.1, 0.8))
    nobody = dawid_skene(votes_of([], 2), PRIOR)
    assert nobody.distributions == pytest.approx(np.array([PRIOR, PRIOR]))
    assert nobody.confusions == {}
    assert dawid_skene(votes_of([], 0), PRIOR).distributions.shape == (0, 3)


def test_known_labels_are_kept_and_teach_the_confusions():
    """A voter that is always wrong in the same way is right once its ways are known."""
    gold = [0, 1, 2] * 110
    shifted = [(label + 1) % 3 for label in gold]
    votes = votes_of(label_ballots(shifted, "liar"), len(gold))
    known = np.array([label if i < 300 else -1 for i, label in enumerate(gold)])
    blind, taught = dawid_skene(votes, PRIOR), dawid_skene(votes, PRIOR, known=known)
    assert taught.distributions.argmax(axis=1).tolist() == gold
    assert (blind.distributions.argmax(axis=1) == gold).mean() < 0.5
    assert taught.distributions[:300] == pytest.approx(np.eye(3)[gold[:300]])


def test_calibrated_confusions_are_counts_of_first_choices():
    ballots = [
        Ballot("u0000", "a", 0, (0.6, 0.4, 0.0)),
        Ballot("u0001", "a", 0, (1.0, 0.0, 0.0)),
        Ballot("u0001", "a", 1, (0.0, 0.0, 1.0)),
        Ballot("u0002", "a", 0, (0.0, 1.0, 0.0)),
        Ballot("u0002", "b", 0, (0.0, 1.0, 0.0)),
    ]
    counts = calibrated_confusions(votes_of(ballots, 4), [0, 1, -1, 2])
    expected = np.zeros((3, 3))
    expected[0, 0], expected[1, 0], expected[1, 2] = 1, 0.5, 0.5
    assert counts["a"] - default_confusion(3) == pytest.approx(expected)
    assert counts["b"] == pytest.approx(default_confusion(3)), "it voted on no known label"


def test_held_out_answers_help():
    """Answers known to be shifted put the others right."""
    dice = np.random.default_rng(3)
    gold = dice.choice(3, size=1000, p=PRIOR)
    shifting = np.array([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]])
    votes = votes_of(label_ballots(noisy(gold, shifting, dice), "a"), 1000)
    held, rest = np.arange(600), np.arange(600, 1000)
    counts = calibrated_confusions(votes.on(held), gold[held])
    found = dawid_skene(votes.on(rest), PRIOR, confusions=counts).distributions
    assert (found.argmax(axis=1) == gold[rest]).mean() > 0.7


@settings(deadline=None)
@given(panels(), priors, st.integers(0, 15))
def test_the_objective_never_falls(votes, raw, steps):
    one, two = (
        dawid_skene(votes, as_prior(raw), iterations=count, tolerance=-np.inf)
        for count in (steps, steps + 1)
    )
    assert (one.iterations, two.iterations) == (steps, steps + 1)
    assert two.objective >= one.objective - 1e-9 * abs(one.objective)


@settings(deadline=None)
@given(panels(), priors)
def test_every_result_is_made_of_distributions(votes, raw):
    found = dawid_skene(votes, as_prior(raw))
    assert found.distributions.sum(axis=1) == pytest.approx(np.ones(len(votes.utterances)))
    assert (found.distributions >= 0).all()
    assert set(found.confusions) == set(votes.voters)
    for confusion in found.confusions.values():
        assert confusion.sum(axis=1) == pytest.approx(np.ones(3))


@settings(deadline=None)
@given(panels(), priors, st.randoms(use_true_random=False))
def test_the_order_of_voters_and_utterances_changes_nothing(votes, raw, dice):
    expected = dawid_skene(votes, as_prior(raw))
    voters = list(votes.voters)
    dice.shuffle(voters)
    order = list(range(len(votes.utterances)))
    dice.shuffle(order)
    found = dawid_skene(votes.of(voters).on(np.array(order)), as_prior(raw))
    assert np.array_equal(found.distributions, expected.distributions[order])
    for voter in voters:
        assert np.array_equal(found.confusions[voter], expected.confusions[voter])


@given(st.integers(1, 4), st.integers(0, 2))
def test_voters_that_always_vote_alike_do_no_harm(voters, label):
    ballots = [b for voter in range(voters) for b in label_ballots([label] * 50, f"v{voter}")]
    found = dawid_skene(votes_of(ballots, 50), PRIOR).distributions
    assert np.isfinite(found).all()
    assert np.ptp(found, axis=0) == pytest.approx(np.zeros(3)), "like votes, like labels"


@pytest.mark.parametrize(
    ("prior", "options", "message"),
    [
        ((0.5, 0.5), {}, "prior has shape"),
        ((0.5, 0.5, 0.5), {}, "sum to 1"),
        ((1.5, -0.5, 0.0), {}, "sum to 1"),
        (PRIOR, {"known": [0]}, "expected 2 gold labels"),
        (PRIOR, {"known": [0, 3]}, "must be in 0..2"),
        (PRIOR, {"confusions": {"a": np.eye(3)}}, "confusions of 'a'"),
        (PRIOR, {"confusions": {"a": np.ones((2, 2))}}, "confusions of 'a'"),
    ],
)
def test_what_does_not_fit_is_refused(prior, options, message):
    with pytest.raises(ValueError, match=message):
        dawid_skene(votes_of(label_ballots([0, 1], "a"), 2), prior, **options)
