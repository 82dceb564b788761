"""An index's folder: where it may be written, what is in it, whether it is whole.

    manifest.json    format version, settings, label set, embedder, data hash, a SHA-256 per file
    utterances.jsonl one utterance a line: its chosen transcript, and its label if it is an example
    vectors.npy      utterance vectors, float32, one row a line of utterances.jsonl
    windows.npy      composed window vectors, float32, likewise; exact search needs nothing else
    windows.faiss    FAISS index (inner product) over those of the examples; not where it is "Flat"
    windows.lancedb/ a table of them instead, where the factory is "lancedb"
    voters.npz       what the index's own voters have learned, and their votes on held-out windows

Nothing in it is pickled and nothing in it can run. The folder is written whole or not at all.
Vectors are not read but mapped into memory, so that many processes share one copy of them; so are
the lists of an inverted file, and a graph.
Context utterances that are no examples themselves are kept, since windows need them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np

from ragemo import __version__
from ragemo.cores import cores
from ragemo.corpus.checked import require, typed_turn
from ragemo.errors import IndexFolderError, SettingsError
from ragemo.files import (
    canonical_json,
    parse_json,
    sha256_bytes,
    sha256_file,
    whole_folder,
    write_json,
)
from ragemo.labels import LabelSet
from ragemo.retrieval.arrays import map_array, read_arrays
from ragemo.retrieval.index import Index
from ragemo.retrieval.manifest import FORMAT, files_below, read_manifest, verify_index
from ragemo.retrieval.stores import WrittenStore, read_store, store_name
from ragemo.retrieval.stores.factory import Factory
from ragemo.retrieval.vectors import Composition, compose
from ragemo.retrieval.voters import INDEX_VOTERS, Questions, voter_class
from ragemo.retrieval.voters.fitting import FittedVoters
from ragemo.types import Turn


def check_destination(path: Path, *, overwrite: bool) -> None:
    """Whether an index may be written to `path`.

    Raises:
        IndexFolderError: if an index is there and `overwrite` is not set, or anything else is.
    """
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        if not (path / "manifest.json").is_file() or not (path / "vectors.npy").is_file():
            raise IndexFolderError(f"{path} exists and is not an index; choose another --out")
        if not overwrite:
            raise IndexFolderError(
                f"{path} already holds an index; pass --overwrite to replace it, or choose "
                "another --out"
            )


def write_index(index: Index, path: Path, *, overwrite: bool = False) -> None:
    """Write an index's folder whole.

    Raises:
        IndexFolderError: if something is at `path` already and `overwrite` is not set, what is
            there is no index, or the folder cannot be written; what was there stays.
    """
    check_destination(path, overwrite=overwrite)
    try:
        with whole_folder(path) as folder:
            _write(index, folder)
    except (OSError, RuntimeError) as error:  # FAISS raises RuntimeError on a full disk
        raise IndexFolderError(
            f"{path}: the index cannot be written: {error}. Make room, or choose another place"
        ) from None


def _write(index: Index, folder: Path) -> None:
    arrays: dict[str, Any] = {
        "held_out": index.fitted.held_out,
        "close": np.float64(index.fitted.close),
    }
    for name, voter in index.voters.items():
        arrays[f"{name}.votes"] = index.fitted.votes[name]
        arrays |= {f"{name}.{part}": array for part, array in voter.arrays().items()}
    parts: dict[str, Callable[[Path], object]] = {
        "utterances.jsonl": index.cuts.write_lines,
        "windows.npy": partial(np.save, arr=index.window_vectors, allow_pickle=False),
        "vectors.npy": partial(np.save, arr=index.vectors, allow_pickle=False),
        "voters.npz": partial(np.savez, allow_pickle=False, **arrays),
    }
    store = store_name(index.factory)
    if store is not None:
        parts[store] = cast("WrittenStore", index.searcher.store).write

    def write(name: str) -> dict[str, str]:
        """One of the parts. The hash of each of its files."""
        parts[name](folder / name)
        files = files_below(folder / name) if (folder / name).is_dir() else [folder / name]
        return {file.relative_to(folder).as_posix(): sha256_file(file) for file in files}

    # While one core turns utterances into JSON, others write and hash the vectors.
    with ThreadPoolExecutor(cores()) as pool:
        hashes = [one for own in pool.map(write, parts) for one in own.items()]
    manifest = {
        "kind": "index",
        "format": FORMAT,
        "ragemo": __version__,
        "corpus": index.corpus,
        "transcript": index.transcript,
        "embedder": index.embedder,
        "composition": index.composition.to_dict(),
        "factory": index.factory,
        "factory_choice": {"asked": index.chosen.asked, "reason": index.chosen.reason},
        "labels": index.labels.to_dict(),
        "label_counts": index.label_counts,
        "utterances": len(index.turns),
        "examples": len(index.examples),
        "voters": {name: voter.to_dict() for name, voter in index.voters.items()},
        "fingerprint": index.fingerprint,
        "files": dict(sorted(hashes)),
    }
    manifest["checksum"] = sha256_bytes(canonical_json(manifest).encode())
    write_json(folder / "manifest.json", manifest)


def take_voters(index: Index, path: Path) -> bool:
    """Let an index that was just made have the voters of the one at `path`, if that is the same.

    Fitting the same windows again would only give the same voters.

    Returns:
        Whether it is: its utterances, labels, vectors and settings, and the ragemo that made it.
    """
    expected = {
        "ragemo": __version__,
        "composition": index.composition.to_dict(),
        "factory": index.factory,
        "labels": index.labels.to_dict(),
    }
    try:
        manifest = read_manifest(path)
        same = (
            (index.exclude, index.neighbours) == ("dialogue", None)  # what a folder's voters are of
            and all(manifest[name] == value for name, value in expected.items())
            and manifest["files"]["utterances.jsonl"] == index.cuts.lines_hash.hexdigest()
            and not verify_index(path, remembered=True)
            and np.array_equal(index.vectors, map_array(path / "vectors.npy"))
        )
        if same:
            fitted = _read_voters(path / "voters.npz", manifest["voters"])
            same = _belong_together(index, fitted)
    except Exception:  # whatever a file makes its parser raise that ragemo did not write
        return False
    if same:
        index.fitted = fitted
    return same


def read_index(path: Path) -> Index:
    """Read a folder written by `write_index`.

    Raises:
        IndexFolderError: if it is missing, damaged, or of another format version.
        SettingsError: see `cores`.
    """
    cores()  # what is wrong with the environment is no fault of the folder's
    # Before anything is parsed: a vector's damaged digits would only give other neighbours.
    if problems := verify_index(path, remembered=True):
        raise IndexFolderError("\n".join([*problems, "Build the index anew"]))
    manifest = read_manifest(path)
    try:
        labels = LabelSet.from_dict(manifest["labels"], str(path))
        turns, gold = read_utterances(path / "utterances.jsonl", labels)
        vectors, windows = (map_array(path / name) for name in ("vectors.npy", "windows.npy"))
        composition = Composition(**manifest["composition"])
        if not _are_of(vectors, windows, turns, composition):
            raise _StrangersError
        factory = Factory(manifest["factory"], **manifest["factory_choice"])
        examples = sum(label is not None for label in gold)
        index = Index(
            turns=turns,
            gold=gold,
            vectors=vectors,
            labels=labels,
            composition=composition,
            embedder=manifest["embedder"],
            transcript=manifest["transcript"],
            corpus=manifest["corpus"],
            factory=factory,
            store=_read_store(path, factory.name, examples, windows.shape[1]),
            window_vectors=windows,
            fitted=_read_voters(path / "voters.npz", manifest["voters"]),
        )
        if not _belong_together(index, index.fitted):
            raise _StrangersError
        index.fingerprint = str(manifest["fingerprint"])
    except _StrangersError:
        raise IndexFolderError(
            f"{path}: its files do not belong together; build the index anew"
        ) from None
    except IndexFolderError:
        raise
    except Exception as error:  # whatever a file makes its parser raise that ragemo did not write
        raise IndexFolderError(
            f"{path}: not an index that ragemo wrote ({error}); build the index anew"
        ) from None
    return index


def _read_store(path: Path, factory: str, count: int, dimension: int) -> WrittenStore | None:
    """The store of so many windows; None: they are searched where they lie."""
    store = store_name(factory)
    if store is None:
        return None
    try:
        return read_store(path / store, factory, count=count, dimension=dimension)
    except SettingsError as error:  # what it needs is not installed
        raise IndexFolderError(f"{path}: {error}") from None


class _StrangersError(Exception):
    """Files of one folder that were not written together."""


def _are_of(
    vectors: np.ndarray[Any, Any],
    windows: np.ndarray[Any, Any],
    turns: Sequence[Turn],
    composition: Composition,
) -> bool:
    """Whether vectors can be those of such turns, judged by their shapes and the last dialogue."""
    if vectors.ndim != 2 or not len(turns) == len(vectors) == len(windows):
        return False
    if windows.shape[1:] != (2 * vectors.shape[1],):
        return False
    if not vectors.dtype == windows.dtype == np.float32:
        return False
    first = len(turns) - 1
    while first > 0 and turns[first - 1].dialogue_id == turns[-1].dialogue_id:
        first -= 1
    ids = [turn.dialogue_id for turn in turns[first:]]
    return np.array_equal(compose(vectors[first:], ids, composition), windows[first:])


def _belong_together(index: Index, fitted: FittedVoters) -> bool:
    """Whether voters are of such examples, labels and vectors."""
    labels = len(index.labels)
    if (
        fitted.held_out.dtype != np.int64
        or fitted.held_out.ndim != 1
        or not np.isin(fitted.held_out, index.examples).all()
    ):
        return False
    # What a voter says of one window shows whether it was fitted on such vectors and labels. Its
    # neighbours are left out: to find them all vectors would have to be read.
    nobody = np.zeros((1, 0))
    asked = Questions(index.turns[:1], index.window_vectors[:1], nobody, nobody.astype(np.int64))
    with np.errstate(all="ignore"):  # a prior may be no distribution, which shows below
        said = [(voter.distributions(asked), 1) for voter in fitted.voters.values()]
    kept = [(votes, len(fitted.held_out)) for votes in fitted.votes.values()]
    return all(
        votes.shape == (rows, labels)
        and votes.dtype == np.float64
        and (votes > 0).all()  # also false for what is not a number
        and np.allclose(votes.sum(axis=1), 1)
        for votes, rows in [*said, *kept]
    )


def _read_voters(file: Path, data: dict[str, Any]) -> FittedVoters:
    voters, votes = {}, {}
    stored = read_arrays(file)
    for name in INDEX_VOTERS:
        parts = {
            key.removeprefix(f"{name}."): array
            for key, array in stored.items()
            if key.startswith(f"{name}.")
        }
        votes[name] = parts.pop("votes")
        voters[name] = voter_class(name).from_parts(data[name], parts)
    return FittedVoters(voters, stored["held_out"], votes, _similarity(stored["close"]))


def _similarity(array: np.ndarray[Any, Any]) -> float:
    value = float(array.item())
    if not -1.001 <= value <= 1.001:  # also false for what is not a number
        raise ValueError(f"{value} is no similarity")
    return value


def read_utterances(path: Path, labels: LabelSet) -> tuple[list[Turn], list[str | None]]:
    """What `ragemo.retrieval.material.lines_of` makes.

    Raises:
        ValueError: if it did not.
    """
    turns, gold = [], []
    with path.open("rb") as file:
        for line in file:
            record = parse_json(line)
            gold.append(record.pop("label"))
            require("label", gold[-1] is None or gold[-1] in labels.names)
            turns.append(typed_turn(record))
    require("utterance_id", len({turn.utterance_id for turn in turns}) == len(turns))
    following = pairwise(turns)  # context is what stands before an utterance, and came earlier
    require("turn", all(a.dialogue_id != b.dialogue_id or a.turn < b.turn for a, b in following))
    return turns, gold
