"""What the index believes of an utterance, before it is shown to a language model."""

from dataclasses import replace

import numpy as np
import pytest

from ragemo.corpus.transcripts import choose_transcripts
from ragemo.corpus.windows import turns_of
from ragemo.errors import SettingsError
from ragemo.pipeline import make_plan, predict
from ragemo.pipeline.hints import held_out_hints, target_hints
from ragemo.pipeline.plan import look_up
from ragemo.retrieval.index import Index
from ragemo.settings import resolve_settings
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.fake_llm import FakeLLM, user_text
from tests.pipeline.moods import lasting_corpus, lasting_rows

TRAIN = lasting_corpus(40, 12, "train")
ASKED = lasting_corpus(4, 12, "asked", seed=1)
WORDS = dict(zip(LABELS.names, LABELS.words, strict=True))


@pytest.fixture(scope="module")
def index():
    return Index.build(TRAIN, FakeEmbedder())


def planned(corpus, index, llm=None, **overrides):
    settings = resolve_settings({}, {"retrieval.k": 2} | overrides)
    return make_plan(corpus, settings, index=index, embedder=FakeEmbedder(), llm=llm)


def hints_of(corpus, index, **overrides):
    settings = resolve_settings({}, {"retrieval.k": 2} | overrides)
    utterances = corpus.utterances
    chosen = choose_transcripts(utterances, "asr")
    by_id = {u.id: transcript for u, transcript in zip(utterances, chosen, strict=True)}
    turns = [turn for dialogue in corpus.dialogues for turn in turns_of(dialogue, by_id)]
    rows = list(range(len(turns)))[: settings.limit]
    retrieval = look_up(
        settings, turns, rows, index=index, embedder=FakeEmbedder(), sha256=corpus.sha256
    )
    targets = [turns[row].utterance_id for row in rows]
    return target_hints(turns, targets, retrieval, settings.voting)


def decided(corpus, index, out, **overrides):
    settings = resolve_settings({}, {"retrieval.k": 2, "llm.model": "none"} | overrides)
    run = predict(corpus, settings, out, index=index, embedder=FakeEmbedder())
    return {verdict.utterance_id: verdict for verdict in run.verdicts()}


def own_index(corpus):
    """Of the corpus itself, which is told by its hash."""
    return Index.build(corpus, FakeEmbedder())


VOTINGS = [
    {},
    {"voting.pool": "mean"},
    {"voting.pool": "dawid-skene"},
    {"voting.pool": "majority"},
    {"voting.dialogue": "none"},
    {"voting.voters": ["probe", "words"]},
    {"voting.correction": 1.0},
    {"retrieval.exclude": "speaker"},
    {"limit": 9},
    {"retrieval.strategy": ["random"], "retrieval.k": 5},
]


def test_earlier_turns_count_in_a_hint(index):
    """Without which most of what follows could not fail."""
    filtered = hints_of(ASKED, index)
    alone = hints_of(ASKED, index, **{"voting.dialogue": "none"})
    assert any(
        abs(one - two) > 0.1 for t in alone for one, two in zip(alone[t], filtered[t], strict=True)
    )


@pytest.mark.parametrize("overrides", VOTINGS, ids=str)
def test_a_hint_is_what_the_index_decides_alone(index, tmp_path, overrides):
    verdicts = decided(ASKED, index, tmp_path / "r", **overrides)
    hints = hints_of(ASKED, index, **overrides)
    assert set(hints) == set(verdicts)
    for target, shares in hints.items():
        assert shares == pytest.approx(verdicts[target].distribution, abs=1e-6)
    assert len({tuple(np.round(shares, 3)) for shares in hints.values()}) > 2


def test_so_it_is_for_the_index_s_own_dialogues(tmp_path):
    corpus = lasting_corpus(10, 6, "own")
    index = own_index(corpus)
    verdicts = decided(corpus, index, tmp_path / "r")
    for target, shares in hints_of(corpus, index).items():
        assert shares == pytest.approx(verdicts[target].distribution, abs=1e-6)


def test_the_hint_is_shown_in_words_and_percents(index, tmp_path):
    llm = FakeLLM()
    plan = planned(ASKED, index, llm, **{"prompt.template": "hint", "voting.checks": 20})
    verdicts = decided(ASKED, index, tmp_path / "r")
    believed = held_out_hints(index, resolve_settings({}, {}).voting)
    believed |= {target: verdict.distribution for target, verdict in verdicts.items()}
    assert len(plan.prompts) == 48
    assert plan.checks
    for prompt in [*plan.prompts, *(question.prompt for question in plan.checks)]:
        shares = believed[prompt.utterance_id]
        said = user_text(prompt).partition("Estimate, which may be wrong: ")[2].split("\n")[0]
        percents = {}
        for part in said.split(", "):
            word, _, percent = part.partition(" ")
            percents[word] = int(percent.removesuffix("%"))
        for name, share in zip(LABELS.names, shares, strict=True):
            if share > 0.02:
                assert abs(percents[WORDS[name]] - 100 * share) <= 1


def flipped(corpus, dialogue):
    """The corpus with other labels in one dialogue."""
    names = LABELS.names
    return replace(
        corpus,
        dialogues=tuple(
            replace(
                one,
                utterances=tuple(
                    replace(u, emotion=names[(names.index(u.emotion) + 1) % 3])
                    for u in one.utterances
                ),
            )
            if one.id == dialogue
            else one
            for one in corpus.dialogues
        ),
    )


@pytest.mark.parametrize(("dialogue", "way"), [("train5", "filter"), ("train39", "viterbi")])
def test_the_labels_of_its_own_dialogue_change_no_hint(dialogue, way):
    """The index holds the very dialogues that are asked about."""
    other = flipped(TRAIN, dialogue)
    one, two = (
        hints_of(TRAIN, own_index(each), **{"voting.dialogue": way}) for each in (TRAIN, other)
    )
    own = [target for target in one if target.rpartition("_")[0] == dialogue]
    assert len(own) == 12
    for target in own:
        assert one[target] == two[target]
    # Those of other dialogues do change: they have learned from it.
    assert any(one[target] != two[target] for target in one if target not in own)


@pytest.mark.parametrize("unit", ["session", "speaker"])
def test_nor_do_those_of_its_own_session_or_speaker(unit):
    def labelled(change):
        rows = lasting_rows(12, 6, "train")
        for row in rows:
            number = int(row["dialogue"].removeprefix("train"))
            row["session"] = f"s{number // 3}"
            row["speaker"] = f"p{number // 3}"
            if number // 3 == 2 and change:
                row["emotion"] = LABELS.names[(LABELS.names.index(row["emotion"]) + 1) % 3]
        return make_corpus(rows)

    how = {"retrieval.exclude": unit}
    one, two = (hints_of(labelled(c), own_index(labelled(c)), **how) for c in (False, True))
    own = [f"train{number}_{turn}" for number in (6, 7, 8) for turn in range(6)]
    assert all(one[target] == two[target] for target in own)
    assert any(one[target] != two[target] for target in one if target not in own)


def reworded(corpus, after):
    """The corpus with other words from a turn on."""
    return replace(
        corpus,
        dialogues=tuple(
            replace(
                one,
                utterances=tuple(
                    replace(u, hypotheses={"asr": "w2n0 w2n1"}) if u.turn > after else u
                    for u in one.utterances
                ),
            )
            for one in corpus.dialogues
        ),
    )


@pytest.mark.parametrize("way", ["filter", "viterbi"])
def test_no_hint_looks_ahead(index, way):
    """Also where the verdicts do."""
    one, two = (
        hints_of(corpus, index, **{"voting.dialogue": way})
        for corpus in (ASKED, reworded(ASKED, after=5))
    )
    early = [target for target in one if int(target.rpartition("_")[2]) <= 5]
    assert len(early) == 24
    for target in early:
        assert one[target] == two[target]
    assert any(one[target] != two[target] for target in one if target not in early)
    assert one == hints_of(ASKED, index, **{"voting.dialogue": "filter"})


def test_a_template_with_a_hint_needs_an_index():
    settings = resolve_settings({}, {"retrieval.k": 0, "prompt.template": "hint"})
    with pytest.raises(SettingsError, match=r"hint shows what the index believes.*--index"):
        make_plan(ASKED, settings, llm=FakeLLM())


def test_nobody_believes_anything_for_a_template_that_does_not_show_it(index):
    plan = planned(ASKED, index, FakeLLM())
    assert all("Estimate" not in user_text(prompt) for prompt in plan.prompts)
