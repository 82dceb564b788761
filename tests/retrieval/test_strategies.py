"""What every strategy may and may not choose, whatever its name; leaks are planted."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import ModelError, SettingsError
from ragemo.retrieval.guards import UNITS, Guard
from ragemo.retrieval.retrieve import retrieve
from ragemo.retrieval.strategies import STRATEGIES, Queries, choose, load_strategies
from ragemo.retrieval.strategies.vote_k import vote_k
from tests.conftest import LABELS, FakeEmbedder, make_turn
from tests.retrieval.worlds import (
    at,
    build,
    golds,
    index_of,
    kin,
    make_cross_encoder,
    queries_of,
    scattered,
    turns,
    vector_index,
)

OPTIONS = {
    "hybrid": {"candidates": 3},
    "mmr": {"relevance": 0.4, "candidates": 3},
    "dpp": {"relevance": 1.0, "candidates": 3},
    "rerank": {"candidates": 3},
    "vote-k": {"pool": 9},
}
"""Small numbers, so that a strategy reaches their end; a pool has as many as are asked for."""

guards = st.builds(
    Guard,
    exclude=st.sampled_from(UNITS),
    duplicates=st.booleans(),
    near=st.sampled_from([None, 0.5, 0.8, 1.0]),
)


@pytest.fixture
def strategy(name, cross_encoder):
    """Makes the strategy of the test for an index."""
    told = {"rerank": {"model": str(cross_encoder)}}

    def make(index, seed=0, small=True):
        own = told.get(name, {}) | (OPTIONS.get(name, {}) if small else {})
        return load_strategies([name], index, seed=seed, options={name: own})

    return make


def words_of(text):
    return "".join(c if c.isalnum() else " " for c in text.casefold()).split()


def alike(one, other):
    """The share of two texts that their longest common subsequence of words makes up."""
    a, b = words_of(one), words_of(other)
    common = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    for i, word in enumerate(a):
        for j, theirs in enumerate(b):
            common[i + 1, j + 1] = (
                common[i, j] + 1 if word == theirs else max(common[i, j + 1], common[i + 1, j])
            )
    return 2 * common[-1, -1] / (len(a) + len(b))


def forbidden(query, turn, guard):
    """What may not be shown, said once more and plainly."""
    if kin(query, turn, guard.exclude):
        return True
    if guard.duplicates and words_of(query.text) == words_of(turn.text):
        return True
    spoken = words_of(query.text)
    return bool(guard.near and spoken) and alike(query.text, turn.text) >= guard.near - 1e-9


@st.composite
def leaks(draw):
    """An index, and queries that are its own windows and believed to be what they are labelled."""
    examples = draw(turns())
    gold = [draw(golds) for _ in examples]
    gold[0] = "neu"
    index = index_of(examples, gold)
    shares = [LABELS.one_hot(label) if label else (1, 0, 0) for label in gold]
    beliefs = 0.9 * np.array(shares, dtype=float) + 0.1 / 3
    return index, Queries(examples, index.window_vectors, beliefs, draw(guards))


def among(queries, rows):
    """Some of the queries, in that order."""
    return Queries(
        [queries.turns[row] for row in rows],
        queries.vectors[rows],
        queries.beliefs[rows],
        queries.guard,
    )


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_planted_leak_is_chosen_and_all_else_that_is_asked_for(name, strategy):
    @settings(deadline=None, max_examples=50)
    @given(leaks(), st.integers(1, 9), st.integers(0, 3), st.booleans(), st.data())
    def holds(world, k, seed, small, data):
        index, queries = world
        found = choose(strategy(index, seed, small), index, queries, k)
        pool = set(index.examples.tolist())
        if name == "vote-k" and small:
            best = vote_k(index.window_vectors[index.examples], OPTIONS[name]["pool"])
            pool = set(index.examples[best].tolist())
        for query, turn in enumerate(queries.turns):
            rows = found.rows[query].tolist()
            chosen = [row for row in rows if row >= 0]
            allowed = [row for row in pool if not forbidden(turn, index.turns[row], queries.guard)]
            assert set(chosen) <= set(allowed)
            assert len(set(chosen)) == len(chosen) == min(k, len(allowed))
            assert rows == chosen + [-1] * (k - len(chosen))
            exact = index.window_vectors[chosen].astype(float) @ queries.vectors[query]
            assert found.similarities[query, : len(chosen)] == pytest.approx(exact, abs=2e-6)
            assert (found.similarities[query, len(chosen) :] == -np.inf).all()

        # The same seed draws the same, whoever else asks, and in whatever order.
        count = len(queries.turns)
        order = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=count))
        again = choose(strategy(index, seed, small), index, among(queries, order), k)
        assert np.array_equal(again.rows, found.rows[order])

    holds()


@pytest.mark.parametrize("name", STRATEGIES)
def test_whoever_asks_for_more_gets_the_same_first(name, strategy):
    @settings(deadline=None, max_examples=40)
    @given(leaks(), st.integers(0, 8), st.integers(1, 9), st.booleans())
    def holds(world, k, n, small):
        index, queries = world
        k, n = sorted((k, n))
        (one,) = strategy(index, small=small)
        assert np.array_equal(one.choose(queries, n)[:, :k], one.choose(queries, k))

    holds()


SEVERAL = [name for name in STRATEGIES if name != "rerank"]
SMALL = {name: options for name, options in OPTIONS.items() if name in SEVERAL}


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6),
    st.lists(st.sampled_from(SEVERAL), min_size=2, max_size=4, unique=True),
    st.integers(0, 8),
    st.integers(1, 9),
)
def test_so_does_whoever_asks_several(seed, names, k, n):
    index = vector_index(scattered(20, 4, seed), [LABELS.names[row % 3] for row in range(20)])
    queries = queries_of(scattered(5, 4, seed + 1))
    k, n = sorted((k, n))
    options = {name: SMALL[name] for name in names if name in SMALL}
    several = load_strategies(names, index, seed=0, options=options)
    many, few = (choose(several, index, queries, count) for count in (n, k))
    assert np.array_equal(many.rows[:, :k], few.rows)
    assert np.array_equal(many.similarities[:, :k], few.similarities)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("exclude", UNITS)
def test_the_allowed_are_found_behind_a_crowd_that_is_forbidden(name, strategy, exclude):
    """200 windows with the query's words and label are all nearer than the 5 that are allowed."""
    own = {"session": "s", "speaker": "Ann"}
    crowd = [make_turn("oh my God", n, dialogue_id="a", **own) for n in range(200)]
    others = [
        make_turn(f"far {n}", n, dialogue_id=f"b{n}", session="t", speaker="Bob") for n in range(5)
    ]
    index = index_of([*crowd, *others], ["hap"] * 200 + ["neu", "ang", "neu", "neu", "hap"])
    queries = Queries(
        crowd[:1], index.window_vectors[:1], np.array([[0.1, 0.8, 0.1]]), Guard(exclude)
    )
    found = choose(strategy(index, small=name != "vote-k"), index, queries, 4).rows[0]
    assert len(set(found.tolist()) & set(range(200, 205))) == 4


@pytest.mark.parametrize("name", STRATEGIES)
def test_nothing_is_asked_for_and_nobody_asks(name, strategy):
    index = build()
    some = Queries(index.turns[:2], index.window_vectors[:2], np.full((2, 3), 1 / 3), Guard())
    assert choose(strategy(index), index, some, 0).rows.shape == (2, 0)
    assert choose(strategy(index), index, among(some, []), 3).rows.shape == (0, 3)


# -- a strategy that cheats ----------------------------------------------------------------------


class Cheat:
    """Chooses one row for all."""

    def __init__(self, index, *, seed, row=0):
        self.row = row

    def choose(self, queries, k):
        return np.full((len(queries.turns), k), self.row, dtype=np.int64)


@pytest.fixture
def cheat(monkeypatch):
    monkeypatch.setitem(STRATEGIES, "cheat", f"{__name__}:Cheat")


CONTEXT, NEXT, NOWHERE = 4, 1, 30


@pytest.mark.parametrize("row", [0, NEXT, CONTEXT, NOWHERE, 10**6])
def test_a_strategy_that_cheats_is_refused(cheat, row):
    """Its own row, the next of its dialogue, one without a label, ones that do not exist."""
    index = build()
    assert index.gold[CONTEXT] is None
    assert len(index.turns) == NOWHERE
    queries = Queries(index.turns[:1], index.window_vectors[:1], np.full((1, 3), 1 / 3), Guard())
    (honest, cheating) = load_strategies(
        ["knn", "cheat"], index, seed=0, options={"cheat": {"row": row}}
    )
    for strategies in ([cheating], [honest, cheating]):
        with pytest.raises(SettingsError, match=r"chose an example for 'd0_0' that it may not see"):
            choose(strategies, index, queries, 3)


@pytest.mark.parametrize(
    ("guard", "row"),
    [
        (Guard("session"), 6),
        (Guard("speaker"), 6),
        (Guard(duplicates=True), 5),
        (Guard(near=0.5), 5),
    ],
)
def test_each_guard_refuses_what_it_shuts_out(cheat, guard, row):
    texts = ["oh my", "a", "b", "c", "d", "Oh, my!", "e"]
    index = index_of(
        [make_turn(text, dialogue_id=f"d{n}", session=f"s{n % 6}", speaker=f"p{n % 6}")
         for n, text in enumerate(texts)],
        ["neu"] * 7,
    )  # fmt: skip
    cheating = load_strategies(["cheat"], index, seed=0, options={"cheat": {"row": row}})
    beliefs = np.full((1, 3), 1 / 3)
    free = Queries(index.turns[:1], index.window_vectors[:1], beliefs, Guard())
    assert choose(cheating, index, free, 1).rows.tolist() == [[row]]
    with pytest.raises(SettingsError, match="may not see"):
        choose(cheating, index, Queries(free.turns, free.vectors, beliefs, guard), 1)


def test_a_run_with_a_strategy_that_cheats_ends(cheat):
    index = build()
    with pytest.raises(SettingsError, match=r"chose an example for 'd0_0' that it may not see"):
        retrieve(index, FakeEmbedder(), index.turns, [0], k=1, strategy=["cheat"], same_corpus=True)


# -- several at once -----------------------------------------------------------------------------


class Fixed:
    def __init__(self, *rows):
        self.rows = rows

    def choose(self, queries, k):
        return np.array([self.rows[:k]] * len(queries.turns))


def test_several_choose_by_turns_and_nothing_comes_twice():
    index = vector_index(at(0, 10, 20, 30, 40, 50))
    queries = queries_of(at(0))

    def chosen(*strategies):
        return choose(strategies, index, queries, 4).rows[0].tolist()

    assert chosen(Fixed(0, 1, 2, 3), Fixed(5, 4, 3, 2)) == [0, 5, 1, 4]
    assert chosen(Fixed(0, 1, 2, 3), Fixed(0, 1, 2, 3)) == [0, 1, 2, 3]
    assert chosen(Fixed(0, 1, 2, 3), Fixed(1, 0, 5, -1)) == [0, 1, 2, 5]
    assert chosen(Fixed(2, -1, -1, -1), Fixed(2, 3, -1, -1)) == [2, 3, -1, -1]


def test_of_several_each_has_its_say():
    index = build()
    queries = Queries(
        index.turns[:1], index.window_vectors[:1], np.array([[0.1, 0.1, 0.8]]), Guard()
    )

    def chosen(*names):
        found = choose(load_strategies(names, index, seed=1, options={}), index, queries, 6)
        return found.rows[0].tolist()

    nearest, lot = chosen("knn"), chosen("random")
    both = chosen("knn", "random")
    assert set(both[:4:2]) == set(nearest[:2])
    assert max(Counter(both).values()) == 1
    assert set(both) <= set(nearest) | set(lot)
    assert both != nearest


# -- what is refused -----------------------------------------------------------------------------


def test_an_unknown_strategy_is_refused_and_those_there_are_are_named():
    for names, options in ((["nearest"], {}), (["knn"], {"nearest": {}})):
        with pytest.raises(SettingsError, match="no retrieval strategy 'nearest'") as caught:
            load_strategies(names, build(), seed=0, options=options)
        for name in STRATEGIES:
            assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        *(("mmr", "relevance", value) for value in (-0.1, 1.1, float("nan"), "much", None, True)),
        *(("dpp", "relevance", value) for value in (-1, 101, float("nan"), [1])),
        *(
            (name, option, value)
            for name, option in [
                ("mmr", "candidates"),
                ("dpp", "candidates"),
                ("hybrid", "candidates"),
                ("rerank", "candidates"),
                ("vote-k", "pool"),
            ]
            for value in (0, -3, 1.5, "many", None, False)
        ),
    ],
)
def test_a_wrong_value_is_refused_and_named(name, option, value):
    with pytest.raises(SettingsError) as caught:
        load_strategies([name], build(), seed=0, options={name: {option: value}})
    assert f"retrieval.options.{name}.{option}: {value!r}, expected" in str(caught.value)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("option", ["nonsense", "seed", "index"])
def test_an_unknown_option_is_refused_and_named(name, option):
    with pytest.raises(SettingsError) as caught:
        load_strategies([name], build(), seed=0, options={name: {option: 1}})
    assert str(caught.value).startswith(f"retrieval.options.{name}: no option '{option}'; expected")


def test_the_options_there_are_are_named():
    with pytest.raises(SettingsError, match="expected one of relevance, candidates"):
        load_strategies(["mmr"], build(), seed=0, options={"mmr": {"relevanse": 1}})
    with pytest.raises(SettingsError, match="expected none"):
        load_strategies(["knn"], build(), seed=0, options={"knn": {"candidates": 1}})


def test_options_of_a_strategy_that_is_not_asked_for_are_refused():
    options = {"mmr": {"relevance": 0.5}}
    said = r"retrieval\.options\.mmr: .*retrieval\.strategy is knn, dpp: add mmr there"
    with pytest.raises(SettingsError, match=said):
        load_strategies(["knn", "dpp"], build(), seed=0, options=options)
    assert len(load_strategies(["knn", "mmr"], build(), seed=0, options=options)) == 2


def test_a_cross_encoder_has_to_be_named_and_be_there(tmp_path):
    with pytest.raises(SettingsError, match=r"needs a cross-encoder.*retrieval\.options=\{rerank"):
        load_strategies(["rerank"], build(), seed=0, options={})
    for model in (7, None, True, ["some"], ""):
        with pytest.raises(SettingsError, match="by name or folder, found"):
            load_strategies(["rerank"], build(), seed=0, options={"rerank": {"model": model}})
    options = {"rerank": {"model": str(tmp_path)}}
    with pytest.raises(ModelError, match="cannot load the cross-encoder"):
        load_strategies(["rerank"], build(), seed=0, options=options)


def test_a_cross_encoder_is_loaded_once_for_all_parts(tmp_path, monkeypatch):
    import sentence_transformers

    loaded = []
    original = sentence_transformers.CrossEncoder

    def load(model, **options):
        loaded.append(model)
        return original(model, **options)

    monkeypatch.setattr(sentence_transformers, "CrossEncoder", load)
    options = {"rerank": {"model": str(make_cross_encoder(tmp_path))}}
    for _ in range(3):
        load_strategies(["rerank"], build(), seed=0, options=options)
    assert loaded == [str(tmp_path)]
