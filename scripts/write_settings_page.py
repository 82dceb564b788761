"""Write docs/settings.md from the settings themselves.

Usage: ``python scripts/write_settings_page.py``
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ragemo.settings import Settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

OPENING = """\
# Settings

<!-- Written by scripts/write_settings_page.py; do not edit. -->

Every setting of a run. Put them into a YAML file for `--config`, one mapping per section, or set
one for a prediction with `--set`, as in `--set retrieval.k=4`. A flag of its own name wins over
`--set`, `--set` over the config file, the file over the defaults. `null` means none.

A config file may also have a section `paths` with `train`, `data`, `index` and `out`: they stand
in for the arguments FILE, `--index` and `--out`, and are no settings.
"""

NUMBERS = {"integer": "whole number", "number": "number"}
BOUNDS = {
    "minimum": "at least {:g}",
    "exclusiveMinimum": "above {:g}",
    "maximum": "at most {:g}",
    "exclusiveMaximum": "below {:g}",
}


def settings_page() -> str:
    """The page as Markdown, a table per section."""
    schema = Settings.model_json_schema()
    parts, general = [OPENING], {}

    def add(name: str, entry: dict[str, Any]) -> None:
        section = schema["$defs"][entry["$ref"].rpartition("/")[2]]
        below = {key: value for key, value in section["properties"].items() if "$ref" in value}
        own = {key: value for key, value in section["properties"].items() if key not in below}
        parts.append(_table(name, section["description"], own, f"{name}."))
        for key, value in below.items():
            add(f"{name}.{key}", value)

    for name, entry in schema["properties"].items():
        if "$ref" in entry:
            add(name, entry)
        else:
            general[name] = entry
    parts.append(_table("The run as a whole", "Set without a section.", general, ""))
    return "\n".join(parts)


def _table(title: str, description: str, entries: dict[str, Any], prefix: str) -> str:
    lines = [
        f"## {title}",
        "",
        description,
        "",
        "| setting | type | default | what it is |",
        "| --- | --- | --- | --- |",
    ]
    for name, entry in entries.items():
        default = entry["default"]
        if not isinstance(default, str):
            default = json.dumps(default)
        cells = (f"`{prefix}{name}`", _kind(entry), f"`{default}`", entry.get("description", ""))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _kind(entry: dict[str, Any]) -> str:
    """A JSON schema's type in words."""
    if "anyOf" in entry:
        return ", or ".join(_kind(option) for option in entry["anyOf"])
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if entry["type"] in NUMBERS:
        bounds = [text.format(entry[key]) for key, text in BOUNDS.items() if key in entry]
        return ", ".join([NUMBERS[entry["type"]], *bounds])
    if entry["type"] == "array":
        return f"list of {_kind(entry['items'])}"
    if entry["type"] == "object":
        return "mapping"
    return {"null": "`null`", "boolean": "`true`, `false`", "string": "text"}[entry["type"]]


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
    print(PAGE)
