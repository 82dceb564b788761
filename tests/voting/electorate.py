"""Made up for the tests: ballots of any kind, voters of a known worth, dialogues and files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ragemo.errors import DataError
from ragemo.types import Ballot, Turn
from ragemo.voting.imported import Imported, read_ballots
from ragemo.voting.panel import POOLS, Labelled
from ragemo.voting.transitions import Links, Transitions, count_transitions, links_of
from ragemo.voting.votes import Floats, Integers, Votes, count_votes, votes_of_arrays
from tests.conftest import LABELS, make_turn

SIZE = len(LABELS)

some_examples = settings(deadline=None, max_examples=25)
"""For properties of what `electorates` draws, which takes its time."""

many_examples = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""For properties of files, each written over the last in one folder."""

every_pool = pytest.mark.parametrize("pool", POOLS)


def names(count: int) -> list[str]:
    """Ids of utterances."""
    return [f"u{number:03}" for number in range(count)]


def says(label: str, voter: str = "llm", utterance: str = "u000", sample: int = 0) -> Ballot:
    """A bare label."""
    return Ballot(utterance, voter, sample, LABELS.one_hot(label))


def leans(*shares: float, voter: str = "llm", utterance: str = "u000", sample: int = 0) -> Ballot:
    """A distribution."""
    return Ballot(utterance, voter, sample, shares)


distributions = st.sampled_from(
    sorted(
        {
            tuple(share / sum(raw) for share in raw)
            for raw in product(range(7), repeat=SIZE)
            if any(raw)
        }
    )
)
"""Of small whole numbers, so that shares tie, vanish and are bare labels at times."""


@st.composite
def electorates(draw, voters: int = 4, utterances: int = 5) -> tuple[list[Ballot], list[str]]:
    """Ballots of a few voters, who may be silent, speak several times or say nothing usable."""
    ids = names(draw(st.integers(1, utterances)))
    said = st.lists(st.one_of(distributions, st.sampled_from(["?", "!"])), max_size=3)
    ballots = []
    for voter in range(draw(st.integers(0, voters))):
        for utterance in ids:
            for sample, what in enumerate(draw(said)):
                ballots.append(
                    Ballot(
                        utterance,
                        f"v{voter}",
                        sample,
                        distribution=None if isinstance(what, str) else what,
                        error="timeout" if what == "!" else None,
                    )
                )
    return ballots, ids


def votes_of(ballots: Sequence[Ballot], ids: Sequence[str]) -> Votes:
    return count_votes(ballots, ids, SIZE)


# -- voters of a known worth ---------------------------------------------------------------------


def informed(
    gold: Integers,
    prior: Sequence[float],
    worth: float,
    dice: np.random.Generator,
    confidence: float = 1.0,
) -> Floats:
    """What a voter believes who sees each label's score, `worth` higher for the right one, in
    noise of standard deviation 1. Calibrated if the confidence is 1; 0 worth says the prior.
    """
    scores = dice.normal(size=(len(gold), len(prior))) + worth * np.eye(len(prior))[gold]
    beliefs = np.array(prior) * np.exp(worth * scores)
    beliefs = (beliefs / beliefs.sum(axis=1, keepdims=True)) ** confidence
    return beliefs / beliefs.sum(axis=1, keepdims=True)


def labelled(
    shares: Mapping[str, Floats], gold: Integers, prior: Sequence[float], length: int = 10
) -> Labelled:
    """Votes on labelled windows, in dialogues of two speakers of so many turns."""
    turns = turns_of(len(gold), length)
    links = links_of(turns)
    return Labelled(
        votes_of_arrays(shares, [turn.utterance_id for turn in turns], len(prior)),
        gold,
        links,
        count_transitions(links, gold, prior),
    )


def turns_of(count: int, length: int = 10) -> list[Turn]:
    return [
        make_turn(
            number=row % length,
            dialogue_id=f"d{row // length}",
            utterance_id=f"u{row:03}",
            speaker="AB"[row % 2],
        )
        for row in range(count)
    ]


def log_loss(shares: Floats, gold: Integers) -> float:
    """The mean of -log P(gold)."""
    return float(-np.log(np.maximum(shares[np.arange(len(gold)), gold], 1e-12)).mean())


# -- dialogues -----------------------------------------------------------------------------------


speakers = st.text("ABCD-", min_size=1, max_size=7)
"""Of one dialogue, as `linked` takes them."""


def linked(*dialogues: str) -> Links:
    """The links of dialogues given by their speakers, a letter each; "-" is an unknown one."""
    return links_of(
        [
            make_turn(number=turn, dialogue_id=f"d{number}", speaker=speaker.strip("-"))
            for number, speakers in enumerate(dialogues)
            for turn, speaker in enumerate(speakers)
        ]
    )


def sticky(own_strength: float = 1.0, other_strength: float = 1.0) -> Transitions:
    """Even label shares; an own label stays with .8, another's comes over with .6."""
    even = np.full(3, 1 / 3)
    return Transitions(
        even,
        np.full((3, 3), 0.1) + 0.7 * np.eye(3),
        np.full((3, 3), 0.2) + 0.4 * np.eye(3),
        own_strength,
        other_strength,
    )


# -- files of predictions ------------------------------------------------------------------------


def put(folder: Path, content: str | bytes, name: str = "audio.csv") -> Path:
    """The file, written."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def json_lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(folder: Path, content: str | bytes, **how: Any) -> Imported:
    """The ballots of a file of this content."""
    return read_ballots(put(folder, content), LABELS, **how)


def problem(folder: Path, content: str | bytes, **how: Any) -> str:
    """The one message about a file of this content, from behind its path."""
    with pytest.raises(DataError) as caught:
        read(folder, content, **how)
    message = str(caught.value)
    assert message.startswith(str(folder / "audio.csv"))
    return message.removeprefix(str(folder / "audio.csv"))
