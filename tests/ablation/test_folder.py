"""The folder of an ablation: whose it is, and who may write to it."""

import json
import shutil
from dataclasses import replace

import pytest

from ragemo.ablation.design import read_design
from ragemo.ablation.results import AblationResult
from ragemo.ablation.sweep import ablate, carry_out_sweep, prepare
from ragemo.errors import RunFolderError
from ragemo.labels import LabelSet
from tests.ablation.worlds import (
    BASE,
    CORPUS,
    design,
    right,
    run,
)
from tests.conftest import LABELS
from tests.fake_llm import FakeLLM

POOLS = {"voting.pool": ["log", "mean", "majority"]}


def test_folders_of_others_are_left_alone(tmp_path):
    grid, out = design(tmp_path, POOLS), tmp_path / "out"
    run(grid, out)
    with pytest.raises(RunFolderError, match="already holds an ablation; pass --resume"):
        run(grid, out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    with pytest.raises(RunFolderError, match="is not an ablation"):
        run(grid, tmp_path / "mine", resume=True)


def test_one_ablation_at_a_time_in_a_folder_and_plans_at_any_time(tmp_path):
    out, llm = tmp_path / "out", FakeLLM(right())
    first = design(tmp_path, {"prompt.context": [0, 1]})
    other = design(tmp_path, {"prompt.context": [2]})
    planned = []

    def models(settings, asks):
        if asks and not planned:
            with pytest.raises(RunFolderError, match="another process is writing to this ablation"):
                run(other, out, resume=True)
            sweep = prepare(other, CORPUS, out, models=lambda *_: [llm], resume=True)
            planned.append(sweep.forecast())
        return [llm]

    result = ablate(first, CORPUS, out, models=models)
    assert planned[0].cells == 1
    assert AblationResult.open(out) == result
    named = [cell["name"] for cell in json.loads((out / "ablation.json").read_text())["cells"]]
    assert named == [cell.name for cell in first.cells] == [cell.name for cell in result.cells]
    assert len(run(other, out, resume=True).done) == 1


def test_what_came_into_the_folder_since_it_was_planned_is_neither_replaced_nor_run_again(tmp_path):
    out, llm = tmp_path / "out", FakeLLM(right())
    one = design(tmp_path, {"prompt.context": [0, 1]})
    other = design(tmp_path, {"prompt.context": [1, 2]})

    def planned(grid, **how):
        return prepare(grid, CORPUS, out, models=lambda *_: [llm], **how)

    first, second, resumed = planned(one), planned(other), planned(other, resume=True)
    carry_out_sweep(first)
    before = (out / "ablation.json").read_bytes()
    with pytest.raises(RunFolderError, match="already holds an ablation; pass --resume"):
        carry_out_sweep(second)
    assert (out / "ablation.json").read_bytes() == before
    assert len(carry_out_sweep(resumed).done) == 2
    assert resumed.open == [other.cells[1]]


def test_a_folder_of_which_nothing_but_the_lock_was_written_is_new(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.lock").touch()
    assert len(run(design(tmp_path, POOLS), tmp_path / "out").done) == 3


def test_a_lock_is_made_in_no_other_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunFolderError, match="leads out of the ablation's folder"):
        run(design(tmp_path, POOLS), tmp_path / "out")
    assert not (tmp_path / "elsewhere").exists()


def test_a_run_that_was_changed_by_hand_is_not_taken_for_the_cell_s(tmp_path):
    grid, out = design(tmp_path, POOLS), tmp_path / "out"
    first = run(grid, out)
    one, other = (out / cell.run for cell in first.cells[:2])
    shutil.rmtree(one)
    shutil.copytree(other, one)
    with pytest.raises(RunFolderError, match="its manifest is of another run"):
        run(grid, out, resume=True)


def test_the_folder_holds_a_file_of_the_same_ablation(tmp_path):
    axes = [{"name": "depth", "settings": ["prompt.context"], "values": [0, 2]}]
    base = {**BASE, "retrieval": {"k": 0, "only": {"longest": 99}}}
    deep = {"retrieval.only.shortest": 3, "retrieval.options.mmr": {"relevance": 0.2}}
    overrides = {"llm.samples": 2, "limit": 3, **deep}
    given = design(tmp_path, axes=axes, base=base, overrides=overrides)
    run(given, tmp_path / "out")
    again = read_design(tmp_path / "out" / "ablation.yaml")
    assert [cell.settings for cell in again.cells] == [cell.settings for cell in given.cells]
    assert (again.name, again.axes) == (given.name, given.axes)
    assert again.paths == {}


def test_other_labels_are_another_run(tmp_path):
    grid, out = design(tmp_path, {"prompt.context": [0]}), tmp_path / "out"
    first = run(grid, out)
    labels = LabelSet.from_dict(LABELS.to_dict() | {"name": "renamed"})
    other = replace(CORPUS, labels=labels)
    second = run(grid, out, corpus=other, resume=True)
    assert first.cells[0].run != second.cells[0].run
    shutil.rmtree(out / second.cells[0].run)
    shutil.copytree(out / first.cells[0].run, out / second.cells[0].run)
    with pytest.raises(RunFolderError, match="its manifest is of another run"):
        run(grid, out, corpus=other, resume=True)
