import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import ModelError, SettingsError
from ragemo.retrieval.vectors import Composition, compose

DIMENSION = 3


@st.composite
def dialogues(draw):
    """Unit and zero vectors, and the dialogue of each."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    names = [f"d{number}" for number, length in enumerate(lengths) for _ in range(length)]
    seed = draw(st.integers(0, 2**32 - 1))
    vectors = np.random.default_rng(seed).normal(size=(len(names), DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    blank = draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names)))
    vectors[np.array(blank)] = 0
    return vectors.astype(np.float32), names


compositions = st.builds(
    Composition,
    weight=st.floats(0, 0.99),
    decay=st.floats(0.01, 1),
    length=st.integers(0, 7),
)


def context_of(vectors, names, row, how):
    """c_i by the equation, in double precision and one vector at a time."""
    total = [0.0] * DIMENSION
    for back in range(1, how.length + 1):
        if row - back < 0 or names[row - back] != names[row]:
            break
        for axis in range(DIMENSION):
            total[axis] += how.decay ** (back - 1) * float(vectors[row - back][axis])
    norm = math.sqrt(sum(value * value for value in total))
    return [value / norm if norm else 0.0 for value in total]


@settings(deadline=None)
@given(dialogues(), compositions)
def test_inner_products_are_weighted_sums_of_two_cosines(corpus, how):
    vectors, names = corpus
    contexts = [context_of(vectors, names, row, how) for row in range(len(names))]
    composed = compose(vectors, names, how)
    assert composed.dtype == np.float32
    assert composed.shape == (len(names), 2 * DIMENSION)
    for one in range(len(names)):
        for other in range(len(names)):
            targets = sum(
                float(a) * float(b) for a, b in zip(vectors[one], vectors[other], strict=True)
            )
            before = sum(a * b for a, b in zip(contexts[one], contexts[other], strict=True))
            expected = (1 - how.weight) * targets + how.weight * before
            assert composed[one] @ composed[other] == pytest.approx(expected, abs=1e-4)


@settings(deadline=None)
@given(dialogues(), compositions, st.data())
def test_a_row_depends_on_its_own_and_earlier_rows_of_its_dialogue_only(corpus, how, data):
    vectors, names = corpus
    row = data.draw(st.integers(0, len(names) - 1))
    changed = vectors.copy()
    for other in range(len(names)):
        if other > row or names[other] != names[row]:
            changed[other] = -changed[other, ::-1] + 1
    assert np.array_equal(compose(vectors, names, how)[row], compose(changed, names, how)[row])
    first = names.index(names[row])
    alone = compose(vectors[first : row + 1], names[first : row + 1], how)
    assert np.array_equal(compose(vectors, names, how)[row], alone[-1])


@pytest.mark.parametrize("how", [Composition(weight=0.0), Composition(length=0)])
@given(corpus=dialogues())
@settings(deadline=None)
def test_without_weight_or_length_the_context_says_nothing(corpus, how):
    vectors, names = corpus
    composed = compose(vectors, names, how)
    assert not composed[:, DIMENSION:].any()
    assert np.allclose(composed[:, :DIMENSION], math.sqrt(1 - how.weight) * vectors)


def test_the_nearer_turn_weighs_more():
    vectors = np.eye(3, dtype=np.float32)
    context = compose(vectors, ["d"] * 3, Composition(weight=0.5, decay=0.5, length=2))[2, 3:]
    assert context == pytest.approx(np.array([0.5, 1, 0]) / math.sqrt(1.25) * math.sqrt(0.5))


def test_a_blank_dialogue_is_zero_and_an_empty_corpus_has_no_rows():
    assert not compose(np.zeros((3, 2), np.float32), ["d"] * 3, Composition()).any()
    assert compose(np.zeros((0, 2), np.float32), [], Composition()).shape == (0, 4)


def test_the_input_is_left_alone():
    vectors = np.eye(3, dtype=np.float32)
    compose(vectors, ["d"] * 3, Composition())
    assert np.array_equal(vectors, np.eye(3))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"weight": 1.0}, "context weight 1.0: expected 0 <= weight < 1"),
        ({"weight": -0.1}, "context weight -0.1"),
        ({"weight": math.nan}, "context weight nan"),
        ({"decay": 0.0}, "context decay 0.0: expected 0 < decay <= 1"),
        ({"decay": 1.1}, "context decay 1.1"),
        ({"length": -1}, "context length -1: expected 0 or more"),
    ],
)
def test_values_out_of_range_are_refused(values, said):
    with pytest.raises(SettingsError, match=said):
        Composition(**values)


def test_data_and_back():
    how = Composition(0.1, 0.2, 3)
    assert Composition(**how.to_dict()) == how


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e8])
@pytest.mark.parametrize("row", [0, 3, 1_999])
def test_what_is_no_number_is_said_of_the_turn_it_stands_in(bad, row):
    vectors = np.ones((2_000, DIMENSION), dtype=np.float32)
    vectors[row, 1] = bad
    names = ["first"] * 2 + ["second"] * 1_998
    turn, dialogue = (row + 1, "first") if row < 2 else (row - 1, "second")
    said = f"turn {turn} of dialogue '{dialogue}' holds {bad:g}, expected a unit vector"
    with pytest.raises(ModelError, match=re.escape(said)):
        compose(vectors, names, Composition())
