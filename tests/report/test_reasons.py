"""The steps that are told add up to the verdict, whatever the pool."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from ragemo.pipeline import vote
from ragemo.report.figures import panels_data
from ragemo.report.reasons import reasons
from ragemo.runs.run import Run
from ragemo.voting.decide import decide
from ragemo.voting.panel import Panel
from ragemo.voting.transitions import Transitions
from tests.conftest import FakeEmbedder
from tests.pipeline.inputs import settings_with
from tests.report.inputs import TRAIN, make_run


def told(run):
    return reasons(run, run.utterances, run.verdicts(), run.ballots())


def log_odds(reason, shares):
    return math.log(shares[reason.winner] / shares[reason.runner_up])


def check_sums(run):
    """Every verdict's reason leads to that verdict's very shares; how many there are."""
    found = told(run)
    for verdict in run.verdicts():
        reason = found[verdict.utterance_id]
        assert reason.same
        assert run.labels.names[reason.winner] == verdict.label
        assert reason.stages["verdict"] == pytest.approx(verdict.distribution, abs=1e-6)
        others = [s for n, s in enumerate(verdict.distribution) if n != reason.winner]
        assert reason.stages["verdict"][reason.runner_up] == pytest.approx(max(others), abs=1e-6)
        if min(reason.stages["votes"]) > 0:  # an empty share has no logarithm
            nats = sum(step.nats for step in reason.steps) / reason.temperature
            assert nats == pytest.approx(log_odds(reason, reason.stages["verdict"]), abs=1e-6)
    return len(found)


def test_the_steps_of_the_log_pool_are_its_voters_and_what_comes_after(run):
    assert check_sums(run) == 35
    found = told(run)
    kinds = {step.kind for reason in found.values() for step in reason.steps}
    assert kinds >= {"prior", "voter"}
    one = found["test1_1"]
    assert [s.name for s in one.steps if s.kind == "voter"] == [
        "fake",
        "neighbours",
        "probe",
        "words",
    ]
    assert set(one.choices) == {"fake", "neighbours", "probe", "words"}


def test_a_voter_without_a_usable_answer_is_no_step(run):
    for target in ("test0_1", "test0_2"):
        assert "fake" not in {step.name for step in told(run)[target].steps}
        assert "fake" not in told(run)[target].choices


def test_the_voter_that_is_worth_most_moves_the_odds_as_its_evidence_and_weight_say(run):
    panel = run.panels()[0]["panel"]
    ballots = {b.utterance_id: b for b in run.ballots() if b.voter == "words"}
    for target, reason in told(run).items():
        shares, base = ballots[target].distribution, panel["bases"]["words"]
        pair = (reason.winner, reason.runner_up)
        first, second = (math.log(shares[n]) - base[n] for n in pair)
        step = next(s for s in reason.steps if s.name == "words")
        assert step.nats == pytest.approx(panel["weights"]["words"] * (first - second), abs=1e-6)


@pytest.mark.parametrize("pool", ["mean", "majority", "dawid-skene"])
def test_other_pools_are_one_step(pool, run, index, tmp_path):
    how = settings_with(voting__pool=pool)
    pooled = vote([run], how, tmp_path / pool, index=index, embedder=FakeEmbedder())
    check_sums(pooled)
    for reason in told(pooled).values():
        assert [s.kind for s in reason.steps if s.kind in ("pool", "voter", "prior")] == ["pool"]
        if pool == "dawid-skene":
            assert not reason.given
        else:
            sums = [sum(pair[n] for pair in reason.given.values()) for n in (0, 1)]
            votes = reason.stages["votes"]
            assert sums == pytest.approx([votes[reason.winner], votes[reason.runner_up]], abs=1e-9)


def test_voters_without_a_say_have_no_weight(run, tmp_path):
    how = settings_with(voting__voters=["fake", "words"])
    own = vote([run], how, tmp_path / "own")
    (panel,) = own.panels()
    assert {ballot.voter for ballot in own.ballots()} > {"fake", "words"}
    assert panel["panel"]["weights"].keys() > {"fake", "words"}
    check_sums(own)
    assert all(reason.weights.keys() == {"fake", "words"} for reason in told(own).values())
    (shown,) = panels_data(own)
    assert {one["voter"] for one in shown["voters"]} == {"fake", "words"}


def with_inertia(run, folder, decoder):
    """The run decided anew by its panel, which now hears both linked turns.

    Invented dialogues have no inertia that could be fitted.
    """
    shutil.copytree(run.path, folder)
    (record,) = run.panels()
    panel = Panel.from_dict(record["panel"])
    transitions = panel.transitions or one_follows_another(len(run.labels))
    transitions = replace(transitions, own_strength=0.8, other_strength=0.5)
    panel = replace(panel, decoder=decoder, transitions=transitions)
    targets = [verdict.utterance_id for verdict in run.verdicts()]
    ballots = [ballot for ballot in run.ballots() if ballot.purpose == "verdict"]
    decision = decide(
        [utterance.turn for utterance in run.utterances],
        targets,
        ballots,
        run.labels,
        panels={0: panel},
        part_of=dict.fromkeys(targets, 0),
    )
    moved = Run.open(folder)
    moved.finish(
        decision.verdicts, run.demonstrations(), panels=[{**record, "panel": panel.to_dict()}]
    )
    return moved


def one_follows_another(labels):
    shares = np.full((labels, labels), 0.2) + (1 - 0.2 * labels) * np.eye(labels)
    return Transitions(np.full(labels, 1 / labels), shares, np.roll(shares, 1, axis=1))


@pytest.mark.parametrize("decoder", ["filter", "viterbi"])
def test_what_linked_turns_say_is_told_apart(decoder, run, tmp_path):
    moved = with_inertia(run, tmp_path / "moved", decoder)
    found = told(moved)
    for reason in found.values():
        nats = sum(step.nats for step in reason.steps) / reason.temperature
        assert reason.same
        assert nats == pytest.approx(log_odds(reason, reason.stages["verdict"]), abs=1e-6)
    links = {s.kind: s.name for s in found["test3_3"].steps if s.kind in ("own", "other")}
    assert links == {"own": "test3_1", "other": "test3_2"}
    assert not {s.kind for s in found["test3_0"].steps} & {"own", "other"}
    assert "dialogue" in found["test3_3"].stages


def test_each_part_of_the_index_decides_its_own(index, tmp_path):
    """Dialogues of the index are left out in turn, so that several panels decide."""
    own = make_run(tmp_path / "own", index, settings_with(limit=24, voting__checks=0), corpus=TRAIN)
    assert len(own.panels()) > 1
    assert check_sums(own) == 24


def test_shares_that_are_not_the_verdict_s_are_told(run, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(run.path, folder)
    record = json.loads((folder / "panel.json").read_text())
    record["parts"][0]["panel"]["weights"]["words"] += 1
    (folder / "panel.json").write_text(json.dumps(record))
    assert not all(reason.same for reason in told(Run.open(folder)).values())
