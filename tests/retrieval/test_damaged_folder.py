"""An index's folder that is damaged, or made by somebody who wants to deceive."""

import json
import os
import pickle
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import IndexFolderError
from ragemo.retrieval.index import Index
from ragemo.retrieval.manifest import read_manifest, verify_index
from ragemo.retrieval.voters import INDEX_VOTERS
from tests.conftest import make_corpus
from tests.retrieval.folders import FILES, contents, sign
from tests.retrieval.worlds import build


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("victim") / "index"
    build().save(folder)
    return folder, contents(folder)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(FILES), position=st.integers(0, 10**6), change=st.integers(1, 255))
def test_any_damaged_byte_is_found(victim, name, position, change):
    folder, sound = victim
    damaged = bytearray(sound[name])
    damaged[position % len(damaged)] ^= change
    (folder / name).write_bytes(damaged)
    try:
        if name == "manifest.json":
            with pytest.raises(IndexFolderError, match=name):
                verify_index(folder)
        else:
            assert [name in problem for problem in verify_index(folder)] == [True]
        with pytest.raises(IndexFolderError, match=name):
            Index.load(folder)
    finally:
        (folder / name).write_bytes(sound[name])
    assert verify_index(folder) == []


@pytest.mark.parametrize(("old", "new"), [(b" ", b"\t"), (b'": ', b'" :'), (b"\n}", b"}\n")])
def test_a_manifest_of_the_same_meaning_in_other_bytes_is_found(saved, old, new):
    file = saved / "manifest.json"
    file.write_bytes(file.read_bytes().replace(old, new, 1))
    with pytest.raises(IndexFolderError, match="its checksum does not fit"):
        verify_index(saved)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["gone", "cut", "longer"])
def test_a_file_that_is_gone_or_of_another_length_is_found(saved, name, how):
    file = saved / name
    if how == "gone":
        file.unlink()
    elif how == "cut":
        file.write_bytes(file.read_bytes()[:-10])
    else:
        file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(IndexFolderError, match=name):
        Index.load(saved)


class Bomb:
    """Pickled, it writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_pickled_is_ever_read(saved, tmp_path):
    bombs = np.array([Bomb(tmp_path / "exploded")], dtype=object)
    np.save(saved / "vectors.npy", bombs, allow_pickle=True)
    sign(saved)
    assert verify_index(saved) == []
    with pytest.raises(IndexFolderError, match="not an index that ragemo wrote"):
        Index.load(saved)
    assert not (tmp_path / "exploded").exists()
    np.load(saved / "vectors.npy", allow_pickle=True)
    assert (tmp_path / "exploded").exists(), "the bomb is a real one"


def voters_of(folder):
    with np.load(folder / "voters.npz", allow_pickle=False) as stored:
        return dict(stored)


def test_an_utterance_before_an_earlier_one_of_its_dialogue_is_refused(saved):
    """Else it would be shown as context of what was said before it."""
    lines = (saved / "utterances.jsonl").read_bytes().splitlines(keepends=True)
    first, second = (json.loads(line) for line in lines[:2])
    assert first["dialogue_id"] == second["dialogue_id"]
    (saved / "utterances.jsonl").write_bytes(b"".join([lines[1], lines[0], *lines[2:]]))
    sign(saved)
    with pytest.raises(IndexFolderError, match=r"ragemo wrote \(turn is out of"):
        Index.load(saved)


NAMES = [
    "close",
    "held_out",
    "neighbours.votes",
    "probe.offsets",
    "probe.votes",
    "probe.weights",
    "words.evidence",
    "words.vocabulary",
    "words.votes",
]


def test_these_are_the_names(saved):
    assert sorted(voters_of(saved)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_nothing_pickled_among_the_voters_is_ever_read(saved, tmp_path, name):
    bombs = np.array([Bomb(tmp_path / "exploded")], dtype=object)
    np.savez(saved / "voters.npz", **voters_of(saved) | {name: bombs})
    sign(saved)
    with pytest.raises(IndexFolderError, match="not an index that ragemo wrote"):
        Index.load(saved)
    assert not (tmp_path / "exploded").exists()
    np.load(saved / "voters.npz", allow_pickle=True)[name]
    assert (tmp_path / "exploded").exists(), "the bomb is a real one"


@pytest.mark.parametrize("how", ["alone", "in an archive", "as an array"])
def test_no_pickle_in_the_place_of_the_voters_is_ever_read(saved, tmp_path, how):
    pickled = pickle.dumps(Bomb(tmp_path / "exploded"))
    if how == "alone":
        (saved / "voters.npz").write_bytes(pickled)
    elif how == "in an archive":
        with zipfile.ZipFile(saved / "voters.npz", "a") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the name is there twice; the last one counts
            archive.writestr("probe.weights", pickled)
            archive.writestr("held_out.npy", pickled)
    else:
        with (saved / "voters.npz").open("wb") as file:
            np.save(file, np.array([Bomb(tmp_path / "exploded")], dtype=object), allow_pickle=True)
    sign(saved)
    with pytest.raises(IndexFolderError, match="not an index that ragemo wrote"):
        Index.load(saved)
    assert not (tmp_path / "exploded").exists()
    pickle.loads(pickled)
    assert (tmp_path / "exploded").exists(), "the bomb is a real one"


CHANGES = {
    "gone": lambda array: None,
    "shorter": lambda array: array[:-1],
    "deeper": lambda array: array[..., None],
    "flat": lambda array: array.reshape(-1)[:1].reshape(()),
    "wider": lambda array: np.concatenate([array, array], axis=-1),
    "other": lambda array: np.full(array.shape, b"x"),
}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "close"])
@pytest.mark.parametrize("change", CHANGES)
def test_voters_of_another_shape_are_refused(saved, name, change):
    arrays = voters_of(saved)
    changed = CHANGES[change](arrays.pop(name))
    np.savez(saved / "voters.npz", **arrays | ({} if changed is None else {name: changed}))
    sign(saved)
    assert verify_index(saved) == []
    with pytest.raises(IndexFolderError, match="build the index anew"):
        Index.load(saved)


@pytest.mark.parametrize("close", [None, np.array([0.5, 0.5]), np.array(b"x"), np.array(np.nan)])
def test_a_similarity_that_is_none_is_refused(saved, close):
    arrays = {name: array for name, array in voters_of(saved).items() if name != "close"}
    np.savez(saved / "voters.npz", **arrays | ({} if close is None else {"close": close}))
    sign(saved)
    with pytest.raises(IndexFolderError, match="build the index anew"):
        Index.load(saved)


@pytest.mark.parametrize("kind", [np.float64, np.int8, np.str_])
def test_rows_that_are_no_rows_are_refused(saved, kind):
    arrays = voters_of(saved)
    np.savez(saved / "voters.npz", **arrays | {"held_out": arrays["held_out"].astype(kind)})
    sign(saved)
    with pytest.raises(IndexFolderError, match="build the index anew"):
        Index.load(saved)


@pytest.mark.parametrize("name", INDEX_VOTERS)
@pytest.mark.parametrize("change", [{"prior": [0.5, 0.5]}, {"prior": None}, None])
def test_voters_of_other_labels_or_none_are_refused(saved, name, change):
    voters = read_manifest(saved)["voters"]
    voters[name] = None if change is None else voters[name] | change
    sign(saved, voters=voters)
    with pytest.raises(IndexFolderError, match="build the index anew"):
        Index.load(saved)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *(("neighbours", {"temperature": value}) for value in (0, -1, "inf", "nan", "warm")),
        ("neighbours", {"count": -1}),
        *((name, {"scale": value}) for name in ("probe", "words") for value in ("nan", -1, 1e300)),
        *(
            (name, {"prior": prior})
            for name in INDEX_VOTERS
            for prior in ([0, 0, 0], [-1, 0.5, 1.5], [0, 0.5, 0.5], [False, 0.5, 0.5], [0.5] * 3)
        ),
    ],
)
def test_voters_that_say_no_distribution_are_refused(saved, name, change):
    voters = read_manifest(saved)["voters"]
    voters[name] |= change
    sign(saved, voters=voters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(IndexFolderError, match="build the index anew"):
            Index.load(saved)


@pytest.mark.parametrize("name", ["probe.offsets", "probe.weights", "words.evidence"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e35])
def test_what_would_make_a_vote_no_number_is_refused(saved, name, number):
    """Also in the row of a feature that no utterance of the index has."""
    arrays = voters_of(saved)
    arrays[name].flat[-1] = number
    np.savez(saved / "voters.npz", **arrays)
    sign(saved)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(IndexFolderError, match="build the index anew"):
            Index.load(saved)


@settings(max_examples=120, deadline=None)
@given(position=st.integers(0, 10**6), change=st.integers(1, 255))
def test_whatever_the_voters_file_holds_is_read_or_refused(victim, position, change):
    folder, sound = victim
    damaged = bytearray(sound["voters.npz"])
    damaged[position % len(damaged)] ^= change
    (folder / "voters.npz").write_bytes(damaged)
    sign(folder)
    try:
        Index.load(folder)
    except IndexFolderError as error:
        assert "build the index anew" in str(error)
    finally:
        for name, content in sound.items():
            (folder / name).write_bytes(content)


def test_files_of_two_indexes_are_told_apart(saved, tmp_path):
    rows = [{"dialogue": f"d{n}", "text": f"{n}"} for n in range(20)]
    build(make_corpus(rows)).save(tmp_path / "other")
    for name in ("vectors.npy", "windows.npy", "utterances.jsonl", "voters.npz"):
        shutil.copytree(saved, tmp_path / name)
        shutil.copy(tmp_path / "other" / name, tmp_path / name / name)
        sign(tmp_path / name)
        with pytest.raises(IndexFolderError, match="do not belong together"):
            Index.load(tmp_path / name)


def test_another_format_version_is_refused(saved):
    sign(saved, format=1)
    with pytest.raises(IndexFolderError, match="index format 1, this ragemo reads 4"):
        Index.load(saved)


@pytest.mark.parametrize("content", ["{", "[]", "{}", "\x00"])
def test_a_manifest_that_is_none_is_refused(saved, content):
    (saved / "manifest.json").write_text(content)
    with pytest.raises(IndexFolderError, match=r"manifest\.json"):
        read_manifest(saved)


def test_a_folder_without_an_index_says_how_to_make_one(tmp_path):
    with pytest.raises(IndexFolderError, match=r"no index here .*ragemo index build"):
        Index.load(tmp_path / "none")
