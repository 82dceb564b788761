"""For each target: the demonstrations it is shown, and how its neighbours vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ragemo.progress import Progress, Silent
from ragemo.retrieval.embedder import Embedder
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index, check_fits
from ragemo.retrieval.vectors import Composition, compose
from ragemo.types import Demonstration, Distribution, Turn


@dataclass(frozen=True)
class Retrieved:
    """What the index has to say on one target.

    Attributes:
        demonstrations: most similar first.
        vote: the neighbours' distribution over the labels.
    """

    demonstrations: tuple[Demonstration, ...]
    vote: Distribution


def retrieve(
    index: Index,
    embedder: Embedder,
    turns: Sequence[Turn],
    targets: Sequence[int],
    *,
    k: int,
    demonstration_context: int = 0,
    guard: Guard | None = None,
    composition: Composition | None = None,
    progress: Progress | None = None,
) -> list[Retrieved]:
    """Search an index for the targets among a corpus's turns.

    Args:
        index: the labelled windows.
        embedder: the index's embedder.
        turns: all turns in corpus order; a target's context is what stands before it there.
        targets: rows of `turns`, rising.
        k: demonstrations for each target; the vote may rest on more neighbours.
        demonstration_context: earlier turns shown with each demonstration.
        guard: what is shut out beside the target's own dialogue.
        composition: how a window's vector weighs its context; default: the index's.
        progress: told what is being done.

    Raises:
        IndexFolderError: if the embedder is not the index's.
    """
    progress = progress or Silent()
    check_fits(index, embedder)
    index = index.recomposed(composition or index.composition)
    needed = turns[: targets[-1] + 1] if targets else []
    with progress.stage("embedding", len({turn.text for turn in needed})) as advance:
        vectors = embedder.embed([turn.text for turn in needed], advance)
    windows = compose(vectors, [turn.dialogue_id for turn in needed], index.composition)
    with progress.stage("retrieval", len(targets)) as advance:
        found = index.search(
            windows[np.asarray(targets, dtype=np.int64)],
            [turns[row] for row in targets],
            max(k, index.voter.count),
            guard,
        )
        votes = index.voter.distributions(found.similarities, index.label_positions[found.rows])
        advance(len(targets))
    return [
        Retrieved(
            demonstrations=index.demonstrations(found, query, k, demonstration_context),
            vote=tuple(float(share) for share in votes[query]),
        )
        for query in range(len(targets))
    ]
