"""The mean, the majority, and what holds for every pool of a panel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.voting.majority import majority_pool
from ragemo.voting.mean import mean_pool
from ragemo.voting.panel import POOLS, Panel, untried_panel
from ragemo.voting.votes import Votes, count_votes, votes_of_arrays
from tests.conftest import LABELS
from tests.voting.electorate import (
    SIZE,
    distributions,
    electorates,
    leans,
    names,
    says,
    some_examples,
    votes_of,
)

every_pool = pytest.mark.parametrize("pool", POOLS)
utterance_by_utterance = pytest.mark.parametrize("pool", ["log", "mean", "majority"])
"""Dawid and Skene's model learns from all utterances together."""

priors = distributions.filter(all)


@st.composite
def panels(draw, pool):
    """A panel of the voters of `electorates`, some with other bases or no weight."""
    voters = [f"v{number}" for number in range(4)]
    weight = st.sampled_from([0.0, 0.25, 0.7, 1.0, 1.3])
    return Panel(
        pool=pool,
        weights={voter: draw(weight) for voter in voters},
        prior=draw(priors),
        bases={voter: tuple(np.log(draw(priors)).tolist()) for voter in voters[:2]},
    )


def reordered(votes, order):
    """The same votes with their voters in another order."""
    return Votes(
        tuple(votes.voters[place] for place in order),
        votes.utterances,
        votes.shares[order],
        votes.firsts[order],
        votes.bare[order],
    )


def one_more(votes, voter, shares):
    """The votes with those of another voter."""
    other = votes_of_arrays({voter: shares}, votes.utterances, SIZE)
    return Votes(
        (*votes.voters, voter),
        votes.utterances,
        *(
            np.concatenate([getattr(votes, part), getattr(other, part)])
            for part in ("shares", "firsts", "bare")
        ),
    )


# -- the mean ------------------------------------------------------------------------------------


def test_the_mean_weighs_the_voters_that_voted():
    shares = {
        "a": np.array([[0.6, 0.4, 0.0], [0.2, 0.2, 0.6], [0.0, 0.0, 0.0]]),
        "b": np.array([[0.0, 0.2, 0.8], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    }
    pooled = mean_pool(votes_of_arrays(shares, names(3), SIZE), np.array([3.0, 1.0]))
    assert pooled == pytest.approx(
        np.array([[1.8 / 4, 1.4 / 4, 0.8 / 4], [0.2, 0.2, 0.6], [0, 0, 0]])
    )


def test_the_mean_counts_voters_and_not_their_ballots():
    ballots = [says("hap", "a"), says("hap", "a", sample=1), says("neu", "b")]
    pooled = mean_pool(votes_of(ballots, names(1)), np.ones(2))
    assert pooled[0] == pytest.approx([0.5, 0.5, 0])


@some_examples
@given(electorates(), st.lists(st.floats(0, 5), min_size=4, max_size=4))
def test_the_mean_is_the_equation(electorate, weights):
    votes = votes_of(*electorate)
    weights = weights[: len(votes.voters)]
    pooled = mean_pool(votes, np.array(weights))
    for row in range(len(votes.utterances)):
        heard = [
            place
            for place in range(len(votes.voters))
            if votes.present[place, row] and weights[place]
        ]
        if heard:
            expected = np.average(
                votes.shares[heard, row], axis=0, weights=[weights[place] for place in heard]
            )
            assert pooled[row] == pytest.approx(expected)
        else:
            assert not pooled[row].any()


# -- the majority --------------------------------------------------------------------------------


def test_the_majority_counts_every_ballot_s_first_choice():
    ballots = [
        says("hap", "a"),
        says("ang", "a", sample=1),
        says("hap", "a", sample=2),
        leans(0.5, 0.3, 0.2, voter="b"),
        leans(0.0, 0.5, 0.5, voter="c"),
    ]
    assert majority_pool(votes_of(ballots, names(1)))[0] == pytest.approx([1 / 5, 3 / 5, 1 / 5])


def test_among_equals_the_label_that_stands_first_wins():
    for one, other in [("neu", "ang"), ("hap", "ang"), ("neu", "hap")]:
        votes = votes_of([says(other, "a"), says(one, "b")], names(1))
        assert majority_pool(votes)[0].argmax() == LABELS.index(one)


@some_examples
@given(electorates())
def test_the_majority_is_the_share_of_the_ballots(electorate):
    ballots, ids = electorate
    votes = votes_of(ballots, ids)
    pooled = majority_pool(votes)
    for utterance, shares in zip(ids, pooled, strict=True):
        own = [b for b in ballots if b.utterance_id == utterance and b.distribution]
        firsts = [b.distribution.index(max(b.distribution)) for b in own]
        expected = [firsts.count(label) / len(own) if own else 0 for label in range(SIZE)]
        assert shares == pytest.approx(expected)


@some_examples
@given(electorates(), st.sampled_from(["v0", "new"]))
def test_one_more_ballot_for_the_leader_never_hurts_it_in_the_majority(electorate, voter):
    """Whoever casts it, and whatever was said before."""
    ballots, ids = electorate
    before = majority_pool(votes_of(ballots, ids))
    leader = int(before[0].argmax())
    ballots = [*ballots, says(LABELS.names[leader], voter, ids[0], 9)]
    after = majority_pool(votes_of(ballots, ids))
    assert after[0].argmax() == leader
    assert after[0, leader] >= before[0, leader]
    assert np.array_equal(after[1:], before[1:])


# -- every pool ----------------------------------------------------------------------------------


@every_pool
@some_examples
@given(st.data(), electorates())
def test_beliefs_are_distributions_or_nothing_where_nobody_with_a_weight_voted(
    pool, data, electorate
):
    panel, votes = data.draw(panels(pool)), votes_of(*electorate)
    beliefs = panel.pooled(votes)
    counted = [panel.weights[voter] > 0 for voter in votes.voters]
    heard = votes.present[np.array(counted, dtype=bool)].any(axis=0)
    assert beliefs[heard].sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert (beliefs >= 0).all()
    assert not beliefs[~heard].any()


@every_pool
@some_examples
@given(st.data(), electorates(), st.randoms())
def test_the_order_of_voters_utterances_and_ballots_leaves_no_trace(pool, data, electorate, dice):
    panel, (ballots, ids) = data.draw(panels(pool)), electorate
    votes = votes_of(ballots, ids)
    beliefs = panel.pooled(votes)
    voters, rows = list(range(len(votes.voters))), list(range(len(ids)))
    for order in (voters, rows, ballots):
        dice.shuffle(order)
    assert np.array_equal(panel.pooled(reordered(votes, voters)), beliefs)
    assert np.array_equal(panel.pooled(votes_of(ballots, ids)), beliefs)
    moved = panel.pooled(count_votes(ballots, [ids[row] for row in rows], SIZE))
    assert np.array_equal(moved, beliefs[rows])


@every_pool
@some_examples
@given(st.data(), electorates(), st.lists(distributions, min_size=5, max_size=5))
def test_a_voter_of_no_weight_changes_nothing(pool, data, electorate, said):
    panel, votes = data.draw(panels(pool)), votes_of(*electorate)
    more = one_more(votes, "idle", np.array(said[: len(votes.utterances)]))
    beliefs = panel.pooled(votes)
    assert np.array_equal(panel.pooled(more), beliefs), "nor one that the panel does not know"
    idle = Panel(pool, {**panel.weights, "idle": 0.0}, panel.prior, panel.bases)
    assert np.array_equal(idle.pooled(more), beliefs)


@utterance_by_utterance
@some_examples
@given(st.data(), electorates(utterances=8))
def test_an_utterance_s_belief_depends_on_its_own_ballots_alone(pool, data, electorate):
    panel, votes = data.draw(panels(pool)), votes_of(*electorate)
    beliefs = panel.pooled(votes)
    for row in range(len(votes.utterances)):
        alone = panel.pooled(votes.on(np.array([row])))
        assert np.array_equal(alone[0], beliefs[row])


def test_dawid_and_skene_s_beliefs_depend_on_the_other_utterances():
    """So it is not for decisions that have to be causal."""
    first = [says("hap", "a"), says("ang", "b")]
    later = [says("ang", voter, f"u{n:03}") for n in range(1, 60) for voter in "bc"]
    later += [says("hap", "a", f"u{n:03}") for n in range(1, 60)]
    panel = untried_panel("dawid-skene", "abc", SIZE)
    alone = panel.pooled(votes_of(first, names(1)))
    among = panel.pooled(votes_of(first + later, names(60)))
    assert abs(alone[0] - among[0]).max() > 0.05


# -- one more voter of the leader's mind ---------------------------------------------------------


@some_examples
@given(electorates(), distributions, st.sampled_from([0.2, 1.0, 3.0]))
def test_one_more_voter_whose_first_choice_leads_never_unseats_it_in_the_mean(
    electorate, shares, weight
):
    """The leader's own share may fall, if the voter gives it less than it had."""
    votes = votes_of(*electorate)
    weights = np.ones(len(votes.voters))
    before = mean_pool(votes, weights)
    said = np.tile(shares, (len(votes.utterances), 1))
    after = mean_pool(one_more(votes, "new", said), np.append(weights, weight))
    for old, new in zip(before, after, strict=True):
        leader = int(np.argmax(shares))
        if old.any() and old[leader] >= old.max():
            assert new[leader] >= new.max() - 1e-12
            assert new[leader] >= min(old[leader], shares[leader]) - 1e-12


def log_panel(prior, base=None):
    """Four voters and one more, of a weight; all with an even base, or the last with another."""
    voters = [*(f"v{number}" for number in range(4)), "new"]
    bases = {} if base is None else {"new": tuple(np.log(base).tolist())}
    return Panel("log", dict.fromkeys(voters, 0.8), prior, bases)


@some_examples
@given(electorates(), distributions, priors, priors)
def test_one_more_voter_whose_evidence_is_strongest_for_the_leader_never_hurts_it_in_the_log_pool(
    electorate, shares, prior, base
):
    """Evidence is what it says beyond its base; the prior, which comes in once, has no part."""
    votes, panel = votes_of(*electorate), log_panel(prior, base)
    before = panel.pooled(votes)
    said = np.tile(shares, (len(votes.utterances), 1))
    more = one_more(votes, "new", said)
    gained = more.of(["new"]).logs()[0, 0] - np.log(base)
    after = panel.pooled(more)
    for old, new in zip(before, after, strict=True):
        leader = int(old.argmax())
        if old.any() and gained[leader] >= gained.max():
            assert new[leader] >= old[leader] - 1e-12
            assert new[leader] >= new.max() - 1e-12


@some_examples
@given(electorates(), distributions, priors)
def test_with_even_bases_one_more_first_choice_of_the_leader_never_hurts_it_in_the_log_pool(
    electorate, shares, prior
):
    votes, panel = votes_of(*electorate), log_panel(prior)
    before = panel.pooled(votes)
    after = panel.pooled(one_more(votes, "new", np.tile(shares, (len(votes.utterances), 1))))
    for old, new in zip(before, after, strict=True):
        leader = int(old.argmax())
        if old.any() and shares[leader] >= max(shares):
            assert new[leader] >= old[leader] - 1e-12


def test_a_first_choice_below_the_voter_s_own_base_speaks_against_the_leader_in_the_log_pool():
    """It says "neutral" less often than it always does: that is no vote for neutral."""
    votes = votes_of([leans(0.5, 0.4, 0.1, voter="v0")], names(1))
    panel = log_panel((1 / 3,) * 3, base=(0.9, 0.05, 0.05))
    after = panel.pooled(one_more(votes, "new", np.array([[0.6, 0.3, 0.1]])))
    assert panel.pooled(votes)[0].argmax() == 0
    assert after[0].argmax() == 1


@some_examples
@given(
    st.lists(st.sampled_from(LABELS.names), min_size=1, max_size=6),
    electorates(voters=2),
    priors,
    priors,
)
def test_one_more_bare_label_of_a_voter_of_bare_labels_never_hurts_it_in_the_log_pool(
    said, electorate, prior, base
):
    """Whatever its base: of n labels, each weighs (c + 1/L) / (n + 1) against the others."""
    ballots, ids = electorate
    ballots = ballots + [says(label, "new", ids[0], n) for n, label in enumerate(said)]
    panel = log_panel(prior, base)
    before = panel.pooled(votes_of(ballots, ids))[0]
    leader = int(before.argmax())
    more = [*ballots, says(LABELS.names[leader], "new", ids[0], 9)]
    after = panel.pooled(votes_of(more, ids))[0]
    assert after[leader] >= before[leader] - 1e-12


def test_one_more_bare_label_can_hurt_it_beside_ballots_with_shares():
    """A bare label brings doubt along, which also lifts a label that had been ruled out."""
    sure = [leans(0.5, 0.5, 0.0, voter="new"), leans(0.02, 0.0, 0.98, voter="v0")]
    panel = log_panel((1 / 3,) * 3)
    before = panel.pooled(votes_of(sure, names(1)))[0]
    after = panel.pooled(votes_of([*sure, says("neu", "new", sample=1)], names(1)))[0]
    assert before.argmax() == 0
    assert after[0] < before[0]


def test_one_more_unknown_voter_of_the_leader_s_mind_did_not_hurt_it_in_dawid_and_skene():
    """No theorem, since the confusions are estimated anew: it held for all that were tried. A
    voter that is known to mean something else by the name does hurt it.
    """
    dice = np.random.default_rng(0)
    for _ in range(150):
        ids = names(dice.integers(1, 4))
        said = {
            f"v{number}": dice.dirichlet(np.full(SIZE, 0.5), len(ids))
            for number in range(dice.integers(1, 4))
        }
        panel = untried_panel(
            "dawid-skene", [*said, "new"], SIZE, dice.dirichlet(np.full(SIZE, 5.0)).tolist()
        )
        votes = votes_of_arrays(said, ids, SIZE)
        before = panel.pooled(votes)
        leaders = before.argmax(axis=1)
        after = panel.pooled(one_more(votes, "new", np.eye(SIZE)[leaders]))
        rows = np.arange(len(ids))
        assert (after[rows, leaders] >= before[rows, leaders] - 1e-9).all()
    swapping = Panel(
        "dawid-skene",
        panel.weights,
        panel.prior,
        confusions={"new": np.array([[1.0, 50, 1], [50, 1, 1], [1, 1, 50]])},
    )
    hurt = swapping.pooled(one_more(votes, "new", np.eye(SIZE)[np.zeros(len(ids), dtype=int)]))
    assert (hurt[:, 0] < before[:, 0]).all()
