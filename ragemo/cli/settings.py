"""From a config file and flags to settings and paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ragemo.errors import SettingsError
from ragemo.settings import Settings, read_config, resolve_settings

PATHS = ("train", "data", "index", "out")


def settings_and_paths(
    config: Path | None, overrides: Mapping[str, Any], assignments: Sequence[str] = ()
) -> tuple[Settings, dict[str, Path]]:
    """Settings from defaults, config, `--set` assignments and flags, in that order of force.

    A config may also name files under `paths` (train, data, index, out); they are no settings,
    since they say where things are and not what is done.

    Raises:
        SettingsError: naming what is wrong.
    """
    import yaml

    data = read_config(config) if config else {}
    paths = data.pop("paths", None) or {}
    if not isinstance(paths, dict) or set(paths) - set(PATHS):
        raise SettingsError(f"{config}: paths may hold {', '.join(PATHS)}, found {paths!r}")
    assigned: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment}: expected SECTION.NAME=VALUE")
        try:
            assigned[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise SettingsError(f"--set {assignment}: the value is not valid YAML") from None
    flags = {name: value for name, value in overrides.items() if value is not None}
    source = "settings" if config is None else f"{config} with flags" if flags else str(config)
    settings = resolve_settings(data, assigned | flags, source=source)
    return settings, {name: Path(str(path)) for name, path in paths.items() if path is not None}


def pick_path(flag: Path | None, configured: Path | None, name: str, key: str) -> Path:
    """The path a flag names, else the config's.

    Raises:
        SettingsError: if neither is given.
    """
    path = flag or configured
    if path is None:
        raise SettingsError(f"give {name}, or a --config that has {key}")
    return path
