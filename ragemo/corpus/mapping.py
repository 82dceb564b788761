"""Mappings from one label set to another: a YAML file under `mappings/`, or any path.

from: emorynlp           # optional: the label sets, by name
to: meld
labels:
  Joyful: joy            # own label: target label
  Powerful: null         # no counterpart: such utterances are context only
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ragemo.errors import SettingsError
from ragemo.files import parse_yaml


@dataclass(frozen=True)
class LabelMapping:
    """A declared mapping.

    Attributes:
        name: the shipped mapping's name, or the file's path.
        labels: own label -> target label, or None for one without a counterpart.
        source: name of the label set it maps from; empty if it does not say.
        target: name of the label set it maps to; empty if it does not say.
    """

    name: str
    labels: Mapping[str, str | None]
    source: str = ""
    target: str = ""


def available_mappings() -> list[str]:
    """Names of the mappings that ship with ragemo."""
    folder = files("ragemo").joinpath("corpus/mappings")
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_mapping(name: str | Path) -> LabelMapping:
    """A mapping by the name of a shipped one, or from a YAML file.

    Raises:
        SettingsError: if there is no such mapping or file, or it is not a mapping.
    """
    if str(name) in available_mappings():
        shipped = files("ragemo").joinpath(f"corpus/mappings/{name}.yaml")
        text, place = shipped.read_text(encoding="utf-8"), f"mapping {name}"
    elif Path(name).is_file():
        try:
            text, place = Path(name).read_text(encoding="utf-8"), str(name)
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}: cannot be read: {error}") from None
    else:
        raise SettingsError(
            f"no mapping {str(name)!r}: expected one of {', '.join(available_mappings())} "
            "or the path of a YAML file"
        )
    try:
        data = parse_yaml(text)
    except ValueError as error:
        raise SettingsError(f"{place}: {error}") from None
    return _from_data(data, str(name), place)


def fitting_mapping(source: str, target: str) -> LabelMapping | None:
    """The one shipped mapping between two label sets, by their names; None if none or several."""
    known = [load_mapping(name) for name in available_mappings()]
    fitting = [mapping for mapping in known if (mapping.source, mapping.target) == (source, target)]
    return fitting[0] if len(fitting) == 1 else None


def _from_data(data: Any, name: str, place: str) -> LabelMapping:
    if not isinstance(data, dict) or not isinstance(data.get("labels"), dict):
        raise SettingsError(
            f"{place}: expected `labels` with lines like `Joyful: joy` or `Powerful: null` below it"
        )
    if unknown := set(data) - {"from", "to", "labels"}:
        raise SettingsError(
            f"{place}: unknown keys {sorted(map(str, unknown))}; known are from, to, labels"
        )
    for own, target in data["labels"].items():
        if not isinstance(own, str) or not isinstance(target, str | None):
            raise SettingsError(
                f"{place}: {own!r}: {target!r}: expected a label's name on both sides, or null on "
                "the right (YAML reads a bare no, off or 1 as something else: use quotes)"
            )
    ends = [data.get(key) or "" for key in ("from", "to")]
    if not all(isinstance(end, str) for end in ends):
        raise SettingsError(f"{place}: from and to are {ends}, expected names of label sets")
    return LabelMapping(name, data["labels"], *ends)
