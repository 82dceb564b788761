from dataclasses import replace

import numpy as np
import pytest

from ragemo.errors import SettingsError
from ragemo.retrieval.guards import UNITS, Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.retrieve import retrieve
from ragemo.retrieval.vectors import Composition
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.retrieval.voters.fitting import questions_of
from ragemo.settings import OnlySettings
from tests.conftest import FakeEmbedder, make_corpus
from tests.retrieval.worlds import CORPUS, build


@pytest.fixture
def index():
    return build()


def test_labelled_utterances_to_predict_are_the_examples(index):
    assert len(index.turns) == 30
    ids = {index.turns[row].utterance_id for row in index.examples}
    assert "d0_3" not in ids, "its label is not of the set"
    assert "d0_4" not in ids, "it is context only"
    assert len(ids) == 30 - 1 - 3
    assert index.label_counts == {"neu": 8, "hap": 9, "ang": 9}
    assert sum(index.prior) == pytest.approx(1)


def test_a_label_without_examples_stays_possible():
    corpus = make_corpus(
        [{"dialogue": f"d{n}", "text": f"{n}", "emotion": ("neu", "hap")[n % 2]} for n in range(9)]
    )
    index = build(corpus)
    assert index.label_counts["ang"] == 0
    assert index.prior[2] > 0
    asked = questions_of(index, index.turns, index.window_vectors, Guard())
    for name in INDEX_VOTERS:
        assert (index.voters[name].distributions(asked) > 0).all()
        assert (index.fitted.votes[name] > 0).all()


def test_a_corpus_without_labels_is_refused():
    corpus = make_corpus([{"dialogue": "d", "text": "hi", "emotion": None}])
    with pytest.raises(SettingsError, match=r"corpus\.csv: no utterance has a label of 'three'"):
        build(corpus)


def test_the_reference_transcript_is_nowhere_in_it(index, tmp_path):
    index.save(tmp_path / "index")
    for path in (tmp_path / "index").iterdir():
        for encoding in ("utf-8", "utf-32-le"):  # the second in NumPy's arrays
            assert "human".encode(encoding) not in path.read_bytes()
    assert "utterance".encode("utf-32-le") in (tmp_path / "index" / "voters.npz").read_bytes()
    asked = Index.build(CORPUS, FakeEmbedder(), transcript="reference")
    assert asked.turns[0].text == "the-human-transcript"
    assert asked.summary()["transcript"] == "reference"


def test_another_composition_costs_no_embedding(index):
    how = Composition(weight=0.5, decay=0.9, length=2)
    recomposed = index.recomposed(how)
    assert recomposed.fingerprint == build(composition=how).fingerprint
    assert recomposed.fingerprint != index.fingerprint
    assert index.recomposed(index.composition) is index


def test_its_voters_are_fitted_when_they_are_first_asked_for(monkeypatch):
    index = build()
    monkeypatch.setattr("ragemo.retrieval.voters.fitting.fit_voters", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        _ = index.voters


@pytest.mark.parametrize("exclude", UNITS)
def test_without_some_labels_it_is_the_index_of_a_corpus_that_never_had_them(index, exclude):
    left_out = np.array([index.turns[row].dialogue_id in ("d1", "d4") for row in index.examples])
    blank = replace(
        CORPUS,
        dialogues=tuple(
            replace(
                dialogue,
                utterances=tuple(
                    replace(u, emotion=None if u.dialogue_id in ("d1", "d4") else u.emotion)
                    for u in dialogue.utterances
                ),
            )
            for dialogue in CORPUS.dialogues
        ),
    )
    part, other = index.without(left_out, exclude), build(blank)
    other.exclude = exclude
    assert len(part.turns) == 30, "what bears no label is context"
    assert part.fingerprint == other.fingerprint
    assert part.label_counts == other.label_counts
    assert part.prior == other.prior
    for name in INDEX_VOTERS:
        assert np.array_equal(part.fitted.votes[name], other.fitted.votes[name])
    found = part.search(part.window_vectors, part.turns, 30)
    assert set(found.rows.ravel().tolist()) == {-1, *part.examples.tolist()}
    assert np.array_equal(part.window_vectors, index.window_vectors)
    # The index itself stays as it is.
    assert len(index.examples) == 26
    assert index.exclude == "dialogue"


def test_without_nothing_it_is_the_same(index):
    assert index.without(np.zeros(26, dtype=bool)).fingerprint == index.fingerprint


@pytest.mark.parametrize("factory", ["IVF20,Flat", "HNSW32"])
@pytest.mark.parametrize(
    "asked",
    [{"same_corpus": True}, {"only": OnlySettings(sessions=("s1",))}],
    ids=["own dialogues", "only"],
)
def test_parts_of_an_approximate_index_need_no_windows_to_train_on(factory, asked):
    index = build(factory=factory)
    targets = list(range(6))
    found = retrieve(index, FakeEmbedder(), index.turns, targets, k=4, **asked)
    plain = retrieve(build(), FakeEmbedder(), index.turns, targets, k=4, **asked)
    assert index.factory == factory
    assert [one.demonstrations for one in found.found] == [o.demonstrations for o in plain.found]
    assert [one.votes for one in found.found] == [one.votes for one in plain.found]


def test_a_part_keeps_its_part_under_another_composition(index):
    left_out = np.array([index.turns[row].session == "s1" for row in index.examples])
    how = Composition(weight=0.5)
    one = index.without(left_out, "session").recomposed(how)
    other = index.recomposed(how).without(left_out, "session")
    assert one.exclude == other.exclude == "session"
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    "change",
    [{"text": "other"}, {"emotion": "ang"}, {"speaker": "C"}, {"session": "s9"}],
)
def test_the_fingerprint_tells_other_inputs(change):
    row = {"dialogue": "d", "text": "hi", "emotion": "neu"}
    rows = [row, {"dialogue": "e", "text": "ho"}]
    assert build(make_corpus(rows)).fingerprint == build(make_corpus(rows)).fingerprint
    other = build(make_corpus([row | change, rows[1]]))
    assert other.fingerprint != build(make_corpus(rows)).fingerprint
