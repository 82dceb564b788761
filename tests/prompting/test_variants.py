from itertools import product
from math import prod

from hypothesis import given
from hypothesis import strategies as st

from ragemo.prompting.variants import MOST_VALUES, plan_variants

sizes = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 4), max_size=4)


def distance(one, other):
    """On how many axes two variants differ."""
    return sum(one[axis] != other[axis] for axis in one)


@given(sizes, st.integers(0, 40))
def test_variants_are_distinct_and_there_are_as_many_as_there_can_be(sizes, count):
    variants = plan_variants(sizes, count)
    assert len(variants) == min(count, prod(sizes.values()))
    assert len({tuple(variant.items()) for variant in variants}) == len(variants)
    for variant in variants:
        assert list(variant) == list(sizes)
        assert all(0 <= variant[axis] < size for axis, size in sizes.items())


@given(sizes, st.integers(1, 20), st.integers(1, 20))
def test_the_first_is_the_usual_one_and_fewer_are_the_first_of_more(sizes, some, more):
    variants = plan_variants(sizes, some)
    assert set(variants[0].values()) <= {0}
    assert variants == plan_variants(sizes, some + more)[:some]


@given(sizes, st.integers(2, 12))
def test_each_next_one_is_as_far_from_those_before_as_any_could_be(sizes, count):
    variants = plan_variants(sizes, count)
    everything = [
        dict(zip(sizes, values, strict=True))
        for values in product(*(range(size) for size in sizes.values()))
    ]
    for number in range(1, len(variants)):
        before = variants[:number]
        nearest = [min(distance(one, other) for other in before) for one in everything]
        assert min(distance(variants[number], other) for other in before) == max(nearest)


def test_among_equals_the_axes_and_values_that_stand_first_come_first():
    assert plan_variants({"a": 2, "b": 1, "c": 3}, 9) == [
        {"a": 0, "b": 0, "c": 0},
        {"a": 1, "b": 0, "c": 1},
        {"a": 1, "b": 0, "c": 2},
        {"a": 1, "b": 0, "c": 0},
        {"a": 0, "b": 0, "c": 1},
        {"a": 0, "b": 0, "c": 2},
    ]


def test_no_axis_offers_more_than_so_many_values():
    assert len(plan_variants({"a": 11, "b": 2}, 99)) == 2 * MOST_VALUES


def test_without_axes_there_is_one_variant():
    assert plan_variants({}, 5) == [{}]
    assert plan_variants({}, 0) == []
