"""Templates as a user writes them."""

from pathlib import Path

from ragemo.prompting.templates import Template, load_template

NAMED = "{% for label in labels %}{{ label.word }} {% endfor %}"
HEAD = '{% call message("system") %}' + NAMED + "{% endcall %}\n"
"""A first message of one line that names the labels."""

USER = '{% call message("user") %}'

TARGET = "\n\ntarget: {{ target.text | quoted }}{% endcall %}"


def write(folder: Path, text: str) -> Template:
    """Load a template of this text."""
    path = folder / "mine.jinja"
    path.write_text(text, encoding="utf-8")
    return load_template(str(path))


def own(folder: Path, body: str) -> Template:
    """Load a template with this at the beginning of its last message."""
    return write(folder, HEAD + USER + body + TARGET)
