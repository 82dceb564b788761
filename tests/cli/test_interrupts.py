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


LOADING = """
import signal
import ragemo.cli as cli

def app():
    raise ImportError("initialization failed") from {cause}

cli.app = app
try:
    cli.main()
finally:
    print(signal.getsignal(signal.SIGINT) is signal.SIG_DFL)
"""


def loading(cause):
    return subprocess.run(
        [sys.executable, "-c", LOADING.format(cause=cause)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_module_that_takes_it_for_a_failure_to_load():
    """As those made with pybind11 do. From then on, a second Ctrl-C ends the process at once."""
    done = loading("KeyboardInterrupt()")
    assert (done.returncode, done.stdout, done.stderr) == (130, "True\n", "")


@pytest.mark.parametrize("cause", ["None", "OSError('no such library')"])
def test_any_other_failure_to_load_is_shown(cause):
    done = loading(cause)
    assert done.returncode == 1
    assert done.stdout == "False\n"
    assert "ImportError: initialization failed" in done.stderr
