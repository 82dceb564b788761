"""Weights that were fitted on labelled dialogues, as a small file, and where they may be used.

The file holds a panel (see `ragemo.voting.panel`), what it gained on dialogues it was not fitted
on, and which dialogues it was fitted on: what is scored must not be among them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragemo.corpus.words import fold, words
from ragemo.errors import SettingsError
from ragemo.files import sha256_bytes, write_json
from ragemo.labels import LabelSet
from ragemo.types import Turn
from ragemo.voting.panel import Panel

KIND = "calibration"

FORMAT = 1
"""Version of the file's layout."""

WORDS = 48
"""Words of a dialogue that are kept, as hashes."""

WIDTH = 4
"""Hexadecimal digits of a word's hash."""

SAME = 0.35
"""Share of common words from which dialogues of one id are the same. Of MELD's training and
development dialogues of one id none shares more than 0.21; of two Whispers' transcripts of one
dialogue, 95 in 100 share more than 0.38."""

DIGITS = 16
"""Hexadecimal digits of a dialogue's hash that are kept."""


@dataclass(frozen=True)
class Calibration:
    """A fitted panel and its history.

    Attributes:
        panel: what was fitted.
        labels: names of the labels, in order.
        fitted_on: dialogue id -> hash of its words.
        corpora: SHA-256 of the files the dialogues came from.
        sketches: dialogue id -> a sample of its words' hashes, which tells the same recording in
            another transcript.
        gain: what it gained on held-out dialogues, see `ragemo.pipeline.calibrating`.
    """

    panel: Panel
    labels: tuple[str, ...]
    fitted_on: Mapping[str, str]
    corpora: tuple[str, ...]
    gain: Mapping[str, Any]
    sketches: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the file whole.

        Raises:
            SettingsError: if it cannot be written.
        """
        try:
            write_json(
                path,
                {
                    "kind": KIND,
                    "format": FORMAT,
                    "labels": list(self.labels),
                    "gain": dict(self.gain),
                    "panel": self.panel.to_dict(),
                    "corpora": list(self.corpora),
                    "fitted_on": dict(self.fitted_on),
                    "sketches": dict(self.sketches),
                },
            )
        except OSError as error:
            raise SettingsError(f"{path}: cannot be written: {error}") from None


def dialogue_hashes(turns: Sequence[Turn]) -> dict[str, str]:
    """A hash of each dialogue's speakers and words, whatever its id."""
    lines: dict[str, list[str]] = defaultdict(list)
    for turn in turns:
        lines[turn.dialogue_id].append(f"{turn.speaker}\t{fold(turn.text)}")
    return {
        dialogue: sha256_bytes("\n".join(own).encode(errors="surrogatepass"))[:DIGITS]
        for dialogue, own in lines.items()
    }


def dialogue_sketches(turns: Sequence[Turn]) -> dict[str, str]:
    """The `WORDS` smallest hashes of each dialogue's words, of `WIDTH` hexadecimal digits.

    A sample of the words that is the same for the same words, so that two of them tell how many
    two dialogues share (Broder, "On the resemblance and containment of documents", 1997).
    """
    said: dict[str, set[str]] = defaultdict(set)
    for turn in turns:
        said[turn.dialogue_id].update(words(turn.text))
    return {
        dialogue: "".join(
            sorted(sha256_bytes(word.encode(errors="surrogatepass"))[:WIDTH] for word in own)[
                :WORDS
            ]
        )
        for dialogue, own in said.items()
    }


def _resemblance(one: str, other: str) -> float:
    """Share of common words, estimated from two sketches; 0 where one is empty."""
    first, second = (
        {text[at : at + WIDTH] for at in range(0, len(text), WIDTH)} for text in (one, other)
    )
    smallest = set(sorted(first | second)[: min(len(first), len(second))])
    return len(smallest & first & second) / len(smallest) if smallest else 0.0


def read_calibration(
    path: Path | str, turns: Sequence[Turn], labels: LabelSet, corpus: str = ""
) -> Calibration:
    """The file for use on some dialogues.

    Args:
        path: written by `Calibration.write`.
        turns: of all dialogues that are decided.
        labels: the label set there.
        corpus: SHA-256 of the file they come from.

    Raises:
        SettingsError: if it is no such file, is of other labels, or was fitted on one of the
            dialogues.
    """
    path = Path(path)
    try:
        calibration = _parsed(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: no such file; `ragemo calibrate RUN --out {path}` makes one"
        ) from None
    except KeyError as error:
        raise SettingsError(
            f"{path}: not a file of `ragemo calibrate` ({error} is missing); make it anew"
        ) from None
    except (
        ArithmeticError,
        AttributeError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise SettingsError(
            f"{path}: not a file of `ragemo calibrate` ({error}); make it anew"
        ) from None
    if calibration.labels != labels.names:
        raise SettingsError(
            f"{path}: fitted for the labels {', '.join(calibration.labels)}; here they are "
            f"{', '.join(labels.names)}"
        )
    words = set(calibration.fitted_on.values())
    same_corpus = corpus in calibration.corpora
    shared = [
        dialogue
        for dialogue, own in dialogue_hashes(turns).items()
        if own in words or (same_corpus and dialogue in calibration.fitted_on)
    ]
    sketches = dialogue_sketches(turns)
    shared += [
        dialogue
        for dialogue, sketch in calibration.sketches.items()
        if dialogue not in shared and _resemblance(sketch, sketches.get(dialogue, "")) >= SAME
    ]
    if shared:
        raise SettingsError(
            f"{path}: it was fitted on {len(shared)} of the dialogues that it would decide "
            f"({', '.join(map(repr, shared[:3]))}); what is scored may not be what was fitted on. "
            "Calibrate on other dialogues"
        )
    return calibration


def _parsed(data: Any) -> Calibration:
    """The calibration from what `Calibration.write` wrote.

    Raises:
        ArithmeticError, AttributeError, KeyError, TypeError, ValueError: if it is not that.
    """
    if data["kind"] != KIND or data["format"] != FORMAT:
        raise ValueError(f"kind {data['kind']!r}, format {data['format']!r}")
    calibration = Calibration(
        panel=Panel.from_dict(data["panel"]),
        labels=tuple(data["labels"]),
        fitted_on=dict(data["fitted_on"]),
        corpora=tuple(data["corpora"]),
        gain=dict(data["gain"]),
        sketches=dict(data["sketches"]),
    )
    # What it was fitted on has to be known for certain.
    texts = [*calibration.labels, *calibration.corpora, *calibration.fitted_on.values()]
    texts += calibration.sketches.values()
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("labels, corpora and fitted_on have to be texts")
    if len(calibration.labels) != len(calibration.panel.prior):
        raise ValueError(
            f"{len(calibration.labels)} labels, a panel for {len(calibration.panel.prior)}"
        )
    return calibration
