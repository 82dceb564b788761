"""How often garbage is looked for, and that it is as before in the end."""

import gc

import pytest

from ragemo.garbage import SELDOM, seldom_collected


@pytest.fixture(autouse=True)
def thresholds():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_it_is_looked_for_seldom_until_the_last_block_ends():
    gc.set_threshold(700, 10, 10)
    first, second = seldom_collected(), seldom_collected()
    first.__enter__()
    second.__enter__()
    assert gc.get_threshold() == SELDOM
    first.__exit__(None, None, None)
    assert gc.get_threshold() == SELDOM
    second.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("slower", [(0, 10, 10), (90_000, 10, 10)])
def test_who_looks_more_seldom_or_never_is_let_be(slower):
    gc.set_threshold(*slower)
    with seldom_collected():
        assert gc.get_threshold() == slower
    assert gc.get_threshold() == slower
