"""Label a corpus that does not fit into memory: block by block, with the same outcome.

    Blocks       -> survey (what of the whole counts for each block)
                 -> a block -> plan -> verdicts -> a part of the run, whole on disk
                 -> all parts -> the run's files

The index's own voters decide alone. What they say of an utterance depends on its dialogue, the
index and the survey, and on no other dialogue; so blocks may be done in any order and anywhere,
and the run's files are, byte for byte, those of `predict` on the file read whole.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any

from ragemo.corpus.blocks import Blocks
from ragemo.corpus.transcripts import choose_transcripts
from ragemo.corpus.windows import turns_of
from ragemo.errors import RagemoError, SettingsError
from ragemo.pipeline.judge import adapted, judge, reviewed
from ragemo.pipeline.plan import NOWHERE, Plan, Survey, is_same_corpus, make_plan
from ragemo.progress import Progress, Silent
from ragemo.retrieval.embedding.embedder import Embedder
from ragemo.retrieval.index import Index
from ragemo.retrieval.restrict import survey_kinship
from ragemo.runs.parts import (
    Part,
    begin_parts,
    drop_parts,
    join_parts,
    part_folder,
    write_part,
)
from ragemo.runs.predictions import predictions_csv
from ragemo.runs.records import ballot_line, example_lines, utterance_line, verdict_line
from ragemo.runs.run import Run
from ragemo.runs.shards import as_link
from ragemo.settings import Settings
from ragemo.types import Corpus, Turn
from ragemo.voting.calibration import read_calibration
from ragemo.voting.review import review_csv

BLOCK = 4_096
"""Utterances in a block, but for the dialogue that ends it; in one of a shard at most."""

LOOK = 32_768
"""The same while a corpus is compared with the index, which is read once for each block."""


@dataclass(frozen=True)
class Outline:
    """What is known of a stream before it is labelled.

    Attributes:
        survey: what of the whole corpus counts for each block.
        sizes: of each block, how many utterances it has.
        targets: of each block, how many of them are predicted.
        utterances: how many there are in all.
        size: utterances in a block, see `Blocks.blocks`.
        ids: SHA-256 over all their ids, see `as_link`.
    """

    survey: Survey
    sizes: tuple[int, ...]
    targets: tuple[int, ...]
    utterances: int
    size: int
    ids: str

    def wanted(self, block: int, limit: int | None) -> int:
        """How many of the block's targets are predicted if only the first `limit` are."""
        if limit is None:
            return self.targets[block]
        return max(0, min(self.targets[block], limit - sum(self.targets[:block])))


@dataclass(frozen=True)
class Labeller:
    """Makes parts of a run of blocks of a corpus; a copy of it may work anywhere.

    Args:
        settings: of the run.
        outline: of the corpus.
        index: labelled windows.
        embedder: the index's.
    """

    settings: Settings
    outline: Outline
    index: Index
    embedder: Embedder

    def plan(self, number: int, block: Corpus) -> Plan:
        """All that is known of a block before it is decided."""
        wanted = self.outline.wanted(number, self.settings.limit)
        targets = (u.id for u in block.utterances if u.needs_prediction)
        return make_plan(
            block,
            self.settings,
            index=self.index,
            embedder=self.embedder,
            only=frozenset(islice(targets, wanted)),
            survey=self.outline.survey,
        )

    def manifest(self, piece: Corpus) -> Mapping[str, Any]:
        """The run's manifest, told by any piece of the corpus."""
        return make_plan(
            piece,
            self.settings,
            index=self.index,
            embedder=self.embedder,
            only=(),
            survey=self.outline.survey,
        ).manifest

    def part(self, plan: Plan) -> Part:
        """What a block becomes.

        Raises:
            SettingsError: if `voting.weights` was fitted on one of its dialogues, or is without
                one of the index's voters.
        """
        how = self.settings.voting
        given = None
        if how.weights:
            heard = [utterance.turn for utterance in plan.utterances]
            sha256 = plan.manifest["corpus"]["sha256"]
            given = adapted(read_calibration(how.weights, heard, plan.labels, sha256).panel, how)
            counting = {b.voter for b in plan.ballots} & {*(how.voters or self.index.voters)}
            if strangers := sorted(counting - given.weights.keys()):
                raise SettingsError(
                    f"{how.weights} has no weight for {', '.join(strangers)}, to be weighed by how "
                    "they agree with the others on the whole corpus; read it whole (--no-stream), "
                    "or name the voters that count (--voters)"
                )
        judged = judge(plan, plan.ballots, how, given=given)
        places = {part: place for place, part in enumerate(judged.panels)}
        verdicts = judged.decision.verdicts
        found = plan.demonstrations
        items = reviewed(plan, judged, plan.ballots)
        turns = {utterance.turn.utterance_id: utterance.turn for utterance in plan.utterances}
        return Part(
            lines={
                "utterances.jsonl": "".join(map(utterance_line, plan.utterances)),
                "ballots.jsonl": "".join(map(ballot_line, plan.ballots)),
                "verdicts.jsonl": "".join(
                    verdict_line(
                        verdict,
                        places[plan.part_of.get(verdict.utterance_id, NOWHERE)],
                        found.get(verdict.utterance_id, ()),
                    )
                    for verdict in verdicts
                ),
                "examples.jsonl": example_lines(found.get(v.utterance_id, ()) for v in verdicts),
            },
            predictions=predictions_csv(verdicts, plan.labels),
            review=f"\ufeff{review_csv(items, turns)}",  # see `Run.finish`
            order=[item.order for item in items],
            panels=judged.to_dict() if verdicts else [],
        )


def refuse_blocks(settings: Settings) -> None:
    """Refuse to label block by block what depends on all blocks.

    Raises:
        SettingsError: if a language model is asked for, whose worth is told from all its answers,
            or a pool that learns from all votes.
    """
    if settings.llm.model != "none":
        raise SettingsError(
            "block by block a corpus is labelled by the index's own voters alone; use --llm none, "
            "or read the corpus whole (--no-stream, and no --shard)"
        )
    if settings.voting.pool == "dawid-skene":
        raise SettingsError(
            "voting.pool dawid-skene learns from the votes on all utterances together; choose "
            "another pool, or read the corpus whole (--no-stream, and no --shard)"
        )


MakeParts = Callable[[Labeller, Blocks, Collection[int]], Generator[tuple[int, Part]]]
"""Makes parts of a corpus's blocks of some numbers, in any order; see `parts_here`."""


def parts_here(
    labeller: Labeller, corpus: Blocks, numbers: Collection[int]
) -> Generator[tuple[int, Part]]:
    """Makes the parts in this process, one after the other."""
    for number, block in numbered(corpus, labeller.outline.size, numbers):
        yield number, labeller.part(labeller.plan(number, block))


def numbered(corpus: Blocks, size: int, numbers: Collection[int]) -> Iterator[tuple[int, Corpus]]:
    """The blocks of some numbers, rising, each with its own.

    Args:
        corpus: all of it.
        size: utterances in a block, see `Blocks.blocks`.
        numbers: of those wanted, from 0.
    """
    last = max(numbers, default=-1)
    for number, block in enumerate(islice(corpus.blocks(size), last + 1)):
        if number in numbers:
            yield number, block


def predict_stream(
    stream: Blocks,
    settings: Settings,
    out: Path | str,
    *,
    index: Index,
    embedder: Embedder,
    resume: bool = False,
    block: int = BLOCK,
    make_parts: MakeParts = parts_here,
    progress: Progress | None = None,
) -> Run:
    """Label a corpus's utterances with the index's own voters, in bounded memory.

    The corpus is read through twice before anything is labelled: every fault is found, and what of
    the index is the corpus's own.

    Args:
        stream: the corpus.
        settings: with `llm.model` none, see `Settings`.
        out: the run's folder.
        index: labelled windows.
        embedder: the index's embedder.
        resume: go on with the run in `out`; parts that are there are not made again.
        block: utterances that are worked on at once.
        make_parts: where parts are made; the outcome is the same.
        progress: told what is being done.

    Raises:
        SettingsError: see `refuse_blocks`; or if the corpus and the index do not fit.
        DataError: at the first fault of the file.
        RunFolderError: if `out` cannot be used.
    """
    refuse_blocks(settings)
    progress = progress or Silent()
    out = Path(out)
    outline = outline_of(stream, settings, index, block=block, progress=progress)
    labeller = Labeller(settings, outline, index, embedder)
    manifest = labeller.manifest(next(stream.blocks(outline.size)))
    going_on = resume and out.is_dir() and any(out.iterdir())
    run = Run.resume(out, manifest) if going_on else Run.create(out, manifest, ())
    with run:
        if run.finished:
            drop_parts(out)  # in case it was stopped just before
            return run
        begin_parts(out, outline.size)
        folders = [part_folder(out, number) for number in range(len(outline.targets))]
        missing = {number for number, folder in enumerate(folders) if not folder.is_dir()}
        try:
            with progress.stage("labelling", outline.utterances) as advance:
                advance(sum(size for n, size in enumerate(outline.sizes) if n not in missing))
                with closing(make_parts(labeller, stream, missing)) as parts:
                    for number, part in parts:
                        write_part(out, number, part)
                        advance(outline.sizes[number])
        except RagemoError:
            if not going_on and not any(folder.is_dir() for folder in folders):
                run.remove()  # nothing is lost, and a corrected command can use the folder
            raise
        join_parts(out, folders, run.replace_ballots)
    return run


def outline_of(
    stream: Blocks,
    settings: Settings,
    index: Index,
    *,
    block: int = BLOCK,
    shards: int | None = None,
    progress: Progress | None = None,
) -> Outline:
    """Read a stream through: whether it is sound, and what of it counts for each block.

    Args:
        stream: the corpus.
        settings: of the run.
        index: labelled windows.
        block: utterances in a block.
        shards: blocks are as many times these as they have to be to be no larger than `block`;
            None: they are just so large.
        progress: told what is being done.

    Raises:
        DataError: at the first fault.
        SettingsError: if its transcripts cannot be chosen as asked.
    """
    progress = progress or Silent()
    transcript = settings.corpus.transcript or index.transcript
    lengths, wanted = array("L"), array("L")  # of each dialogue, of which there may be many
    systems: set[str] = set()
    ids = hashlib.sha256()
    with progress.stage("reading", 3) as advance:
        for part in stream.blocks(BLOCK):
            for dialogue in part.dialogues:
                own = dialogue.utterances
                lengths.append(len(own))
                wanted.append(sum(u.needs_prediction for u in own))
                systems.update(system for u in own for system in u.hypotheses)
                for utterance in own:
                    ids.update(as_link(utterance.id))
        utterances = sum(lengths)
        size = block
        if shards is not None:
            size = ceil(utterances / (shards * ceil(utterances / (shards * block))))
        advance(1)

        def turns() -> Iterator[list[Turn]]:
            for part in stream.blocks(LOOK):
                chosen = choose_transcripts(
                    part.utterances, transcript, seed=settings.seed, systems=systems
                )
                by_id = {u.id: t for u, t in zip(part.utterances, chosen, strict=True)}
                yield [turn for dialogue in part.dialogues for turn in turns_of(dialogue, by_id)]
            advance(1)

        kinship = survey_kinship(
            index.turns, turns, same_corpus=is_same_corpus(index, stream.sha256)
        )
    sizes, targets = _blocks_of(zip(lengths, wanted, strict=True), size)
    return Outline(
        survey=Survey(kinship, frozenset(systems)),
        sizes=tuple(sizes),
        targets=tuple(targets),
        utterances=utterances,
        size=size,
        ids=ids.hexdigest(),
    )


def _blocks_of(dialogues: Iterable[tuple[int, int]], size: int) -> tuple[list[int], list[int]]:
    """How many utterances, and predicted ones, are in each block, as `Blocks.blocks` cuts them.

    Args:
        dialogues: of each how many utterances it has, and how many of them need a prediction.
        size: utterances in a block.
    """
    sizes: list[int] = []
    targets: list[int] = []
    for length, wanted in dialogues:
        if not sizes or sizes[-1] >= size:
            sizes.append(0)
            targets.append(0)
        sizes[-1] += length
        targets[-1] += wanted
    return sizes, targets
