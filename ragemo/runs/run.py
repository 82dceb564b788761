"""A run's folder: everything asked, answered and decided, on disk as it happens.

    manifest.json      every setting, model, seed, version and data hash; written first
    utterances.jsonl   the dialogues as the run saw them: chosen transcripts and gold labels
    ballots.jsonl      one answer a line, synced to disk before the next call
    verdicts.jsonl     one decision a line, with the demonstrations behind it; written at the end
    predictions.csv    id, label, confidence, one probability per label; written at the end

`ballots.jsonl` is the only file that grows. A run that was killed leaves at most one torn line
at its end; opening the run cuts that line off, and `--resume` asks only what is missing. The
files that are derived from it (verdicts, predictions) are written whole, and hold nothing that
differs between a run that was stopped and one that was not.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from ragemo.errors import RunFolderError
from ragemo.files import write_json, write_text
from ragemo.labels import LabelSet
from ragemo.types import Ballot, Demonstration, Turn, Usage, Verdict

FORMAT = 1
"""Version of the folder's layout."""

FREE_TO_CHANGE = ("settings.llm.concurrency", "settings.llm.timeout", "settings.llm.attempts")
"""Settings that change how fast answers come and not what they are."""


@dataclass(frozen=True, slots=True)
class RunUtterance:
    """An utterance as a run keeps it: what was seen, and the gold label for scoring.

    Attributes:
        turn: the turn with the transcript that was used.
        gold: the gold label, where the corpus has one of the label set.
        predicted: whether the run predicts it (otherwise it is context).
    """

    turn: Turn
    gold: str | None
    predicted: bool


class Run:
    """A run's folder, open for reading, or for adding ballots under a lock.

    Use `create` or `resume` to write and `open` to read.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self._file: io.BufferedWriter | None = None

    # -- opening -----------------------------------------------------------------------------

    @classmethod
    def create(
        cls, path: Path, manifest: Mapping[str, Any], utterances: Iterable[RunUtterance]
    ) -> Run:
        """A new run in a folder that does not exist or is empty.

        Raises:
            RunFolderError: if something is there already, or it cannot be written.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            what = "a run" if (path / "manifest.json").is_file() else "something else"
            raise RunFolderError(
                f"{path} already holds {what}; pass --resume to finish a run, or choose "
                "another --out"
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            run = cls(path, {"format": FORMAT, **manifest})
            run._lock()
            write_text(
                path / "utterances.jsonl",
                "".join(
                    _line({**asdict(u.turn), "gold": u.gold, "predicted": u.predicted})
                    for u in utterances
                ),
            )
            write_json(path / "manifest.json", run.manifest)
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be written: {error}") from None
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """A run to read.

        Raises:
            RunFolderError: if there is none, or it is damaged or of another format version.
        """
        file = path / "manifest.json"
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunFolderError(
                f"{path}: no run here (no manifest.json); `ragemo predict FILE --out {path}` "
                "makes one"
            ) from None
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{file}: not readable as JSON ({error})") from None
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise RunFolderError(f"{file}: not the manifest of a run of format {FORMAT}")
        return cls(path, manifest)

    @classmethod
    def resume(cls, path: Path, manifest: Mapping[str, Any]) -> Run:
        """A run to go on with, if what is asked now is what it was begun with.

        Raises:
            RunFolderError: naming every setting that differs, or if another process has it.
        """
        run = cls.open(path)
        differing = [
            f"{name} was {old!r}, now {new!r}"
            for name, old, new in _differences(run.manifest, {"format": FORMAT, **manifest})
            if name not in FREE_TO_CHANGE
        ]
        if differing:
            raise RunFolderError(
                f"{path}: cannot be resumed, since it was begun with other settings: "
                + "; ".join(differing[:5])
                + ". Ask for the same settings, or choose another --out"
            )
        run._lock()
        run._cut_torn_line()
        return run

    def __enter__(self) -> Run:
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

    def _lock(self) -> None:
        self._file = (self.path / "ballots.jsonl").open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise RunFolderError(
                f"{self.path}: another process is writing to this run; wait for it, or choose "
                "another --out"
            ) from None

    def _cut_torn_line(self) -> None:
        file = self.path / "ballots.jsonl"
        data = file.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with file.open("r+b") as handle:
                handle.truncate(whole)

    # -- writing -----------------------------------------------------------------------------

    def append(self, ballots: Sequence[Ballot]) -> None:
        """Add ballots; they are on disk when this returns.

        Raises:
            RunFolderError: if they cannot be written (a full disk, say); earlier ones are safe.
        """
        if self._file is None:
            raise RunFolderError(f"{self.path}: the run is not open for writing")
        try:
            self._file.write("".join(_line(asdict(ballot)) for ballot in ballots).encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RunFolderError(
                f"{self.path}: an answer could not be written: {error}. Make room and go on with "
                "--resume; all earlier answers are kept"
            ) from None

    def finish(
        self,
        verdicts: Sequence[Verdict],
        demonstrations: Mapping[str, Sequence[Demonstration]],
    ) -> None:
        """Write the decisions, each file whole."""
        lines = []
        for verdict in verdicts:
            shown = [
                {"id": d.window.target.utterance_id, "label": d.label, "similarity": d.similarity}
                for d in demonstrations.get(verdict.utterance_id, ())
            ]
            lines.append(_line({**asdict(verdict), "demonstrations": shown}))
        write_text(self.path / "verdicts.jsonl", "".join(lines))
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["id", "label", "confidence", *self.labels.names])
        for verdict in verdicts:
            shares = verdict.distribution or ("",) * len(self.labels)
            writer.writerow(
                [
                    verdict.utterance_id,
                    verdict.label or "",
                    f"{verdict.confidence:.6f}",
                    *(share if share == "" else f"{share:.6f}" for share in shares),
                ]
            )
        write_text(self.path / "predictions.csv", table.getvalue())

    # -- reading -----------------------------------------------------------------------------

    @cached_property
    def labels(self) -> LabelSet:
        """The label set of the run."""
        return LabelSet.from_dict(self.manifest["labels"], str(self.path))

    @cached_property
    def utterances(self) -> tuple[RunUtterance, ...]:
        """The dialogues as the run saw them."""
        return tuple(
            RunUtterance(
                gold=record.pop("gold"), predicted=record.pop("predicted"), turn=Turn(**record)
            )
            for record in self._records("utterances.jsonl")
        )

    def ballots(self) -> list[Ballot]:
        """All ballots on disk; where a failed call was made again, the last one counts."""
        known = {field.name for field in fields(Ballot)}
        found: dict[tuple[str, str, int], Ballot] = {}
        for record in self._records("ballots.jsonl"):
            usage = Usage(**record.pop("usage"))
            for name in ("distribution", "log_likelihoods"):
                if record[name] is not None:
                    record[name] = tuple(record[name])
            ballot = Ballot(usage=usage, **{k: v for k, v in record.items() if k in known})
            found[ballot.utterance_id, ballot.voter, ballot.sample] = ballot
        return list(found.values())

    def verdicts(self) -> list[Verdict]:
        """The decisions, in corpus order.

        Raises:
            RunFolderError: if the run is not finished.
        """
        if not (self.path / "verdicts.jsonl").is_file():
            raise RunFolderError(
                f"{self.path}: the run is not finished; finish it with `ragemo predict ... "
                "--resume` and the same settings"
            )
        verdicts = []
        for record in self._records("verdicts.jsonl"):
            record.pop("demonstrations")
            if record["distribution"] is not None:
                record["distribution"] = tuple(record["distribution"])
            verdicts.append(Verdict(**record))
        return verdicts

    def _records(self, name: str) -> Iterator[dict[str, Any]]:
        file = self.path / name
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunFolderError(f"{file}: cannot be read: {error}") from None
        lines = text.split("\n")
        for number, line in enumerate(lines[:-1], start=1):  # the last one is empty, or torn
            try:
                yield json.loads(line)
            except ValueError as error:
                raise RunFolderError(
                    f"{file}:{number}: not valid JSON ({error}); the run is damaged"
                ) from None


def _line(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False) + "\n"


def _differences(old: Any, new: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(old.get(key), new.get(key), f"{place}.{key}".lstrip("."))
    elif json.dumps(old) != json.dumps(new):
        yield place, old, new
