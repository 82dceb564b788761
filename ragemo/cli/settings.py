"""From a config file and flags to settings and paths."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragemo.errors import SettingsError
from ragemo.files import parse_yaml
from ragemo.settings import Settings, read_config, resolve_settings

if TYPE_CHECKING:
    import typer

    from ragemo.labels import LabelSet
    from ragemo.voting.imported import Imported

PATHS = ("train", "data", "index", "out")

FLAGS = {
    "k": "retrieval.k",
    "strategy": "retrieval.strategy",
    "leave_out": "retrieval.exclude",
    "context": "prompt.context",
    "template": "prompt.template",
    "llm": "llm.model",
    "base_url": "llm.base_url",
    "mode": "llm.mode",
    "samples": "llm.samples",
    "vary": "voting.vary",
    "pool": "voting.pool",
    "voters": "voting.voters",
    "weights": "voting.weights",
    "stop": "voting.stop",
    "dialogue": "voting.dialogue",
    "abstain_below": "voting.abstain_below",
    "transcript": "corpus.transcript",
    "format": "corpus.format",
    "labels": "corpus.labels",
    "seed": "seed",
    "limit": "limit",
}
"""Flag -> the setting behind it."""

LISTS = frozenset({"strategy", "vary", "voters"})
"""Flags that take several names by commas."""

PREDICTING = frozenset(Settings.model_fields) - {"index"}
"""The sections (and single settings) that a prediction reads: how an index is built is none."""

WHOLE_DIALOGUE = -1
"""What --context has for null."""


def given_flags(command: typer.Context) -> dict[str, Any]:
    """What a command's flags for settings say, by their names in `FLAGS`; None: not given."""
    said = {name.rstrip("_"): value for name, value in command.params.items()}
    return {name: value for name, value in said.items() if name in FLAGS}


def settings_and_paths(
    config: Path | None,
    flags: Mapping[str, Any],
    assignments: Sequence[str] = (),
    *,
    reads: Collection[str] = PREDICTING,
    retrieval: Mapping[str, Any] | None = None,
) -> tuple[Settings, dict[str, Path]]:
    """Settings from defaults, config, `--set` assignments and flags, in that order of force.

    `flags` are by their names (see `FLAGS`) or the setting's own; None: not given. `reads` is what
    the command reads (see `read_assignments`), and `retrieval` stands in for the defaults of that
    section.

    A config may also name files under `paths` (train, data, index, out); they are no settings,
    since they say where things are and not what is done. A list of them, which only train may
    be, is left to `train_files`.

    Raises:
        SettingsError: naming what is wrong.
    """
    data = read_config(config) if config else {}
    paths = data.pop("paths", None) or {}
    if not isinstance(paths, dict) or set(paths) - set(PATHS):
        raise SettingsError(f"{config}: paths may hold {', '.join(PATHS)}, found {paths!r}")
    own = data.get("retrieval") or {}
    if retrieval and isinstance(own, dict):
        data["retrieval"] = {**retrieval, **own}
    assigned = read_assignments(assignments, reads)
    given = {
        FLAGS.get(name, name): _value(name, value)
        for name, value in flags.items()
        if value is not None
    }
    source = "settings" if config is None else f"{config} with flags" if given else str(config)
    # Flags come last, since a whole section that is assigned stands in for all that was before.
    assigned = {name: value for name, value in assigned.items() if name not in given}
    settings = resolve_settings(data, assigned | given, source=source)
    single = {name: path for name, path in paths.items() if not isinstance(path, list)}
    if listed := set(paths) - set(single) - {"train"}:
        raise SettingsError(f"{config}: paths.{min(listed)}: expected one path, found a list")
    single = {name: str(path) for name, path in single.items() if path is not None}
    if odd := [name for name, path in single.items() if "\0" in path]:
        raise SettingsError(f"{config}: paths.{odd[0]}: no path has a NUL character in it")
    return settings, {name: Path(path) for name, path in single.items()}


def read_assignments(
    assignments: Sequence[str], reads: Collection[str] = PREDICTING
) -> dict[str, Any]:
    """The settings of `--set SECTION.NAME=VALUE`, by dotted name.

    A config may be for several commands; what is set for one has to be what it reads.

    Raises:
        SettingsError: if one is not of that shape, its value is not YAML, or its section is not
            among those that the command reads.
    """
    found: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment}: expected SECTION.NAME=VALUE")
        section = name.strip().partition(".")[0]
        if section in Settings.model_fields and section not in reads:
            raise SettingsError(
                f"--set {assignment}: this command does not read {section}, but only "
                f"{', '.join(one for one in Settings.model_fields if one in reads)}; leave it out"
            )
        try:
            found[name.strip()] = parse_yaml(value)
        except ValueError:
            raise SettingsError(f"--set {assignment}: the value is not valid YAML") from None
    return found


def train_files(files: Sequence[str], config: Path | None) -> list[str]:
    """The corpora that flags name, else the config's `paths.train`: each FILE or NAME=FILE.

    Raises:
        SettingsError: if neither names any, or the config's are not texts.
    """
    found: list[Any] = list(files)
    if not found and config:
        configured = (read_config(config).get("paths") or {}).get("train")
        found = configured if isinstance(configured, list) else [configured] if configured else []
    if not found:
        raise SettingsError("give FILE, or a --config that has paths.train")
    if unsuitable := [file for file in found if not isinstance(file, str)]:
        raise SettingsError(f"{config}: paths.train: expected paths, found {unsuitable[0]!r}")
    return found


def pick_path(flag: Path | None, configured: Path | None, name: str, key: str) -> Path:
    """The path a flag names, else the config's.

    Raises:
        SettingsError: if neither is given.
    """
    path = flag or configured
    if path is None:
        raise SettingsError(f"give {name}, or a --config that has {key}")
    return path


def _value(flag: str, value: Any) -> Any:
    """A flag's value as the setting has it."""
    if flag in LISTS:
        return [name.strip() for name in value.split(",") if name.strip()]
    if flag == "context" and value == WHOLE_DIALOGUE:
        return None
    return str(value) if isinstance(value, Path) else value


def import_ballots(
    files: Sequence[str], labels: LabelSet, reserved: Sequence[str] = ()
) -> list[Imported]:
    """Other systems' predictions, each given as FILE or NAME=FILE.

    Raises:
        DataError: if a file cannot be used, or two systems have the same name.
    """
    from ragemo.voting.imported import read_ballots

    imported: list[Imported] = []
    taken = list(reserved)
    for given in files:
        name, equals, path = given.partition("=")
        if not equals or Path(given).exists():
            name, path = "", given
        imported.append(read_ballots(path, labels, name=name or None, reserved=taken))
        taken += imported[-1].voters
    return imported
