import subprocess
import sys
from itertools import combinations_with_replacement, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc

from ragemo.errors import SettingsError
from ragemo.runs.records import RunUtterance
from ragemo.runs.run import Run
from ragemo.types import Ballot
from ragemo.voting.majority import majority_pool
from ragemo.voting.panel import untried_panel
from ragemo.voting.stopping import StoppingRule, leader_probability, replay, vote_counts
from ragemo.voting.votes import count_votes
from tests.conftest import LABELS, make_turn
from tests.runs.inputs import MANIFEST

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bench" / "stopping.py"

NONE = StoppingRule("none")
HARD = StoppingRule("hard")
POSTERIOR = StoppingRule("posterior")
NEARLY_CERTAIN = StoppingRule("posterior", 1 - 1e-12)
RULES = [NONE, HARD, POSTERIOR, StoppingRule("posterior", 0.7), NEARLY_CERTAIN]

rules = st.one_of(
    st.sampled_from(RULES),
    st.floats(0.5, 1, exclude_min=True, exclude_max=True).map(
        lambda threshold: StoppingRule("posterior", threshold)
    ),
)
counts = st.lists(st.integers(0, 30), min_size=2, max_size=7)
remaining = st.integers(0, 30)
vote_sequences = st.integers(2, 5).flatmap(
    lambda labels: st.tuples(
        st.just(labels),
        st.lists(st.one_of(st.none(), st.integers(0, labels - 1)), max_size=30),
    )
)


def tally(votes, labels):
    """Votes per label; None is an answer that is no label."""
    return [votes.count(label) for label in range(labels)]


def and_one_more(counts, label):
    return [count + (position == label) for position, count in enumerate(counts)]


def outcomes(counts, answers):
    """All that so many further answers can make of the counts."""
    for votes in combinations_with_replacement([None, *range(len(counts))], answers):
        yield [count + votes.count(label) for label, count in enumerate(counts)]


SMALL = [
    (list(votes), left)
    for votes in product(range(5), repeat=3)
    if votes == tuple(sorted(votes, reverse=True))
    for left in range(7)
]
"""Counts of three labels, leader first, and how many answers remain."""


# -- the rules -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("votes", "left", "hard", "posterior"),
    [
        ([0, 0, 0], 10, 6, 4),
        ([3, 0, 0], 7, 3, 1),
        ([4, 0, 0], 6, 2, 0),
        ([4, 2, 0], 4, 2, 2),
        ([5, 2, 0], 3, 1, 1),
        ([6, 2, 0], 2, 0, 0),
        ([3, 1, 0], 2, 1, 1),  # 3 : 3 would still be a tie
        ([3, 0, 0], 2, 0, 0),  # .94, but two votes change nothing
        ([0, 0, 0], 1, 1, 1),
        ([2, 2, 0], 0, 0, 0),
    ],
)
def test_worked_examples(votes, left, hard, posterior):
    assert HARD.needed(votes, left) == hard
    assert POSTERIOR.needed(votes, left) == posterior
    assert NONE.needed(votes, left) == left
    assert HARD.settled(votes, left) is (hard == 0)
    assert POSTERIOR.settled(votes, left) is (posterior == 0)


def test_the_posterior_is_the_beta_distribution_s():
    for first, second in product(range(0, 60, 3), range(0, 60, 4)):
        if first >= second:
            expected = 1 - betainc(first + 1, second + 1, 0.5)
            assert leader_probability(first, second) == pytest.approx(expected, abs=1e-12)
    assert leader_probability(4, 0) == 0.96875
    assert leader_probability(700, 650) == pytest.approx(1 - betainc(701, 651, 0.5), abs=1e-9)


def test_the_threshold_itself_is_enough():
    assert StoppingRule("posterior", 0.96875).settled([4, 0], 90)
    assert not StoppingRule("posterior", 0.96876).settled([4, 0], 90)


def test_the_hard_rule_stops_where_nothing_can_change_and_nowhere_else():
    for votes, left in SMALL:
        strictly_ahead = all(after[0] > max(after[1:]) for after in outcomes(votes, left))
        assert HARD.settled(votes, left) is (strictly_ahead or left == 0)


@given(counts, remaining)
def test_a_threshold_near_1_is_the_hard_rule(votes, left):
    votes = [count % 16 for count in votes]
    assert NEARLY_CERTAIN.needed(votes, left) == HARD.needed(votes, left)


def test_the_usual_threshold_saves_more_than_the_hard_rule_from_eight_answers_on():
    for votes, left in product(product(range(8), repeat=2), range(8)):
        if sum(votes) + left <= 7:
            assert POSTERIOR.settled(votes, left) is HARD.settled(votes, left)
    assert POSTERIOR.needed([0, 0], 8) < HARD.needed([0, 0], 8)


@given(counts, remaining, rules, rules)
def test_a_laxer_rule_never_needs_more(votes, left, one, other):
    strictness = {"posterior": 1, "hard": 2, "none": 3}
    lax, strict = sorted((one, other), key=lambda rule: (strictness[rule.kind], rule.threshold))
    assert lax.needed(votes, left) <= strict.needed(votes, left)


@given(counts, remaining, rules, st.randoms())
def test_the_labels_order_changes_nothing(votes, left, rule, dice):
    before = rule.settled(votes, left), rule.needed(votes, left)
    dice.shuffle(votes)
    assert (rule.settled(votes, left), rule.needed(votes, left)) == before


@given(counts, st.integers(1, 30), rules)
def test_no_answer_brings_the_end_nearer_than_one_for_the_leader(votes, left, rule):
    leader = votes.index(max(votes))
    needed = rule.needed(votes, left)
    nearer = rule.needed(and_one_more(votes, leader), left - 1)
    assert nearer == max(needed - 1, 0)
    for label in [None, *range(len(votes))]:
        assert rule.needed(and_one_more(votes, label), left - 1) >= nearer


@given(counts, remaining, rules)
def test_answers_are_needed_unless_it_is_settled(votes, left, rule):
    needed = rule.needed(votes, left)
    assert 0 <= needed <= left
    assert (needed == 0) is rule.settled(votes, left)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_needed_is_the_soonest_that_any_answers_could_settle_it(rule):
    for votes, left in SMALL:
        soonest = next(
            more
            for more in range(left + 1)
            if any(rule.settled(after, left - more) for after in outcomes(votes, more))
        )
        assert rule.needed(votes, left) == soonest


@given(vote_sequences, rules)
def test_batches_spend_as_many_answers_as_asking_one_by_one(sequence, rule):
    labels, votes = sequence
    one_by_one = 0
    while not rule.settled(tally(votes[:one_by_one], labels), len(votes) - one_by_one):
        one_by_one += 1
    in_batches = 0
    while batch := rule.needed(tally(votes[:in_batches], labels), len(votes) - in_batches):
        in_batches += batch
    assert in_batches == one_by_one


def test_counts_may_be_an_array():
    """Whose whole numbers would overflow, or be no whole numbers, in the equation."""
    for dtype in (np.int32, np.float64):
        votes = np.array([3, 330, 290], dtype=dtype)
        assert POSTERIOR.needed(votes, 300) == POSTERIOR.needed([3, 330, 290], 300) > 0
        assert StoppingRule("posterior", 0.9).settled(votes, 300)


@pytest.mark.parametrize("threshold", [0.5, 1, 0, 95, float("nan")])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(SettingsError, match=r"threshold .* above 0\.5"):
        StoppingRule("posterior", threshold)


def test_a_kind_that_is_none_is_refused():
    with pytest.raises(SettingsError, match="'soft': expected one of none, hard, posterior"):
        StoppingRule("soft")


# -- replaying -----------------------------------------------------------------------------------


def answers(utterance, said):
    """A voter's answers: n, h and a are labels, ? is none, ! is a failed call."""
    names = {"n": "neu", "h": "hap", "a": "ang"}
    return [
        Ballot(
            utterance,
            "llm",
            sample=number,
            distribution=LABELS.one_hot(names[letter]) if letter in names else None,
            error="timeout" if letter == "!" else None,
        )
        for number, letter in enumerate(said)
    ]


said = st.lists(st.text("nha?!", min_size=1, max_size=15), max_size=4)


def test_votes_are_first_choices():
    ballots = [
        *answers("u", "a?!h"),
        Ballot("u", "llm", distribution=(0.2, 0.3, 0.5)),
        Ballot("u", "llm", distribution=(0.0, 0.3, 0.1 + 0.2)),  # equal but for rounding
        Ballot("u", "llm", distribution=(1 / 3, 1 / 3, 1 / 3)),
    ]
    assert vote_counts(ballots, 3) == [1, 2, 2]
    assert vote_counts([], 3) == [0, 0, 0]


def test_a_replay_reports_the_saving_and_the_labels_that_change():
    ballots = [
        *answers("one mind", "hhhhhhhhhh"),
        *answers("turned", "aaaannnnnn"),
        *answers("spoilt", "?!?hhh?hnn"),
        *answers("mute", "??!"),
    ]
    expected = {
        NONE: (33, 0, "hnh"),
        HARD: (6 + 10 + 8 + 3, 0, "hnh"),
        POSTERIOR: (4 + 4 + 8 + 3, 1, "hah"),
    }
    names = {"n": "neu", "h": "hap", "a": "ang"}
    for rule, (asked, changed, labels) in expected.items():
        saving = replay(ballots, LABELS, rule)
        assert (saving.asked, saving.possible, saving.changed) == (asked, 33, changed)
        assert saving.spent == asked / 33
        assert list(saving.labels.items()) == [
            *zip(["one mind", "turned", "spoilt"], [names[label] for label in labels], strict=True),
            ("mute", None),
        ]


def test_nothing_replayed_is_nothing_saved():
    saving = replay([], LABELS, POSTERIOR)
    assert (saving.asked, saving.possible, saving.changed, saving.labels) == (0, 0, 0, {})
    assert saving.spent == 1


def ballots_of(texts):
    return [ballot for number, text in enumerate(texts) for ballot in answers(f"u{number}", text)]


@given(said)
def test_the_hard_rule_never_changes_a_label(texts):
    full, saving = (replay(ballots_of(texts), LABELS, rule) for rule in (NONE, HARD))
    assert saving.changed == 0
    assert saving.labels == full.labels


@given(said)
def test_without_a_rule_a_replay_is_the_majority_of_all(texts):
    saving = replay(ballots_of(texts), LABELS, NONE)
    assert saving.asked == saving.possible == sum(map(len, texts))
    utterances = [f"u{number}" for number in range(len(texts))]
    shares = majority_pool(count_votes(ballots_of(texts), utterances, len(LABELS)))
    for utterance, row in zip(utterances, shares, strict=True):
        expected = LABELS.names[row.argmax()] if row.any() else None
        assert saving.labels[utterance] == expected


@given(said, rules, st.randoms())
def test_samples_are_taken_by_their_number(texts, rule, dice):
    ballots = ballots_of(texts)
    before = replay(ballots, LABELS, rule)
    dice.shuffle(ballots)
    assert replay(ballots, LABELS, rule) == before


# -- the benchmark -------------------------------------------------------------------------------


def run_with(path, texts, gold):
    """A run's folder in which utterance `d_i` was answered `texts[i]`, and the answers decide."""
    utterances = [
        RunUtterance(make_turn(number=number), label, predicted=True)
        for number, label in enumerate(gold)
    ]
    with Run.create(path, {**MANIFEST, "labels": LABELS.to_dict()}, utterances) as run:
        run.append([Ballot("d_0", "neighbours", distribution=(1.0, 0.0, 0.0))])
        for number, text in enumerate(texts):
            run.append(answers(f"d_{number}", text))
        panel = untried_panel("log", ["llm"], len(LABELS))
        run.finish([], {}, panels=[{"panel": panel.to_dict(), "index_alone": None, "weighed": []}])
    return run.path


def benchmark(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_benchmark_prints_tables_of_the_rules(tmp_path):
    """In the pool a tie goes to the first label, so two are settled one answer sooner."""
    folder = run_with(
        tmp_path / "run",
        ["hhhhhhhhhh", "aaaannnnnn", "hhhhhhhhhh", "nnnn!?nnnn"],
        ["hap", "ang", None, "hap"],
    )
    done = benchmark(folder, "--thresholds", "0.95")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "run, llm: 4 utterances, 10 answers each; with all: accuracy 33.3 % of 3",
        "",
        "| rule | answers | % of all | labels changed | accuracy (points) |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| none | 40 | 100.0 | 0 | +0.00 |",
        "| hard | 29 | 72.5 | 0 | +0.00 |",
        "| posterior 0.95 | 16 | 40.0 | 1 | +33.33 |",
        "",
        "run, the pool with llm at weight 1:",
        "",
        "| rule | answers | % of all | verdicts changed | accuracy (points) |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| hard | 27 | 67.5 | 0 | +0.00 |",
        "| posterior 0.95 | 16 | 40.0 | 1 | +33.33 |",
        "",
    ]


def test_the_benchmark_says_what_it_cannot_replay(tmp_path):
    folder = run_with(tmp_path / "run", ["h", "n"], ["hap", "neu"])
    done = benchmark(folder)
    assert done.returncode == 2
    assert "no voter gave an utterance several answers" in done.stderr
    assert done.stdout == ""
