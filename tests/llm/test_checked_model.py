"""What a model gives is what would be read again, or is refused."""

import asyncio
import math
from dataclasses import replace
from enum import StrEnum

import numpy as np
import pytest

from ragemo.errors import ModelError
from ragemo.llm.ballots import is_plain
from ragemo.llm.checked_model import CheckedModel
from ragemo.types import Ballot, Message, Prompt, Usage, Window
from tests.conftest import LABELS, make_turn
from tests.fake_llm import FakeLLM

PROMPT = Prompt("u1", (Message("user", "hello"),), 0, form="label", window=Window((make_turn(),)))
SOUND = Ballot(
    "u1",
    "fake",
    distribution=(0.1, 0.7, 0.2),
    log_likelihoods=(-3.25, -0.5, -1e-9),
    answer="h\u00e9llo\n\u2028 \U0001f600",
    usage=Usage(100, 40, 3, 0.00125, 0.5),
    details={"evidence": ["a", "b"], "intensity": 3},
)
PLAIN = replace(SOUND, answer="joy", details={})
both = pytest.mark.parametrize("sound", [SOUND, PLAIN], ids=["with details", "plain"])
"""What a ballot is otherwise: one that is written and read to be looked at, or one that need not
be."""


def nested(depth):
    inner = "x"
    for _ in range(depth):
        inner = [inner]
    return {"evidence": inner}


class Purpose(StrEnum):
    CHECK = "check"


class OwnUsage(Usage):
    """Has a place for more."""


class OwnLLM(FakeLLM):
    """Gives some ballots, whatever is asked."""

    def __init__(self, *ballots):
        super().__init__()
        self.ballots = ballots

    async def ask(self, prompt, labels, samples):
        return list(self.ballots)


def given(ballot):
    (came,) = asyncio.run(CheckedModel(OwnLLM(ballot)).ask(PROMPT, LABELS, [0]))
    return came


@pytest.mark.parametrize("came", [[], [0, 0], [1], [1, 0], [0, 1, 2], [2]])
def test_other_answers_than_the_first_that_were_asked_for_are_refused(came):
    model = CheckedModel(OwnLLM(*(replace(PLAIN, sample=sample) for sample in came)))
    with pytest.raises(ModelError, match=r"^fake gave ballots of .*, expected the first"):
        asyncio.run(model.ask(PROMPT, LABELS, [0, 1]))


@pytest.mark.parametrize("other", [{"utterance_id": "u2"}, {"voter": "somebody"}])
def test_so_is_one_on_something_else(other):
    with pytest.raises(ModelError, match=r"expected the first, or all, of \[\('u1', 'fake', 0\)\]"):
        given(replace(PLAIN, **other))


def test_fewer_than_were_asked_for_may_come():
    assert asyncio.run(CheckedModel(OwnLLM(PLAIN)).ask(PROMPT, LABELS, [0, 1])) == [PLAIN]


def test_only_what_is_plain_need_not_be_written():
    assert is_plain(PLAIN)
    assert not is_plain(SOUND)


def test_nothing_that_its_maker_changes_later_changes_it():
    scratch = {}
    came = given(replace(PLAIN, details=scratch))
    scratch["evidence"] = math.nan
    assert came == PLAIN


@both
def test_a_sound_ballot_comes_through_as_it_is(sound):
    assert given(sound) == sound


@both
@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ({"distribution": [0.25, 0.5, 0.25]}, {"distribution": (0.25, 0.5, 0.25)}),
        ({"distribution": (0, 1, 0)}, {"distribution": (0.0, 1.0, 0.0)}),
        (
            {"distribution": tuple(np.array([0.25, 0.5, 0.25]))},
            {"distribution": (0.25, 0.5, 0.25)},
        ),
        ({"details": {"evidence": ("a", "b")}}, {"details": {"evidence": ["a", "b"]}}),
        ({"log_likelihoods": [-1, -2, -3]}, {"log_likelihoods": (-1.0, -2.0, -3.0)}),
        ({"usage": Usage(cost=1, seconds=2)}, {"usage": Usage(cost=1.0, seconds=2.0)}),
        ({"sample": np.float64(0.0)}, {"sample": 0}),
        ({"from_cache": 1}, {"from_cache": True}),
        ({"sample": False}, {"sample": 0}),
        ({"usage": OwnUsage(5)}, {"usage": Usage(5)}),
        ({"purpose": Purpose.CHECK}, {"purpose": "check"}),
    ],
)
def test_what_is_kept_in_another_form_is_so_from_the_first_time_on(sound, own, kept):
    came = given(replace(sound, **own))
    assert came == replace(sound, **kept)
    assert repr(came) == repr(replace(sound, **kept)), "in types, too"


@both
@pytest.mark.parametrize(
    "broken",
    [
        {"distribution": (0.5, 0.5, 0.5)},
        {"distribution": (0.5, 0.5)},
        {"distribution": (math.nan, 0.5, 0.5)},
        {"distribution": ("a", "b", "c")},
        {"distribution": np.array([0.25, 0.5, 0.25])},
        {"distribution": tuple(np.array([0.25, 0.5, 0.25], dtype=np.float32))},
        {"log_likelihoods": (-math.inf, -0.5, -1.0)},
        {"log_likelihoods": (-0.5, -1.0)},
        {"log_likelihoods": 0},
        {"distribution": ()},
        {"purpose": "fun"},
        {"sample": -1},
        {"sample": 1.5},
        {"sample": None},
        {"utterance_id": 5},
        {"usage": Usage(prompt_tokens=10**13)},
        {"usage": Usage(prompt_tokens=5.5)},
        {"usage": Usage(prompt_tokens=np.int64(5))},
        {"usage": Usage(seconds=None)},
        {"usage": Usage(seconds=math.inf)},
        {"usage": Usage(cost=math.nan)},
        {"usage": Usage(cost="a dollar")},
        {"usage": None},
        {"answer": None},
        {"answer": "half \ud83d a character"},
        {"voter": "half \ud83d a character"},
        {"variant": None},
        {"together": 0},
        {"together": "many"},
        {"from_cache": "perhaps"},
        {"error": 5},
        {"details": None},
        {"details": {"evidence": {1, 2}}},
        {"details": {"intensity": math.nan}},
        {"details": nested(300)},
        {"details": nested(30_000)},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_a_ballot_that_could_not_be_read_again_is_refused(sound, broken):
    with pytest.raises(ModelError, match=r"^fake gave a ballot on 'u1' that cannot be kept"):
        given(replace(sound, **broken))
