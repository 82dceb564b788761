"""Prompt templates: Jinja files in a sandbox, one chat message per `message` block.

    {% call message("system") %}...{% endcall %}

A template may use the variables of `ragemo.prompting.shown.Shown` and no others, besides:

    message(role)   opens a message of "system", "user" or "assistant"
    answer(form)    says how to answer, in the words of a form of `ragemo.prompting.forms`;
                    a template that never calls it asks for a bare label in its own words
    quoted          a filter: the text between double quotes, its own quotes escaped

The first message must not depend on the utterance: it is what an endpoint or a local model can
keep from one call to the next. All this is checked when a template is loaded, see
`ragemo.prompting.checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ragemo.errors import PromptError
from ragemo.files import sha256_bytes
from ragemo.labels import LabelSet
from ragemo.prompting.checks import form_of, refuse_unknown_names, try_out, uses_of
from ragemo.prompting.forms import FORMS
from ragemo.prompting.shown import Order, clean, quoted, show
from ragemo.types import Demonstration, Distribution, Message, Turn, Window

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Template:
    """A checked template.

    Attributes:
        name: a shipped template's name, or the file's path.
        sha256: of its text; two runs with one hash asked alike.
        form: the form of answer that it asks for, one of `FORMS`.
        uses: what it reads of "demonstrations", "shares" (their soft labels), "memory",
            "context", "hint" and "hypotheses"; the others need not be given.
    """

    name: str
    sha256: str
    form: str
    uses: frozenset[str]
    render_blocks: Callable[..., str]

    def render(
        self,
        window: Window,
        demonstrations: Sequence[Demonstration],
        labels: LabelSet,
        *,
        hint: Distribution | None = None,
        hypotheses: Sequence[str] = (),
        memory: Sequence[Turn] = (),
        order: Order = "nearest-last",
        seed: int = 0,
    ) -> tuple[Message, ...]:
        """The chat messages for one window.

        Args:
            window: the target and the context that is shown.
            demonstrations: in order of preference, most similar first.
            labels: the label set.
            hint: what the index believes of the target, or None.
            hypotheses: transcripts of the target, the chosen one first; the target's own text
                stands first whether it is among them or not.
            memory: turns of the dialogue from before the context, oldest first.
            order: in which the demonstrations stand: the most similar one next to the question
                or farthest from it, or by lot.
            seed: of the lot, with the ids of target and demonstration.

        Raises:
            PromptError: naming the template and, where known, the line.
        """
        shown = show(
            window,
            demonstrations,
            labels,
            hint=hint,
            hypotheses=hypotheses,
            memory=memory,
            order=order,
            seed=seed,
        )
        messages: list[Message] = []

        def message(role: str, caller: Callable[[], str]) -> str:
            if role not in ROLES:
                raise ValueError(f"role {role!r}, expected one of {', '.join(ROLES)}")
            messages.append(Message(role, caller().strip()))
            return ""

        def answer(form: str) -> str:
            if form != self.form:  # the checks only see calls by this name
                raise ValueError("answer has to be called by its name, with a form in quotes")
            return FORMS[form].instruction

        try:
            outside = self.render_blocks(**vars(shown), message=message, answer=answer)
        except Exception as error:  # a template is a program: it can fail in any way
            line = _line_of(error)
            place = f"template {self.name}" + (f", line {line}" if line else "")
            raise PromptError(f"{place}: {str(error) or type(error).__name__}") from None
        if outside := clean(outside):
            raise PromptError(
                f"template {self.name}: text outside of a message block: {outside[:60]!r}; "
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
    """A template by a shipped name, or from a file; it is tried out on invented utterances.

    Raises:
        PromptError: if there is none, or it cannot be used; naming the template and, where
            known, the line.
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
    return _made(name, text)


TOO_MUCH = (RecursionError, SyntaxError, MemoryError, ValueError, OverflowError)
"""What comes of blocks nested too deeply, or a number of thousands of digits."""


@lru_cache(maxsize=64)  # the runs of a sweep mostly share theirs
def _made(name: str, text: str) -> Template:
    """A template of its text."""
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.clear()
    environment.filters["quoted"] = quoted
    try:
        tree = environment.parse(text)
        compiled = environment.from_string(text)
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"template {name}, line {error.lineno}: {error.message}") from None
    except TOO_MUCH as error:
        raise PromptError(f"template {name}: it cannot be compiled ({error})") from None
    try:
        refuse_unknown_names(tree, name)
        form, uses = form_of(tree, name), uses_of(tree)
    except RecursionError:
        raise PromptError(f"template {name}: blocks nested too deeply") from None
    template = Template(
        name=name,
        sha256=sha256_bytes(text.encode()),
        form=form,
        uses=uses,
        render_blocks=compiled.render,
    )
    try_out(template.render, name)
    return template


def _line_of(error: Exception) -> int | None:
    """The template's line in a traceback, as Jinja rewrites it."""
    line = None
    trace: Any = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
