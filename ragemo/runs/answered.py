"""Answers that several jobs were given become one run, which is then decided.

The folder of a job that asked a language model is that of a run, but for two things: its manifest
says which shard it is, and instead of verdicts it has

    answered.json    how many answers there are, and how many calls failed; there when the job
                     has asked all that it had to

Merged, all answers are in one folder that `ragemo predict ... --resume` goes on with: it asks what
is still missing, which proves that nothing is, and decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragemo.corpus.checked import NO_RECORD
from ragemo.errors import RagemoError, RunFolderError, SettingsError
from ragemo.files import file_in, parse_json, sha256_file, whole_folder, write_json
from ragemo.runs.manifest import KIND
from ragemo.runs.merging import check_place
from ragemo.runs.parts import write_lines
from ragemo.runs.records import ballot_line
from ragemo.runs.run import Run
from ragemo.runs.shards import RUN
from ragemo.shards import ShardFolder, check_shards
from ragemo.types import Ballot, Shard

ANSWERED = "answered.json"
ALIKE = ("utterances.jsonl", "prompts.jsonl")
"""Files that are the same in all shards of a run."""


def begin_answers(run: Run) -> None:
    """Take back that a shard has asked all that it had to, for one that is gone on with.

    Raises:
        RunFolderError: if that cannot be written.
    """
    try:
        (run.path / ANSWERED).unlink(missing_ok=True)
    except OSError as error:
        raise RunFolderError(f"{run.path}: cannot be written: {error}") from None


def finish_answers(run: Run) -> None:
    """Write down that a shard has asked all that it had to.

    Raises:
        RunFolderError: if that cannot be written.
    """
    ballots = run.ballots()
    try:
        write_json(
            run.path / ANSWERED,
            {"answers": len(ballots), "failed": sum(ballot.failed for ballot in ballots)},
        )
    except OSError as error:
        raise RunFolderError(
            f"{run.path}: the shard could not be finished: {error}. Go on with --resume; all "
            "answers are kept"
        ) from None


def holds_answers(folder: Path | str) -> bool:
    """Whether a folder is that of a shard that asked a language model."""
    try:
        manifest = parse_json(file_in(Path(folder), "manifest.json").read_bytes())
    except (OSError, ValueError, RagemoError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == KIND and "shard" in manifest


def merge_answers(folders: Sequence[Path | str], out: Path | str) -> Run:
    """Put the answers of all shards into one run, to be decided by `Run.resume`.

    Args:
        folders: of the shards, in any order.
        out: the run's folder.

    Raises:
        RunFolderError: naming the shard that is missing, there twice, unfinished, damaged or of
            another run; or if `out` is not free or cannot be written. There is no run then.
    """
    out = Path(out)
    check_place(out)
    runs = [Run.open(folder) for folder in folders]
    shards = [_shard(run) for run in runs]
    check_shards(shards, RUN)
    for run, shard in zip(runs, shards, strict=True):
        _check_finished(run, shard, first=runs[0])
    answers: dict[Any, Ballot] = {}
    for shard, run in sorted(zip(shards, runs, strict=True), key=lambda one: one[0].shard.number):
        ballots = run.ballots()
        _check_whole(run, len(ballots))
        for ballot in ballots:
            known = answers.get(ballot.key)
            if known is None or known.failed:
                answers[ballot.key] = ballot
            elif not ballot.failed:
                raise RunFolderError(
                    f"{shard.path}: an answer on {ballot.utterance_id!r} that another shard has, "
                    "too; the shards are damaged, make them again"
                )
    manifest = {name: value for name, value in runs[0].manifest.items() if name != "shard"}
    try:
        with whole_folder(out, replace=False) as folder:
            for name in ALIKE:
                with file_in(runs[0].path, name).open("rb") as lines:
                    write_lines(folder / name, lines)
            write_lines(
                folder / "ballots.jsonl", (ballot_line(b).encode() for b in answers.values())
            )
            write_json(folder / "manifest.json", manifest)
    except OSError as error:
        raise RunFolderError(
            f"{out}: the run cannot be written: {error}. Make room and merge again; the shards are "
            "as they were"
        ) from None
    return Run.open(out)


def _shard(run: Run) -> ShardFolder:
    if "shard" not in run.manifest:
        raise RunFolderError(f"{run.path}: a run, and no shard of one; leave it out")
    try:
        shard = Shard(**run.manifest["shard"])
    except SettingsError as error:
        raise RunFolderError(f"{run.path / 'manifest.json'}: {error}; copy it again") from None
    return ShardFolder(run.path, shard, {**run.manifest, "shard": {"of": shard.of}})


def _check_finished(run: Run, shard: ShardFolder, *, first: Run) -> None:
    if not (run.path / ANSWERED).is_file():
        raise RunFolderError(
            f"{run.path}: shard {shard.shard} is not finished; go on with the command it was begun "
            "with, and --resume"
        )
    for name in ALIKE:
        if _hash(run, name) != _hash(first, name):
            raise RunFolderError(
                f"{run.path}: its {name} is not that of {first.path}, so one of them is damaged; "
                "make it again"
            )


def _check_whole(run: Run, answers: int) -> None:
    """Whether a shard still has as many answers as it had when it was finished."""
    file = run.path / ANSWERED
    try:
        wrote = parse_json(file_in(run.path, ANSWERED).read_bytes())["answers"]
    except (*NO_RECORD, OSError) as error:
        raise RunFolderError(f"{file}: cannot be read ({error}); copy the shard again") from None
    if wrote != answers:
        raise RunFolderError(
            f"{run.path}: {answers:,} answers, where {wrote!r} were given; copy it again, or go on "
            "with the command that it was begun with, and --resume"
        )


def _hash(run: Run, name: str) -> str:
    try:
        return sha256_file(file_in(run.path, name))
    except OSError as error:
        raise RunFolderError(f"{run.path / name}: cannot be read: {error}") from None
