"""Tasks that several threads work off."""

import threading

import pytest

from ragemo.retrieval.embedding.crew import Crew


@pytest.mark.parametrize("threads", [1, 3, 50])
def test_every_task_is_done_once_and_lots_one_after_the_other(threads):
    done = []
    with Crew(done.append, threads) as crew:
        for lot in range(4):
            crew.do_next([(lot, number) for number in range(20)])
            assert {one for one in done if one[0] < lot} == {
                (before, number) for before in range(lot) for number in range(20)
            }
        crew.do_next([])
    assert sorted(done) == [(lot, number) for lot in range(4) for number in range(20)]
    if threads == 1:
        assert done == sorted(done)


def test_a_lot_is_made_while_the_one_before_is_worked_off():
    made, in_time = threading.Event(), []
    with Crew(lambda task: in_time.append(made.wait(10)), 2) as crew:
        crew.do_next([1, 2])
        made.set()
        crew.do_next([3])
    assert in_time == [True, True, True]


def test_an_error_is_raised_and_what_has_not_begun_is_dropped():
    done = []

    def work(task):
        done.append(task)
        if task == 2:
            raise MemoryError("too much")

    with pytest.raises(MemoryError, match="too much"), Crew(work, 1) as crew:
        crew.do_next(range(100))
    assert done == [0, 1, 2]


def test_what_has_not_begun_is_dropped_if_the_block_raises():
    begun, go_on, done = threading.Event(), threading.Event(), []

    def work(task):
        begun.set()
        go_on.wait(10)
        done.append(task)

    def interrupted():
        with Crew(work, 1) as crew:
            crew.do_next(range(100))
            begun.wait(10)
            threading.Timer(0.2, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [0]
