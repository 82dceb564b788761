"""Checks of a template when it is loaded, so that none fails in the middle of a run.

First its names are read from its syntax tree: a variable that does not exist, an attribute that
a known variable does not have, an unknown form of answer. Loops and assignments are followed;
where a name's type is not plain to see, nothing is said of its attributes.

Then it is rendered for invented utterances that have and lack each thing an utterance may lack.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass, replace
from typing import Any, get_args, get_type_hints

from jinja2 import meta, nodes

from ragemo.errors import PromptError
from ragemo.labels import Label, LabelSet
from ragemo.prompting.forms import FORMS
from ragemo.prompting.shown import Shown
from ragemo.types import Demonstration, Distribution, Message, Turn, Window

FUNCTIONS = ("message", "answer")

OPTIONAL = ("demonstrations", "memory", "context", "hint", "hypotheses")
"""Variables that a template may do without."""

_TYPES: dict[str, Any] = get_type_hints(Shown)

_SAME_ELEMENTS = {"list", "reverse", "sort", "unique", "select", "reject", "selectattr"}
"""Filters from a list to a list of the same things."""


# -- names ---------------------------------------------------------------------------------------


def refuse_unknown_names(tree: nodes.Template, name: str) -> None:
    """Look for variables and attributes that do not exist.

    Raises:
        PromptError: naming the template, the line, and what there is instead.
    """
    known = (*_TYPES, *FUNCTIONS)
    names = sorted(tree.find_all(nodes.Name), key=lambda node: node.lineno)
    # What is set on one way only is for the trials: it may be the way that is always taken.
    own = {node.name for node in names if node.ctx != "load"}
    unknown = meta.find_undeclared_variables(tree) - {*known, *own}
    for node in names:
        if node.name in unknown:
            raise PromptError(
                f"template {name}, line {node.lineno}: {node.name!r} is undefined; known are "
                f"{', '.join(known)}"
            )
    _refuse_unknown_attributes(tree, dict(_TYPES), name)


def _refuse_unknown_attributes(node: nodes.Node, types: dict[str, Any], name: str) -> None:
    """Walk the tree with the types of the names in scope; None is a type that is not known."""
    key = _key(node)
    if isinstance(node, nodes.Getattr | nodes.Getitem) and key is not None:
        owner = _type_of(node.node, types)
        if is_dataclass(owner) and key not in (there := get_type_hints(owner)):
            raise PromptError(
                f"template {name}, line {node.lineno}: {_words(node.node)} has no attribute "
                f"{key!r}; it has {', '.join(there)}"
            )
    inner = types
    if isinstance(node, nodes.For):
        inner = dict(types)
        _bind(node.target, _element(_type_of(node.iter, types)), inner)
    elif isinstance(node, nodes.Macro | nodes.CallBlock):
        inner = dict(types)
        for argument in node.args:
            _bind(argument, None, inner)
    elif isinstance(node, nodes.With):
        inner = dict(types)
        for target, value in zip(node.targets, node.values, strict=True):
            _bind(target, _type_of(value, types), inner)
    elif isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name):
        kind = _type_of(node.node, types)
        same = types.get(node.target.name, kind) == kind  # else it depends on the way taken
        _bind(node.target, kind if same else None, types)
    elif isinstance(node, nodes.Assign | nodes.AssignBlock):
        _bind(node.target, None, types)
    for child in node.iter_child_nodes():
        # What a loop goes through is named outside of it.
        outside = isinstance(node, nodes.For) and child is node.iter
        _refuse_unknown_attributes(child, types if outside else inner, name)


def _bind(target: nodes.Node, kind: Any, types: dict[str, Any]) -> None:
    if isinstance(target, nodes.Name):
        types[target.name] = kind
    else:  # several names at once
        for one in target.find_all(nodes.Name):
            types[one.name] = None


def _type_of(node: nodes.Node, types: dict[str, Any]) -> Any:
    if isinstance(node, nodes.Name):
        return types.get(node.name)
    if isinstance(node, nodes.Getattr | nodes.Getitem):
        owner, key = _type_of(node.node, types), _key(node)
        if is_dataclass(owner):
            return get_type_hints(owner).get(key) if key is not None else None
        if isinstance(node, nodes.Getattr):
            return None
        return owner if isinstance(node.arg, nodes.Slice) else _element(owner)
    if isinstance(node, nodes.Filter) and node.node is not None:
        if node.name in _SAME_ELEMENTS:
            return _type_of(node.node, types)
        if node.name in {"first", "last"}:
            return _element(_type_of(node.node, types))
    return None


def _element(kind: Any) -> Any:
    """The type of the elements of a list."""
    arguments = get_args(kind)
    return arguments[0] if arguments else None


def _key(node: nodes.Node) -> str | None:
    """The attribute that is asked for by name, either as `a.b` or as `a["b"]`."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    return _text(node.arg) if isinstance(node, nodes.Getitem) else None


def _text(node: nodes.Node | None) -> str | None:
    """What stands in quotes; None if something else is there."""
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else None


def _words(node: nodes.Node) -> str:
    return repr(node.name) if isinstance(node, nodes.Name) else "this"


def form_of(tree: nodes.Template, name: str) -> str:
    """The form of answer that a template asks for; "label" if it asks for none.

    Raises:
        PromptError: if the form is not one of `FORMS`, not a plain text, or not the only one.
    """
    found = None
    for call in sorted(tree.find_all(nodes.Call), key=lambda call: call.lineno):
        if not isinstance(call.node, nodes.Name) or call.node.name != "answer":
            continue
        place = f"template {name}, line {call.lineno}"
        form = _text(call.args[0]) if len(call.args) == 1 else None
        if form not in FORMS:
            raise PromptError(
                f"{place}: answer() takes a form of answer in quotes, one of {', '.join(FORMS)}"
                + (f"; found {form!r}" if form is not None else "")
            )
        if found not in (None, form):
            raise PromptError(
                f"{place}: it asks for the form {form!r} after the form {found!r}; "
                "a template may ask for one"
            )
        found = form
    return found or "label"


def uses_of(tree: nodes.Template) -> frozenset[str]:
    """Which of `OPTIONAL` a template reads, and "shares" where it reads soft labels."""
    found = meta.find_undeclared_variables(tree) & set(OPTIONAL)
    attributes = {_key(node) for node in tree.find_all((nodes.Getattr, nodes.Getitem))}
    attributes |= {_text(one.value) for one in tree.find_all(nodes.Keyword)}  # map(attribute=...)
    return frozenset(found | {"shares"} if "shares" in attributes else found)


# -- trials --------------------------------------------------------------------------------------

_LABELS = LabelSet(
    "invented",
    (Label("a", "calm", (), "at rest"), Label("b", "glad"), Label("c", "cross", (), "at odds")),
)


def try_out(render: Callable[..., tuple[Message, ...]], name: str) -> None:
    """Render a template for invented utterances.

    Args:
        render: its `Template.render`.
        name: the template's name.

    Raises:
        PromptError: if a rendering fails, a first message is not the same for every utterance,
            or one shows neither the words of the target nor all labels.
    """
    full, bare = _window(2), _window(0)
    given: dict[str, Any] = {
        "demonstrations": [_demonstration(0, (0.4, 0.5, 0.1)), _demonstration(1, None)],
        "hint": (0.2, 0.7, 0.1),
        "hypotheses": ("words of the target", "birds of the target", "words off a target"),
        "memory": (_turn("long ago", 1),),
    }
    none: dict[str, Any] = {"demonstrations": []}
    described: dict[str, Any] = {
        "profile": "woman, young",
        "scene": "a kitchen",
        "stage": "complaint",
        "disagreement": 0.5,
    }
    trials: dict[str, tuple[Window, dict[str, Any]]] = {
        "all that a template can show": (full, given),
        "nothing but the target": (bare, none),
        "no context": (bare, given),
        "nothing but target and context": (full, none),
        "an utterance without words": (_reworded(full, ""), given | {"hypotheses": ()}),
        "profile, scene and stage": (
            Window(tuple(replace(turn, **described) for turn in full.turns)),
            given,
        ),
    }
    for one in given:
        left = {other: value for other, value in given.items() if other != one}
        trials[f"all but {one}"] = (full, none | left)

    def tried(case: str, window: Window, labels: LabelSet = _LABELS) -> tuple[Message, ...]:
        shown = dict(trials[case][1])
        try:
            return render(window, shown.pop("demonstrations"), labels, **shown)
        except PromptError as error:
            raise PromptError(f"{error} (tried with {case})") from None

    said = {case: tried(case, window) for case, (window, _) in trials.items()}
    for case, messages in said.items():
        if messages[0] != said["nothing but the target"][0]:
            raise PromptError(
                f"template {name}: its first message is not the same for every utterance (tried "
                f"with {case}); put what depends on the utterance or its demonstrations in a "
                "later message"
            )
    for case in ("nothing but the target", "nothing but target and context"):
        if tried(case, _reworded(trials[case][0], "something else")) == said[case]:
            raise PromptError(
                f"template {name}: it does not show the words of the utterance (tried with "
                f"{case}); write {{{{ target.text | quoted }}}} in its last message"
            )
        for position, label in enumerate(_LABELS):
            other = list(_LABELS)
            other[position] = replace(label, word="renamed")
            if tried(case, trials[case][0], LabelSet("invented", tuple(other))) == said[case]:
                raise PromptError(
                    f"template {name}: it does not name all labels (tried with {case}); write "
                    "{% for label in labels %}{{ label.word }} {% endfor %} in its first message"
                )


def _turn(text: str, number: int, dialogue: str = "d", speaker: str = "Ann") -> Turn:
    return Turn(f"{dialogue}_{number}", dialogue, number, speaker, None, text, "asr")


def _window(context: int) -> Window:
    """A window with so many earlier turns, and other words and speakers than one with others."""
    turns = [_turn(f"words before {number}", number + 2) for number in range(context)]
    target = _turn(f"words of the target {context}", 9, speaker=f"Bob {context}")
    return Window((*turns, target))


def _reworded(window: Window, text: str) -> Window:
    return Window((*window.context, replace(window.target, text=text)))


def _demonstration(number: int, soft_label: Distribution | None) -> Demonstration:
    dialogue = f"e{number}"
    turns = (_turn("words before", 0, dialogue), _turn(f"example {number}", 1, dialogue))
    return Demonstration(Window(turns[1 - number :]), "b", 0.5 - number / 10, soft_label)
