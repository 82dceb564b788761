import json
import os
import shutil

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import IndexFolderError, SettingsError
from ragemo.files import canonical_json, sha256_bytes, sha256_file, write_json
from ragemo.retrieval.folder import read_manifest, verify_index
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index, check_fits, search_text
from ragemo.retrieval.vectors import Composition
from tests.conftest import LABELS, FakeEmbedder, make_corpus

FILES = ["manifest.json", "utterances.jsonl", "vectors.npy", "windows.faiss"]

CORPUS = make_corpus(
    [
        {
            "dialogue": f"d{n // 5}",
            "text": "" if n == 7 else f"utterance {n} – ‘déjà vu’",
            "emotion": "fru" if n == 3 else LABELS.names[n % 3],
            "needs_prediction": n % 10 != 4,
            "session": f"s{n // 10}",
            "speaker": "AB"[n % 2],
            "reference": "the-human-transcript",
        }
        for n in range(30)
    ]
)


def build(corpus=CORPUS, embedder=None, **options):
    return Index.build(corpus, embedder or FakeEmbedder(), transcript="asr", **options)


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


# -- building ------------------------------------------------------------------------------------


def test_labelled_utterances_to_predict_are_the_examples(index):
    assert len(index.turns) == 30
    ids = {index.turns[row].utterance_id for row in index.examples}
    assert "d0_3" not in ids, "its label is not of the set"
    assert "d0_4" not in ids, "it is context only"
    assert len(ids) == 30 - 1 - 3
    assert index.label_counts == {"neu": 8, "hap": 9, "ang": 9}
    assert sum(index.prior) == pytest.approx(1)


def test_a_label_without_examples_stays_possible():
    corpus = make_corpus(
        [{"dialogue": f"d{n}", "text": f"{n}", "emotion": ("neu", "hap")[n % 2]} for n in range(9)]
    )
    index = build(corpus)
    found = index.search(index.window_vectors, index.turns, 8)
    votes = index.voter.distributions(found.similarities, index.label_positions[found.rows])
    assert index.label_counts["ang"] == 0
    assert (votes > 0).all()


def test_a_corpus_without_labels_is_refused():
    corpus = make_corpus([{"dialogue": "d", "text": "hi", "emotion": None}])
    with pytest.raises(SettingsError, match=r"corpus\.csv: no utterance has a label of 'three'"):
        build(corpus)


def test_the_reference_transcript_is_nowhere_in_it(saved):
    assert all(b"the-human-transcript" not in content for content in contents(saved).values())
    asked = Index.build(CORPUS, FakeEmbedder(), transcript="reference")
    assert asked.turns[0].text == "the-human-transcript"
    assert asked.summary()["transcript"] == "reference"


def test_nothing_is_learned_where_the_labels_of_dialogues_are_drawn_by_lot():
    """Every dialogue repeats its own texts and label: with its own examples a vote is perfect."""
    rng = np.random.default_rng(0)
    rows = [
        {"dialogue": f"d{d}", "text": f"text {d}", "emotion": label}
        for d, label in enumerate(rng.choice(LABELS.names, 120))
        for _ in range(4)
    ]
    index = build(make_corpus(rows))
    found = index.search(index.window_vectors, index.turns, 256)
    votes = index.voter.distributions(found.similarities, index.label_positions[found.rows])
    assert abs((votes.argmax(axis=1) == index.label_positions).mean() - 1 / 3) < 0.1
    loss = -np.log(votes[np.arange(len(votes)), index.label_positions]).mean()
    assert np.log(3) - 0.05 < loss < np.log(3) + 0.05


def test_another_composition_costs_no_embedding(index):
    how = Composition(weight=0.5, decay=0.9, length=2)
    recomposed = index.recomposed(how)
    assert recomposed.fingerprint == build(composition=how).fingerprint
    assert recomposed.fingerprint != index.fingerprint
    assert index.recomposed(index.composition) is index


@pytest.mark.parametrize(
    "change",
    [{"text": "other"}, {"emotion": "ang"}, {"speaker": "C"}, {"session": "s9"}],
)
def test_the_fingerprint_tells_other_inputs(change):
    row = {"dialogue": "d", "text": "hi", "emotion": "neu"}
    rows = [row, {"dialogue": "e", "text": "ho"}]
    assert build(make_corpus(rows)).fingerprint == build(make_corpus(rows)).fingerprint
    other = build(make_corpus([row | change, rows[1]]))
    assert other.fingerprint != build(make_corpus(rows)).fingerprint


# -- the folder ----------------------------------------------------------------------------------


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
    votes = [
        each.voter.distributions(one.similarities, each.label_positions[one.rows])
        for each in (index, loaded)
    ]
    assert np.array_equal(*votes)


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


def test_files_of_two_indexes_are_told_apart(saved, tmp_path):
    rows = [{"dialogue": f"d{n}", "text": f"{n}"} for n in range(20)]
    build(make_corpus(rows)).save(tmp_path / "other")
    for name in ("vectors.npy", "windows.faiss", "utterances.jsonl"):
        shutil.copytree(saved, tmp_path / name)
        shutil.copy(tmp_path / "other" / name, tmp_path / name / name)
        sign(tmp_path / name)
        with pytest.raises(IndexFolderError, match="do not belong together"):
            Index.load(tmp_path / name)


def test_another_format_version_is_refused(saved):
    sign(saved, format=2)
    with pytest.raises(IndexFolderError, match="index format 2, this ragemo reads 1"):
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


def full_disk(searcher, path):
    raise RuntimeError(f"could not open {path} for writing: No space left on device")


def interrupt(searcher, path):
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
    monkeypatch.setattr(faiss, "write_index", failing)
    with pytest.raises(error):
        index.save(path, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == (["index"] if there else [])
    assert not there or contents(path) == before


def test_a_place_that_cannot_be_written_is_named(index, tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(IndexFolderError, match=r"file/index: the index cannot be written"):
        index.save(tmp_path / "file" / "index")


# -- the embedder of the query -------------------------------------------------------------------


def test_the_same_embedder_fits(index):
    check_fits(index, FakeEmbedder())


def test_another_embedder_is_refused_and_what_differs_is_named(index):
    other = FakeEmbedder(name="other")
    other.identity["pooling"] = "cls"
    with pytest.raises(IndexFolderError) as caught:
        check_fits(index, other)
    assert "name 'other' (index: 'fake')" in str(caught.value)
    assert "pooling 'cls' (index: None)" in str(caught.value)
    assert "precision" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (FakeEmbedder(salt="retrained"), "cosine .* weights have changed"),
        (FakeEmbedder(dimension=12), "12 dimensions, the index has 8.* weights have changed"),
    ],
)
def test_changed_weights_under_the_same_name_are_found(index, changed, said):
    with pytest.raises(IndexFolderError, match=said):
        check_fits(index, changed)


def test_a_text_finds_its_like(embedder):
    corpus = make_corpus(
        [
            {"dialogue": "a", "text": "I am so happy for you!", "emotion": "hap"},
            {"dialogue": "b", "text": "The bus leaves at nine.", "emotion": "neu"},
            {"dialogue": "c", "text": "Get out of my house!", "emotion": "ang"},
        ]
    )
    index = build(corpus, embedder, composition=Composition(weight=0))
    text = "I'm really glad for you"
    found = search_text(index, text, 2)
    assert len(found) == 2
    assert found[0].label == "hap"
    cosine = float(np.dot(*embedder.embed([text, found[0].window.target.text])))
    assert found[0].similarity == pytest.approx(cosine, abs=1e-5)
    assert found[0].similarity > found[1].similarity
    with pytest.raises(IndexFolderError, match="name 'fake'"):
        check_fits(index, FakeEmbedder())
