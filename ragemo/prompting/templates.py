"""Prompt templates: Jinja files in a sandbox, one chat message per `message` block.

    {% call message("system") %}...{% endcall %}

A template may use these names and no others:

| name | what it is |
| --- | --- |
| `labels` | the label set in order; each has `word` and `definition` |
| `demonstrations` | least similar first, so that the closest stands next to the question; each has `context`, `target`, `word` (its label) and `similarity` |
| `context` | turns before the target, oldest first; each has `speaker` and `text` |
| `target` | the turn in question: `speaker`, `text` |
| `message(role)` | opens a message of "system", "user" or "assistant" |

and the filter `quoted`, which puts a text between double quotes with its own quotes escaped.

The first message must not depend on the utterance: it is what an endpoint or a local model can
keep from one call to the next. Transcripts are untrusted: line breaks and control characters
become spaces, invisible ones (marks that turn the direction of writing, tags) vanish, and
anything that looks like a chat format's control token is broken up, so that a transcript can
neither close its quotes nor open a message of its own.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ragemo.errors import PromptError
from ragemo.files import sha256_bytes
from ragemo.labels import LabelSet
from ragemo.types import Demonstration, Message, Turn, Window

ROLES = ("system", "user", "assistant")

_CONTROL_TOKEN = re.compile(r"<(?=\S)|\[(?=/?[A-Z]{2}|gMASK)")
"""Such as <|im_end|>, </s>, <<SYS>>, <｜User...> (DeepSeek), [INST], [/TOOL_RESULTS], [gMASK]."""

_JOINERS = "\u200c\u200d"
"""Invisible, but some scripts and emoji are spelled with them."""


def clean(text: str) -> str:
    """An untrusted text on one line, with no control characters and no control tokens."""
    kept = "".join(map(_visible, text))
    return _CONTROL_TOKEN.sub(lambda match: match.group() + " ", " ".join(kept.split()))


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Cs"):  # and str.split takes the separators of lines and paragraphs
        return " "
    return "" if category == "Cf" and character not in _JOINERS else character


def quoted(text: str) -> str:
    """A text between double quotes, its own quotes and backslashes escaped."""
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class ShownTurn:
    """A turn as a template sees it: cleaned."""

    speaker: str
    text: str

    @classmethod
    def of(cls, turn: Turn) -> ShownTurn:
        """Clean what a corpus says; nameless speakers are "Speaker".

        A speaker's name stands outside of quotes, so it may hold none.
        """
        return cls(clean(turn.speaker).replace('"', "'") or "Speaker", clean(turn.text))


@dataclass(frozen=True)
class ShownDemonstration:
    """A demonstration as a template sees it."""

    context: tuple[ShownTurn, ...]
    target: ShownTurn
    word: str
    similarity: float


@dataclass(frozen=True)
class Template:
    """A checked template.

    Attributes:
        name: a shipped template's name, or the file's path.
        sha256: of its text; two runs with one hash asked alike.
    """

    name: str
    sha256: str
    render_blocks: Callable[..., str]

    def render(
        self, window: Window, demonstrations: Sequence[Demonstration], labels: LabelSet
    ) -> tuple[Message, ...]:
        """The chat messages for one window.

        Args:
            window: the target and the context that is shown.
            demonstrations: most similar first.
            labels: the label set.

        Raises:
            PromptError: naming the template and, where known, the line.
        """
        words = {label.name: label.word for label in labels}
        messages: list[Message] = []

        def message(role: str, caller: Callable[[], str]) -> str:
            if role not in ROLES:
                raise ValueError(f"role {role!r}, expected one of {', '.join(ROLES)}")
            messages.append(Message(role, caller().strip()))
            return ""

        shown = [
            ShownDemonstration(
                context=tuple(ShownTurn.of(turn) for turn in demonstration.window.context),
                target=ShownTurn.of(demonstration.window.target),
                word=words[demonstration.label],
                similarity=demonstration.similarity,
            )
            for demonstration in reversed(demonstrations)
        ]
        try:
            outside = self.render_blocks(
                labels=labels.labels,
                demonstrations=shown,
                context=[ShownTurn.of(turn) for turn in window.context],
                target=ShownTurn.of(window.target),
                message=message,
            )
        except Exception as error:  # a template is a program: it can fail in any way
            line = _line_of(error)
            place = f"template {self.name}" + (f", line {line}" if line else "")
            raise PromptError(f"{place}: {str(error) or type(error).__name__}") from None
        if outside.strip():
            raise PromptError(
                f"template {self.name}: text outside of a message block: {outside.strip()[:60]!r}; "
                'put it between {% call message("user") %} and {% endcall %}'
            )
        if not messages or messages[-1].role != "user":
            raise PromptError(f"template {self.name}: its last message must be the user's")
        return tuple(messages)


def available_templates() -> list[str]:
    """Names of the templates that ship with ragemo."""
    folder = files("ragemo").joinpath("prompting/templates")
    return sorted(entry.name[:-6] for entry in folder.iterdir() if entry.name.endswith(".jinja"))


def load_template(name: str) -> Template:
    """A template by a shipped name, or from a file.

    Raises:
        PromptError: if there is none, or its syntax is wrong (naming the line).
    """
    if name in available_templates():
        text = files("ragemo").joinpath(f"prompting/templates/{name}.jinja").read_text("utf-8")
    elif Path(name).is_file():
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PromptError(f"template {name}: cannot be read: {error}") from None
    else:
        raise PromptError(
            f"no template {name!r}: expected one of {', '.join(available_templates())}, "
            "or the path of a file"
        )
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.clear()
    environment.filters["quoted"] = quoted
    try:
        compiled = environment.from_string(text)
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"template {name}, line {error.lineno}: {error.message}") from None
    return Template(name, sha256_bytes(text.encode()), compiled.render)


def _line_of(error: Exception) -> int | None:
    """The template's line in a traceback, as Jinja rewrites it."""
    line = None
    trace: Any = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
