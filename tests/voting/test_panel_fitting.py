"""Fitting a panel, and writing it down."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ragemo.voting.panel import (
    CORRECTIONS,
    DECODERS,
    ENOUGH,
    PLATEAU,
    UNTRIED_CORRECTION,
    Labelled,
    Panel,
    finished,
    fit_panel,
    untried_panel,
)
from ragemo.voting.transitions import Links
from ragemo.voting.votes import votes_of_arrays
from tests.voting.electorate import SIZE, every_pool, informed, labelled, log_loss

PRIOR = (0.6, 0.25, 0.15)


def sticky(gold, dice):
    """Gold labels of two speakers in turn, most of whom feel as they did two turns ago."""
    gold = gold.copy()
    for row in range(2, len(gold)):
        if row % 10 >= 2 and dice.random() < 0.7:
            gold[row] = gold[row - 2]
    return gold


def world(count, seed=0, worths=(1.0, 0.6)):
    """Votes of two calibrated voters on labelled windows."""
    dice = np.random.default_rng(seed)
    gold = sticky(dice.choice(SIZE, size=count, p=PRIOR), dice)
    shares = {
        name: informed(gold, PRIOR, worth, dice)
        for name, worth in zip(("probe", "words"), worths, strict=True)
    }
    return labelled(shares, gold, PRIOR)


@pytest.fixture(scope="module")
def known():
    return world(600)


@pytest.fixture(scope="module")
def new():
    return world(600, seed=1)


@pytest.fixture(scope="module")
def fitted(known):
    return fit_panel(known, PRIOR)


def decided(panel, known):
    return panel.decided(panel.pooled(known.votes), known.links)


# -- fitting -------------------------------------------------------------------------------------


def test_the_better_voter_counts_more_and_together_they_are_better(known, new, fitted):
    assert fitted.weights["probe"] > fitted.weights["words"] > 0
    gold = new.gold
    beliefs = fitted.pooled(new.votes)
    alone = [
        fit_panel(replace(known, votes=known.votes.of([voter])), PRIOR).pooled(new.votes)
        for voter in known.votes.voters
    ]
    assert log_loss(beliefs, gold) < min(log_loss(shares, gold) for shares in alone)


def test_the_dialogue_s_say_is_fitted_and_helps(new, fitted):
    assert fitted.decoder == "filter"
    assert fitted.transitions.own_strength > 0
    plain = replace(fitted, decoder="none")
    losses = [log_loss(decided(panel, new)[0], new.gold) for panel in (fitted, plain)]
    assert losses[0] < losses[1] - 0.02


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_decoder_is_the_one_asked_for(known, decoder):
    panel = fit_panel(known, PRIOR, decoder=decoder)
    assert panel.decoder == decoder
    assert (panel.transitions is None) == (decoder == "none")


@pytest.mark.parametrize("pool", ["log", "mean", "dawid-skene"])
def test_the_correction_is_the_middle_of_the_best_by_weighted_f1(known, pool):
    panel = fit_panel(known, PRIOR, pool=pool)
    scores = {
        g: f1_score(
            known.gold,
            decided(replace(panel, correction=g), known)[1],
            average="weighted",
            zero_division=0,
        )
        for g in CORRECTIONS
    }
    best = [g for g in CORRECTIONS if scores[g] >= max(scores.values()) - PLATEAU]
    assert panel.correction == best[len(best) // 2]
    assert len(best) < len(CORRECTIONS), "or the test could not fail"


def test_the_correction_names_rare_labels_more_often(fitted, new):
    rare = [
        (decided(replace(fitted, correction=g), new)[1] == SIZE - 1).sum() for g in (0.0, 0.35, 0.7)
    ]
    assert rare[0] < rare[1] < rare[2]


@every_pool
def test_a_correction_that_is_given_is_kept_except_by_the_majority(known, pool):
    panel = fit_panel(known, PRIOR, pool=pool, correction=0.123)
    assert panel.correction == (0 if pool == "majority" else 0.123)


def calibration_error(shares, gold, bins=10):
    """Expected calibration error: |accuracy - confidence|, averaged over bins of confidence."""
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == gold
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(
        (place == own).mean() * abs(right[place == own].mean() - confidence[place == own].mean())
        for own in range(bins)
        if (place == own).any()
    )


@pytest.mark.parametrize("pool", ["log", "mean"])
def test_the_temperature_calibrates_voters_that_are_too_sure(pool):
    """The mean keeps a voter's sureness; in the log pool weights that are too great make some."""
    halves = []
    for seed in (2, 3):
        dice = np.random.default_rng(seed)
        gold = dice.choice(SIZE, size=800, p=PRIOR)
        halves.append(
            labelled({"a": informed(gold, PRIOR, 1.0, dice, confidence=3.0)}, gold, PRIOR)
        )
    known, new = halves
    bases = {"a": tuple(np.log(np.array(PRIOR)).tolist())}
    panel = finished(
        Panel(pool, {"a": 1.0}, PRIOR, bases), known, decoder="none", correction=0, coverage=0.9
    )
    assert panel.temperature > 1.5
    before, after = decided(replace(panel, temperature=1.0), new)[0], decided(panel, new)[0]
    assert calibration_error(before, new.gold) > 0.1
    assert calibration_error(after, new.gold) < calibration_error(before, new.gold) / 2
    assert log_loss(after, new.gold) < log_loss(before, new.gold)
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all()


def test_a_fitted_panel_is_calibrated(fitted, new):
    assert calibration_error(decided(fitted, new)[0], new.gold) < 0.06


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_label_sets_hold_the_right_label_as_often_as_asked(known, new, coverage):
    panel = fit_panel(known, PRIOR, coverage=coverage)
    shares, _ = decided(panel, new)
    inside = 1 - shares[np.arange(len(shares)), new.gold] <= panel.threshold
    assert inside.mean() == pytest.approx(coverage, abs=0.04)


def test_dawid_and_skene_stay_calibrated_however_long_the_run_is():
    """What is known of voters is not learned anew from a run: that would make it too sure."""

    def alike(count, seed):
        """Voters that read the same words, so that they do not err independently."""
        dice = np.random.default_rng(seed)
        gold = dice.choice(SIZE, size=count, p=PRIOR)
        shared = informed(gold, PRIOR, 1.0, dice)
        shares = {name: 0.5 * shared + 0.5 * informed(gold, PRIOR, 0.6, dice) for name in "abc"}
        return labelled(shares, gold, PRIOR)

    panel = fit_panel(alike(300, seed=0), PRIOR, pool="dawid-skene", decoder="none")
    new = alike(4000, seed=1)
    shares, _ = decided(panel, new)
    inside = 1 - shares[np.arange(len(shares)), new.gold] <= panel.threshold
    assert inside.mean() > 0.87
    assert calibration_error(shares, new.gold) < 0.05


@every_pool
@pytest.mark.parametrize("count", [0, 1, 7, ENOUGH - 1])
def test_few_windows_give_the_stated_defaults(pool, count):
    known = world(count)
    panel = fit_panel(known, PRIOR, pool=pool)
    assert (panel.decoder, panel.transitions, panel.temperature) == ("none", None, 1.0)
    assert panel.correction == (0.0 if pool == "majority" else UNTRIED_CORRECTION)
    if count < 9:
        assert panel.threshold == 1, "every label is in the set"
    if count == 0:
        weight = 0.5 if pool in {"log", "mean"} else 1.0
        assert panel.weights == {"probe": weight, "words": weight}
    shares, labels = decided(panel, world(20, seed=5))
    assert shares.sum(axis=1) == pytest.approx(1)
    assert (labels >= 0).all()


@every_pool
def test_without_voters_nobody_has_a_say(pool):
    known = world(30)
    panel = fit_panel(replace(known, votes=known.votes.of([])), PRIOR, pool=pool, correction=0.3)
    assert (panel.weights, panel.threshold) == ({}, None)
    assert panel.correction == (0 if pool == "majority" else 0.3)
    shares, labels = decided(panel, known)
    assert not shares.any()
    assert (labels == -1).all()


def test_turns_without_a_gold_label_are_passed_over(known, fitted):
    """Context turns are among the votes, silent, for the dialogue's sake."""
    count = len(known.gold)
    rows = np.sort(np.r_[np.arange(count), np.arange(0, count, 5)])
    context = np.r_[False, rows[1:] == rows[:-1]]
    silent = {
        voter: np.where(context[:, None], 0.0, shares[rows])
        for voter, shares in zip(known.votes.voters, known.votes.shares, strict=True)
    }
    apart = Links(*(np.full(len(rows), -1) for _ in range(2)))
    more = Labelled(
        votes_of_arrays(silent, [f"t{n}" for n in range(len(rows))], SIZE),
        np.where(context, -1, known.gold[rows]),
        apart,
        known.transitions,
    )
    panel = fit_panel(more, PRIOR, decoder="none")
    alone = fit_panel(known, PRIOR, decoder="none")
    assert panel.to_dict() == alone.to_dict()
    assert panel.weights == fitted.weights


@every_pool
def test_the_order_of_the_voters_changes_nothing(known, pool):
    order = known.votes.of(known.votes.voters[::-1])
    assert order.voters != known.votes.voters
    panels = [
        fit_panel(replace(known, votes=votes), PRIOR, pool=pool).to_dict()
        for votes in (known.votes, order)
    ]
    assert panels[0] == panels[1]


# -- written down --------------------------------------------------------------------------------


@every_pool
def test_a_panel_comes_back_from_json_exactly(known, new, pool):
    panel = fit_panel(known, PRIOR, pool=pool)
    thirds = {voter: counts + 1 / 3 for voter, counts in panel.confusions.items()}
    for decoder in DECODERS:
        panel = replace(panel, threshold=1 / 3, confusions=thirds, decoder=decoder)
        text = json.dumps(panel.to_dict())
        again = Panel.from_dict(json.loads(text))
        assert json.dumps(again.to_dict()) == text
        for one, other in zip(decided(panel, new), decided(again, new), strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "junk",
    [
        {},
        [],
        {"pool": "log"},
        {"weights": ["a"]},
        {"weights": {"a": "much"}},
        {"bases": {"a": "abc"}},
        {"bases": {"a": 3}},
        {"prior": 7},
        {"prior": [[0.5], [0.5]]},
        {"transitions": {"prior": [1]}},
        {"confusions": {"a": [[1, 2], [3]]}},
        {"temperature": None},
        {"threshold": "high"},
    ],
    ids=str,
)
def test_what_is_no_panel_is_refused(junk):
    data = junk
    if junk and "pool" not in junk:
        data = {**untried_panel("log", ["a"], SIZE).to_dict(), **junk}
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        Panel.from_dict(data)
