"""Shards on the command line: of a run and of an index; and an index that is added to."""

import json
import shutil
import time

import pytest


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(index, test_file, tmp_path_factory):
    """The run of the test dialogues by one job."""
    from tests.cli.conftest import run_command

    folder = tmp_path_factory.mktemp("whole") / "run"
    done = run_command(
        "predict", test_file, "--index", index, "--llm", "none", "--out", folder, "--quiet"
    )
    assert done.code == 0, done.err
    return folder


def words(test_file, index, shard, out):
    return [
        *("predict", test_file, "--index", index, "--llm", "none", "--quiet"),
        *("--shard", shard, "--out", out),
    ]


@pytest.mark.parametrize("of", [1, 3, 6])
def test_shards_of_any_format_become_the_run_of_one_job(
    command, index, test_file, whole, workplace, of
):
    for number in range(1, of + 1):
        again = ["--resume"] * (number % 2)  # which begins a shard where there is none
        done = command(*words(test_file, index, f"{number}/{of}", f"s{number}"), *again)
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(f"s{number}: shard {number}/{of}, ")
    merged = command("runs", "merge", *sorted(workplace.glob("s*")), "--out", "run")
    assert merged.code == 0, merged.err
    assert merged.out.startswith("run: 18 utterances")
    assert files(workplace / "run") == files(whole)


def test_shards_whose_jobs_ask_a_model(command, index, test_file, workplace, scenario):
    """Each call is made once by whoever's it is, and the job that decides asks nothing."""
    scenario.script(answers=("happy", "angry", "neutral"), by_prompt=True)
    common = ("predict", test_file, "--index", index, "--no-cache", "--quiet", "--limit", 12)
    common += ("--llm", "m", "--base-url", scenario.url, "--set", "voting.checks=10")
    assert command(*common, "--out", "whole").code == 0
    alone = len(scenario.seen)
    for number in (1, 2):
        done = command(*common, "--shard", f"{number}/2", "--out", f"s{number}")
        assert done.code == 0, done.err
        assert done.out.startswith(f"s{number}: shard {number}/2, ")
    assert len(scenario.seen) == 2 * alone
    scored = command("score", "s1")
    assert (scored.code, scored.out) == (2, "")
    assert "it is a shard; `ragemo runs merge" in scored.err
    merged = command("runs", "merge", "s1", "s2", "--out", "run")
    assert merged.code == 0, merged.err
    assert "the command of the shards decides, with --out run --resume" in merged.out
    done = command(*common, "--out", "run", "--resume")
    assert done.code == 0, done.err
    assert len(scenario.seen) == 2 * alone
    for name in ("predictions.csv", "manifest.json", "panel.json", "review.csv"):
        assert files(workplace / "run")[name] == files(workplace / "whole")[name], name


def test_what_shards_cannot_do_is_one_message(command, index, test_file, workplace):
    cases = {
        "--shard 3: expected the shard's number": words(test_file, index, "3", "out"),
        "shard 4/3: expected a number from 1": words(test_file, index, "4/3", "out"),
        "add --stop none": [
            *words(test_file, index, "1/3", "out"),
            *("--llm", "gpt-4o-mini", "--samples", "3"),
        ],
        "dawid-skene learns": [*words(test_file, index, "1/3", "out"), "--pool", "dawid-skene"],
        "leave --dry-run and --engine ray out": [
            *words(test_file, index, "1/3", "out"),
            "--dry-run",
        ],
        "2 of 3 shards are given; missing: 2": ["runs", "merge", "s1", "s3", "--out", "out"],
        "s1: only a shard of a run": ["score", "s1"],
    }
    for number in (1, 3):
        assert command(*words(test_file, index, f"{number}/3", f"s{number}")).code == 0
    for says, asked in cases.items():
        done = command(*asked)
        assert (done.code, done.out) == (2, "")
        assert says in done.err
        assert not (workplace / "out").exists()


def test_a_shard_and_a_merge_that_are_killed_leave_nothing_half_written(
    command, start, index, test_file, whole, workplace
):
    """Killed at whatever moment: what is there is whole, and the same command goes on."""
    for number in (1, 2):
        assert command(*words(test_file, index, f"{number}/2", f"s{number}")).code == 0
    second = workplace / "s2"
    (second / "checksums.json").unlink()
    shutil.rmtree(second / "parts")
    for part, asked in (
        ("s2", [*words(test_file, index, "2/2", "s2"), "--resume"]),
        ("run", ["runs", "merge", "s1", "s2", "--out", "run"]),
    ):
        for wait in (0.0, 0.1, 0.3):
            killed = start(*asked)
            time.sleep(wait)
            killed.kill()
            killed.wait()
            assert (
                part == "s2"
                or not (workplace / "run").exists()
                or files(workplace / "run") == files(whole)
            )
        done = command(*asked)
        assert done.code == 0 or "exists already" in done.err
    assert files(workplace / "run") == files(whole)
    assert json.loads((workplace / "s2" / "checksums.json").read_text("utf-8"))


def test_an_index_of_shards_and_one_that_is_added_to(command, index, train, test_file, workplace):
    for number in (1, 2, 3):
        done = command(
            *("index", "build", train, "--shard", f"{number}/3", "--out", f"i{number}", "--quiet")
        )
        assert (done.code, done.err) == (0, "")
        assert done.out == f"i{number}: shard {number}/3 of 60 utterances\n"
    done = command("index", "merge", "i3", "i1", "i2", "--out", "merged")
    assert done.code == 0, done.err
    assert files(workplace / "merged") == files(index)
    done = command("index", "add", "merged", test_file, "--out", "more", "--quiet")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("labelled windows of 84 utterances\n")
    assert command("index", "verify", "more").out == "more: whole\n"
    cases = {
        "2 of 3 shards are given; missing: 3": ("merge", "i1", "i2", "--out", "out"),
        "merged already holds an index": ("merge", "i1", "i2", "i3", "--out", "merged"),
        "i1 already holds a shard": ("build", train, "--shard", "1/3", "--out", "i1"),
        "only a shard of an index; `ragemo index merge": ("add", "i1", test_file, "--out", "out"),
        "already, from another corpus": ("add", "merged", train, "--out", "out"),
    }
    for says, asked in cases.items():
        done = command("index", *asked)
        assert (done.code, done.out) == (2, "")
        assert says in done.err
        assert not (workplace / "out").exists()
