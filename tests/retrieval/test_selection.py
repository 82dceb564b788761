"""Each strategy chooses what its docstring says, in worlds where that can be told by hand."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.strategies import Queries, choose, load_strategies
from ragemo.retrieval.strategies import vote_k as vote_k_module
from ragemo.retrieval.strategies.vote_k import vote_k
from tests.conftest import make_turn
from tests.retrieval.worlds import (
    at,
    build,
    make_cross_encoder,
    queries_of,
    scattered,
    vector_index,
)

ALIKE = (0.4, 0.35, 0.25)


def chosen(name, index, queries, k, seed=0, **options):
    """The rows chosen for the first query."""
    strategies = load_strategies([name], index, seed=seed, options={name: options})
    return choose(strategies, index, queries, k).rows[0].tolist()


# -- balanced and ambiguous ------------------------------------------------------------------------

SIX = ["neu"] * 6 + ["hap", "hap", "ang"]
FAN = vector_index(at(*range(0, 45, 5)), SIX)
"""Nine examples, each five degrees farther from the query than the one before."""


@pytest.mark.parametrize(
    ("beliefs", "k", "expected"),
    [
        (ALIKE, 3, [0, 6, 8]),
        ((0.2, 0.5, 0.3), 3, [6, 8, 0]),
        ((0.2, 0.5, 0.3), 2, [6, 8]),  # fewer than labels: the unlikely ones are left out
        ((0.2, 0.5, 0.3), 1, [6]),
        ((0.2, 0.5, 0.3), 6, [6, 8, 0, 7, 1, 2]),  # who runs out leaves the others its share
        (ALIKE, 9, [0, 6, 8, 1, 7, 2, 3, 4, 5]),
        (ALIKE, 11, [0, 6, 8, 1, 7, 2, 3, 4, 5, -1, -1]),
        ((1 / 3, 1 / 3, 1 / 3), 3, [0, 6, 8]),
    ],
)
def test_balanced_gives_each_label_its_share(beliefs, k, expected):
    assert chosen("balanced", FAN, queries_of(at(0), beliefs), k) == expected


def test_balanced_shares_what_is_left_after_the_guard():
    queries = queries_of(at(0), ALIKE)
    own = Queries([make_turn("x", dialogue_id="d8")], queries.vectors, queries.beliefs, Guard())
    assert chosen("balanced", FAN, own, 5) == [0, 6, 1, 7, 2]


def test_balanced_manages_without_a_label_that_nobody_bears():
    index = vector_index(at(0, 5, 10), ["neu", "ang", "neu"])
    assert chosen("balanced", index, queries_of(at(0), (0.1, 0.8, 0.1)), 3) == [0, 1, 2]


@pytest.mark.parametrize(
    ("beliefs", "k", "expected"),
    [
        ((0.5, 0.1, 0.4), 4, [0, 2, 4, 5]),  # not the happy ones, however near
        ((0.4, 0.1, 0.5), 4, [0, 2, 4, 5]),
        ((0.1, 0.5, 0.4), 3, [1, 2, 3]),
        ((0.5, 0.1, 0.4), 6, [0, 2, 4, 5, 1, 3]),  # until there are no others left
        ((0.5, 0.1, 0.4), 8, [0, 2, 4, 5, 1, 3, -1, -1]),
        ((1 / 3, 1 / 3, 1 / 3), 2, [0, 1]),
    ],
)
def test_ambiguous_shows_the_two_likeliest_labels(beliefs, k, expected):
    index = vector_index(at(*range(0, 30, 5)), ["neu", "hap", "ang", "hap", "neu", "ang"])
    assert chosen("ambiguous", index, queries_of(at(0), beliefs), k) == expected


# -- mmr and dpp -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 30))
def test_mmr_with_nothing_but_relevance_is_knn(seed, k, candidates):
    index, queries = vector_index(scattered(20, 4, seed)), queries_of(scattered(1, 4, seed + 1))
    options = {"relevance": 1, "candidates": candidates}
    assert chosen("mmr", index, queries, k, **options) == chosen("knn", index, queries, k)


def test_mmr_does_not_take_the_same_twice_while_others_are_there():
    index, query = vector_index(at(10, 10, -60)), queries_of(at(0))
    assert chosen("knn", index, query, 2) == [0, 1]
    # .5 cos 10 - .5 cos 0 < .5 cos 60 - .5 cos 70
    assert chosen("mmr", index, query, 3, relevance=0.5) == [0, 2, 1]
    assert chosen("mmr", index, query, 2, relevance=0.5, candidates=2) == [0, 1]
    # .9 cos 10 - .1 cos 0 > .9 cos 60 - .1 cos 70
    assert chosen("mmr", index, query, 3, relevance=0.9) == [0, 1, 2]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([0, 0.3, 0.7]), st.integers(1, 8))
def test_mmr_maximises_its_equation(seed, relevance, k):
    vectors, query = scattered(15, 4, seed).astype(float), scattered(1, 4, seed + 1)
    index = vector_index(vectors.astype(np.float32))
    near = np.argsort(-(vectors @ query[0]))[:10].tolist()
    expected = []
    for _ in range(k):

        def value(row):
            like = max((vectors[row] @ vectors[s] for s in expected), default=0)
            return relevance * (vectors[row] @ query[0]) - (1 - relevance) * like

        values = {row: round(value(row), 5) for row in near if row not in expected}
        expected.append(max(values, key=values.__getitem__))  # the nearer one of equals
    options = {"relevance": relevance, "candidates": 10}
    assert chosen("mmr", index, queries_of(query), k, **options) == expected


def log_det(index, query, rows, relevance):
    vectors = index.window_vectors[rows].astype(float)
    features = vectors * np.exp(relevance * (vectors @ query.vectors[0]))[:, None]
    return np.linalg.slogdet(features @ features.T)[1]


def test_dpp_finds_the_best_subset_where_greedy_does():
    """Copies of vectors at right angles: the best set is the most relevant of different ones."""
    index = vector_index(np.eye(5, dtype=np.float32)[[3, 0, 1, 1, 0, 2, 4, 3]])
    query = np.array([[0.5, 0.1, 0.6, 0.4, 0.3]], dtype=np.float32)
    queries = queries_of(query / np.linalg.norm(query))
    for k in (1, 2, 3, 4):
        found = chosen("dpp", index, queries, k, relevance=2.0)
        best = max(
            log_det(index, queries, list(rows), 2.0)
            for rows in combinations(range(8), k)
            if len({index.window_vectors[row].tobytes() for row in rows}) == k
        )
        assert log_det(index, queries, found, 2.0) == pytest.approx(best, abs=1e-6)
    assert chosen("dpp", index, queries, 3, relevance=2.0) == [5, 1, 0]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([0, 1.0, 5.0, 100]))
def test_the_determinant_of_two_is_never_lower_than_that_of_the_nearest_two(seed, relevance):
    index, queries = vector_index(scattered(12, 4, seed)), queries_of(scattered(1, 4, seed + 1))
    found = chosen("dpp", index, queries, 2, relevance=relevance)
    nearest = chosen("knn", index, queries, 2)
    ours, theirs = (log_det(index, queries, rows, relevance) for rows in (found, nearest))
    assert ours >= theirs - 1e-5
    if relevance:
        assert found[0] == nearest[0]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_dpp_adds_what_adds_most_to_the_determinant(seed, k):
    index, queries = vector_index(scattered(10, 6, seed)), queries_of(scattered(1, 6, seed + 1))
    expected = []
    for _ in range(k):
        gains = {
            row: log_det(index, queries, [*expected, row], 1.5)
            for row in range(10)
            if row not in expected
        }
        expected.append(max(gains, key=gains.__getitem__))
    assert chosen("dpp", index, queries, k, relevance=1.5) == expected


def test_dpp_takes_copies_last_and_fills_up_with_the_nearest():
    index, query = vector_index(at(20, 20, 20, -70, 90)), queries_of(at(0))
    found = chosen("dpp", index, query, 5, relevance=0)
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert found[:2] == [0, 3]  # at right angles; the plane has no third direction
    assert found[2:] == [1, 2, 4]
    same = vector_index(at(20, 20, 20))
    assert chosen("dpp", same, query, 3) == [0, 1, 2]
    blank = vector_index(np.zeros((3, 2), dtype=np.float32))
    assert chosen("dpp", blank, query, 2) == [0, 1]


# -- hybrid ----------------------------------------------------------------------------------------

SMALL_TALK = ["so it is", "it was so", "that is it", "so that was it", "is that so"]


def talk(rare):
    """Six examples, each ten degrees farther than the one before; the farthest says `rare`."""
    return vector_index(at(*range(0, 60, 10)), texts=[*SMALL_TALK, rare])


def test_hybrid_brings_a_rare_word_forward():
    index = talk("my Xylophone, it is")
    query = queries_of(at(0), text="a xylophone!")
    assert chosen("knn", index, query, 6) == [0, 1, 2, 3, 4, 5]
    # 1/66 + 1/61 is more than 1/61
    assert chosen("hybrid", index, query, 6) == [5, 0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("said", "asked"),
    [("我今天很开心", "好开心啊"), ("すごく嬉しい", "嬉しいね"), ("OK开心", "真开心啊")],
)
def test_hybrid_knows_words_that_no_space_divides(said, asked):
    assert chosen("hybrid", talk(said), queries_of(at(0), text=asked), 2) == [5, 0]


@pytest.mark.parametrize("text", ["zebra", "", "?!"])
def test_hybrid_without_a_common_word_is_knn(text):
    """Whoever stands first in the corpus is not a better example for that."""
    index = vector_index(at(*range(50, -10, -10)), texts=[*SMALL_TALK, "fine"])
    assert chosen("hybrid", index, queries_of(at(0), text=text), 6) == [5, 4, 3, 2, 1, 0]


def test_hybrid_manages_an_index_without_words():
    index = vector_index(at(0, 10), texts=["", "…"])
    assert chosen("hybrid", index, queries_of(at(0), text="so"), 2) == [0, 1]


def test_hybrid_ranks_only_so_many_candidates():
    index, query = talk("xylophone"), queries_of(at(0), text="is it a xylophone")
    # Of two kinds of ranks one each: the nearest, and the best by words.
    assert chosen("hybrid", index, query, 1, candidates=1) in ([0], [5])
    # Those without a rank follow, the nearest first.
    assert chosen("hybrid", index, query, 6, candidates=1)[2:] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["mmr", "dpp"])
def test_after_the_candidates_the_nearest_others_follow(name):
    index, query = vector_index(at(10, 10, 20, 30, -60)), queries_of(at(0))
    few = chosen(name, index, query, 5, relevance=0, candidates=3)
    assert few == [0, 2, 1, 3, 4]  # the copy last of the three
    many = chosen(name, index, query, 5, relevance=0, candidates=5)
    assert many[:2] == [0, 4]


# -- emotion ---------------------------------------------------------------------------------------


def test_emotion_takes_neighbours_in_belief_and_not_in_topic():
    degrees = [*range(0, 40, 4), *range(90, 130, 4), *range(180, 220, 4)]
    index = vector_index(at(*degrees), ["hap"] * 10 + ["ang"] * 10 + ["neu"] * 10)
    for beliefs in ((0.05, 0.05, 0.9), (0.1, 0.45, 0.45), (0.9, 0.08, 0.02)):
        query = queries_of(at(15), beliefs)
        alike = np.sqrt(index.probed * np.array(beliefs)).sum(axis=1).round(9)
        expected = sorted(range(30), key=lambda row: (-alike[row], row))
        assert chosen("emotion", index, query, 5) == expected[:5]
    angry = chosen("emotion", index, queries_of(at(15), (0.05, 0.05, 0.9)), 5)
    assert {index.gold[row] for row in angry} == {"ang"}
    nearest = chosen("knn", index, queries_of(at(15), (0.05, 0.05, 0.9)), 5)
    assert {index.gold[row] for row in nearest} == {"hap"}


# -- random ----------------------------------------------------------------------------------------


def unevenness(counts):
    """Pearson's chi-square against equal shares."""
    return float(((counts - counts.mean()) ** 2 / counts.mean()).sum())


QUANTILE = 24.32
"""Of 1000 fair lots among eight, 999 are less uneven."""


def test_random_draws_each_as_often_as_any_other():
    index, queries = vector_index(at(*range(8))), queries_of(at(*[0] * 400))
    counts = np.zeros((3, 8))
    for seed in (0, 1):
        (strategy,) = load_strategies(["random"], index, seed=seed, options={})
        rows = choose([strategy], index, queries, 3).rows
        assert len({tuple(row) for row in rows.tolist()}) > 200  # of 336: utterances differ
        counts += np.stack([np.bincount(rows[:, place], minlength=8) for place in range(3)])
    for place in counts:
        assert unevenness(place) < QUANTILE
    by_seed = [chosen("random", index, queries_of(at(0)), 1, seed=seed)[0] for seed in range(200)]
    assert unevenness(np.bincount(by_seed, minlength=8)) < QUANTILE


# -- vote-k ----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(5, 25), st.integers(1, 30), st.integers(1, 4))
def test_vote_k_maximises_its_equation(seed, total, count, links):
    vectors = scattered(total, 5, seed)
    similar = vectors.astype(float) @ vectors.T.astype(float)
    np.fill_diagonal(similar, -2)
    linked = [set(np.argsort(-row)[:links].tolist()) for row in similar]
    expected = []
    while len(expected) < min(count, total):

        def score(e):
            return sum(
                10.0 ** -len(linked[u] & set(expected))
                for u in range(total)
                if u not in expected and e in linked[u]
            )

        scores = {e: round(score(e), 9) for e in range(total) if e not in expected}
        expected.append(max(scores, key=scores.__getitem__))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vote_k_module, "LINKS", links)
        assert vote_k(vectors, count).tolist() == expected


def test_vote_k_begins_where_it_is_densest_and_covers_what_there_is():
    centres = np.eye(8)[:3]
    rng = np.random.default_rng(0)
    sizes = (170, 260, 160)
    vectors = np.concatenate(
        [c + 0.1 * rng.normal(size=(n, 8)) for c, n in zip(centres, sizes, strict=True)]
    )
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    cluster = np.repeat(range(3), sizes)
    pool = vote_k(vectors, 3)
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -2)
    linking = np.bincount(np.argsort(-similar, axis=1)[:, :150].ravel(), minlength=590)
    assert linking[pool[0]] == linking.max()
    assert set(cluster[pool]) == {0, 1, 2}


def test_vote_k_chooses_the_nearest_of_its_pool():
    index = vector_index(scattered(30, 4))
    pool = vote_k(index.window_vectors, 6).tolist()
    queries = queries_of(scattered(1, 4, seed=9))
    found = chosen("vote-k", index, queries, 6, pool=6)
    assert sorted(found) == sorted(pool)
    everybody = chosen("knn", index, queries, 30)
    assert found == [row for row in everybody if row in pool]
    assert chosen("vote-k", index, queries, 30) == everybody


def test_a_pool_of_fewer_than_are_asked_for_is_refused():
    index, queries = vector_index(scattered(30, 4)), queries_of(scattered(1, 4, seed=9))
    with pytest.raises(SettingsError, match=r"vote-k\.pool: 6, and 7 demonstrations are asked for"):
        chosen("vote-k", index, queries, 7, pool=6)
    # Where the index itself has no more, a larger pool would help nobody.
    assert chosen("vote-k", index, queries, 31, pool=30).count(-1) == 1


def test_labels_do_not_sway_the_pool():
    one, two = (vector_index(scattered(30, 4), [label] * 30) for label in ("neu", "hap"))
    queries = queries_of(scattered(1, 4, seed=9))
    assert chosen("vote-k", one, queries, 5, pool=6) == chosen("vote-k", two, queries, 5, pool=6)


# -- rerank ----------------------------------------------------------------------------------------


def test_rerank_goes_by_the_scores_of_the_cross_encoder(cross_encoder):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    texts = ["oh my", "no way", "my God !", "oh no no", "way", "God", "oh", "no God no"]
    index = vector_index(at(*range(0, 80, 10)), texts=texts)
    query = queries_of(at(0), text="oh way my")
    tokenizer = AutoTokenizer.from_pretrained(cross_encoder)
    model = AutoModelForSequenceClassification.from_pretrained(cross_encoder).eval()
    with torch.no_grad():
        logits = [
            float(model(**tokenizer("oh way my", text, return_tensors="pt")).logits)
            for text in texts
        ]
    options = {"model": str(cross_encoder)}
    found = chosen("rerank", index, query, 8, **options)
    assert found != list(range(8))
    # Alone and beside others a text's score may differ in its last digits.
    assert [logits[row] for row in found] == pytest.approx(sorted(logits, reverse=True), abs=1e-5)
    assert chosen("rerank", index, query, 3, **options) == found[:3]
    near = [row for row in found if row < 4]
    assert chosen("rerank", index, query, 3, candidates=4, **options) == near[:3]
    assert chosen("rerank", index, query, 6, candidates=4, **options) == [*near, 4, 5]


def test_rerank_refuses_a_model_of_several_scores(tmp_path):
    options = {"model": str(make_cross_encoder(tmp_path, labels=3))}
    with pytest.raises(SettingsError, match="gives 3 scores for a pair; expected one"):
        chosen("rerank", build(), queries_of(scattered(1, 8)), 2, **options)
