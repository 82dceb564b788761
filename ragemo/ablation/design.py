"""What an ablation varies: its YAML file, checked and taken apart into cells.

The file is a config (`ragemo.settings`) with one more section:

    ablation:
      name: depth-and-context
      axes:
        - name: depth
          settings: [retrieval.k, retrieval.neighbours]    # each value goes to both
          values: [0, 4, 16]
        - name: context
          settings: prompt.context
          values: [0, 4, {label: all, prompt.context: null, retrieval.context_length: 1000}]
      cells:
        - {name: zero-shot, prompt.template: zero-shot, retrieval.k: 0}

The cells are every combination of the axes' values, the last axis moving fastest, and then those
of the list. `axes: {retrieval.k: [0, 4, 16]}` is short for an axis of one setting.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from ragemo.errors import SettingsError
from ragemo.settings import Settings, overridden, read_config, resolve_settings

FIXED = {
    "index": "it is settled when an index is built; make one index for each, and ablate on each",
    "limit": "all cells predict the same utterances; give --limit, or limit beside the sections",
    "corpus.format": "all cells predict the same utterances",
    "corpus.labels": "all cells predict the same utterances",
    "corpus.segmentation": "all cells predict the same utterances",
    "paths": "an ablation has one corpus and one index",
}
"""Settings, and whole sections, that may not differ from cell to cell."""

PATHS = ("train", "data", "index", "out")


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class _Axis(_Part):
    name: str = pydantic.Field(min_length=1)
    settings: tuple[str, ...] = ()
    values: tuple[Any, ...] = pydantic.Field(min_length=1)

    @pydantic.field_validator("name", mode="before")
    @classmethod
    def _one_line(cls, given: Any) -> Any:
        return _on_one_line(given) if isinstance(given, str) else given

    @pydantic.field_validator("settings", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given


class _Section(_Part):
    name: str = pydantic.Field(pattern=r"^\w[\w.-]*$")
    axes: tuple[_Axis, ...] = ()
    cells: tuple[dict[str, Any], ...] = ()

    @pydantic.field_validator("axes", mode="before")
    @classmethod
    def _short_form(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            return [{"name": n, "settings": [n], "values": v} for n, v in given.items()]
        return given


@dataclass(frozen=True, slots=True)
class Axis:
    """What varies, and the labels of its values in their order."""

    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One run of an ablation.

    Attributes:
        name: unique in the ablation, e.g. "depth=4, context=all".
        values: axis -> label of its value; empty for a cell of the list.
        overrides: dotted settings -> what this cell sets them to.
        settings: all of its settings.
    """

    name: str
    values: Mapping[str, str]
    overrides: Mapping[str, Any]
    settings: Settings


@dataclass(frozen=True)
class Design:
    """An ablation as it was asked for.

    Attributes:
        name: of the ablation.
        axes: of its grid; () if it is only a list.
        cells: the grid, then the list. The first is what the others are compared with.
        paths: train, data, index and out, as far as the file names them.
        document: the file as plain data with what was overridden and without paths; written as
            YAML it is a file of the same ablation.
    """

    name: str
    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]
    paths: Mapping[str, Path]
    document: Mapping[str, Any]


def read_design(path: Path, overrides: Mapping[str, Any] | None = None) -> Design:
    """An ablation's file.

    Args:
        path: the YAML file.
        overrides: dotted settings of every cell; they go before the file's own sections.

    Raises:
        SettingsError: naming the file, the axis or cell and the value, if a setting is unknown,
            out of range or may not vary, if cells would be alike, or an override names what
            varies.
    """
    data = read_config(path)
    paths = data.pop("paths", None) or {}
    if not isinstance(paths, dict) or set(paths) - set(PATHS):
        raise SettingsError(f"{path}: paths may hold {', '.join(PATHS)}, found {paths!r}")
    if "ablation" not in data:
        raise SettingsError(
            f"{path}: there is no section `ablation`; expected its name, and axes or cells"
        )
    asked = data.pop("ablation")
    try:
        section = _Section.model_validate(asked)
    except pydantic.ValidationError as error:
        raise SettingsError(f"{path}: " + "; ".join(map(_complaint, error.errors()))) from None
    resolve_settings(data, overrides, source=str(path))  # so that a fault there is named as such
    if not section.axes and not section.cells:
        raise SettingsError(f"{path}: ablation has neither axes nor cells; expected one of them")
    names = [axis.name for axis in section.axes]
    if len(set(names)) < len(names):
        raise SettingsError(f"{path}: ablation.axes: two axes are called {_twice(names)!r}")

    given = overrides or {}
    grid = [
        _values(axis, data, given, source=f"{path}: axis {axis.name!r}") for axis in section.axes
    ]
    chosen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
    for combination in itertools.product(*grid) if grid else []:
        values = {name: label for name, (label, _) in zip(names, combination, strict=True)}
        moved: dict[str, Any] = {}
        for name, (_, own) in zip(names, combination, strict=True):
            if both := sorted(one for one in own if _overlap(one, moved)):
                raise SettingsError(
                    f"{path}: axis {name!r} moves {both[0]}, and so does another axis; "
                    "a setting can be moved by one axis only"
                )
            moved |= own
        name = ", ".join(f"{axis}={label}" for axis, label in values.items())
        chosen.append((name, values, moved))
    for number, cell in enumerate(section.cells, start=1):
        own = dict(cell)
        name = own.pop("name", None)
        name = _on_one_line(name) if isinstance(name, str) else ""
        if not name:
            raise SettingsError(f"{path}: ablation.cells: cell {number} needs a text as its name")
        chosen.append((name, {}, own))

    cells = []
    for name, values, moved in chosen:
        settings = _settings(data, given, moved, source=f"{path}: cell {name!r}")
        cells.append(Cell(name, values, moved, settings))
    _refuse_alike(cells, path)
    return Design(
        name=section.name,
        axes=tuple(
            Axis(name, tuple(label for label, _ in values))
            for name, values in zip(names, grid, strict=True)
        ),
        cells=tuple(cells),
        paths={name: Path(str(one)) for name, one in paths.items() if isinstance(one, str)},
        document={**overridden(data, given, str(path)), "ablation": asked},
    )


def _settings(
    data: Mapping[str, Any], given: Mapping[str, Any], moved: Mapping[str, Any], source: str
) -> Settings:
    """All settings where some are moved, if they may be."""
    _refuse_fixed(moved, given, source)
    return resolve_settings(data, {**given, **moved}, source=source)


def _values(
    axis: _Axis, data: Mapping[str, Any], given: Mapping[str, Any], source: str
) -> list[tuple[str, dict[str, Any]]]:
    """Each value's label and the settings it moves, which can be used.

    A value that cannot be goes by its number and not by its label: it may be an address with a
    password in it.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    for number, value in enumerate(axis.values, start=1):
        if isinstance(value, Mapping) and "label" in value:
            own = {str(name): one for name, one in value.items() if name != "label"}
            if not own:
                raise SettingsError(f"{source}: value {value['label']!r} moves no setting")
            found.append((_on_one_line(str(value["label"])), own))
        elif axis.settings:
            found.append((_in_words(value, axis.settings), dict.fromkeys(axis.settings, value)))
        else:
            raise SettingsError(
                f"{source}: value {number} belongs to no setting; give the axis `settings`, or "
                "write the value as {label: TEXT, SECTION.NAME: VALUE, ...}"
            )
        _settings(data, given, found[-1][1], source=f"{source}, value {number}")
    labels = [label for label, _ in found]
    if len(set(labels)) < len(labels):
        raise SettingsError(f"{source}: two values are called {_twice(labels)!r}")
    return found


def _in_words(value: Any, settings: Sequence[str]) -> str:
    if isinstance(value, list):
        return _on_one_line("+".join(map(str, value))) or "none"
    if value is None:  # which is not what every setting is where none is given
        return "default" if all(map(_is_none_by_default, settings)) else "null"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _on_one_line(str(value))


def _is_none_by_default(setting: str) -> bool:
    place: Any = Settings()
    for name in setting.split("."):
        place = getattr(place, name, ...)
    return place is None


def _on_one_line(text: str) -> str:
    """As a row of a table can hold it."""
    return " ".join(text.split())


def _overlap(name: str, others: Iterable[str]) -> str | None:
    """The first of the others that is the same setting, or that holds it or lies in it."""
    return next((one for one in others if _holds(one, name) or _holds(name, one)), None)


def _holds(section: str, name: str) -> bool:
    return f"{name}.".startswith(f"{section}.")


def _refuse_fixed(moved: Mapping[str, Any], given: Mapping[str, Any], source: str) -> None:
    for name in moved:
        if fixed := _overlap(name, FIXED):
            whole = "" if _holds(fixed, name) else f"; name single settings, as {name}.NAME"
            raise SettingsError(
                f"{source}: {name} cannot vary in an ablation: {FIXED[fixed]}{whole}"
            )
        if same := _overlap(name, given):
            raise SettingsError(
                f"{source}: it sets {same}, which is also given for all cells; leave --set {same} "
                "out, or take it out of the ablation"
            )


def _refuse_alike(cells: Sequence[Cell], path: Path) -> None:
    names = [cell.name for cell in cells]
    if len(set(names)) < len(names):
        raise SettingsError(f"{path}: two cells are called {_twice(names)!r}")
    for row, cell in enumerate(cells):
        for earlier in cells[:row]:
            if earlier.settings == cell.settings:
                raise SettingsError(
                    f"{path}: cells {earlier.name!r} and {cell.name!r} have the same settings; "
                    "take one of them out"
                )


def _twice(names: Sequence[str]) -> str:
    return next(name for row, name in enumerate(names) if name in names[:row])


def _complaint(problem: Mapping[str, Any]) -> str:
    place = ".".join(["ablation", *map(str, problem["loc"])])
    if problem["type"] == "extra_forbidden":
        return f"{place}: no such key"
    found = repr(problem["input"])
    if "://" in found:
        found = "an address, which is not repeated since it may hold a password"
    return f"{place}: {problem['msg'].lower()}, found {found}"
