"""Validated on its own index, a corpus tells nothing of an utterance but what others taught.

Worlds in which each dialogue (or session, or speaker) has words and one label of its own: whoever
has seen one window of it knows all. The label is drawn by lot, so nobody who has not can know it.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from ragemo.pipeline import predict
from ragemo.retrieval.index import Index
from ragemo.settings import resolve_settings
from ragemo.types import Ballot
from ragemo.voting.imported import Imported
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import chance, gold_of, mostly_right

UNITS = {"dialogue": "dialogue_id", "session": "session", "speaker": "speaker"}
SIZES = {"dialogue": (66, 66), "session": (66, 33), "speaker": (96, 24)}
"""Dialogues of four turns, and units."""


class WordEmbedder(FakeEmbedder):
    """The mean of the words' vectors."""

    def embed(self, texts, progress=lambda done: None):
        words = sorted({word for text in texts for word in text.split()})
        place = {word: row for row, word in enumerate(words)}
        known = super().embed(words) if words else np.zeros((0, self.dimension), np.float32)
        vectors = [known[[place[word] for word in text.split()]].sum(axis=0) for text in texts]
        return np.array(
            [vector / max(float(np.linalg.norm(vector)), 1e-9) for vector in vectors],
            dtype=np.float32,
        )


def world(kind, *, seed=0, flipped=(), asked=None):
    """A corpus in which the units that are flipped have another label.

    Only the units that are asked about need a prediction, by default all. Each label is that of
    as many units as the others.
    """
    dialogues, units = SIZES[kind]
    labels = np.random.default_rng(seed).permutation(units) % 3
    rows = []
    for dialogue in range(dialogues):
        for turn in range(4):
            unit = dialogue % units
            if kind == "speaker" and turn % 2:
                unit = (dialogue + 1 + dialogue // units) % units
            rows.append(
                {
                    "dialogue": f"d{dialogue:02}",
                    "text": " ".join(f"u{unit}w{chance(dialogue, turn, n) % 9}" for n in range(3)),
                    "emotion": LABELS.names[(labels[unit] + (unit in flipped)) % 3],
                    "session": f"s{dialogue % units:02}",
                    "speaker": f"S{unit:02}" if kind == "speaker" else "AB"[turn % 2],
                    "needs_prediction": asked is None or unit in asked,
                }
            )
    return make_corpus(rows)


def indexed(kind, **others):
    return Index.build(world(kind, **others), WordEmbedder(dimension=16))


def copied(prompt, sample):
    """What the most similar example says."""
    return prompt.demonstrations[0].label


def run_on(corpus, out, index, say, imported=(), **overrides):
    settings = resolve_settings({}, {"retrieval.k": 4} | overrides)
    return predict(
        corpus,
        settings,
        out,
        index=index,
        embedder=WordEmbedder(dimension=16),
        llm=FakeLLM(say),
        imported=imported,
    )


def right(run, corpus):
    gold = gold_of(corpus)
    return np.mean([verdict.label == gold[verdict.utterance_id] for verdict in run.verdicts()])


# -- at chance -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", UNITS)
def test_what_only_the_left_out_could_tell_is_not_known(tmp_path, kind):
    """Of the verdicts, with all that is fitted, no more are right than by chance.

    Rather fewer: where a unit is left out, its label is rarer among the rest.
    """
    corpus, index = world(kind), indexed(kind)
    run = run_on(corpus, tmp_path / "r", index, copied, **{"retrieval.exclude": kind})
    panels = [record["panel"] for record in run.panels()]
    assert len(panels) >= 5
    assert sum(p["decoder"] == "filter" and p["temperature"] != 1 for p in panels) > len(panels) / 2
    assert 0.1 < right(run, corpus) < 0.5


def test_who_may_have_seen_another_window_of_the_unit_knows(tmp_path):
    """So the test above would see a leak."""
    corpus, index = world("session"), indexed("session")
    run = run_on(corpus, tmp_path / "r", index, copied, limit=40)
    assert right(run, corpus) > 0.7


# -- to the byte -----------------------------------------------------------------------------------


def lines_of(run, names):
    """The verdicts on some utterances, as bytes."""
    lines = (run.path / "verdicts.jsonl").read_bytes().splitlines()
    return [line for line in lines if json.loads(line)["utterance_id"] in names]


def of_unit(corpus, kind, unit):
    prefix = "S" if kind == "speaker" else kind[0]
    name = f"{prefix}{unit:02}"
    return [u for u in corpus.utterances if getattr(u, UNITS[kind]) == name]


@pytest.mark.parametrize("kind", UNITS)
def test_other_labels_of_a_unit_change_no_byte_of_its_verdicts(tmp_path, kind):
    """Neither by the index, nor by the weights of a model and a system that knew the old ones."""
    truth = gold_of(world(kind))
    ballots = [Ballot(name, "audio", distribution=LABELS.one_hot(truth[name])) for name in truth]
    known = Imported(tuple(ballots), ("audio",), (), Path("audio.csv"), "a" * 64)
    verdicts = []
    for flipped in ((), (3,)):
        # A second unit shows that there is something to see; the speakers are many parts as it is.
        corpus = world(kind, flipped=flipped, asked=(3,) if kind == "speaker" else (3, 4))
        run = run_on(
            corpus,
            tmp_path / f"flipped {flipped}",
            indexed(kind, flipped=flipped),
            mostly_right(truth),
            [known],
            **{"retrieval.exclude": kind, "llm.samples": 2},
        )
        own = of_unit(corpus, kind, 3)
        assert {truth[u.id] == u.emotion for u in own} == {not flipped}
        everybody = {verdict.utterance_id for verdict in run.verdicts()}
        verdicts.append((lines_of(run, {u.id for u in own}), lines_of(run, everybody)))
        assert len(verdicts[-1][0]) == len(own)
        # Both are weighed by labelled windows: by those of other units.
        how = {weighed["by"] for record in run.panels() for weighed in record["weighed"]}
        assert how == {"labelled windows"}
    (before, all_before), (after, all_after) = verdicts
    assert before == after
    # The others' verdicts do rest on these labels.
    assert (all_before != all_after) == (kind != "speaker")
