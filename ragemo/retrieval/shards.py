"""A shard of an index: what one of several jobs embedded, until all of them are merged.

    manifest.json    which shard of how many, what the index will be, a SHA-256 for each file
    utterances.jsonl the shard's own utterances, as in an index
    vectors.npy      their vectors, float32, one row a line

Shards follow each other as dialogues do in the corpus: a dialogue belongs to the one in whose share
of all utterances its first one is. A vector depends on nothing but its text, so that all shards
merged are the index of one job, byte for byte; voters are fitted and windows indexed then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ragemo import __version__
from ragemo.corpus.checked import typed
from ragemo.errors import IndexFolderError, RagemoError
from ragemo.files import file_in, sha256_file, whole_folder, write_json
from ragemo.labels import LabelSet
from ragemo.progress import Progress
from ragemo.retrieval.arrays import map_array
from ragemo.retrieval.embedding.embedder import Embedder
from ragemo.retrieval.folder import read_utterances
from ragemo.retrieval.index import Index
from ragemo.retrieval.manifest import SHARD
from ragemo.retrieval.material import Material, embedded, hashed, lines_of
from ragemo.retrieval.vectors import Composition
from ragemo.shards import ShardFolder, Whole, check_shards, read_shard_manifest
from ragemo.types import Shard, Turn

FORMAT = 2
"""Version of the folder's layout."""

INDEX = Whole("index", SHARD, FORMAT, "ragemo index build", IndexFolderError)
"""What shards are of here."""

FILES = ("utterances.jsonl", "vectors.npy")

BEYOND_UNIT = 1.001
"""No number of a unit vector is as large."""


@dataclass(frozen=True)
class IndexShardManifest:
    """What a shard of an index is.

    Attributes:
        number: of the shard, from 1 on.
        of: how many shards there are.
        utterances: how many all shards have together.
        sha256: over all of these and their labels, see `hashed`.
        ragemo: its version.
        corpus, transcript, labels, embedder, composition, factory: of the index, see `Index`; the
            factory as it is asked for.
        files: name -> SHA-256.
    """

    number: int
    of: int
    utterances: int
    sha256: str
    ragemo: str
    corpus: dict[str, Any]
    transcript: str
    labels: dict[str, Any]
    embedder: dict[str, Any]
    composition: dict[str, Any]
    factory: str
    files: dict[str, str]

    @property
    def shard(self) -> Shard:
        """Which one it is."""
        return Shard(self.number, self.of)

    @property
    def common(self) -> dict[str, Any]:
        """What it says that is the same in all shards of an index."""
        return {n: value for n, value in asdict(self).items() if n not in ("number", "files")}


def write_index_shard(
    material: Material,
    path: Path,
    shard: Shard,
    embedder: Embedder,
    *,
    composition: Composition | None = None,
    factory: str = "Flat",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> IndexShardManifest:
    """Embed a shard of a labelled corpus and write its folder whole.

    Args:
        material: all of the corpus.
        path: the shard's folder.
        shard: which one, of how many; there may be more than dialogues.
        embedder, composition, factory: as for `Index.build`.
        overwrite: whether a shard that is there is replaced.
        progress: told what is being done.

    Raises:
        IndexFolderError: if something is at `path` already, or it cannot be written.
    """
    check_shard_destination(path, overwrite=overwrite)
    rows = _rows(material.turns, shard)
    turns, gold = material.turns[rows], material.gold[rows]
    vectors = np.zeros((0, embedder.dimension), dtype=np.float32)
    if turns:
        vectors = embedded(turns, embedder, progress)
    try:
        with whole_folder(path) as folder:
            (folder / "utterances.jsonl").write_bytes(lines_of(turns, gold))
            np.save(folder / "vectors.npy", vectors, allow_pickle=False)
            manifest = IndexShardManifest(
                number=shard.number,
                of=shard.of,
                utterances=len(material.turns),
                sha256=hashed(material.turns, material.gold).hexdigest(),
                ragemo=__version__,
                corpus=material.corpus,
                transcript=material.transcript,
                labels=material.labels.to_dict(),
                embedder=embedder.identity,
                composition=(composition or Composition()).to_dict(),
                factory=factory,
                files={name: sha256_file(folder / name) for name in FILES},
            )
            write_json(
                folder / "manifest.json", {"kind": SHARD, "format": FORMAT, **asdict(manifest)}
            )
    except OSError as error:
        raise IndexFolderError(f"{path}: the shard cannot be written: {error}") from None
    return manifest


def _rows(turns: Sequence[Turn], shard: Shard) -> slice:
    """The rows of a shard's own dialogues."""
    owners: list[int] = []
    for row, turn in enumerate(turns):
        own = row == 0 or turn.dialogue_id != turns[row - 1].dialogue_id
        owners.append(row * shard.of // len(turns) + 1 if own else owners[-1])
    first, last = np.searchsorted(owners, [shard.number, shard.number + 1])
    return slice(int(first), int(last))


def check_shard_destination(path: Path, *, overwrite: bool) -> None:
    """Whether a shard may be written to `path`.

    Raises:
        IndexFolderError: if a shard is there and `overwrite` is not set, or anything else is.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    _read_manifest(path)  # which refuses what is no shard
    if not overwrite:
        raise IndexFolderError(
            f"{path} already holds a shard of an index; pass --overwrite to replace it, or choose "
            "another --out"
        )


def merge_index_shards(folders: Sequence[Path | str]) -> Index:
    """The index that all its shards become.

    Args:
        folders: of the shards, in any order.

    Raises:
        IndexFolderError: naming the shard that is missing, there twice, damaged or of another
            index.
        SettingsError: if FAISS cannot make an index of the factory.
    """
    paths = [Path(folder) for folder in folders]
    manifests = {path: _read_manifest(path) for path in paths}
    check_shards(
        [ShardFolder(path, manifests[path].shard, manifests[path].common) for path in paths], INDEX
    )
    in_order = sorted(manifests, key=lambda path: manifests[path].number)
    first = manifests[in_order[0]]
    turns: list[Turn] = []
    gold: list[str | None] = []
    vectors = []
    for path in in_order:
        own, labels, rows = _read_shard(path, manifests[path])
        turns += own
        gold += labels
        vectors.append(rows)
        if rows.shape[1] != vectors[0].shape[1]:
            raise IndexFolderError(
                f"{path}: its vectors have {rows.shape[1]} dimensions, those of {in_order[0]} "
                f"{vectors[0].shape[1]}; build the shards anew"
            )
    if len(turns) != first.utterances or hashed(turns, gold).hexdigest() != first.sha256:
        raise IndexFolderError(
            f"{in_order[0]} and the other shards have {len(turns):,} utterances that are not the "
            f"corpus's {first.utterances:,}, each once and in its order; build the shards anew"
        )
    material = Material(
        turns=tuple(turns),
        gold=tuple(gold),
        labels=LabelSet.from_dict(first.labels, str(in_order[0])),
        transcript=first.transcript,
        corpus=first.corpus,
    )
    return Index(
        **vars(material),
        vectors=np.concatenate(vectors),
        embedder=first.embedder,
        composition=Composition(**first.composition),
        factory=first.factory,
    )


def _read_manifest(path: Path) -> IndexShardManifest:
    data = read_shard_manifest(path, INDEX)
    try:
        manifest = typed(IndexShardManifest, data)
        _ = manifest.shard  # which refuses what is none
        LabelSet.from_dict(manifest.labels, str(path))
        Composition(**manifest.composition)
        if set(manifest.files) != set(FILES):
            raise ValueError(f"expected the files {', '.join(FILES)}")
    except (ValueError, TypeError, RagemoError) as error:
        raise IndexFolderError(
            f"{path / 'manifest.json'}: not what ragemo writes ({error})"
        ) from None
    return manifest


def _read_shard(
    path: Path, manifest: IndexShardManifest
) -> tuple[list[Turn], list[str | None], np.ndarray[Any, Any]]:
    labels = LabelSet.from_dict(manifest.labels, str(path))
    try:
        for name, sha256 in manifest.files.items():
            if sha256_file(file_in(path, name)) != sha256:
                raise ValueError(f"the SHA-256 of {name} is not the manifest's")
        turns, gold = read_utterances(path / "utterances.jsonl", labels)
        vectors = map_array(path / "vectors.npy")
        if vectors.ndim != 2 or len(vectors) != len(turns) or vectors.dtype != np.float32:
            raise ValueError(f"{len(turns)} utterances, vectors of shape {vectors.shape}")
        if vectors.size and not max(vectors.max(), -vectors.min()) < BEYOND_UNIT:
            raise ValueError("its vectors are no unit vectors")
    except Exception as error:  # whatever a file makes its parser raise that ragemo did not write
        raise IndexFolderError(
            f"{path}: shard {manifest.shard} is damaged ({error}); copy it anew, or build it anew "
            "with --overwrite"
        ) from None
    return turns, gold, vectors
