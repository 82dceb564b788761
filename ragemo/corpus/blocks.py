"""A corpus in blocks of whole dialogues, whether it was read whole or is read as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from ragemo.types import Corpus, Dialogue


class Blocks(Protocol):
    """A corpus that can be gone through block by block, as often as wanted."""

    @property
    def sha256(self) -> str:
        """Of the file's bytes."""
        ...

    def blocks(self, size: int) -> Iterator[Corpus]:
        """The corpus in pieces of whole dialogues.

        Args:
            size: utterances; a block ends with the first dialogue that reaches it.

        Yields:
            Corpora that bear the whole file's path and hash; rows count through.
        """
        ...


@dataclass(frozen=True)
class WholeCorpus:
    """A corpus that is in memory; see `ragemo.corpus.stream` for one that need not be."""

    corpus: Corpus

    @property
    def sha256(self) -> str:
        """Of the file's bytes."""
        return self.corpus.sha256

    def blocks(self, size: int) -> Iterator[Corpus]:
        """See `Blocks`."""
        some: list[Dialogue] = []
        count = 0
        for dialogue in self.corpus.dialogues:
            if count >= size:
                yield replace(self.corpus, dialogues=tuple(some))
                some, count = [], 0
            some.append(dialogue)
            count += len(dialogue.utterances)
        yield replace(self.corpus, dialogues=tuple(some))
