"""An index that several jobs embed, and one that a further corpus is added to."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import DataError, IndexFolderError, RagemoError, SettingsError
from ragemo.files import sha256_file
from ragemo.labels import LabelSet
from ragemo.pipeline import predict
from ragemo.retrieval.adding import add_corpus
from ragemo.retrieval.index import Index
from ragemo.retrieval.material import take_in
from ragemo.retrieval.shards import merge_index_shards, write_index_shard
from ragemo.retrieval.vectors import Composition
from ragemo.settings import resolve_settings
from ragemo.types import Shard
from tests.conftest import LABELS, FakeEmbedder, make_corpus

EMBEDDER = FakeEmbedder()
COMPOSITION = Composition(weight=0.4)


def corpus_of(lengths, prefix="d", **fields):
    """Dialogues of so many utterances, some with words that others have, too."""
    rows = [
        {
            "dialogue": f"{prefix}{number}",
            "text": f"words {number} {turn}" if turn % 3 else "yeah",
            "emotion": LABELS.names[(number + turn) % 3],
            "needs_prediction": turn % 4 != 2,
        }
        for number, length in enumerate(lengths)
        for turn in range(length)
    ]
    return replace(make_corpus(rows), **fields)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def shards_of(corpus, folder, of, **options):
    material = take_in(corpus, options.pop("transcript", "asr"))
    folders = []
    for number in range(1, of + 1):
        out = folder / f"shard-{number}"
        write_index_shard(
            material, out, Shard(number, of), EMBEDDER, composition=COMPOSITION, **options
        )
        folders.append(out)
    return folders


def built(corpus, out, **options):
    index = Index.build(corpus, EMBEDDER, transcript="asr", composition=COMPOSITION, **options)
    index.save(out)
    return index


LENGTHS = [4, 1, 7, 3, 5, 2, 6]


@pytest.mark.parametrize("of", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("factory", ["Flat", "HNSW4", "auto"])
def test_the_index_of_all_shards_has_the_bytes_of_that_of_one_job(tmp_path, of, factory):
    corpus = corpus_of(LENGTHS)
    built(corpus, tmp_path / "whole", factory=factory)
    folders = shards_of(corpus, tmp_path, of, factory=factory)
    merge_index_shards(folders[::-1]).save(tmp_path / "merged")
    assert files_of(tmp_path / "merged") == files_of(tmp_path / "whole")


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12), of=st.integers(1, 15))
def test_no_dialogue_is_split_however_they_are_cut(tmp_path_factory, lengths, of):
    folder = tmp_path_factory.mktemp("cut")
    corpus = corpus_of(lengths)
    seen = [
        [json.loads(line)["dialogue_id"] for line in file.read_text("utf-8").splitlines()]
        for file in (f / "utterances.jsonl" for f in shards_of(corpus, folder, of))
    ]
    assert [name for one in seen for name in one] == [u.dialogue_id for u in corpus.utterances]
    assert all(set(one).isdisjoint(other) for one in seen for other in seen if one is not other)
    share = len(corpus.utterances) / of
    assert max(map(len, seen)) < share + max(lengths) + 1


@pytest.fixture
def shards(tmp_path):
    return shards_of(corpus_of(LENGTHS), tmp_path, 3)


def test_what_is_not_all_of_one_index_is_refused(tmp_path, shards):
    one, two, three = shards
    (tmp_path / "other").mkdir()
    other = shards_of(corpus_of([*LENGTHS, 3], sha256="1" * 64), tmp_path / "other", 3)[1]
    (tmp_path / "cut").mkdir()
    cut = shards_of(corpus_of(LENGTHS), tmp_path / "cut", 2)[1]
    (tmp_path / "graph").mkdir()
    graph = shards_of(corpus_of(LENGTHS), tmp_path / "graph", 3, factory="HNSW4")[1]
    built(corpus_of(LENGTHS), tmp_path / "index")
    cases = {
        "2 of 3 shards are given; missing: 2. Give": [three, one],
        "both shard 1/3; give each shard once": [one, two, three, shutil.copytree(one, one / "x")],
        "are both shard 3/3": [three, one, three],
        "no shard of an index here": [one, two, tmp_path / "nothing"],
        "not the manifest of a shard": [one, two, tmp_path / "index"],
        "utterances is 31, there 28": [one, other, three],
        "of is 2, there 3": [one, cut, three],
        "factory is 'HNSW4', there 'Flat'": [one, graph, three],
    }
    for says, folders in cases.items():
        with pytest.raises(IndexFolderError, match=says.replace(".", r"\.")):
            merge_index_shards(folders)


@pytest.mark.parametrize("name", ["utterances.jsonl", "vectors.npy"])
@pytest.mark.parametrize("harm", ["cut", "gone", "link"])
def test_a_damaged_shard_is_named(tmp_path, shards, name, harm):
    file = shards[1] / name
    data = file.read_bytes()
    file.unlink()
    if harm == "cut":
        file.write_bytes(data[:-1])
    if harm == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IndexFolderError, match="shard-2: shard 2/3 is damaged"):
        merge_index_shards(shards)


def resealed(shard, name, change):
    """A file changed by somebody who knows how to write checksums."""
    file = shard / name
    change(file)
    manifest = json.loads((shard / "manifest.json").read_text("utf-8"))
    manifest["files"][name] = sha256_file(file)
    (shard / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def test_each_utterance_is_proven_to_be_there_once_with_a_vector(shards):
    resealed(shards[0], "vectors.npy", lambda file: np.save(file, np.load(file)[1:]))
    with pytest.raises(IndexFolderError, match=r"shard 1/3 is damaged .*vectors of shape"):
        merge_index_shards(shards)
    resealed(shards[0], "vectors.npy", lambda file: np.save(file, np.zeros((8, 3), np.float32)))
    resealed(
        shards[0],
        "utterances.jsonl",
        lambda file: file.write_text("".join(file.read_text("utf-8").splitlines(True)[:8])),
    )
    with pytest.raises(IndexFolderError, match="dimensions"):
        merge_index_shards(shards)
    resealed(shards[0], "vectors.npy", lambda file: np.save(file, np.zeros((8, 8), np.float32)))
    with pytest.raises(IndexFolderError, match="each once and in its order"):
        merge_index_shards(shards)


def test_a_shard_is_not_written_over_unasked(tmp_path, shards):
    material = take_in(corpus_of(LENGTHS), "asr")
    with pytest.raises(IndexFolderError, match="already holds a shard"):
        write_index_shard(material, shards[0], Shard(1, 3), EMBEDDER)
    before = files_of(shards[0])
    how = {"composition": COMPOSITION, "overwrite": True}
    write_index_shard(material, shards[0], Shard(1, 3), EMBEDDER, **how)
    assert files_of(shards[0]) == before
    built(corpus_of(LENGTHS), tmp_path / "index")
    with pytest.raises(IndexFolderError, match="not the manifest of a shard"):
        write_index_shard(material, tmp_path / "index", Shard(1, 3), EMBEDDER, overwrite=True)
    with pytest.raises(RagemoError, match="only a shard of an index; `ragemo index merge"):
        Index.load(shards[0])


class Counting(FakeEmbedder):
    """Counts the texts that it is given."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def embed(self, texts, progress=lambda done: None):
        self.texts += texts
        return super().embed(texts, progress)


FIRST = corpus_of([4, 3, 6], path=Path("first.csv"), sha256="1" * 64)
SECOND = corpus_of([5, 2], "e", path=Path("second.csv"), sha256="2" * 64)
THIRD = corpus_of([3], "f", path=Path("third.csv"), sha256="3" * 64)


def both(*corpora):
    return replace(FIRST, dialogues=tuple(d for corpus in corpora for d in corpus.dialogues))


@pytest.mark.parametrize("factory", ["Flat", "HNSW4", "auto"])
def test_an_added_corpus_is_as_if_it_had_been_there(tmp_path, factory):
    index = built(FIRST, tmp_path / "first", factory=factory)
    embedder = Counting()
    for added in (SECOND, THIRD):
        index = add_corpus(index, added, embedder)
        index.save(tmp_path / added.path.stem)
        index = Index.load(tmp_path / added.path.stem)
    built(both(FIRST, SECOND, THIRD), tmp_path / "whole", factory=factory)
    found, whole = files_of(tmp_path / "third"), files_of(tmp_path / "whole")
    manifests = [json.loads(files.pop("manifest.json")) for files in (found, whole)]
    assert found == whole
    corpora = [manifest.pop("corpus") for manifest in manifests]
    for manifest in manifests:
        del manifest["checksum"]
    assert manifests[0] == manifests[1]
    assert [(one["file"], one["utterances"]) for one in corpora[0]["added"]] == [
        ("first.csv", 13),
        ("second.csv", 7),
        ("third.csv", 3),
    ]
    new = {u.hypotheses["asr"] for u in both(SECOND, THIRD).utterances}
    new -= {u.hypotheses["asr"] for u in FIRST.utterances}
    probes = ["yeah", "yeah"]  # whether the embedder is the index's
    assert sorted(embedder.texts) == sorted([*new, *probes])


@pytest.mark.parametrize("asked", [FIRST, SECOND])
def test_guards_know_the_dialogues_of_every_added_corpus(tmp_path, asked):
    index = add_corpus(built(FIRST, tmp_path / "first"), SECOND, EMBEDDER)
    whole = built(both(FIRST, SECOND), tmp_path / "whole")
    how = resolve_settings({"llm": {"model": "none"}}, {"retrieval.k": 30})
    # In other words, so that only the file's hash tells that they are the index's own.
    heard = [{"dialogue": u.dialogue_id, "text": f"quite other {u.id}"} for u in asked.utterances]
    other = replace(make_corpus(heard), path=asked.path, sha256=asked.sha256)
    for corpus, there in ((asked, (index, whole)), (other, (index,))):
        for number, one in enumerate(there):
            out = tmp_path / f"run-{corpus is other}-{number}"
            run = predict(corpus, how, out, index=one, embedder=EMBEDDER)
            assert len(run.verdicts()) > 5
            for target, found in run.demonstrations().items():
                own = target.rpartition("_")[0]
                assert found
                assert all(d.window.target.dialogue_id != own for d in found)


def test_what_cannot_be_added_is_one_message(tmp_path):
    index = built(FIRST, tmp_path / "first")
    others = LabelSet.infer(["neu", "sad"])
    cases = {
        "has dialogue 'd0' already": (index, FIRST),
        "has utterance 'd0_0' already": (
            index,
            replace(
                SECOND,
                dialogues=(
                    replace(
                        SECOND.dialogues[0],
                        utterances=(replace(SECOND.dialogues[0].utterances[0], id="d0_0"),),
                    ),
                ),
            ),
        ),
        "has the label set": (index, replace(SECOND, labels=others)),
        "no utterance has a label": (
            index,
            make_corpus([{"dialogue": "g", "text": "a", "emotion": None}]),
        ),
    }
    joined = Index.build(
        FIRST, EMBEDDER, transcript="asr", provenance={"parts": [{"name": "a", "sha256": "x"}]}
    )
    cases["of joined corpora (a)"] = (joined, SECOND)
    for says, (one, corpus) in cases.items():
        with pytest.raises((DataError, SettingsError)) as caught:
            add_corpus(one, corpus, EMBEDDER)
        assert says in str(caught.value)
    with pytest.raises(IndexFolderError, match="embedder is not the index's"):
        add_corpus(index, SECOND, FakeEmbedder("another"))
    with pytest.raises(IndexFolderError, match="its weights have changed"):
        add_corpus(index, SECOND, FakeEmbedder(salt="other"))
