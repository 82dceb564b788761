"""A shard of a run: what one of several jobs labelled, until all of them are merged.

    manifest.json    which shard of how many, how the corpus is cut, and the manifest of the run
    parts/000003/    what one block of the corpus became, see `ragemo.runs.parts`; numbers count
                     the blocks of the whole corpus
    checksums.json   a SHA-256 for each file of the parts; there when the shard is finished

Of `of` shards the one with number i has the blocks i-1, i-1+of, i-1+2 of, ...; a block holds whole
dialogues. Nothing but a shard's number differs between the manifests of a run's shards.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from ragemo.corpus.checked import typed
from ragemo.errors import RagemoError, RunFolderError
from ragemo.files import file_in, parse_json, sha256_file, whole_folder, write_json, write_text
from ragemo.runs.checks import check_manifest
from ragemo.runs.manifest import SHARD, check_same, differences
from ragemo.runs.parts import FILES, TABLES, joined_files, part_folder, write_lines
from ragemo.runs.run import FORMAT as RUN_FORMAT
from ragemo.runs.run import KIND as RUN_KIND
from ragemo.runs.run import Run
from ragemo.types import Shard

FORMAT = 1
"""Version of the folder's layout."""

FILES_OF_PART = (*FILES, *TABLES, "panel.json")


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
        file = path / "manifest.json"
        try:
            data = parse_json(file_in(path, file.name).read_bytes())
        except FileNotFoundError:
            raise RunFolderError(
                f"{path}: no shard of a run here (no manifest.json); `ragemo predict FILE --shard "
                f"1/8 --out {path}` makes one"
            ) from None
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{file}: not readable as JSON ({error})") from None
        if not isinstance(data, dict) or data.pop("kind", None) != SHARD:
            raise RunFolderError(f"{file}: not the manifest of a shard of a run")
        if (found := data.pop("format", None)) != FORMAT:
            raise RunFolderError(
                f"{file}: shard format {found!r}, this ragemo reads {FORMAT}; predict it again"
            )
        try:
            manifest = typed(ShardManifest, data)
            _ = manifest.shard  # which refuses what is none
            if (manifest.run["kind"], manifest.run["format"]) != (RUN_KIND, RUN_FORMAT):
                raise ValueError("it is not of a run of this format")
            if not 0 < manifest.blocks <= manifest.utterances:
                raise ValueError(f"{manifest.blocks} blocks of {manifest.utterances} utterances")
            check_manifest(manifest.run)
        except (ValueError, KeyError, RagemoError) as error:
            raise RunFolderError(f"{file}: not what ragemo writes ({error})") from None
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
        # A network's file system locks only what is open for writing.
        self._file = file_in(self.path, "manifest.json").open("rb+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise RunFolderError(
                f"{self.path}: another process is writing to this shard; wait for it, or choose "
                "another --out"
            ) from None

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
        try:
            write_json(
                self._checksums_file,
                {str(file.relative_to(self.path)): sha256_file(file) for file in self._files},
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


def merge_shards(folders: Sequence[Path | str], out: Path | str) -> Run:
    """Make of all shards of a run the run, as it would be without shards.

    It is proven before anything is written that all shards are there once, finished, whole and of
    one run; and before the run's folder appears, that each utterance of the corpus is in it once,
    in the corpus's order, and each that was to be predicted has a verdict.

    Args:
        folders: of the shards, in any order.
        out: the run's folder.

    Raises:
        RunFolderError: naming the shard that is missing, there twice, unfinished, damaged or of
            another run; or if `out` is not free or cannot be written. There is no run then.
    """
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise RunFolderError(f"{out} exists already; choose another --out, or remove it")
    shards = [RunShard.open(folder) for folder in folders]
    _check_of_one_run(shards)
    _check_all_there(shards)
    for shard in shards:
        _check_whole(shard)
    manifest = shards[0].manifest
    at = {block: part_folder(shard.path, block) for shard in shards for block in shard.blocks}
    proof = _Proof()
    try:
        with whole_folder(out, replace=False) as folder:
            write_text(folder / "prompts.jsonl", "")
            for name, lines in joined_files([at[block] for block in sorted(at)], folder):
                write_lines(folder / name, proof.of(name, lines))
            if (problem := proof.problem(manifest)) is not None:
                raise RunFolderError(
                    f"{out}: {problem}; the shards are damaged, make them again. There is no run"
                )
            write_json(folder / "manifest.json", manifest.run)
    except OSError as error:
        raise RunFolderError(
            f"{out}: the run cannot be written: {error}. Make room and merge again; the shards are "
            "as they were"
        ) from None
    return Run.open(out)


def _check_of_one_run(shards: Sequence[RunShard]) -> None:
    first = {**shards[0].manifest.to_dict(), "number": None}
    for shard in shards[1:]:
        own = {**shard.manifest.to_dict(), "number": None}
        differing = [f"{n} is {new!r}, there {old!r}" for n, old, new in differences(first, own)]
        if differing:
            raise RunFolderError(
                f"{shard.path}: its shard {shard.manifest.shard} is of another run than that in "
                f"{shards[0].path}: {'; '.join(differing[:5])}. Shards of one run are made by the "
                "same command but for --shard and --out"
            )


def _check_all_there(shards: Sequence[RunShard]) -> None:
    found: dict[int, RunShard] = {}
    for shard in shards:
        other = found.setdefault(shard.manifest.number, shard)
        if other is not shard:
            raise RunFolderError(
                f"{other.path} and {shard.path} are both shard {shard.manifest.shard}; give each "
                "shard once"
            )
    of = shards[0].manifest.of
    if missing := [number for number in range(1, of + 1) if number not in found]:
        named = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise RunFolderError(
            f"{len(found)} of {of} shards are given; missing: {named}. Give their folders, too; "
            f"`ragemo predict ... --shard {missing[0]}/{of}` makes one"
        )


def _check_whole(shard: RunShard) -> None:
    name = f"{shard.path}: shard {shard.manifest.shard}"
    if not shard.finished:
        raise RunFolderError(
            f"{name} is not finished: {len(shard.missing)} of its {len(shard.blocks)} blocks are "
            "to come; make it with the command it was begun with, and --resume"
        )
    if damaged := shard.damaged():
        raise RunFolderError(
            f"{name} is damaged: {damaged[0]} is missing or not as its SHA-256 in "
            "checksums.json says. Copy the shard anew, or mend it with the command it was made "
            "with, and --resume"
        )


class _Proof:
    """Sees the lines of a run go by: whether they are of all the corpus's utterances."""

    def __init__(self) -> None:
        self._ids, self._wanted, self._decided = (hashlib.sha256() for _ in range(3))
        self._utterances = 0

    def of(self, name: str, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The lines of one of the run's files as they are."""
        for text in lines:
            if name == "utterances.jsonl":
                record = json.loads(text)
                link = as_link(record["utterance_id"])
                self._ids.update(link)
                if record["predicted"]:
                    self._wanted.update(link)
                self._utterances += 1
            elif name == "verdicts.jsonl":
                self._decided.update(as_link(json.loads(text)["utterance_id"]))
            yield text

    def problem(self, manifest: ShardManifest) -> str | None:
        """What is wrong with all that went by, or None."""
        if (self._utterances, self._ids.hexdigest()) != (manifest.utterances, manifest.ids):
            return (
                f"the shards have {self._utterances:,} utterances that are not the corpus's "
                f"{manifest.utterances:,}, each once and in its order"
            )
        if self._wanted.digest() != self._decided.digest():
            return "the verdicts are not on the utterances to be predicted, each once"
        return None
