"""A shard of a run: what one of several jobs labelled, for `ragemo.runs.merging`.

    manifest.json    which shard of how many, how the corpus is cut, and the manifest of the run
    parts/000003/    what one block of the corpus became, see `ragemo.runs.parts`; numbers count
                     the blocks of the whole corpus
    checksums.json   a SHA-256 for each file of the parts; there when the shard is finished

Of `of` shards the one with number i has the blocks i-1, i-1+of, i-1+2 of, ...; a block holds whole
dialogues. Nothing but a shard's number differs between the manifests of a run's shards.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from ragemo.corpus.checked import typed
from ragemo.errors import RagemoError, RunFolderError
from ragemo.files import file_in, parse_json, sha256_file, whole_folder, write_json
from ragemo.runs.checks import check_manifest
from ragemo.runs.locking import lock
from ragemo.runs.manifest import FORMAT as RUN_FORMAT
from ragemo.runs.manifest import FREE_TO_CHANGE, SHARD, check_same
from ragemo.runs.manifest import KIND as RUN_KIND
from ragemo.runs.parts import FILES, TABLES, part_folder
from ragemo.shards import Whole, read_shard_manifest
from ragemo.types import Shard

FORMAT = 1
"""Version of the folder's layout."""

RUN = Whole("run", SHARD, FORMAT, "ragemo predict", RunFolderError, free=FREE_TO_CHANGE)
"""What shards are of here."""

FILES_OF_PART = (*FILES, *TABLES, "panel.json")

MOST_BLOCKS = 1_000_000
"""Of a corpus, which has some thousand utterances in each."""


def as_link(utterance_id: str) -> bytes:
    """What stands for an utterance in the hash over all ids of a corpus."""
    return json.dumps(utterance_id).encode() + b"\n"


@dataclass(frozen=True)
class ShardManifest:
    """What a shard is.

    Attributes:
        number: of the shard, from 1 on.
        of: how many shards there are.
        blocks: how many blocks the corpus is cut into.
        utterances: how many the corpus has.
        ids: SHA-256 over its ids, see `as_link`.
        run: the manifest of the run that all shards become.
    """

    number: int
    of: int
    blocks: int
    utterances: int
    ids: str
    run: dict[str, Any]

    @classmethod
    def of_run(
        cls, shard: Shard, *, blocks: int, utterances: int, ids: str, run: Mapping[str, Any]
    ) -> ShardManifest:
        """The manifest of one shard of a run."""
        run = {"kind": RUN_KIND, "format": RUN_FORMAT, **run}
        return cls(shard.number, shard.of, blocks, utterances, ids, run)

    @property
    def shard(self) -> Shard:
        """Which one it is."""
        return Shard(self.number, self.of)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the file."""
        return {"kind": SHARD, "format": FORMAT, **asdict(self)}


class RunShard:
    """A shard's folder, open for reading, or for adding parts under a lock.

    Use `create` or `resume` to write and `open` to read.
    """

    def __init__(self, path: Path, manifest: ShardManifest) -> None:
        self.path = path
        self.manifest = manifest
        self._file: BinaryIO | None = None

    @classmethod
    def create(cls, path: Path, manifest: ShardManifest) -> RunShard:
        """A new shard in a folder that does not exist or is empty.

        Raises:
            RunFolderError: if something is there already, or it cannot be written.
        """
        check_new_shard(path)
        shard = cls(path, manifest)
        try:
            with whole_folder(path, replace=False) as folder:
                write_json(folder / "manifest.json", manifest.to_dict())
            shard._lock()
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be written: {error}") from None
        return shard

    @classmethod
    def open(cls, path: Path | str) -> RunShard:
        """A shard to read.

        Raises:
            RunFolderError: if there is none, or it is damaged or of another format version.
        """
        path = Path(path)
        data = read_shard_manifest(path, RUN)
        try:
            manifest = typed(ShardManifest, data)
            _ = manifest.shard  # which refuses what is none
            if (manifest.run["kind"], manifest.run["format"]) != (RUN_KIND, RUN_FORMAT):
                raise ValueError("it is not of a run of this format")
            if not 0 < manifest.blocks <= min(manifest.utterances, MOST_BLOCKS):
                raise ValueError(f"{manifest.blocks} blocks of {manifest.utterances} utterances")
            check_manifest(manifest.run)
        except (ValueError, KeyError, RagemoError) as error:
            raise RunFolderError(
                f"{path / 'manifest.json'}: not what ragemo writes ({error})"
            ) from None
        return cls(path, manifest)

    @classmethod
    def resume(cls, path: Path, manifest: ShardManifest) -> RunShard:
        """A shard to go on with, if what is asked now is what it was begun with.

        Parts that are damaged are removed, to be made again.

        Raises:
            RunFolderError: naming the settings that differ, or if another process has it, or it
                cannot be written.
        """
        shard = cls.open(path)
        check_same(path, shard.manifest.to_dict(), manifest.to_dict())
        try:
            shard._lock()
            if shard.finished and (damaged := shard.damaged()):
                shard._checksums_file.unlink()
                for file in damaged:
                    if file.parent.resolve().is_relative_to(path.resolve()):
                        shutil.rmtree(file.parent, ignore_errors=True)
        except OSError as error:
            shard.close()
            raise RunFolderError(f"{path}: cannot be written: {error}") from None
        return shard

    def __enter__(self) -> RunShard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Delete the folder, for a shard of which nothing could be made."""
        self.close()
        shutil.rmtree(self.path)

    def _lock(self) -> None:
        opened = file_in(self.path, "manifest.json").open("rb+")
        lock(opened, self.path, "shard")
        self._file = opened

    # -- what it has -------------------------------------------------------------------------

    @property
    def blocks(self) -> range:
        """The numbers of its blocks among all of the corpus."""
        return range(self.manifest.number - 1, self.manifest.blocks, self.manifest.of)

    @property
    def missing(self) -> list[int]:
        """The numbers of its blocks of which there is no part yet."""
        return [block for block in self.blocks if not part_folder(self.path, block).is_dir()]

    @property
    def finished(self) -> bool:
        """Whether all of it is there."""
        return self._checksums_file.is_file()

    @property
    def _checksums_file(self) -> Path:
        return self.path / "checksums.json"

    @property
    def _files(self) -> list[Path]:
        """Of all its parts."""
        return [part_folder(self.path, b) / name for b in self.blocks for name in FILES_OF_PART]

    def finish(self) -> None:
        """Write down that all parts are there, and their checksums.

        Raises:
            RunFolderError: if they cannot be read or written.
        """
        found = {file: _hash(file) for file in self._files}
        if unread := [file for file, sha256 in found.items() if sha256 is None]:
            raise RunFolderError(
                f"{unread[0]}: cannot be read, or leads out of the shard's folder; remove "
                f"{unread[0].parent} and go on with --resume: it is made again, and all other "
                "parts are kept"
            )
        try:
            write_json(
                self._checksums_file,
                {str(file.relative_to(self.path)): sha256 for file, sha256 in found.items()},
            )
        except OSError as error:
            raise RunFolderError(
                f"{self.path}: the shard could not be finished: {error}. Go on with --resume; all "
                "parts are kept"
            ) from None

    def damaged(self) -> list[Path]:
        """Files of a finished shard that are missing or not what they were."""
        try:
            known = parse_json(file_in(self.path, self._checksums_file.name).read_bytes())
            known = {**known}
        except (OSError, ValueError, TypeError):
            return self._files
        return [f for f in self._files if known.get(str(f.relative_to(self.path))) != _hash(f)]


def _hash(file: Path) -> str | None:
    """The file's SHA-256; None if it cannot be read, or is none of its shard's own."""
    try:
        shard = file.parents[2]
        return sha256_file(file_in(shard, str(file.relative_to(shard))))
    except OSError:
        return None


def check_new_shard(path: Path) -> None:
    """Whether a new shard may be made at `path`.

    Raises:
        RunFolderError: if something is there already.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if (path / "manifest.json").is_file():
        raise RunFolderError(
            f"{path} already holds a shard or a run; pass --resume to finish a shard, or choose "
            "another --out"
        )
    raise RunFolderError(f"{path} exists and is not a shard of a run; choose another --out")
