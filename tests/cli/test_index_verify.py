"""Approximate indexes through the command line: built, measured, and predicted with."""

import json
import re
from pathlib import Path

import pytest

from ragemo.retrieval.recall import DEPTHS
from tests.cli.conftest import SAMPLE, run_command

FACTORIES = ["Flat", "HNSW16", "IVF16,Flat"]


@pytest.fixture(scope="module")
def built(tmp_path_factory, minilm_folder):
    """Factory -> the folder of an index of more windows than a search looks at closely."""
    folder = tmp_path_factory.mktemp("factories")
    train = folder / "train.json"
    rows = json.loads((SAMPLE / "train.json").read_text(encoding="utf-8"))[:420]
    train.write_text(json.dumps(rows), encoding="utf-8")
    folders = {}
    for factory in FACTORIES:
        folders[factory] = folder / re.sub(r"\W", "-", factory)
        done = run_command(
            *("index", "build", train, "--out", folders[factory], "--quiet", "--factory", factory)
        )
        assert (done.code, done.err) == (0, "")
    return folders


def predicted(folder):
    return {
        name: (folder / name).read_bytes()
        for name in ("predictions.csv", "verdicts.jsonl", "ballots.jsonl", "panel.json")
    }


@pytest.mark.parametrize("factory", FACTORIES)
def test_recall_as_json(command, built, factory):
    done = command("index", "verify", built[factory], "--recall", "--format", "json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    info = json.loads(command("index", "info", built[factory]).out)
    assert found["factory"] == info["factory"] == factory
    assert found["queries"] == info["examples"]
    assert set(found["recall"]) == {str(depth) for depth in DEPTHS}
    for share in (*found["recall"].values(), found["same_label"]):
        assert 0 <= share <= 1
    assert found["seconds"] > 0
    assert found["exact_seconds"] > 0
    if factory == "Flat":
        assert set(found["recall"].values()) == {1.0}
        assert found["same_label"] == 1.0
    if factory.startswith("IVF"):  # it visits half of its lists, so it misses some
        assert found["recall"]["8"] < 1


@pytest.mark.parametrize("factory", FACTORIES)
def test_recall_as_a_table(command, built, factory):
    done = command("index", "verify", built[factory], "--recall")
    assert (done.code, done.err) == (0, "")
    first, *rows, last = done.out.splitlines()
    assert first.startswith(f"{built[factory]}: whole; factory {factory}, ")
    shares = [re.fullmatch(r"recall at (\d+): ([\d.]+) %", row).groups() for row in rows]
    assert [int(depth) for depth, _ in shares] == list(DEPTHS)
    assert all(0 <= float(share) <= 100 for _, share in shares)
    assert re.match(r"the same label by its \d+ neighbours' vote: [\d.]+ %; queries", last)


def test_without_recall_nothing_is_measured(command, built):
    done = command("index", "verify", built["HNSW16"])
    assert (done.code, done.out, done.err) == (0, f"{built['HNSW16']}: whole\n", "")
    assert command("index", "verify", built["HNSW16"], "--format", "xml").code == 2


def test_where_nothing_is_missed_predictions_are_those_of_an_exact_index(command, built, test_file):
    found = command("index", "verify", built["HNSW16"], "--recall", "--format", "json")
    assert set(json.loads(found.out)["recall"].values()) == {1.0}
    manifests = []
    for name in ("Flat", "HNSW16"):
        flags = ["--index", built[name], "--llm", "none", "--quiet", "--out", name]
        assert command("predict", test_file, *flags).code == 0
        manifests.append(json.loads((Path(name) / "manifest.json").read_text()))
    assert predicted(Path("HNSW16")) == predicted(Path("Flat"))
    assert [manifest["index"]["factory"] for manifest in manifests] == ["Flat", "HNSW16"]


@pytest.mark.parametrize(
    "factory", ["HNSW0", "nonsense", "IVF100000,Flat", "PQ7", "", "HNSW1", "Flat,", "IVF16"]
)
def test_a_factory_that_cannot_be_is_refused_and_nothing_written(
    command, train, factory, workplace
):
    done = command("index", "build", train, "--out", "ix", "--quiet", "--factory", factory)
    assert (done.code, done.out) == (2, "")
    assert f"index.factory {factory!r}" in done.err
    assert "Traceback" not in done.err
    assert list(workplace.iterdir()) == []


def test_a_factory_that_cannot_be_leaves_the_index_that_is_there(command, train, workplace):
    assert command("index", "build", train, "--out", "ix", "--quiet").code == 0
    before = {path.name: path.read_bytes() for path in Path("ix").iterdir()}
    flags = ["--overwrite", "--factory", "nonsense"]
    assert command("index", "build", train, "--out", "ix", "--quiet", *flags).code == 2
    assert {path.name: path.read_bytes() for path in Path("ix").iterdir()} == before
    assert [path.name for path in workplace.iterdir()] == ["ix"]


def test_damage_is_told_before_anything_is_measured(command, train):
    command("index", "build", train, "--out", "ix", "--quiet", "--factory", "HNSW16")
    file = Path("ix/windows.faiss")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    done = command("index", "verify", "ix", "--recall")
    assert (done.code, done.out) == (2, "")
    assert "windows.faiss" in done.err
