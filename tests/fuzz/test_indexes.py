"""An index's folder may be anybody's, with checksums that fit: it is read, or refused in words."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.errors import IndexFolderError
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.manifest import verify_index
from ragemo.retrieval.vectors import Composition
from tests.fuzz.damage import (
    damaged_bytes,
    damaged_data,
    damaged_lines,
    fate,
    fuzz,
    only_our_errors,
)
from tests.retrieval.test_folder import sign
from tests.retrieval.worlds import build

BINARY = ("vectors.npy", "voters.npz", "windows.npy")
FACTORIES = ("Flat", "HNSW8", "IVF2,Flat", "SQ8")


@pytest.fixture(scope="module")
def indexes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexes")
    for factory in FACTORIES:
        build(factory=factory).save(folder / factory)
    return folder


def victim_of(indexes: Path, factory: str = "Flat") -> Path:
    victim = indexes / "victim"
    shutil.rmtree(victim, ignore_errors=True)
    shutil.copytree(indexes / factory, victim)
    return victim


def use(folder: Path) -> None:
    """Read an index, search it, also under another composition, and hear its voters."""
    index = Index.load(folder)
    for exclude in ("dialogue", "session"):
        search(index, Guard(exclude))
    _ = index.probed, index.fingerprint, index.label_counts
    search(index.recomposed(Composition(weight=0.5, decay=0.5, length=1)), Guard())


def search(index: Index, guard: Guard) -> None:
    found = index.search(index.window_vectors[:5], index.turns[:5], 7, guard)
    for query in range(5):
        index.demonstrations(found, query, 7, 2)


def test_utterances(indexes):
    sound = (indexes / "Flat" / "utterances.jsonl").read_bytes()

    @fuzz(15)
    @given(damaged_lines(sound))
    def try_one(data):
        victim = victim_of(indexes)
        (victim / "utterances.jsonl").write_bytes(data)
        sign(victim)
        with only_our_errors():
            use(victim)

    try_one()


def test_manifests(indexes):
    sound = json.loads((indexes / "Flat" / "manifest.json").read_text())
    del sound["checksum"]

    @fuzz(15)
    @given(damaged_data(sound))
    def try_one(data):
        victim = victim_of(indexes)
        files = data.get("files") if isinstance(data, dict) else None
        if isinstance(files, dict) and all(isinstance(n, str) and "\0" not in n for n in files):
            write_signed(victim, data)
        else:
            (victim / "manifest.json").write_text(json.dumps(data))
        with only_our_errors():
            use(victim)

    try_one()


def write_signed(folder: Path, data: dict[str, object]) -> None:
    """A manifest whose own checksum fits, whatever it says."""
    from ragemo.files import canonical_json, indented_json, sha256_bytes

    try:
        own = canonical_json({key: value for key, value in data.items() if key != "checksum"})
        data = data | {"checksum": sha256_bytes(own.encode())}
        (folder / "manifest.json").write_bytes(indented_json(data).encode())
    except ValueError:  # half of a surrogate pair: no such file can be written
        (folder / "manifest.json").write_text(json.dumps(data))


@pytest.mark.parametrize("name", BINARY)
def test_arrays(indexes, name):
    sound = (indexes / "Flat" / name).read_bytes()

    @fuzz(15)
    @given(damaged_bytes(sound))
    def try_one(data):
        victim = victim_of(indexes)
        (victim / name).write_bytes(data)
        sign(victim)
        with only_our_errors():
            use(victim)

    try_one()


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan, 3e38])
@pytest.mark.parametrize("example", [0, 3])
def test_windows_of_no_numbers_are_refused_when_they_are_read(indexes, example, number):
    victim = victim_of(indexes)
    row = Index.load(victim).examples[example]
    windows = np.load(victim / "windows.npy")
    windows[row] = number
    np.save(victim / "windows.npy", windows)
    sign(victim)
    with only_our_errors():
        use(victim)
    if not np.isfinite(number):
        with pytest.raises(IndexFolderError, match="build the index anew"):
            _ = Index.load(victim).probed


@pytest.mark.parametrize("factory", [name for name in FACTORIES if name != "Flat"])
def test_whatever_faiss_is_given(indexes, factory):
    sound = (indexes / factory / "windows.faiss").read_bytes()

    @fuzz(6)
    @given(damaged_bytes(sound[:200]), damaged_bytes(sound), st.booleans())
    def try_one(head, whole, early):
        victim = victim_of(indexes, factory)
        (victim / "windows.faiss").write_bytes(head + sound[200:] if early else whole)
        sign(victim)
        assert fate(lambda: use(victim)) in {"done", "refused"}

    try_one()


def test_whatever_lancedb_is_given(indexes):
    """In this process: its threads do not outlive a fork."""
    pytest.importorskip("lancedb", reason="LanceDB is not installed: pip install 'ragemo[lancedb]'")
    build(factory="lancedb").save(indexes / "lancedb")
    table = indexes / "lancedb" / "windows.lancedb"
    names = sorted(path.relative_to(indexes / "lancedb") for path in table.rglob("*.*"))
    files = {name: (indexes / "lancedb" / name) for name in names}
    sound = {name: path.read_bytes() for name, path in files.items() if path.is_file()}

    @fuzz(12)
    @given(st.sampled_from(sorted(sound)), st.data())
    def try_one(name, data):
        victim = victim_of(indexes, "lancedb")
        (victim / name).write_bytes(data.draw(damaged_bytes(sound[name])))
        sign(victim)
        with only_our_errors():
            use(victim)

    try_one()


# -- attacks that were thought of ------------------------------------------------------------------


def refused(folder: Path, why: str | None = None) -> None:
    with only_our_errors(), pytest.raises(IndexFolderError, match=why):
        use(folder)


def test_an_array_that_claims_more_than_its_file_holds_gets_no_room(indexes):
    victim = victim_of(indexes)
    header = {"descr": "<f4", "fortran_order": False, "shape": (2**33, 8)}
    with (victim / "vectors.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(b"\0" * 64)
    sign(victim)
    refused(victim)
    victim = victim_of(indexes)
    with (
        zipfile.ZipFile(victim / "voters.npz", "a") as archive,
        archive.open("huge.npy", "w") as file,
    ):
        np.lib.format.write_array_header_1_0(file, header)
    sign(victim)
    refused(victim, "too long")


def test_an_archive_that_unpacks_to_gigabytes_is_not_unpacked(indexes):
    victim = victim_of(indexes)
    with zipfile.ZipFile(victim / "voters.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("held_out.npy", b"\0" * 50_000_000)
    assert (victim / "voters.npz").stat().st_size < 100_000
    sign(victim)
    refused(victim, "packed")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "sub/x", "..", ""])
def test_no_file_outside_is_named(indexes, name):
    victim = victim_of(indexes)
    (indexes / "secret").write_text("secret")
    data = json.loads((victim / "manifest.json").read_text())
    write_signed(victim, data | {"files": {**data["files"], name: "0" * 64}})
    refused(victim, "expected the files")


@pytest.mark.parametrize("name", ["manifest.json", "utterances.jsonl", "windows.npy"])
@pytest.mark.parametrize("how", ["absolute", "relative", "within"])
def test_links_are_followed_within_the_folder_only(indexes, name, how):
    victim = victim_of(indexes)
    if how == "within":
        (victim / name).rename(victim / "real")
        (victim / name).symlink_to("real")
        use(victim)
        return
    (victim / name).rename(indexes / "outside")
    (victim / name).symlink_to(indexes / "outside" if how == "absolute" else "../outside")
    refused(victim, "leads out of its folder")


@pytest.mark.parametrize("name", ["manifest.json", "vectors.npy"])
def test_a_pipe_is_not_waited_for(indexes, name):
    victim = victim_of(indexes)
    (victim / name).unlink()
    os.mkfifo(victim / name)
    refused(victim, "no ordinary file")
    with pytest.raises(IndexFolderError) if name == "manifest.json" else only_our_errors():
        verify_index(victim)
