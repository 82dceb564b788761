"""What is scored: predictions beside their gold labels, in columns.

A run may have millions of them, so a record of each would not do: the columns take about a
hundred bytes of memory each, the id included, and are filled from records that come one by one.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ragemo.errors import DataError
from ragemo.files import canonical_json
from ragemo.labels import LabelSet
from ragemo.types import Distribution

IntCounts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_BLOCK = 4_096
"""Distributions that are held at a time."""


@dataclass(frozen=True, slots=True)
class ScoredUtterance:
    """One prediction beside its gold label.

    Attributes:
        id: the utterance's id.
        dialogue_id: its conversation, the unit that is resampled for intervals.
        gold: the gold label's name.
        predicted: the predicted label's name, or None where there is no label.
        distribution: over the label set, or None.
        invalid: whether an answer came that is no label (a fallback may still stand in
            `predicted`).
        failed: whether no answer came.
        label_set: the names of the labels in its label set, or None where there is no set.
        abstained: whether the verdict was withheld for its low confidence; `predicted` keeps
            the label.
    """

    id: str
    dialogue_id: str
    gold: str
    predicted: str | None
    distribution: Distribution | None = None
    invalid: bool = False
    failed: bool = False
    label_set: tuple[str, ...] | None = None
    abstained: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predictions on N utterances of D dialogues, L labels; arrays have the shape (N,).

    Attributes:
        labels: the label set.
        ids: the utterances' ids, each once.
        dialogue_ids: the ids of the D dialogues, sorted, so that the order of the utterances does
            not matter.
        dialogue: each utterance's dialogue, its place in `dialogue_ids`.
        gold: the gold label's position.
        predicted: the predicted label's position; L where there is no label.
        invalid, failed, abstained: as `ScoredUtterance` has them.
        confidence: the predicted label's probability; NaN without a label or a distribution.
        gold_probability: the gold label's; NaN likewise.
        squared_error: sum_k (p_k - [k = gold])^2; NaN likewise.
        set_size: how many labels the label set has; -1 where there is none.
        set_holds: whether the gold label is in it.
    """

    labels: LabelSet
    ids: Sequence[str]
    dialogue_ids: Sequence[str]
    dialogue: IntCounts
    gold: IntCounts
    predicted: IntCounts
    invalid: Mask
    failed: Mask
    abstained: Mask
    confidence: Floats
    gold_probability: Floats
    squared_error: Floats
    set_size: IntCounts
    set_holds: Mask

    @classmethod
    def of(cls, utterances: Iterable[ScoredUtterance], labels: LabelSet) -> Predictions:
        """The columns of predictions, which are taken in one by one.

        Raises:
            DataError: if an id comes twice, a gold or predicted label is not in the label set, a
                distribution is not one over it, or a label set names a label twice or one that is
                not in it.
        """
        return _Columns(labels).filled(utterances)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def right(self) -> Mask:
        """Whether the predicted label is the gold one."""
        right: Mask = self.predicted == self.gold
        return right

    @property
    def sure(self) -> Mask:
        """Whether there are both a label and a distribution, and so a confidence."""
        return ~np.isnan(self.confidence)

    def take(self, rows: Sequence[int]) -> Predictions:
        """Some of them, in that order."""
        chosen = np.array(rows, dtype=np.int64)
        kept, dialogue = np.unique(self.dialogue[chosen], return_inverse=True)
        arrays: dict[str, Any] = {
            name: getattr(self, name)[chosen]
            for name in ("gold", "predicted", *_FLAGS, *_SHARES, "set_size", "set_holds")
        }
        return Predictions(
            labels=self.labels,
            ids=[self.ids[row] for row in rows],
            dialogue_ids=[self.dialogue_ids[place] for place in kept.tolist()],
            dialogue=dialogue,
            **arrays,
        )

    def relabelled(self, predicted: IntCounts) -> Predictions:
        """The same utterances with other labels, of which nothing else is known.

        Args:
            predicted: positions of the labels, -1 for none, shape (N,).
        """
        unsure = np.full(len(self), np.nan)
        no = np.zeros(len(self), dtype=np.bool_)
        unknown: dict[str, Any] = {**dict.fromkeys(_FLAGS, no), **dict.fromkeys(_SHARES, unsure)}
        return replace(
            self,
            predicted=np.where(predicted < 0, len(self.labels), predicted),
            set_size=np.full(len(self), -1),
            set_holds=no,
            **unknown,
        )

    def by_id(self) -> Predictions:
        """The same, sorted by id, so that two systems' stand side by side."""
        return self.take(sorted(range(len(self)), key=self.ids.__getitem__))

    def same_gold(self, others: Predictions) -> Mask:
        """Where the gold label and the dialogue are the same, of two on the same ids in order."""
        ours, theirs = np.array(self.dialogue_ids, object), np.array(others.dialogue_ids, object)
        alike: Mask = ours[self.dialogue] == theirs[others.dialogue]
        alike &= self.gold == others.gold
        return alike

    def gold_hash(self) -> str:
        """Hash of the utterances with their dialogues and gold labels, in whatever order."""
        found = hashlib.sha256()
        names = self.labels.names
        for row in sorted(range(len(self)), key=self.ids.__getitem__):
            dialogue = self.dialogue_ids[self.dialogue[row]]
            line = canonical_json([self.ids[row], dialogue, names[self.gold[row]]])
            found.update(f"{line}\n".encode())
        return found.hexdigest()


_FLAGS = ("invalid", "failed", "abstained")
_SHARES = ("confidence", "gold_probability", "squared_error")


class _Columns:
    """The columns while they are filled."""

    def __init__(self, labels: LabelSet) -> None:
        self._labels = labels
        self._position = {name: place for place, name in enumerate(labels.names)}
        self._ids: list[str] = []
        self._met: dict[str, int] = {}  # dialogues, in the order in which they come
        self._dialogue = array("q")
        self._gold, self._predicted, self._set_size = array("h"), array("h"), array("h")
        self._flags = {name: array("b") for name in (*_FLAGS, "set_holds")}
        self._shares: dict[str, list[Floats]] = {name: [] for name in _SHARES}
        self._waiting: list[Distribution | None] = []

    def filled(self, utterances: Iterable[ScoredUtterance]) -> Predictions:
        for utterance in utterances:
            self._add(utterance)
            if len(self._waiting) == _BLOCK:
                self._weigh()
        self._weigh()
        if len(set(self._ids)) < len(self._ids):
            raise DataError(
                "it is scored twice; each utterance must have one prediction",
                record=Counter(self._ids).most_common(1)[0][0],
            )
        names = sorted(self._met)
        sorted_place = np.zeros(len(names), dtype=np.int64)
        sorted_place[[self._met[name] for name in names]] = np.arange(len(names))
        flags: dict[str, Any] = {
            name: np.array(column, dtype=np.bool_) for name, column in self._flags.items()
        }
        shares: dict[str, Any] = {
            name: np.concatenate(blocks) for name, blocks in self._shares.items()
        }
        return Predictions(
            labels=self._labels,
            ids=self._ids,
            dialogue_ids=names,
            dialogue=sorted_place[np.array(self._dialogue, dtype=np.int64)],
            gold=np.array(self._gold, dtype=np.int64),
            predicted=np.array(self._predicted, dtype=np.int64),
            set_size=np.array(self._set_size, dtype=np.int64),
            **flags,
            **shares,
        )

    def _add(self, utterance: ScoredUtterance) -> None:
        self._ids.append(utterance.id)
        self._dialogue.append(self._met.setdefault(utterance.dialogue_id, len(self._met)))
        self._gold.append(self._place(utterance, "gold", utterance.gold))
        predicted = len(self._labels)
        if utterance.predicted is not None:
            predicted = self._place(utterance, "predicted", utterance.predicted)
        self._predicted.append(predicted)
        for name in _FLAGS:
            self._flags[name].append(getattr(utterance, name))
        names = utterance.label_set
        if names is not None and not (
            len(set(names)) == len(names) and set(names) <= self._position.keys()
        ):
            raise DataError(
                f"{list(names)} is no set of labels of {self._labels.name!r}; "
                f"expected some of {', '.join(self._labels.names)}, each once",
                record=utterance.id,
                field="label_set",
            )
        self._set_size.append(-1 if names is None else len(names))
        self._flags["set_holds"].append(names is not None and utterance.gold in names)
        values = None if utterance.predicted is None else utterance.distribution
        # Written so that not-a-number fails as well.
        if values is not None and not (
            len(values) == len(self._labels) and min(values) >= 0 and abs(sum(values) - 1) <= 1e-6
        ):
            raise DataError(
                f"expected {len(self._labels)} probabilities that sum to 1, found {list(values)}",
                record=utterance.id,
                field="distribution",
            )
        self._waiting.append(values)

    def _place(self, utterance: ScoredUtterance, field: str, name: str) -> int:
        try:
            return self._position[name]
        except KeyError:
            raise DataError(
                f"{name!r} is not a label of {self._labels.name!r}; "
                f"expected one of {', '.join(self._labels.names)}",
                record=utterance.id,
                field=field,
            ) from None

    def _weigh(self) -> None:
        """What the distributions that wait say of the predicted and the gold label."""
        has = np.array([values is not None for values in self._waiting], dtype=np.bool_)
        given = np.array([v for v in self._waiting if v is not None], dtype=np.float64)
        given = given.reshape(-1, len(self._labels))
        own = slice(len(self._gold) - len(has), None)
        gold = np.array(self._gold[own], dtype=np.int64)[has]
        predicted = np.array(self._predicted[own], dtype=np.int64)[has]
        rows = np.arange(len(given))
        one_hot = np.zeros_like(given)
        one_hot[rows, gold] = 1
        for name, values in (
            ("confidence", given[rows, predicted]),
            ("gold_probability", given[rows, gold]),
            ("squared_error", ((given - one_hot) ** 2).sum(axis=1)),
        ):
            column = np.full(len(has), np.nan)
            column[has] = values
            self._shares[name].append(column)
        self._waiting.clear()
