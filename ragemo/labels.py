"""Label sets: the emotions of a corpus in their declared order.

A set is a small YAML file under `ragemo/corpus/labels/` (or any path the user gives):

    name: meld
    labels:
      - name: joy            # as the corpus writes it; used in every file ragemo writes
        word: joy            # as prompts and models say it (default: the name)
        aliases: [happy]     # also understood, in data and in answers
        definition: ...      # shown to the model
        colour: "#E69F00"    # in pages and plots
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from ragemo.errors import SettingsError
from ragemo.files import parse_yaml

DEFAULT_COLOURS = (
    "#999999",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
"""Okabe and Ito's palette, told apart with any colour vision."""


_MINUS = re.compile(r"\W*[-\u2212]\d")


def normalise(text: str) -> str:
    """Fold case and strip everything but letters and digits: " Happy! " and "happy" are one.

    What tells two words apart stays: the minus of a number, and the vowel signs of scripts that
    write them beside their letters, as Devanagari and Thai do. Accents that stand by themselves and
    the points of Arabic and Hebrew, which many writers leave out, go.
    """
    folded = text.casefold()
    minus = "-" if _MINUS.match(folded) else ""
    if folded.isascii():
        return minus + re.sub(r"[\W_]+", "", folded)
    kept = ""
    after_letter = False
    for character in folded:
        after_letter = character.isalnum() or (after_letter and _is_vowel_sign(character))
        kept += character if after_letter else ""
    return minus + kept


def _is_vowel_sign(character: str) -> bool:
    """Whether it is a combining character that spells, and none that can be left out.

    By its canonical combining class: 0 to 9 and 103 to 122 are of Indic scripts, Thai and Lao.
    """
    if unicodedata.category(character) not in ("Mn", "Mc") or "\ufe00" <= character <= "\ufe0f":
        return False
    place = unicodedata.combining(character)
    return place < 10 or 100 < place < 130


@dataclass(frozen=True, slots=True)
class Label:
    """One emotion of a label set (see the module's docstring for the fields)."""

    name: str
    word: str
    aliases: tuple[str, ...] = ()
    definition: str = ""
    colour: str = DEFAULT_COLOURS[0]


@dataclass(frozen=True)
class LabelSet:
    """The labels of a corpus, in order.

    Raises:
        SettingsError: if there are fewer than two labels or two share a spelling.
    """

    name: str
    labels: tuple[Label, ...]

    def __post_init__(self) -> None:
        if len(self.labels) < 2:
            raise SettingsError(f"label set {self.name!r} needs at least two labels")
        seen: dict[str, int] = {}
        for position, label in enumerate(self.labels):
            for spelling in (label.name, label.word, *label.aliases):
                key = normalise(spelling)
                if not key:
                    raise SettingsError(
                        f"label set {self.name!r}: {spelling!r} has no letter or digit"
                    )
                if (first := seen.setdefault(key, position)) != position:
                    raise SettingsError(
                        f"label set {self.name!r}: {spelling!r} means both label {first + 1} "
                        f"({self.labels[first].name!r}) and label {position + 1} ({label.name!r})"
                    )

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The labels as the corpus writes them."""
        return tuple(label.name for label in self.labels)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The labels as prompts say them."""
        return tuple(label.word for label in self.labels)

    @cached_property
    def _spellings(self) -> dict[str, str]:
        return {
            normalise(spelling): label.name
            for label in self.labels
            for spelling in (label.name, label.word, *label.aliases)
        }

    def find(self, text: str) -> str | None:
        """The label's name for one of its spellings, whatever case and punctuation; or None."""
        return self._spellings.get(normalise(text))

    def index(self, name: str) -> int:
        """Position of a label by its name. Raises ValueError if there is none."""
        return self.names.index(name)

    def one_hot(self, name: str) -> tuple[float, ...]:
        """The distribution that puts everything on one label."""
        return tuple(float(other == name) for other in self.names)

    def to_dict(self) -> dict[str, Any]:
        """The set as plain data, for manifests; `from_dict` reads it back."""
        return {
            "name": self.name,
            "labels": [
                {
                    "name": label.name,
                    "word": label.word,
                    "aliases": list(label.aliases),
                    "definition": label.definition,
                    "colour": label.colour,
                }
                for label in self.labels
            ],
        }

    @classmethod
    def from_dict(cls, data: Any, source: str = "label set") -> LabelSet:
        """A set from plain data.

        Raises:
            SettingsError: naming `source` and what is wrong.
        """
        if not isinstance(data, dict) or not isinstance(data.get("labels"), list):
            raise SettingsError(f"{source}: expected a mapping with `name` and a list `labels`")
        name = data.get("name", Path(source).stem)
        if not isinstance(name, str):
            raise SettingsError(f"{source}: name is {name!r}, expected a text (in quotes?)")
        return cls(
            name,
            tuple(
                _read_label(entry, position, source)
                for position, entry in enumerate(data["labels"])
            ),
        )

    @classmethod
    def infer(cls, emotions: Iterable[str], name: str = "inferred") -> LabelSet:
        """A set of the distinct emotions of a file that declares none, in alphabetical order."""
        return cls.from_dict({"name": name, "labels": sorted(set(emotions))}, name)


def _read_label(entry: Any, position: int, source: str) -> Label:
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise SettingsError(
            f"{source}: label {position + 1} is {entry!r}, expected a text or a mapping with a "
            "text as its `name` (YAML reads a bare no, off or 1 as something else: use quotes)"
        )
    name = entry["name"]
    if unknown := set(entry) - {"name", "word", "aliases", "definition", "colour"}:
        raise SettingsError(
            f"{source}: label {name!r} has unknown keys {sorted(map(str, unknown))}; "
            "known are name, word, aliases, definition, colour"
        )
    colour = DEFAULT_COLOURS[position % len(DEFAULT_COLOURS)]
    full = {"word": name, "aliases": [], "definition": "", "colour": colour, **entry}
    for key in ("word", "definition", "colour"):
        if not isinstance(full[key], str):
            raise SettingsError(
                f"{source}: label {name!r}: {key} is {full[key]!r}, expected a text (in quotes?)"
            )
    aliases = full["aliases"]
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise SettingsError(
            f"{source}: label {name!r}: aliases are {aliases!r}, expected a list of texts "
            "(YAML reads a bare no, off or 1 as something else: use quotes)"
        )
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", full["colour"]):
        raise SettingsError(
            f"{source}: label {name!r}: colour is {full['colour']!r}, expected one like '#E69F00'"
        )
    return Label(name, full["word"], tuple(aliases), full["definition"], full["colour"])


def available_label_sets() -> list[str]:
    """Names of the label sets that ship with ragemo."""
    folder = files("ragemo").joinpath("corpus/labels")
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_labels(name: str | Path) -> LabelSet:
    """A label set by the name of a shipped one, or from a YAML file.

    Raises:
        SettingsError: if there is no such set or file, or it is not a label set.
    """
    shipped = files("ragemo").joinpath(f"corpus/labels/{name}.yaml")
    path = Path(name)
    if str(name) in available_label_sets():
        text, source = shipped.read_text(encoding="utf-8"), f"label set {name}"
    elif path.is_file():
        try:
            text, source = path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: cannot be read: {error}") from None
    else:
        raise SettingsError(
            f"no label set {str(name)!r}: expected one of {', '.join(available_label_sets())} "
            "or the path of a YAML file"
        )
    try:
        data = parse_yaml(text)
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from None
    return LabelSet.from_dict(data, source)
