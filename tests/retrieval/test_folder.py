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

from ragemo.errors import IndexFolderError, SettingsError
from ragemo.files import canonical_json, sha256_bytes, sha256_file, write_json
from ragemo.retrieval.fitting import questions_of
from ragemo.retrieval.folder import take_voters
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.manifest import read_manifest, verify_index
from ragemo.retrieval.voters import INDEX_VOTERS
from tests.conftest import FakeEmbedder, make_corpus, make_turn
from tests.retrieval.worlds import build

FILES = ["manifest.json", "utterances.jsonl", "vectors.npy", "voters.npz", "windows.npy"]


@pytest.fixture
def index():
    return build()


@pytest.fixture
def saved(index, tmp_path):
    index.save(tmp_path / "index")
    return tmp_path / "index"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def sign(folder, **changes):
    """Make the manifest fit the files again, as somebody who wants to deceive would."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8")) | changes
    manifest["files"] = {name: sha256_file(folder / name) for name in manifest["files"]}
    del manifest["checksum"]
    manifest["checksum"] = sha256_bytes(canonical_json(manifest).encode())
    write_json(folder / "manifest.json", manifest)


# -- saving and loading ----------------------------------------------------------------------------


def test_a_sound_index_is_not_blamed_for_the_environment(tmp_path, monkeypatch):
    rows = [{"dialogue": "d0", "text": f"word {turn}"} for turn in range(600)]
    folder = tmp_path / "index"
    Index.build(make_corpus(rows), FakeEmbedder()).save(folder)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "many")
    with pytest.raises(SettingsError, match="LOKY_MAX_CPU_COUNT"):
        Index.load(folder)


def test_a_loaded_index_answers_as_the_saved_one(index, saved):
    loaded = Index.load(saved)
    assert loaded.fingerprint == index.fingerprint
    assert loaded.summary() == index.summary()
    for guard in (Guard(), Guard("session", duplicates=True)):
        one, other = (
            each.search(each.window_vectors, each.turns, 7, guard) for each in (index, loaded)
        )
        assert np.array_equal(one.rows, other.rows)
        assert np.array_equal(one.similarities, other.similarities)
        assert index.demonstrations(one, 5, 7, 2) == loaded.demonstrations(other, 5, 7, 2)


def test_a_loaded_index_s_voters_answer_to_the_last_digit_as_the_saved_ones(index, saved):
    loaded = Index.load(saved)
    assert index.voters["words"].scale > 0
    assert list(loaded.voters) == list(index.voters) == list(INDEX_VOTERS)
    assert np.array_equal(loaded.fitted.held_out, index.fitted.held_out)
    strangers = [make_turn(f"Déjà vu? So glad {n}", dialogue_id="q") for n in range(9)]
    vectors = np.random.default_rng(0).normal(size=(9, 16)).astype(np.float32)
    asked = [questions_of(each, strangers, vectors, Guard()) for each in (index, loaded)]
    for name, voter in index.voters.items():
        again = loaded.voters[name]
        assert np.array_equal(again.distributions(asked[1]), voter.distributions(asked[0]))
        assert np.array_equal(loaded.fitted.votes[name], index.fitted.votes[name])
        assert again.to_dict() == voter.to_dict()
        for part, array in voter.arrays().items():
            assert np.array_equal(again.arrays()[part], array)


def test_built_again_it_has_the_same_bytes(saved, tmp_path):
    build().save(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(saved)
    Index.load(saved).save(tmp_path / "third")
    assert contents(tmp_path / "third") == contents(saved)
    assert sorted(contents(saved)) == FILES


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


# -- writing over --------------------------------------------------------------------------------


def test_an_index_is_replaced_only_when_asked(saved):
    other = build(embedder=FakeEmbedder(salt="other"))
    before = contents(saved)
    with pytest.raises(IndexFolderError, match="already holds an index; pass --overwrite"):
        other.save(saved)
    assert contents(saved) == before
    other.save(saved, overwrite=True)
    assert Index.load(saved).fingerprint == other.fingerprint


def test_anything_else_is_never_replaced(index, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "manifest.json").write_text("{}")
    (tmp_path / "file").write_text("text")
    for path in (tmp_path / "notes", tmp_path / "file"):
        with pytest.raises(IndexFolderError, match="exists and is not an index"):
            index.save(path, overwrite=True)
    assert contents(tmp_path / "notes") == {"manifest.json": b"{}"}
    (tmp_path / "empty").mkdir()
    index.save(tmp_path / "empty")
    assert verify_index(tmp_path / "empty") == []


def full_disk(path, arr, **options):
    raise OSError(f"could not open {path} for writing: No space left on device")


def interrupt(path, arr, **options):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("failing", "error"), [(full_disk, IndexFolderError), (interrupt, KeyboardInterrupt)]
)
@pytest.mark.parametrize("there", [True, False])
def test_a_failure_while_saving_leaves_what_was_there(
    index, tmp_path, monkeypatch, failing, error, there
):
    path = tmp_path / "index"
    if there:
        build(embedder=FakeEmbedder(salt="old")).save(path)
    before = contents(path) if there else None
    monkeypatch.setattr(np, "save", failing)
    with pytest.raises(error):
        index.save(path, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == (["index"] if there else [])
    assert not there or contents(path) == before


def test_a_place_that_cannot_be_written_is_named(index, tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(IndexFolderError, match=r"file/index: the index cannot be written"):
        index.save(tmp_path / "file" / "index")


# -- building again --------------------------------------------------------------------------------


def test_an_index_takes_the_voters_of_the_same_one_alone(saved, tmp_path):
    rows = [{"dialogue": f"d{n}", "text": f"{n}"} for n in range(20)]
    other = build(make_corpus(rows))
    assert take_voters(build(), saved)
    assert not take_voters(other, saved)
    assert not take_voters(build(), tmp_path / "nothing there")


@pytest.mark.parametrize("name", ["vectors.npy", "utterances.jsonl", "voters.npz"])
def test_nor_does_it_take_them_from_a_folder_of_two_indexes(saved, tmp_path, name):
    rows = [{"dialogue": f"d{n}", "text": f"{n}"} for n in range(20)]
    build(make_corpus(rows)).save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / name, saved / name)
    sign(saved)
    assert not take_voters(build(), saved)
