"""How many cores are ours: what a batch system or the environment says counts."""

import os
import subprocess
import sys

import pytest

from ragemo.cores import cores


def test_there_is_one_at_least_and_no_more_than_the_machine_has():
    assert 1 <= cores() <= os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process")
def test_a_process_that_is_bound_to_one_core_has_one():
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from ragemo.cores import cores; print(cores())"
    )
    assert said(program) == "1"


def test_the_environment_may_say_fewer():
    assert said("from ragemo.cores import cores; print(cores())", LOKY_MAX_CPU_COUNT="1") == "1"


def said(program, **environment):
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.strip()
