"""Ctrl-C: what was paid for is kept and not paid for again; no traceback, and a code of its own."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.conftest import asking
from tests.conftest import HEARS_CTRL_C
from tests.test_resume import answered

COUNT, AT_ONCE = 18, 6
LATE = {"sleep": 4}


def flags(url):
    return ["--base-url", url, "--set", f"llm.concurrency={AT_ONCE}", "--no-cache"]


def wait_for(scenario, calls):
    end = time.monotonic() + 60
    while len(scenario.seen) < calls:
        assert time.monotonic() < end, "no calls came"
        time.sleep(0.01)


def test_calls_under_way_are_waited_for_and_not_made_again(command, start, test_file, scenario):
    scenario.script(*[{"ok": True}] * 4, *[LATE] * COUNT, answers=["happy"])
    arguments = asking(test_file, *flags(scenario.url), limit=COUNT)
    process = start(*arguments)
    wait_for(scenario, 4 + AT_ONCE)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"calls under way: {AT_ONCE}." in said
    assert said.endswith("interrupted; go on with the same command and --resume\n")
    assert "Traceback" not in said
    assert len(answered(Path("run"))) == len(scenario.seen) == 4 + AT_ONCE

    scenario.script(answers=["happy"])
    assert command(*arguments, "--resume").code == 0
    assert len(scenario.seen) == COUNT - 4 - AT_ONCE
    assert max(Counter(answered(Path("run"))).values()) == 1


def test_an_ablation_says_what_it_waits_for(start, test_file, scenario):
    scenario.script({"ok": True}, *[LATE] * COUNT, answers=["happy"])
    axes = {"ablation": {"name": "mine", "axes": {"llm.samples": [1, 2]}}}
    Path("ablation.yaml").write_text(json.dumps(axes))
    settings = {"llm.model": "some-model", "llm.base_url": scenario.url, "llm.concurrency": AT_ONCE}
    chosen = (part for name, value in settings.items() for part in ("--set", f"{name}={value}"))
    where = ["--data", test_file, "--out", "out", "--limit", COUNT, "--no-plots"]
    process = start("ablate", "ablation.yaml", *where, "--set", "retrieval.k=0", *chosen)
    wait_for(scenario, 1 + AT_ONCE)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"calls under way: {AT_ONCE}." in said


def test_calls_that_wait_for_their_next_try_or_their_turn_are_not_waited_for(
    start, test_file, scenario
):
    scenario.script({"status": 429, "headers": {"retry-after": "50"}, "body": {}})
    process = start(*asking(test_file, "--base-url", scenario.url, "--no-cache"))
    wait_for(scenario, 1)
    time.sleep(2)  # until the refusal is there
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, "under way" in said) == (130, False)
    assert time.monotonic() - began < 5
    assert len(scenario.seen) == 1


def test_who_interrupts_twice_waits_for_nothing(start, test_file, scenario):
    scenario.script(*[{"sleep": 20}] * AT_ONCE)
    process = start(*asking(test_file, *flags(scenario.url), limit=COUNT))
    wait_for(scenario, AT_ONCE)
    began = time.monotonic()
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(1)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in said) == (130, False)
    assert time.monotonic() - began < 8


COMMAND = """
import os, signal, sys, time
import ragemo.cli

def press():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass

def command():
    {ends}

ragemo.cli.main = command
from ragemo.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    main()
finally:
    print(signal.getsignal(signal.SIGINT).name)
"""


def ended(ends):
    """`python -m ragemo`, had it one command, and that did so."""
    Path("one.py").write_text(COMMAND.format(ends=ends))
    done = subprocess.run(
        [sys.executable, "-m", "one"], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "ends",
    [
        "press()",
        "sys.exit(130)",
        # As modules made with pybind11 do, which take it for a failure to load.
        "raise ImportError('initialization failed') from KeyboardInterrupt()",
        # Python itself would end by the signal then.
        "exec('press()', globals())",
        # Python itself would say that it is ignored.
        "type('Gone', (), {'__del__': lambda gone: press()})(); time.sleep(60)",
    ],
)
def test_wherever_it_comes_it_ends_a_command(ends):
    """From then on, a second Ctrl-C ends the process at once."""
    assert ended(ends) == (130, "SIG_DFL\n", "")


def test_it_comes_while_the_command_line_is_loaded():
    program = """
import signal, sys

class Pressing:
    def find_spec(self, name, *_):
        if name == "ragemo.cli.predict":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Pressing())
from ragemo.__main__ import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", HEARS_CTRL_C + program, "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("code", [0, 2])
def test_there_is_nothing_to_interrupt_when_all_is_done(code):
    assert ended(f"sys.exit({code})") == (code, "SIG_IGN\n", "")


@pytest.mark.parametrize("cause", ["None", "OSError('no such library')"])
def test_any_other_failure_to_load_is_shown(cause):
    code, _, said = ended(f"raise ImportError('initialization failed') from {cause}")
    assert code == 1
    assert "ImportError: initialization failed" in said


def test_what_else_is_ignored_is_shown():
    code, _, said = ended("type('Gone', (), {'__del__': lambda gone: 1 / 0})(); sys.exit(0)")
    assert code == 0
    assert "ZeroDivisionError" in said
