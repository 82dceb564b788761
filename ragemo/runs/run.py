"""A run's folder: everything asked, answered and decided, on disk as it happens.

    manifest.json      every setting, model, seed, version and data hash; there before any answer
    utterances.jsonl   the dialogues: chosen and other transcripts, gold labels
    prompts.jsonl      every prompt about a target, word for word; there before any answer
    ballots.jsonl      one answer a line, synced to disk before the next call
    verdicts.jsonl     one decision a line, with the demonstrations behind it; written at the end
    examples.jsonl     the demonstrations' own words, each once
    predictions.csv    id, label, confidence, one probability per label, the label set, details
    panel.json         who counted how much, and all else that made verdicts of ballots
    review.csv         what a person should look at first, and why

`ballots.jsonl` is the only file that grows. A run that was killed leaves at most one torn line
at its end; opening the run cuts that line off, and `--resume` asks only what is missing. The
files that are derived from it (verdicts, predictions) are written whole, and hold nothing that
differs between a run that was stopped and one that was not.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from ragemo.corpus.checked import NO_RECORD
from ragemo.errors import RunFolderError
from ragemo.files import file_in, parse_json, whole_folder, write_json, write_text
from ragemo.labels import LabelSet
from ragemo.runs.ballot_file import BallotFile
from ragemo.runs.checks import check_part, check_verdict
from ragemo.runs.manifest import FORMAT, KIND, check_new_run, check_same, read_manifest
from ragemo.runs.parts import drop_parts
from ragemo.runs.predictions import predictions_csv
from ragemo.runs.records import (
    AskedPrompt,
    RunUtterance,
    all_ballots,
    count_lines,
    each_ballot,
    each_found,
    each_line,
    example_lines,
    prompt_line,
    read_part,
    read_prompt,
    read_utterance,
    read_verdict,
    utterance_line,
    verdict_line,
)
from ragemo.types import Ballot, Demonstration, Verdict


class Run:
    """A run's folder, open for reading, or for adding ballots under a lock.

    Use `create` or `resume` to write and `open` to read.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self._ballots: BallotFile | None = None
        self._decided: list[Verdict] | None = None

    # -- opening -----------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: Path,
        manifest: Mapping[str, Any],
        utterances: Iterable[RunUtterance],
        prompts: Iterable[AskedPrompt] = (),
    ) -> Run:
        """A new run in a folder that does not exist or is empty.

        Raises:
            RunFolderError: if something is there already, or it cannot be written.
        """
        check_new_run(path)
        run = cls(path, {"kind": KIND, "format": FORMAT, **manifest})
        utterances = tuple(utterances)
        try:
            with whole_folder(path, replace=False) as folder:
                write_text(folder / "utterances.jsonl", "".join(map(utterance_line, utterances)))
                write_text(folder / "prompts.jsonl", "".join(map(prompt_line, prompts)))
                write_json(folder / "manifest.json", run.manifest)
            run._ballots = BallotFile(path)
        except OSError as error:
            run.close()
            raise RunFolderError(f"{path}: cannot be written: {error}") from None
        if utterances:  # what was written need not be read again
            vars(run)["utterances"] = utterances
        return run

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """A run to read.

        Raises:
            RunFolderError: if there is none, or it is damaged or of another format version.
        """
        path = Path(path)
        return cls(path, read_manifest(path))

    @classmethod
    def resume(
        cls,
        path: Path,
        manifest: Mapping[str, Any],
        utterances: Iterable[RunUtterance] = (),
        prompts: Iterable[AskedPrompt] = (),
    ) -> Run:
        """A run to go on with, if what is asked now is what it was begun with.

        Args:
            path: of its folder.
            manifest: of what is asked now.
            utterances, prompts: as for `create`; their files are written anew if they are not
                there or damaged, and for a run that was begun block by block, which has none until
                its parts are joined, and goes on as a whole.

        Raises:
            RunFolderError: naming the settings that differ, or if another process has it, or it
                cannot be written.
        """
        run = cls.open(path)
        check_same(path, run.manifest, {"kind": KIND, "format": FORMAT, **manifest})
        try:
            run._ballots = BallotFile(path)
            run._ballots.cut_torn_line()
            if utterances:
                run._restore("prompts.jsonl", "".join(map(prompt_line, prompts)))
                run._restore("utterances.jsonl", "".join(map(utterance_line, utterances)))
                drop_parts(path)
        except OSError as error:
            run.close()
            raise RunFolderError(f"{path}: cannot be written: {error}") from None
        return run

    def _restore(self, name: str, text: str) -> None:
        """Let a file hold what it was begun with."""
        try:
            there = file_in(self.path, name).read_bytes()
        except OSError:
            there = None
        if there != text.encode():
            write_text(self.path / name, text)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def remove(self) -> None:
        """Delete the folder, as far as that is allowed, for a run in which nobody could answer."""
        shutil.rmtree(self.path, ignore_errors=True)  # while nobody else can begin to add to it
        self.close()

    def close(self) -> None:
        """Give up the lock."""
        if self._ballots is not None:
            self._ballots.close()
            self._ballots = None

    # -- writing -----------------------------------------------------------------------------

    def append(self, ballots: Sequence[Ballot]) -> None:
        """Add ballots; they are on disk when this returns.

        The decisions of a run that was finished are taken back before answers come to it that they
        do not know of.

        Raises:
            RunFolderError: if they cannot be written (a full disk, say); earlier ones are safe.
        """
        written = self._written()
        if self.finished and not all(ballot.failed for ballot in ballots):
            try:
                (self.path / "verdicts.jsonl").unlink()
            except OSError as error:
                raise RunFolderError(f"{self.path}: cannot be written: {error}") from None
        written.append(ballots)

    def replace_ballots(self, lines: Iterable[bytes]) -> None:
        """Let the run hold these lines of ballots and no others; they are on disk at the end.

        Raises:
            RunFolderError: if they cannot be written.
        """
        self._written().replace(lines)

    def _written(self) -> BallotFile:
        if self._ballots is None:
            raise RunFolderError(f"{self.path}: the run is not open for writing")
        return self._ballots

    def finish(
        self,
        verdicts: Sequence[Verdict],
        demonstrations: Mapping[str, Sequence[Demonstration]],
        *,
        panels: Sequence[Mapping[str, Any]] = (),
        parts: Sequence[int] | None = None,
        review: str = "",
    ) -> None:
        """Write the decisions, each file whole.

        Args:
            verdicts: in corpus order.
            demonstrations: per target, as they were retrieved.
            panels: plain records of the panels that decided.
            parts: for each verdict, the place of its panel among them; default: the first.
            review: the table of what a person should look at.

        Raises:
            RunFolderError: if they cannot be written.
        """
        lines = [
            verdict_line(verdict, part, demonstrations.get(verdict.utterance_id, ()))
            for verdict, part in zip(verdicts, parts or [0] * len(verdicts), strict=True)
        ]
        examples = example_lines(demonstrations.get(v.utterance_id, ()) for v in verdicts)
        try:
            write_json(self.path / "panel.json", {"parts": list(panels)})
            # With a byte order mark, without which spreadsheets misread accents.
            write_text(self.path / "review.csv", f"\ufeff{review}")
            write_text(self.path / "predictions.csv", predictions_csv(verdicts, self.labels))
            write_text(self.path / "examples.jsonl", examples)
            write_text(self.path / "verdicts.jsonl", "".join(lines))
        except OSError as error:
            raise RunFolderError(
                f"{self.path}: the decisions could not be written: {error}. Make room and go on "
                "with --resume; all answers are kept"
            ) from None
        self._decided = list(verdicts)

    # -- reading -----------------------------------------------------------------------------

    @cached_property
    def labels(self) -> LabelSet:
        """The label set of the run."""
        return LabelSet.from_dict(self.manifest["labels"], str(self.path))

    @cached_property
    def utterances(self) -> tuple[RunUtterance, ...]:
        """The dialogues as the run saw them."""
        found = tuple(self._read_utterances())
        self._check_once([utterance.turn.utterance_id for utterance in found])
        return found

    def each_utterance(self) -> Iterator[RunUtterance]:
        """The same one after the other, of a run that may not fit into memory.

        Raises:
            RunFolderError: here or later, if the run is damaged.
        """
        known: tuple[RunUtterance, ...] | None = vars(self).get("utterances")
        return self._read_utterances() if known is None else iter(known)

    def _read_utterances(self) -> Iterator[RunUtterance]:
        return each_line(
            self.path, "utterances.jsonl", lambda record: read_utterance(record, self.labels)
        )

    def ballots(self) -> list[Ballot]:
        """All ballots on disk; where a failed call was made again, the last one counts."""
        return all_ballots(self.path, self.labels)

    def each_ballot(self) -> Iterator[Ballot]:
        """The same one after the other; a damaged line is told when it is met."""
        return each_ballot(self.path, self.labels)

    @property
    def finished(self) -> bool:
        """Whether the decisions are there."""
        return (self.path / "verdicts.jsonl").is_file()

    def check_finished(self) -> None:
        """Refuse a run whose decisions are not there.

        Raises:
            RunFolderError: saying how to finish it.
        """
        if not self.finished:
            how = "finish it with `ragemo predict ... --resume` and the same settings"
            if "shard" in self.manifest:
                how = "it is a shard; `ragemo runs merge SHARD... --out RUN` puts all together"
            raise RunFolderError(f"{self.path}: the run is not finished; {how}")

    def verdicts(self) -> list[Verdict]:
        """The decisions, in corpus order.

        Raises:
            RunFolderError: if the run is not finished or damaged.
        """
        found = list(self.each_verdict())
        if self._decided is not None:
            return found
        ids = [verdict.utterance_id for verdict in found]
        self._check_once(ids)
        if strangers := set(ids) - {one.turn.utterance_id for one in self.utterances}:
            raise RunFolderError(
                f"{self.path}: a verdict on {min(strangers)!r}, which is none of its utterances; "
                "the run is damaged"
            )
        return found

    def each_verdict(self) -> Iterator[Verdict]:
        """The decisions one after the other, of a run that may not fit into memory.

        Raises:
            RunFolderError: here or later, if the run is not finished or damaged.
        """
        if self._decided is not None:
            return iter(self._decided)
        self.check_finished()
        return each_line(
            self.path,
            "verdicts.jsonl",
            lambda record: check_verdict(read_verdict(record), self.labels),
        )

    def beside(self) -> Iterator[tuple[RunUtterance, Verdict]]:
        """The decisions beside what they are on, one after the other.

        Raises:
            RunFolderError: here or later, if the run is not finished or damaged.
        """
        verdicts = self.each_verdict()
        verdict = next(verdicts, None)
        for utterance in self.each_utterance():
            if verdict is not None and utterance.turn.utterance_id == verdict.utterance_id:
                yield utterance, verdict
                verdict = next(verdicts, None)
            elif utterance.predicted:
                break
        else:
            if verdict is None:
                return
        fault = (
            f"a verdict on {verdict.utterance_id!r}, which is there twice or out of order, or is "
            "none of its utterances"
            if verdict is not None
            else f"no verdict on {utterance.turn.utterance_id!r}"
        )
        raise RunFolderError(f"{self.path}: {fault}; the run is damaged")

    def demonstrations(
        self, targets: Collection[str] | None = None
    ) -> dict[str, tuple[Demonstration, ...]]:
        """What was found for each target, or some, most wanted first; a prompt may show fewer."""
        return dict(each_found(self.path, self.labels, targets))

    def prompts(self) -> list[AskedPrompt]:
        """Every prompt about a target, in the order of asking; where a verdict was settled early,
        some were never sent.
        """
        return list(self.each_prompt())

    def each_prompt(self) -> Iterator[AskedPrompt]:
        """The same one after the other; a damaged line is told when it is met."""
        return each_line(self.path, "prompts.jsonl", read_prompt)

    def count_verdicts(self) -> int:
        """How many decisions there are, without reading them.

        Raises:
            RunFolderError: if the file cannot be read.
        """
        return count_lines(self.path, "verdicts.jsonl")

    def each_part(self) -> Iterator[tuple[str, int]]:
        """For each verdict, what it is on and the place in `panels` of the panel that decided."""
        return each_line(self.path, "verdicts.jsonl", read_part)

    def parts(self) -> list[int]:
        """The places alone."""
        return [part for _, part in self.each_part()]

    def panels(self) -> list[dict[str, Any]]:
        """The plain records of the panels that decided, see `ragemo.pipeline.judge`.

        Raises:
            RunFolderError: if they cannot be read.
        """
        file = self.path / "panel.json"
        try:
            parts = list(parse_json(file_in(self.path, file.name).read_bytes())["parts"])
            for part in parts:
                check_part(part, self.labels)
            return parts
        except (*NO_RECORD, OSError) as error:
            raise RunFolderError(f"{file}: cannot be read ({error}); predict again") from None

    def _check_once(self, ids: Sequence[str]) -> None:
        if len(set(ids)) < len(ids):
            twice = Counter(ids).most_common(1)[0][0]
            raise RunFolderError(f"{self.path}: {twice!r} is there twice; the run is damaged")
