"""Ctrl-C while a command is still loading what it needs."""

import subprocess
import sys

import pytest

PROGRAM = """
import signal
import ragemo.cli as cli

def loading():
    raise ImportError("initialization failed") from {cause}

cli.app = loading
try:
    cli.main()
finally:
    print(signal.getsignal(signal.SIGINT) is signal.SIG_DFL)
"""


def run(cause):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(cause=cause)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_module_that_calls_it_a_failure_of_its_own_is_believed_no_word():
    """As pybind11's do; a second Ctrl-C then ends the process at once."""
    done = run("KeyboardInterrupt()")
    assert (done.returncode, done.stdout, done.stderr) == (130, "True\n", "")


@pytest.mark.parametrize("cause", ["None", "OSError('no such library')"])
def test_any_other_failure_is_shown(cause):
    done = run(cause)
    assert done.returncode == 1
    assert done.stdout == "False\n"
    assert "ImportError: initialization failed" in done.stderr
