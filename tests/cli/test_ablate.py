import json
import shutil
from pathlib import Path
from unittest import mock

import pytest
import yaml

import ragemo
from ragemo.ablation.design import read_design
from ragemo.ablation.results import AblationResult

ROOT = Path(ragemo.__file__).parents[1]
SHIPPED = sorted((ROOT / "configs/ablation").glob("*.yaml"))

POOLS = {"voting.pool": ["log", "majority"]}


def write(axes, name="ablation.yaml", **sections):
    base = {"llm": {"model": "none"}, **sections}
    Path(name).write_text(yaml.safe_dump({**base, "ablation": {"name": "mine", "axes": axes}}))
    return name


@pytest.fixture
def where(test_file, index):
    """The corpus, the index and a few utterances, as flags."""
    return ("--data", test_file, "--index", index, "--out", "out", "--limit", 8, "--bootstrap", 20)


@pytest.fixture
def asked(where, scenario):
    """The same with a model behind a server, one call at a time."""
    scenario.script(answers=["happy", "neutral", "sad"])
    flags = ["llm.model=some-model", "llm.concurrency=1", "llm.attempts=1", "voting.checks=0"]
    flags.append(f"llm.base_url={scenario.url}")
    return (*where, "--no-plots", *(part for flag in flags for part in ("--set", flag)))


def test_a_grid_becomes_a_table_files_and_plots(command, where):
    file = write({"retrieval.neighbours": [0, 1, 4]})
    done = command("ablate", file, *where, "--bootstrap", 50)
    assert done.code == 0, done.err
    assert "retrieval.neighbours=4" in done.out
    assert "n = 8 utterances" in done.out
    result = AblationResult.open("out")
    assert [cell.failure for cell in result.cells] == ["", "", ""]
    assert {path.name for path in Path("out").iterdir()} == {
        *(".lock", "ablation.json", "ablation.yaml", "cells"),
        *("costs.json", "result.json", "table.csv", "table.md"),
        *("weighted_f1.svg", "weighted_f1.png"),
    }
    plots = {path: path.read_bytes() for path in Path("out").glob("*.*g")}
    for format_, said in (
        ("csv", Path("out/table.csv").read_text()),
        ("markdown", Path("out/table.md").read_text()),
        ("json", Path("out/result.json").read_text()),
    ):
        flags = ("--resume", "--quiet", "--bootstrap", 50, "--format", format_)
        assert command("ablate", file, *where, *flags).out == said
    assert {path: path.read_bytes() for path in plots} == plots


def test_a_dry_run_counts_distinct_calls_and_sends_and_writes_nothing(command, asked, scenario):
    done = command("ablate", write(POOLS), *asked, "--dry-run")
    assert done.code == 0, done.err
    assert "at most 8 distinct calls (16 if cells shared none), 0 of them answered" in done.out
    assert "a rough 1 s an answer, none was measured yet, 1 at once" in done.out
    assert scenario.seen == []
    assert not Path("out").exists()

    assert command("ablate", write(POOLS), *asked).code == 0
    assert len(scenario.seen) == 8
    more = write({"voting.pool": ["log", "majority", "mean"], "prompt.context": [4, 0]})
    done = command("ablate", more, *asked, "--dry-run")
    assert "6 cells, 2 of them finished" in done.out
    assert "s an answer, measured on earlier ones" in done.out
    assert len(scenario.seen) == 8


def test_a_dry_run_of_a_local_model_loads_nothing(command, where):
    file = write(POOLS, llm={"model": "smollm2"}, voting={"checks": 0})
    with mock.patch("ragemo.llm.local_model.LocalModel.load", side_effect=AssertionError):
        done = command("ablate", file, *where, "--dry-run")
    assert done.code == 0, done.err
    assert "at most 8 distinct calls (16 if cells shared none)" in done.out
    assert "about " in done.out


def test_the_budget_stops_before_the_call_and_says_how_to_go_on(command, asked, scenario):
    file = write(POOLS)
    stopped = command("ablate", file, *asked, "--budget", "5calls")
    assert stopped.code == 4
    assert len(scenario.seen) == 5
    assert "the budget of 5 calls is reached" in stopped.err
    assert "0 of 2 cells are finished" in stopped.err
    assert "--resume" in stopped.err

    done = command("ablate", file, *asked, "--resume", "--budget", "3calls")
    assert done.code == 0, done.err
    assert len(scenario.seen) == 8
    assert json.loads(Path("out/costs.json").read_text())["asked"]["calls"] == 8


def test_an_ablation_and_a_prediction_pay_for_each_other_s_answers(
    command, asked, scenario, test_file, index
):
    done = command("ablate", write(POOLS), *asked)
    assert done.code == 0, done.err
    made = len(scenario.seen)
    assert not Path("out/answers.sqlite").exists()
    done = command("ablate", write(POOLS), *asked, "--out", "again", "--dry-run")
    assert f"{made} of them answered already" in done.out
    done = command("ablate", write(POOLS), *asked, "--out", "other", "--cache", "other.sqlite")
    assert len(scenario.seen) == 2 * made


def test_several_processes_make_the_same_result_as_one(command, where):
    contexts = {"retrieval.context_length": [0, 2], "retrieval.neighbours": [0, 1, 2, 4]}
    cells = [{"name": "nobody", "voting.voters": ["nobody"]}]
    section = {"name": "mine", "axes": contexts, "cells": cells}
    Path("many.yaml").write_text(yaml.safe_dump({"llm": {"model": "none"}, "ablation": section}))
    for out, processes in (("one", 1), ("two", 2)):
        flags = ("--out", out, "--processes", processes, "--bootstrap", 20, "--no-plots")
        done = command("ablate", "many.yaml", *where, *flags)
        assert done.code == 3
    for name in ("result.json", "table.csv", "table.md"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()
    two = AblationResult.open("two")
    assert len(two.done) == 8
    assert "there is no voter 'nobody'" in two.failed[0].failure
    for cell in two.done:
        runs = [Path(out, cell.run, "verdicts.jsonl").read_bytes() for out in ("one", "two")]
        assert runs[0] == runs[1]


def test_a_cell_that_fails_is_an_exit_code_and_a_line(command, where):
    file = write({"corpus.transcript": ["whispertiny", "no-such-system"]})
    done = command("ablate", file, *where)
    assert done.code == 3
    assert "no transcript strategy or ASR system 'no-such-system'" in " ".join(done.out.split())
    assert len(AblationResult.open("out").done) == 1


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_a_cell_that_cannot_be_planned_is_named_and_the_others_are_run(command, asked, quiet):
    file = write({"corpus.transcript": ["whispertiny", "no-such-system"]})
    done = command("ablate", file, *asked, *quiet)
    assert done.code == 3
    named = "cell 'corpus.transcript=no-such-system' cannot be run: no transcript strategy"
    assert (named in done.err) == (not quiet)
    assert len(AblationResult.open("out").done) == 1


def test_what_a_model_thinks_is_reserved_after_its_first_call(command, asked, scenario):
    scenario.script(answers=["happy"], think=100)
    flags = ["llm.concurrency=8" if one == "llm.concurrency=1" else one for one in asked]
    done = command("ablate", write(POOLS), *flags, "--budget", "3000tokens")
    assert done.code == 4
    assert len(scenario.seen) == 2  # one answer cut off in its thoughts, and one with room for them


def test_an_interrupted_ablation_says_how_to_go_on(command, where):
    with mock.patch("ragemo.ablation.workers.predict", side_effect=KeyboardInterrupt):
        done = command("ablate", write(POOLS), *where)
    assert done.code == 130
    assert "go on with the same command and --resume" in done.err


@pytest.mark.parametrize(
    ("file", "flags", "said"),
    [
        ({"index.context_length": [1, 2]}, (), "index.context_length cannot vary"),
        ({"retrieval.k": [1, "many"]}, (), "axis 'retrieval.k', value 2"),
        (POOLS, ("--set", "voting.pool=mean"), "also given for all cells"),
        (POOLS, ("--format", "html"), "expected table, csv, markdown, json"),
        ({"prompt.template": ["few-shot", "nowhere"]}, ("--set", "llm.model=x"), "nowhere"),
    ],
)
def test_what_is_wrong_is_one_message_before_anything_is_written(command, where, file, flags, said):
    done = command("ablate", write(file), *where, *flags)
    assert done.code == 2
    assert said in done.err
    assert not Path("out").exists()


@pytest.mark.parametrize("file", SHIPPED, ids=lambda path: path.stem)
def test_shipped_ablations_can_be_planned_on_the_sample(command, file, corpora, index):
    shutil.copytree(ROOT / "ragemo/sample", "ragemo/sample")
    design = read_design(file)
    assert design.name == file.stem
    assert set(design.paths) == {"data", "index", "out"}
    flags = ("--index", index, "--out", "out", "--limit", 2, "--dry-run")
    done = command("ablate", file, *flags)
    assert done.code == 0, done.err
    assert f"{len(design.cells)} cells" in done.out


def test_the_shipped_ablations_are_those_of_the_docs():
    page = (ROOT / "docs/ablations.md").read_text(encoding="utf-8")
    assert SHIPPED
    for file in SHIPPED:
        assert f"`configs/ablation/{file.name}`" in page, file.name
