"""Whether what stands in a run's folder is what ragemo writes: the folder may be anybody's.

Values are checked by the types of the records, then by what they must be among themselves, so
that whoever reads a run need not look again. All raise ValueError with one line of words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic

from ragemo.corpus.checked import MOST, checked, require
from ragemo.labels import LabelSet
from ragemo.llm.ballots import require_shares
from ragemo.types import Demonstration, Verdict
from ragemo.voting.panel import Panel


class _Part(pydantic.BaseModel):
    """What is read later is the data itself, so nothing may be taken for what it is like."""

    model_config = pydantic.ConfigDict(extra="allow", strict=True)


class _Corpus(_Part):
    file: str
    format: str
    sha256: str


class _Index(_Part):
    fingerprint: str
    corpus: dict[str, Any]
    embedder: dict[str, Any]
    label_counts: dict[str, pydantic.NonNegativeInt]


class _Voting(_Part):
    voters: list[str] | None


class _Settings(_Part):
    voting: _Voting
    retrieval: dict[str, Any]
    limit: int | None


class _Weighed(_Part):
    voter: str
    weight: float
    by: str
    windows: int = 0
    accuracy: float | None = None


class _Deciding(_Part):
    panel: dict[str, Any]
    index_alone: dict[str, Any] | None
    weighed: list[_Weighed]


class _Shard(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    number: int = pydantic.Field(ge=1)
    of: int = pydantic.Field(ge=1)


class _Manifest(_Part):
    ragemo: str
    settings: _Settings
    corpus: _Corpus
    transcript: str
    notes: list[str]
    uses_reference_transcripts: bool
    labels: dict[str, Any]
    index: _Index | None
    llm: dict[str, Any] | None
    shard: _Shard | None = None


def check_manifest(data: Mapping[str, Any]) -> None:
    """A run's manifest: the places that anybody looks at."""
    manifest = checked(_Manifest, data)
    require("shard", manifest.shard is not None or "shard" not in data)
    labels = LabelSet.from_dict(manifest.labels).names
    if manifest.index and (
        set(manifest.index.label_counts) != set(labels)
        or sum(manifest.index.label_counts.values()) > MOST
    ):
        raise ValueError("index.label_counts is not of the run's labels")


def check_part(data: Mapping[str, Any], labels: LabelSet) -> None:
    """A record of a panel and of how it came about, see `ragemo.pipeline.judge`."""
    part = checked(_Deciding, data)
    for one in (part.panel, part.index_alone):
        if one is not None and len(Panel.from_dict(one).prior) != len(labels):
            raise ValueError("the panel is not for the run's labels")


def check_verdict(verdict: Verdict, labels: LabelSet) -> Verdict:
    """A verdict of one of the labels, or of none."""
    require_shares(verdict.distribution, labels)
    require("label", verdict.label is None or verdict.label in labels.names)
    require("label_set", set(verdict.label_set) <= set(labels.names))
    require("confidence", 0 <= verdict.confidence <= 1 and 0 <= verdict.agreement <= 1)
    require("a count", 0 <= verdict.invalid < MOST and 0 <= verdict.failed < MOST)
    numbers = (value for value in verdict.details.values() if isinstance(value, int))
    require("a detail", all(abs(number) < MOST for number in numbers))
    return verdict


def check_demonstration(found: Demonstration, labels: LabelSet) -> Demonstration:
    """What was found for a target."""
    require("similarity", abs(found.similarity) < 2)
    require("label", found.label in labels.names)
    return found
