"""All shards of a run become the run, if it is proven that nothing is missing or there twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ragemo.corpus.checked import NO_RECORD
from ragemo.errors import RunFolderError
from ragemo.files import parse_json, whole_folder, write_json, write_text
from ragemo.runs.parts import joined_files, part_folder, write_lines
from ragemo.runs.run import Run
from ragemo.runs.shards import RUN, RunShard, ShardManifest, as_link
from ragemo.shards import ShardFolder, check_shards


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
    check_place(out)
    shards = [RunShard.open(folder) for folder in folders]
    check_shards(
        [
            ShardFolder(one.path, one.manifest.shard, {**one.manifest.to_dict(), "number": None})
            for one in shards
        ],
        RUN,
    )
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


def check_place(out: Path) -> None:
    """Whether a run may be made of shards at `out`.

    Raises:
        RunFolderError: if something is there.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise RunFolderError(f"{out} exists already; choose another --out, or remove it")


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
        """The lines of one of the run's files as they are.

        Raises:
            RunFolderError: if one is not what ragemo writes.
        """
        for number, text in enumerate(lines, 1):
            try:
                if name == "utterances.jsonl":
                    self._hear(parse_json(text))
                elif name == "verdicts.jsonl":
                    self._decided.update(as_link(parse_json(text)["utterance_id"]))
            except NO_RECORD as error:
                raise RunFolderError(
                    f"{name} of all shards, line {number}: not what ragemo wrote ({error!r}); make "
                    "the shards again"
                ) from None
            yield text

    def _hear(self, record: Mapping[str, Any]) -> None:
        link = as_link(record["utterance_id"])
        self._ids.update(link)
        if record["predicted"]:
            self._wanted.update(link)
        self._utterances += 1

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
