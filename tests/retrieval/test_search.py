"""Search under the guards, against a search that looks at every example."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.retrieval.guards import UNITS, Guard, GuardedRows, fold
from ragemo.retrieval.index import Index
from ragemo.retrieval.vectors import Composition
from tests.conftest import LABELS, FakeEmbedder, make_corpus, make_turn

TEXTS = ["Yeah.", "yeah", "YEAH!", "No way.", "Oh my God!", "oh my god", ""]

rows = st.fixed_dictionaries(
    {
        "dialogue": st.sampled_from("abc"),
        "text": st.sampled_from(TEXTS),
        "speaker": st.sampled_from(["Ann", "Bob", ""]),
        "session": st.sampled_from(["s1", "s2", None, ""]),
        "emotion": st.sampled_from([*LABELS.names, "fru", None]),
        "needs_prediction": st.booleans(),
    }
)
example = {
    "dialogue": "z",
    "text": "Fine.",
    "speaker": "Cid",
    "session": "s3",
    "emotion": "neu",
    "needs_prediction": True,
}
corpora = st.lists(rows, max_size=25).map(lambda drawn: make_corpus([example, *drawn]))
guards = st.builds(Guard, exclude=st.sampled_from(UNITS), duplicates=st.booleans())
compositions = st.sampled_from([Composition(weight=0), Composition(length=1), Composition()])


def build(corpus, composition=None):
    return Index.build(corpus, FakeEmbedder(), transcript="asr", composition=composition)


def forbidden(query, turn, guard):
    """What may not be shown, said once more and plainly."""
    if turn.dialogue_id == query.dialogue_id:
        return True
    if guard.exclude == "session" and query.session and turn.session == query.session:
        return True
    if guard.exclude == "speaker" and query.speaker and turn.speaker == query.speaker:
        return True
    words = ["".join(filter(str.isalnum, text.lower())) for text in (query.text, turn.text)]
    return guard.duplicates and words[0] == words[1]


def look_at_everything(index, vector, query, k, guard):
    found = []
    for row, (turn, label) in enumerate(zip(index.turns, index.gold, strict=True)):
        if label is not None and not forbidden(query, turn, guard):
            similarity = np.dot(index.window_vectors[row].astype(float), vector.astype(float))
            found.append((-round(float(similarity), 6), row))
    found.sort()
    return [row for _, row in found[:k]], [-similarity for similarity, _ in found[:k]]


@settings(max_examples=60, deadline=None)
@given(corpora, guards, compositions, st.integers(0, 40))
def test_search_finds_what_a_look_at_every_example_finds(corpus, guard, composition, k):
    index = build(corpus, composition)
    found = index.search(index.window_vectors, index.turns, k, guard)
    assert found.rows.shape == found.similarities.shape == (len(index.turns), k)
    for query, turn in enumerate(index.turns):
        expected, similarities = look_at_everything(
            index, index.window_vectors[query], turn, k, guard
        )
        count = len(expected)
        assert found.rows[query, :count].tolist() == expected
        assert found.similarities[query, :count] == pytest.approx(similarities, abs=2e-6)
        assert (found.rows[query, count:] == -1).all()
        assert (found.similarities[query, count:] == -np.inf).all()
        for demonstration in index.demonstrations(found, query, k, 3):
            assert not forbidden(turn, demonstration.window.target, guard)
            assert demonstration.label in LABELS.names


@settings(max_examples=40, deadline=None)
@given(corpora, guards, st.integers(1, 12), st.data())
def test_a_query_finds_the_same_alone_and_among_others(corpus, guard, k, data):
    index = build(corpus)
    query = data.draw(st.integers(0, len(index.turns) - 1))
    together = index.search(index.window_vectors, index.turns, k, guard)
    alone = index.search(index.window_vectors[[query]], [index.turns[query]], k, guard)
    assert np.array_equal(alone.rows[0], together.rows[query])
    assert np.array_equal(alone.similarities[0], together.similarities[query])


@pytest.mark.parametrize("exclude", UNITS)
def test_enough_are_found_where_nearly_all_are_forbidden(exclude):
    """400 forbidden examples are all nearer than the 5 that are allowed."""
    near = {"dialogue": "a", "session": "s1", "speaker": "Ann", "text": "Yeah."}
    far = [
        {"dialogue": f"b{n}", "session": "s2", "speaker": "Bob", "text": f"far {n}"}
        for n in range(5)
    ]
    index = build(make_corpus([*[near] * 400, *far]), Composition(weight=0))
    found = index.search(index.window_vectors[:1], index.turns[:1], 4, Guard(exclude))
    ids = {index.turns[row].dialogue_id for row in found.rows[0]}
    assert len(ids) == 4
    assert ids <= {f"b{n}" for n in range(5)}


@pytest.mark.parametrize("queries", [1, 40])
def test_of_many_equal_examples_the_first_of_the_corpus_come(queries):
    """Which of 300 equal ones FAISS returns depends on its blocks and on the batch."""
    rows = [{"dialogue": f"d{n}", "text": "Yeah." if n % 2 else f"text {n}"} for n in range(600)]
    index = build(make_corpus(rows), Composition(weight=0))
    vectors = np.repeat(index.window_vectors[[1]], queries, axis=0)
    found = index.search(vectors, [make_turn("Yeah.", dialogue_id="q")] * queries, 110)
    for row in found.rows:
        assert row.tolist() == list(range(1, 220, 2))


@pytest.mark.parametrize("queries", [1, 40])
def test_of_many_equally_similar_examples_the_first_of_the_corpus_come(queries):
    """They differ by less than six digits show: FAISS would bring the last ones."""
    rng = np.random.default_rng(0)
    query = np.eye(1, 16)[0]
    others = rng.normal(size=(300, 16))
    others[:, 0] = 0
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    turned, _ = np.linalg.qr(rng.normal(size=(16, 16)))
    similarities = 0.6 + np.arange(300)[:, None] * 1.5e-9
    vectors = ((similarities * query + 0.8 * others) @ turned).astype(np.float32)
    index = Index(
        turns=[make_turn(f"{n}", dialogue_id=f"d{n}") for n in range(300)],
        gold=["neu"] * 300,
        vectors=vectors,
        labels=LABELS,
        composition=Composition(weight=0),
        embedder={},
        transcript="asr",
        corpus={},
    )
    asked = np.zeros((queries, 32), dtype=np.float32)
    asked[:, :16] = query @ turned
    found = index.search(asked, [make_turn(dialogue_id="q")] * queries, 8)
    assert (found.similarities == 0.6).all()
    for row in found.rows:
        assert row.tolist() == list(range(8))


def test_missing_sessions_and_speakers_match_nothing():
    corpus = make_corpus(
        [{"dialogue": name, "text": name, "speaker": "", "session": None} for name in "abc"]
    )
    index = build(corpus)
    for exclude in UNITS:
        found = index.search(index.window_vectors[:1], index.turns[:1], 5, Guard(exclude))
        assert sorted(found.rows[0].tolist()) == [-1, -1, -1, 1, 2]


def test_a_corpus_of_one_dialogue_has_no_neighbours_for_it():
    index = build(make_corpus([{"dialogue": "a", "text": text} for text in ("x", "y")]))
    found = index.search(index.window_vectors, index.turns, 3)
    assert (found.rows == -1).all()
    assert index.demonstrations(found, 0, 3, 0) == ()


def test_an_example_s_window_has_its_context_and_no_other_dialogue_s():
    corpus = make_corpus(
        [{"dialogue": name, "text": f"{name}{n}"} for name in "ab" for n in range(4)]
    )
    index = build(corpus)
    assert [turn.text for turn in index.window(6, 2).turns] == ["b0", "b1", "b2"]
    assert [turn.text for turn in index.window(6, 9).turns] == ["b0", "b1", "b2"]
    assert [turn.text for turn in index.window(6, 0).turns] == ["b2"]


@given(st.text(st.characters(max_codepoint=127)))
def test_case_and_punctuation_do_not_tell_texts_apart(text):
    assert fold(text) == fold(f" {text.upper()}?! ")


def test_repeated_words_are_told_whatever_their_dress():
    turns = [make_turn(text) for text in ("Oh, my GOD!", "oh my god", "oh my gods")]
    query = make_turn("Oh my God...", dialogue_id="q")
    guarded = GuardedRows(turns)
    rows = np.arange(3)
    assert guarded.allowed(rows, query, Guard(duplicates=True)).tolist() == [False, False, True]
    assert guarded.allowed(rows, query, Guard()).all()
    assert guarded.allowed(rows[:0], query, Guard(duplicates=True)).tolist() == []


def test_an_unknown_unit_is_refused():
    with pytest.raises(SettingsError, match="exclude 'none': expected one of dialogue, session"):
        Guard("none")
