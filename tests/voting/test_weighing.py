"""What voters from outside are worth: simulated ones of a known worth, with fixed seeds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.types import Ballot
from ragemo.voting.agreement import CAP
from ragemo.voting.bases import base_of
from ragemo.voting.panel import POOLS, UNTRIED_CORRECTION, Panel, fit_panel, untried_panel
from ragemo.voting.votes import count_votes, votes_of_arrays
from ragemo.voting.weighing import ENOUGH, GUESS, Weighed, joined, weigh
from tests.voting.electorate import SIZE, informed, labelled, log_loss, names

PRIOR = (0.5, 0.3, 0.2)
WINDOWS, NEW = 600, 400
CHECKS = 64
SEEDS = range(6)


class World:
    """An index whose voters are known on labelled windows, and voters from outside."""

    def __init__(self, seed=0):
        self.dice = np.random.default_rng(seed)
        gold = self.dice.choice(SIZE, size=WINDOWS + NEW, p=PRIOR)
        index = {name: informed(gold, PRIOR, w, self.dice) for name, w in INDEX.items()}
        self.all_gold, self.gold = gold, gold[WINDOWS:]
        self.known = labelled(
            {name: shares[:WINDOWS] for name, shares in index.items()}, gold[:WINDOWS], PRIOR
        )
        self.own = fit_panel(self.known, PRIOR, decoder="none")
        self.ids = names(NEW)
        self.index_votes = votes_of_arrays(
            {name: shares[WINDOWS:] for name, shares in index.items()}, self.ids, SIZE
        )
        self.first_choices = index["probe"].argmax(axis=1)

    def says(self, kind):
        """One voter's bare labels on all windows, or its shares."""
        size = WINDOWS + NEW
        match kind:
            case "random":
                return np.eye(SIZE)[self.dice.integers(SIZE, size=size)]
            case "always neutral":
                return np.eye(SIZE)[np.zeros(size, dtype=int)]
            case "boasting":
                return informed(self.dice.integers(SIZE, size=size), PRIOR, 0.7, self.dice, 6.0)
            case "echo":
                return np.eye(SIZE)[self.first_choices]
            case "mediocre" | "strong":
                worth = {"mediocre": 0.7, "strong": 2.0}[kind]
                shares = informed(self.all_gold, PRIOR, worth, self.dice)
                return np.eye(SIZE)[shares.argmax(axis=1)]
            case "sure and strong":
                return informed(self.all_gold, PRIOR, 1.5, self.dice, confidence=4.0)

    def weighed(self, checks=CHECKS, panel=None, coverage=0.9, **voters):
        """The panel with voters that were tried on some windows, how, and its beliefs."""
        rows = self.dice.permutation(WINDOWS)[:checks]
        tried = [
            ballot
            for name, said in voters.items()
            for row in rows
            for ballot in [one(name, self.known.votes.utterances[row], said[row])]
        ]
        cast = [
            one(name, utterance, shares)
            for name, said in voters.items()
            for utterance, shares in zip(self.ids, said[WINDOWS:], strict=True)
        ]
        self.last = votes = joined(self.index_votes, count_votes(cast, self.ids, SIZE))
        panel, weighed = weigh(
            self.own if panel is None else panel,
            self.known,
            count_votes(tried, self.known.votes.utterances, SIZE),
            votes,
            coverage=coverage,
        )
        return panel, {one.voter: one for one in weighed}, panel.pooled(votes)

    def gain(self, beliefs):
        """How much lower the log loss is than the index's own."""
        return log_loss(self.own.pooled(self.index_votes), self.gold) - log_loss(beliefs, self.gold)


INDEX = {"probe": 1.0, "words": 0.6}


def one(voter, utterance, shares):
    return Ballot(utterance, voter, distribution=tuple(shares.tolist()))


@pytest.fixture(scope="module")
def worlds():
    return [World(seed) for seed in SEEDS]


@pytest.fixture
def world():
    return World()


# -- by labelled windows -------------------------------------------------------------------------

KINDS = ("random", "always neutral", "boasting", "echo", "mediocre", "strong", "sure and strong")


@pytest.fixture(scope="module")
def found(worlds):
    """For each kind of voter: its weights and what the pool gained by it, by seed."""
    found = {}
    for kind in KINDS:
        runs = [(world, *world.weighed(llm=world.says(kind))) for world in worlds]
        found[kind] = (
            np.array([panel.weights["llm"] for _, panel, _, _ in runs]),
            np.array([world.gain(beliefs) for world, _, _, beliefs in runs]),
        )
    return found


def test_voters_count_for_what_they_add(found):
    weights = {kind: own for kind, (own, _) in found.items()}
    mean = {kind: own.mean() for kind, own in weights.items()}
    assert mean["random"] < GUESS < mean["mediocre"] < mean["strong"]
    assert (weights["random"] < weights["mediocre"]).all()
    assert (weights["always neutral"] < weights["mediocre"]).all()
    assert (weights["mediocre"] < weights["strong"]).all()
    assert mean["echo"] < GUESS, "it knows nothing that the index does not"
    assert mean["boasting"] < 0.1
    assert mean["sure and strong"] < mean["strong"], "it is toned down"


def test_with_many_windows_the_random_voter_has_next_to_no_say(worlds):
    runs = [(world, *world.weighed(500, llm=world.says("random"))) for world in worlds]
    weights = [panel.weights["llm"] for _, panel, _, _ in runs]
    assert np.mean(weights) < 0.1
    assert max(weights) < 0.25
    assert min(world.gain(beliefs) for world, _, _, beliefs in runs) > -0.01


def test_no_voter_costs_more_than_a_twentieth_of_a_nat_and_on_average_hardly_any(found):
    for _, gains in found.values():
        assert gains.min() > -0.05
        assert gains.mean() > -0.01


def test_who_always_says_the_same_is_harmless_at_any_weight(found):
    """Its evidence is next to nothing, so its weight stays about the guess, which is no matter."""
    assert abs(found["always neutral"][1]).max() < 0.005


def test_strong_voters_lift_the_pool(found):
    assert found["mediocre"][1].mean() > 0.02
    for kind in ("strong", "sure and strong"):
        assert found[kind][1].min() > 0.15


def test_several_voters_are_weighed_together(world):
    """Two that say the same share the weight of one."""
    strong = world.says("strong")
    alone = world.weighed(300, llm=strong)[1]["llm"].weight
    _, weighed, _ = world.weighed(300, llm=strong, twin=strong)
    assert weighed["llm"].weight == pytest.approx(weighed["twin"].weight, abs=1e-3)
    assert weighed["llm"].weight < 0.75 * alone


def test_the_record_says_how_the_weight_came_about(world):
    said = world.says("strong")
    _, weighed, _ = world.weighed(40, llm=said)
    record = weighed["llm"]
    assert (record.by, record.windows) == ("labelled windows", 40)
    right = (said.argmax(axis=1) == world.all_gold).mean()
    assert record.accuracy == pytest.approx(right, abs=0.15)
    assert Weighed(**record.to_dict()) == record


def test_the_index_s_own_weights_stay(world):
    panel, _, _ = world.weighed(llm=world.says("strong"))
    assert {voter: panel.weights[voter] for voter in INDEX} == world.own.weights
    assert replace(panel, weights={}, bases={}, threshold=None).to_dict() == (
        replace(world.own, weights={}, bases={}, threshold=None).to_dict()
    )


@pytest.mark.parametrize("checks", [0, 1, ENOUGH - 1, ENOUGH])
def test_fewer_windows_than_enough_leave_it_to_agreement(world, checks):
    panel, weighed, _ = world.weighed(checks, llm=world.says("strong"))
    assert weighed["llm"].by == ("agreement" if checks < ENOUGH else "labelled windows")
    assert panel.weights["llm"] == weighed["llm"].weight


def test_windows_whose_label_is_unknown_do_not_count(world):
    hidden = np.where(np.arange(WINDOWS) < ENOUGH - 1, world.known.gold, -1)
    world.known = replace(world.known, gold=hidden)
    assert world.weighed(WINDOWS, llm=world.says("strong"))[1]["llm"].by == "agreement"


# -- by agreement, or by nothing -----------------------------------------------------------------


def test_without_labelled_windows_agreement_tells_the_strong_from_the_useless(worlds):
    weights = {
        kind: np.array(
            [world.weighed(0, llm=world.says(kind))[1]["llm"].weight for world in worlds]
        )
        for kind in ("random", "always neutral", "strong")
    }
    assert max(weights["random"]) < 0.1
    assert max(weights["always neutral"]) < 0.1
    assert min(weights["strong"]) > 0.3
    assert max(weights["strong"]) <= CAP


def test_each_is_weighed_in_its_own_way_side_by_side(world):
    """A voter that is weighed by agreement is compared with those weighed by labels, too."""
    strong, other = world.says("strong"), world.says("strong")
    rows = world.known.votes.utterances[:100]
    tried = count_votes(
        [one("llm", u, shares) for u, shares in zip(rows, strong, strict=False)],
        world.known.votes.utterances,
        SIZE,
    )
    cast = [
        one(name, u, shares)
        for name, said in [("llm", strong), ("import", other)]
        for u, shares in zip(world.ids, said[WINDOWS:], strict=True)
    ]
    votes = joined(world.index_votes, count_votes(cast, world.ids, SIZE))
    _, weighed = weigh(world.own, world.known, tried, votes)
    assert [(w.voter, w.by) for w in weighed] == [
        ("import", "agreement"),
        ("llm", "labelled windows"),
    ]
    _, other_way = weigh(world.own, world.known, tried, votes.of(votes.voters[::-1]))
    assert sorted(other_way, key=lambda w: w.voter) == weighed


@pytest.mark.parametrize("pool", POOLS)
def test_without_anyone_to_compare_with_everybody_counts_the_same(world, pool):
    nobody = untried_panel(pool, (), SIZE)
    known = labelled({}, world.known.gold[:0], PRIOR)
    cast = count_votes(
        [one(name, u, np.eye(SIZE)[0]) for name in "ab" for u in world.ids], world.ids, SIZE
    )
    panel, weighed = weigh(nobody, known, count_votes([], (), SIZE), cast)
    assert weighed == [Weighed(voter, 1.0, "nothing", 0, None) for voter in "ab"]
    assert panel.weights == {"a": 1.0, "b": 1.0}
    assert panel.threshold is None


def test_nobody_is_compared_with_voters_that_are_not_there(world):
    """A panel fitted elsewhere knows the index's voters, but this run has no index."""
    cast = count_votes([one("llm", u, np.eye(SIZE)[0]) for u in world.ids], world.ids, SIZE)
    known = labelled({}, world.known.gold[:0], PRIOR)
    panel, weighed = weigh(world.own, known, count_votes([], (), SIZE), cast)
    assert weighed == [Weighed("llm", 1.0, "nothing", 0, None)]
    assert panel.pooled(cast).any(axis=1).all()


@pytest.mark.parametrize("checks", [0, 64])
def test_in_the_majority_everybody_has_a_weight_of_1(world, checks):
    own = fit_panel(world.known, PRIOR, pool="majority")
    panel, weighed, beliefs = world.weighed(checks, panel=own, llm=world.says("random"))
    assert weighed["llm"] == Weighed("llm", 1.0, "nothing", 0, None)
    assert panel.weights == {"probe": 1.0, "words": 1.0, "llm": 1.0}
    assert set(np.unique(beliefs.round(6))) <= {0.0, 0.333333, 0.666667, 1.0}


# -- the other pools -----------------------------------------------------------------------------


def test_in_the_mean_the_strong_count_more(world):
    own = fit_panel(world.known, PRIOR, pool="mean", decoder="none")
    _, weighed, _ = world.weighed(
        200, panel=own, llm=world.says("strong"), dice=world.says("random")
    )
    assert weighed["llm"].weight > 3 * weighed["dice"].weight


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_mean_voters_have_the_share_that_suits_a_mean(kind):
    """Bare labels change a log pool a lot at a small weight, and a mean hardly at all."""
    gains, best = [], []
    for world in map(World, SEEDS):
        own = fit_panel(world.known, PRIOR, pool="mean", decoder="none", correction=0)
        panel, weighed, _ = world.weighed(300, panel=own, llm=world.says(kind))
        losses = {}
        for weight in (0.0, weighed["llm"].weight, *np.geomspace(0.05, 5, 20)):
            tried = replace(panel, weights={**own.weights, "llm": weight})
            beliefs = tried.pooled(world.last)
            shares, _ = tried.decided(beliefs, labelled({}, world.gold, PRIOR).links)
            losses[weight] = log_loss(shares, world.gold)
        gains.append(losses[0.0] - losses[weighed["llm"].weight])
        best.append(losses[0.0] - min(losses.values()))
    assert np.mean(gains) > np.mean(best) - 0.015


def test_dawid_and_skene_learn_on_labelled_windows_what_a_voter_means(world):
    """One that swaps two labels is as good as one that does not."""
    own = fit_panel(world.known, PRIOR, pool="dawid-skene", decoder="none")
    straight = world.says("strong")
    losses = []
    for said in (straight, straight[:, [1, 0, 2]]):
        panel, weighed, beliefs = world.weighed(400, panel=own, llm=said)
        assert weighed["llm"].by == "labelled windows"
        assert panel.weights["llm"] == 1
        assert set(panel.confusions) == {"probe", "words", "llm"}
        losses.append(log_loss(beliefs, world.gold))
    assert losses[1] == pytest.approx(losses[0], abs=0.05)
    assert max(losses) < log_loss(own.pooled(world.index_votes), world.gold) - 0.1


# -- bases, prior and sets -----------------------------------------------------------------------


def test_bases_come_from_the_windows_it_was_tried_on_or_else_the_run(world):
    said = informed(world.all_gold, PRIOR, 1.0, world.dice)
    votes = joined(world.index_votes, votes_of_arrays({"llm": said[WINDOWS:]}, world.ids, SIZE))
    tried = votes_of_arrays({"llm": said[:WINDOWS]}, world.known.votes.utterances, SIZE)
    nobody = count_votes([], world.known.votes.utterances, SIZE)
    panel, _ = weigh(world.own, world.known, tried, votes)
    assert panel.bases["llm"] == base_of("llm", tried)
    panel, _ = weigh(world.own, world.known, nobody, votes)
    assert panel.bases["llm"] == base_of("llm", votes)
    panel, _ = weigh(world.own, world.known, tried, votes, calibrate=False)
    assert "llm" not in panel.bases


def test_windows_without_content_take_precedence(world):
    said = informed(world.all_gold, PRIOR, 1.0, world.dice)
    votes = joined(world.index_votes, votes_of_arrays({"llm": said[WINDOWS:]}, world.ids, SIZE))
    tried = votes_of_arrays({"llm": said[:WINDOWS]}, world.known.votes.utterances, SIZE)
    contentless = votes_of_arrays({"llm": np.array([[0.1, 0.2, 0.7]] * 3)}, names(3), SIZE)
    panel, _ = weigh(world.own, world.known, tried, votes, contentless=contentless)
    assert panel.bases["llm"] == pytest.approx(np.log([0.1, 0.2, 0.7]), abs=1e-6)
    other = votes_of_arrays({"other": np.array([[0.1, 0.2, 0.7]] * 3)}, names(3), SIZE)
    panel, _ = weigh(world.own, world.known, tried, votes, contentless=other)
    assert panel.bases["llm"] == base_of("llm", tried)


def test_where_no_voter_of_the_index_counts_half_of_its_prior_is_corrected(world):
    known = replace(world.known, votes=world.known.votes.of([]))
    own = fit_panel(known, PRIOR)
    said = world.says("strong")
    votes = count_votes(
        [one("llm", u, shares) for u, shares in zip(world.ids, said[WINDOWS:], strict=True)],
        world.ids,
        SIZE,
    )
    tried = count_votes(
        [one("llm", u, s) for u, s in zip(known.votes.utterances[:200], said, strict=False)],
        known.votes.utterances,
        SIZE,
    )
    for correction, expected in [(None, UNTRIED_CORRECTION), (0.2, 0.2)]:
        panel, weighed = weigh(own, known, tried, votes, correction=correction)
        assert panel.correction == expected
    assert weighed[0].by == "labelled windows"
    assert weighed[0].weight > 0.8
    assert log_loss(panel.pooled(votes), world.gold) < log_loss(np.array([PRIOR] * NEW), world.gold)


def held(panel, beliefs, gold):
    """Which label sets hold the gold label."""
    links = labelled({}, gold, PRIOR).links
    shares, _ = panel.decided(beliefs, links)
    return 1 - shares[np.arange(NEW), gold] <= panel.threshold


@pytest.mark.parametrize(("checks", "coverage"), [(0, 0.9), (8, 0.9), (18, 0.95)])
def test_no_label_sets_are_promised_where_too_few_windows_heard_the_new_voter(
    world, checks, coverage
):
    panel, _, _ = world.weighed(checks, coverage=coverage, llm=world.says("strong"))
    assert world.own.threshold is not None
    assert panel.weights["llm"] > 0
    assert panel.threshold is None


@pytest.mark.parametrize("kind", ["strong", "boasting"])
@pytest.mark.parametrize("pool", POOLS)
def test_label_sets_are_set_anew_from_the_first_windows_that_suffice(worlds, pool, kind):
    inside = []
    for world in worlds:
        own = fit_panel(world.known, PRIOR, pool=pool, decoder="none")
        panel, _, beliefs = world.weighed(20, panel=own, llm=world.says(kind))
        inside.append(held(panel, beliefs, world.gold).mean())
    assert np.mean(inside) > 0.87


def test_with_many_windows_label_sets_are_as_good_as_asked_and_no_better(world):
    panel, _, beliefs = world.weighed(300, llm=world.says("strong"))
    assert held(panel, beliefs, world.gold).mean() == pytest.approx(0.9, abs=0.05)


def test_one_voter_that_was_not_tried_is_enough_for_no_label_sets(world):
    """Beside one that was tried often, another is weighed by agreement."""
    said = {voter: world.says("strong") for voter in ("llm", "import")}
    ids = world.known.votes.utterances
    tried = votes_of_arrays({"llm": said["llm"][:WINDOWS]}, ids, SIZE)
    cast = votes_of_arrays({v: shares[WINDOWS:] for v, shares in said.items()}, world.ids, SIZE)
    votes = joined(world.index_votes, cast)
    both = weigh(world.own, world.known, tried, votes)[0]
    assert min(both.weights.values()) > 0
    assert both.threshold is None
    alone = weigh(world.own, world.known, tried, votes.of([*INDEX, "llm"]))[0]
    assert alone.threshold is not None


def test_a_voter_without_a_say_leaves_the_label_sets_as_they_are(world):
    panel, _, _ = world.weighed(400, llm=world.says("boasting"))
    assert panel.weights["llm"] == 0
    assert panel.threshold == world.own.threshold


# -- everything ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32), st.integers(0, 30), st.sampled_from([0, 3, 8, 60]))
def test_any_voters_get_weights_and_the_order_of_voters_leaves_no_trace(pool, seed, count, size):
    dice = np.random.default_rng(seed)
    gold = dice.integers(SIZE, size=size)
    own = {name: dice.dirichlet(np.ones(SIZE), size) for name in "xy"[: dice.integers(0, 3)]}
    known = labelled(own, gold, PRIOR)
    panel = fit_panel(known, PRIOR, pool=pool)
    ids = names(count)
    shares = {
        name: dice.dirichlet(np.ones(SIZE), count) * (dice.random((count, 1)) < 0.8)
        for name in [*own, "a", "b"]
    }
    votes = votes_of_arrays(shares, ids, SIZE)
    asked = dice.random((size, 1)) < 0.5
    tried = votes_of_arrays(
        {name: dice.dirichlet(np.ones(SIZE), size) * asked for name in "ab"},
        known.votes.utterances,
        SIZE,
    )
    after, weighed = weigh(panel, known, tried, votes)
    assert isinstance(after, Panel)
    assert [w.voter for w in weighed] == ["a", "b"]
    assert all(w.weight >= 0 for w in weighed)
    again, _ = weigh(panel, known, tried.of(["b", "a"]), votes.of(votes.voters[::-1]))
    assert again.weights == pytest.approx(after.weights, abs=2e-4)
    assert again.bases == after.bases


def test_votes_on_different_utterances_cannot_be_joined():
    one, other = (count_votes([], ids, SIZE) for ids in (names(2), names(3)))
    with pytest.raises(ValueError, match="different utterances"):
        joined(one, other)
