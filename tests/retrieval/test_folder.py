"""An index's folder: written whole, read as it was written, replaced only when asked."""

import shutil

import numpy as np
import pytest

from ragemo.errors import IndexFolderError, SettingsError
from ragemo.retrieval.folder import take_voters
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.manifest import verify_index
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.retrieval.voters.fitting import questions_of
from tests.conftest import FakeEmbedder, make_corpus, make_turn
from tests.retrieval.folders import FILES, contents, sign
from tests.retrieval.worlds import build


@pytest.fixture
def index():
    return build()


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
