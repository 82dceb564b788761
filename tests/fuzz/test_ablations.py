"""An ablation's folder may be anybody's: it is shown and gone on with, or refused in words."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.ablation.plots import draw_plots
from ragemo.ablation.results import AblationResult
from ragemo.ablation.sweep import carry_out_sweep, prepare
from ragemo.ablation.tables import result_csv, result_markdown, result_table
from ragemo.errors import RunFolderError
from ragemo.report.ablation import ablation_report
from tests.ablation.worlds import CORPUS, WITH_INDEX, design, index
from tests.conftest import FakeEmbedder
from tests.fuzz.damage import damaged_bytes, damaged_json, damaged_lines, fuzz, only_our_errors

FILES = ("result.json", "costs.json", "ablation.json")
EMBEDDER = FakeEmbedder()
OF_A_CELL = ("manifest.json", "verdicts.jsonl", "ballots.jsonl")


@pytest.fixture(scope="module")
def ablations(tmp_path_factory):
    """A sound ablation, and the folder of its victim."""
    folder = tmp_path_factory.mktemp("ablations")
    run(folder / "sound")
    return folder


def run(out, *, resume=False):
    grid = {"voting.pool": ["log", "mean"], "seed": [0, 1]}
    cells = [{"name": "two", "retrieval.k": 2}]
    wanted = design(out.parent, grid, cells, WITH_INDEX, {"limit": 6})
    carry_out_sweep(
        prepare(wanted, CORPUS, out, index=index(), load_embedder=lambda: EMBEDDER, resume=resume),
        samples=5,
    )


def victim_of(folder):
    victim = folder / "victim"
    shutil.rmtree(victim, ignore_errors=True)
    shutil.copytree(folder / "sound", victim, symlinks=True)
    return victim


def cell_of(folder):
    return next(iter(sorted((folder / "cells").iterdir())))


def go_on(folder):
    run(folder, resume=True)


def look(folder):
    ablation_report(folder)
    result = AblationResult.open(folder)
    result_csv(result), result_markdown(result), result_table(result)


READERS = {"look": look, "go on": go_on}


def damaged(folder, name):
    sound = (folder / name).read_bytes()
    if name.endswith(".jsonl"):
        return damaged_lines(sound)
    return st.one_of(damaged_json(json.loads(sound)), damaged_bytes(sound))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", FILES)
def test_whoever_reads_an_ablation(ablations, name, reader):
    @fuzz(20 if reader == "look" else 5)
    @given(damaged(ablations / "sound", name))
    def try_one(data):
        victim = victim_of(ablations)
        (victim / name).write_bytes(data)
        with only_our_errors():
            READERS[reader](victim)

    try_one()


@pytest.mark.parametrize("name", OF_A_CELL)
def test_a_cell_of_it(ablations, name):
    @fuzz(8)
    @given(damaged(cell_of(ablations / "sound"), name))
    def try_one(data):
        victim = victim_of(ablations)
        (cell_of(victim) / name).write_bytes(data)
        for read in READERS.values():
            with only_our_errors():
                read(victim)

    try_one()


def test_a_sound_one_is_read_and_drawn(ablations, tmp_path):
    for read in READERS.values():
        read(victim_of(ablations))
    assert draw_plots(AblationResult.open(ablations / "sound"), tmp_path)


# -- attacks that were thought of ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "../sound", "/etc", "cells/../../sound", "cells/\0"])
def test_no_cell_lies_elsewhere(ablations, name):
    victim = victim_of(ablations)
    data = json.loads((victim / "result.json").read_text())
    data["cells"][0]["run"] = name
    (victim / "result.json").write_text(json.dumps(data))
    with pytest.raises(RunFolderError, match="run is out of range"):
        ablation_report(victim)


@pytest.mark.parametrize("name", FILES)
def test_links_out_of_the_folder_are_not_followed(ablations, name):
    victim = victim_of(ablations)
    (victim / name).unlink()
    (victim / name).symlink_to(ablations / "sound" / name)
    with pytest.raises(RunFolderError, match="leads out of its folder"):
        ablation_report(victim)


@pytest.mark.parametrize("what", ["a cell", "all cells"])
@pytest.mark.parametrize("finished", [True, False])
def test_no_cell_is_run_elsewhere(ablations, what, finished):
    victim = victim_of(ablations)
    place = cell_of(victim) if what == "a cell" else victim / "cells"
    elsewhere = ablations / "elsewhere"
    shutil.rmtree(elsewhere, ignore_errors=True)
    if finished:
        shutil.copytree(place, elsewhere)
    else:
        elsewhere.mkdir()
    before = sorted(elsewhere.rglob("*"))
    shutil.rmtree(place)
    place.symlink_to(elsewhere)
    with pytest.raises(RunFolderError, match="leads out of the ablation's folder"):
        go_on(victim)
    assert sorted(elsewhere.rglob("*")) == before


def test_settings_that_are_none_are_told(ablations):
    victim = victim_of(ablations)
    file = cell_of(victim) / "manifest.json"
    data = json.loads(file.read_text())
    data["settings"]["retrieval"]["k"] = "many"
    file.write_text(json.dumps(data))
    with pytest.raises(RunFolderError, match=r"settings that are none .* changed by hand"):
        go_on(victim)
