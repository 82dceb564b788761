"""Small corpora, language models and runs that the pipeline's tests share."""

import math
from dataclasses import replace
from zlib import crc32

from ragemo.pipeline import predict
from ragemo.settings import resolve_settings
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.fake_llm import FakeLLM

WORDS = LABELS.words


def chance(*things):
    """A number drawn by lot from 0 to 999, the same for the same things."""
    return crc32(repr(things).encode()) % 1000


def _row(number):
    label = chance(number) % 3
    # A word that tells the label, in most cases.
    telling = label if chance("telling", number) < 800 else (label + 1) % 3
    return {
        "dialogue": f"{'abc'[number // 8]}",
        "text": f"words number {number} told{telling}",
        "emotion": LABELS.names[label],
        "speaker": "AB"[number % 2],
    }


ROWS = [_row(number) for number in range(24)]

NO_INDEX = resolve_settings({}, {"retrieval.k": 0})

SELF_CONSISTENCY = {"voting.pool": "majority", "voting.voters": ["fake"], "retrieval.k": 0}
"""Nothing but the majority of the language model's answers."""


def ask_all(corpus, out, settings=NO_INDEX, **others):
    return predict(corpus, settings, out, embedder=FakeEmbedder(), **others)


def settings_with(**overrides):
    """Settings by dotted name, with `__` for the dot."""
    return resolve_settings({}, {name.replace("__", "."): v for name, v in overrides.items()})


def varied(prompt, sample):
    """Any answer, whatever is asked."""
    return WORDS[chance(prompt.utterance_id, sample) % 3]


def mostly_right(gold, share=0.8):
    """Answers with the gold label in so many of ten cases, else with one by lot."""

    def say(prompt, sample):
        name = prompt.utterance_id
        if chance("right", name, sample) < 1000 * share:
            return gold[name]
        return WORDS[chance("wrong", name, sample) % 3]

    return say


def gold_of(*corpora):
    return {u.id: u.emotion for corpus in corpora for u in corpus.utterances}


def heard_by(corpus, *systems):
    """The corpus as several recognisers heard it, each in words of its own."""
    return replace(
        corpus,
        dialogues=tuple(
            replace(
                dialogue,
                utterances=tuple(
                    replace(
                        u,
                        hypotheses={name: f"{u.hypotheses['asr']} {name}" for name in systems},
                    )
                    for u in dialogue.utterances
                ),
            )
            for dialogue in corpus.dialogues
        ),
    )


def telling_rows(dialogues, turns, prefix, seed=0, noise=35):
    """Rows whose words tell the label, but for `noise` of 100, which may tell any."""

    def word(*place):
        label = chance(*place[:-1]) % 3
        told = chance("other", *place) % 3 if chance("noise", *place) % 100 < noise else label
        return f"w{told}n{chance('word', *place) % 6}"

    return [
        {
            "dialogue": f"{prefix}{dialogue}",
            "text": " ".join(word(prefix, dialogue, turn, seed, n) for n in range(3)),
            "emotion": LABELS.names[chance(prefix, dialogue, turn, seed) % 3],
            "speaker": "AB"[turn % 2],
        }
        for dialogue in range(dialogues)
        for turn in range(turns)
    ]


def telling_corpus(dialogues, turns, prefix, **others):
    return make_corpus(telling_rows(dialogues, turns, prefix, **others))


class ScoringLLM(FakeLLM):
    """Gives every label a log likelihood: `scores(prompt)`."""

    exact = True

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    async def ask(self, prompt, labels, samples):
        ballots = await super().ask(prompt, labels, samples)
        scores = tuple(self.scores(prompt))
        shares = [math.exp(score) for score in scores]
        told = tuple(share / sum(shares) for share in shares)
        return [
            replace(ballot, distribution=told, log_likelihoods=scores, answer="")
            for ballot in ballots
        ]


class WarmLLM(FakeLLM):
    """Says at which temperature it is asked."""

    def __init__(self, temperature, name="fake", say=varied):
        super().__init__(say)
        self.temperature = temperature
        self.name = name

    @property
    def identity(self):
        return {"model": self.name, "temperature": self.temperature}


def decided(folder):
    """What was decided, as bytes."""
    names = ("verdicts.jsonl", "predictions.csv", "panel.json", "review.csv")
    return {name: (folder / name).read_bytes() for name in names}


def asked_of(run, voter="fake", purpose="verdict"):
    """(utterance, sample) of a voter's ballots on disk."""
    return sorted(
        (b.utterance_id, b.sample)
        for b in run.ballots()
        if b.voter == voter and b.purpose == purpose
    )
