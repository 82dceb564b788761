"""A template's mistakes are found when it is loaded."""

import pytest

from ragemo.errors import PromptError
from ragemo.files import sha256_bytes
from ragemo.prompting.forms import FORMS
from ragemo.prompting.templates import available_templates, load_template
from ragemo.types import Demonstration, Window
from tests.conftest import LABELS, make_turn
from tests.prompting.own import HEAD, NAMED, TARGET, USER, own, write

WINDOW = Window((make_turn("before", 0, speaker="Ann"), make_turn("now", 1, speaker="Bob")))
DEMONSTRATIONS = [
    Demonstration(Window((make_turn("near", dialogue_id="o"),)), "hap", 0.9),
    Demonstration(Window((make_turn("far", dialogue_id="p"),)), "ang", 0.1),
]


def refused(folder, text):
    with pytest.raises(PromptError) as caught:
        write(folder, text)
    message = str(caught.value)
    assert message.startswith(f"template {folder / 'mine.jinja'}")
    return message


# -- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "line", "reason"),
    [
        ("\n{{ targt.text }}", 3, "'targt' is undefined; known are labels, demonstrations,"),
        ("\n{% if false %}\n{{ targt }}{% endif %}", 4, "'targt' is undefined"),
        ("{% set targt = 1 %}\n{{ target.gold }}", 3, "'target' has no attribute 'gold'; it has"),
        ("{{ target['gold'] }}", 2, "'target' has no attribute 'gold'"),
        ("\n{% for %}", 3, "Expected"),
        ("{{ target.text | shout }}", 2, "shout"),
        ("\n{{ 1 / 0 }}", 3, "division by zero"),
        ("\n{{ '{x}'.format() }}", 3, "'x'"),
        ('{% include "/etc/passwd" %}', 2, ""),
        ("{% import 'x' as y %}", 2, ""),
        ('\n{{ answer("lable") }}', 3, f"one of {', '.join(FORMS)}; found 'lable'"),
        ("{{ answer(target.text) }}", 2, "answer() takes a form of answer in quotes"),
        ("{{ answer() }}", 2, "answer() takes a form of answer in quotes"),
        (
            '{{ answer("cause") }}\n{{ answer("label") }}',
            3,
            "it asks for the form 'label' after the form 'cause'",
        ),
        ('{% set ask = answer %}\n{{ ask("cause") }}', 3, "called by its name"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, body, line, reason):
    message = refused(tmp_path, HEAD + USER + body + TARGET)
    assert f"mine.jinja, line {line}: " in message
    assert reason in message


@pytest.mark.parametrize(
    ("body", "line"),
    [
        # Where the trials come to it.
        ("{{ context[0].text }}", 2),
        ("{% if context %}\n{{ context[3].text }}{% endif %}", 3),
        ("{{ hint[0][0] }}", 2),
        ("{% if hypotheses | length > 1 %}\n{{ hypotheses[7] }}{% endif %}", 3),
        ("{% if target.scene and target.stage and target.profile %}\n{{ 1 / 0 }}{% endif %}", 3),
        ("{% if target.disagreement is none %}{% else %}\n{{ 1 / 0 }}{% endif %}", 3),
        ("{{ target.disagreement + 1 }}", 2),
        ("{% if not target.text %}\n{{ 1 / 0 }}{% endif %}", 3),
        ("{% if memory %}\n{{ memory[4] }}{% endif %}", 3),
        ("{% if hint and not demonstrations %}\n{{ 1 / 0 }}{% endif %}", 3),
        ("{% if context %}{% set own = 1 %}{% endif %}\n{{ own }}", 3),
        # Where they do not.
        ("{% for turn in context %}\n{{ turn.words if turn.number > 40 }}{% endfor %}", 3),
        (
            "{% for turn in context[1:] | reverse if turn.number > 40 %}\n{{ turn.a }}{% endfor %}",
            3,
        ),
        ("{% if target.number > 40 %}\n{{ (context | last).words }}{% endif %}", 3),
        ("{% if target.number > 40 %}\n{{ context[0].words }}{% endif %}", 3),
        ("{% if target.number > 40 %}\n{{ demonstrations[0].target.word }}{% endif %}", 3),
        (
            "{% for d in demonstrations %}{% for t in d.context %}{% if t.number > 40 %}\n"
            "{{ t.word }}{% endif %}{% endfor %}{% endfor %}",
            3,
        ),
        ("{% set t = target %}{% if t.number > 40 %}\n{{ t.word }}{% endif %}", 3),
        ("{% with t = target %}{% if t.number > 40 %}\n{{ t.word }}{% endif %}{% endwith %}", 3),
        ("{% for l in labels %}{% if l.word == 'x' %}\n{{ l.text }}{% endif %}{% endfor %}", 3),
    ],
)
def test_what_would_fail_on_some_utterance_fails_at_once(tmp_path, body, line):
    assert f"line {line}: " in refused(tmp_path, HEAD + USER + body + TARGET)


@pytest.mark.parametrize(
    "body",
    [
        "{% for target in demonstrations %}{{ target.word }}{% endfor %}",
        "{% for context in demonstrations %}{{ context.word }}{% endfor %}{{ context | length }}",
        "{% with target = labels[0] %}{{ target.word }}{% endwith %}",
        "{% set own = target %}{% set own = labels[0] %}{{ own.word }}",
        "{% if context %}{% set own = labels[0] %}{% else %}{% set own = target %}{% endif %}"
        "{{ own.word if context else own.text }}",
        "{% macro line(target) %}{{ target.word }}{% endmacro %}{{ line(labels[0]) }}",
        "{% for word, percent in hint %}{{ loop.index }}{{ word }}{% endfor %}",
        "{% for key, own in demonstrations | groupby('word') %}{{ own[0].word }}{% endfor %}",
        "{{ demonstrations | map(attribute='target.text') | join(', ') }}",
        "{% set text %}{{ target.text }}{% endset %}{{ text.upper() }}",
        "{{ target.text.upper() }}{{ (context | first).text if context }}",
    ],
)
def test_names_of_its_own_are_left_alone(tmp_path, body):
    own(tmp_path, body)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" + HEAD + USER + TARGET, "text outside of a message block: 'x'; put it between"),
        (HEAD, "its last message must be the user's"),
        ("{# nothing #}", "its last message must be the user's"),
        (
            '{% call message("narrator") %}x{% endcall %}',
            "line 1: role 'narrator', expected one of",
        ),
        (USER, "line 1: Unexpected end of template"),
        (HEAD + "{% if context %}y{% endif %}" + USER + TARGET, "text outside of a message block"),
        (
            HEAD + USER + TARGET + "{% if memory %}{% call message('assistant') %}x{% endcall %}"
            "{% endif %}",
            "its last message must be the user's",
        ),
    ],
)
def test_a_wrong_make_up_is_named(tmp_path, text, reason):
    assert reason in refused(tmp_path, text)


@pytest.mark.parametrize(
    "depends",
    [
        "{{ target.text }}",
        "{{ target.speaker }}",
        "{{ context | length }}",
        "{% if demonstrations %}x{% endif %}",
        "{% if hint %}x{% endif %}",
        "{% if hypotheses | length > 1 %}x{% endif %}",
        "{% if memory %}x{% endif %}",
        "{% if target.scene %}x{% endif %}",
        "{% if target.text == '' %}x{% endif %}",
    ],
)
def test_the_first_message_may_not_depend_on_the_utterance(tmp_path, depends):
    first = '{% call message("system") %}' + NAMED + depends + "{% endcall %}\n"
    reason = "its first message is not the same for every utterance"
    assert reason in refused(tmp_path, first + USER + TARGET)
    assert reason in refused(tmp_path, USER + NAMED + depends + TARGET)


@pytest.mark.parametrize(
    "body", ["x", "{{ context }}", "{% if context %}{{ target.text }}{% endif %}"]
)
def test_the_words_of_the_utterance_have_to_be_shown(tmp_path, body):
    message = refused(tmp_path, HEAD + USER + body + "{% endcall %}")
    assert "it does not show the words of the utterance" in message
    own(tmp_path, "").render(WINDOW, [], LABELS)


def test_its_transcripts_are_words_of_the_utterance_too(tmp_path):
    write(tmp_path, HEAD + USER + "{{ hypotheses | join(' / ') | upper }}{% endcall %}")


@pytest.mark.parametrize(
    "named",
    [
        "x",
        "{{ labels | length }}",
        "{{ labels[0].word }}, {{ labels[1].word }}",
        "{% for label in labels %}{{ label.definition }}{% endfor %}",
        "{% for d in demonstrations %}{{ d.word }}{% endfor %}",
    ],
)
def test_all_labels_have_to_be_named(tmp_path, named):
    head = '{% call message("system") %}hello{% endcall %}\n'
    assert "it does not name all labels" in refused(tmp_path, head + USER + named + TARGET)
    write(tmp_path, head + USER + NAMED + TARGET)


# -- what a template tells of itself -------------------------------------------------------------


def test_an_own_template_sees_what_is_documented(tmp_path):
    template = own(
        tmp_path,
        "{% for d in demonstrations %}{{ d.target.text }}={{ d.word }}@{{ d.similarity }};"
        "{% endfor %}{{ labels | map(attribute='word') | join(',') }};"
        "{% for turn in context %}{{ turn.speaker }}{% endfor %}",
    )
    last = template.render(WINDOW, DEMONSTRATIONS, LABELS)[-1].content
    assert last.startswith("far=angry@0.1;near=happy@0.9;neutral,happy,angry;Ann")


def test_two_templates_with_one_hash_ask_alike(tmp_path):
    text = HEAD + USER + TARGET
    template = write(tmp_path, text)
    assert template.sha256 == sha256_bytes(text.encode())
    assert template.name.endswith("mine.jinja")
    hashes = {load_template(name).sha256 for name in available_templates()}
    assert len(hashes) == len(available_templates())


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_what_answer_asks_for_and_says(tmp_path, form):
    template = own(tmp_path, "{{ answer('" + form + "') }}")
    assert template.form == form
    assert FORMS[form].instruction in template.render(WINDOW, [], LABELS)[-1].content


def test_without_a_call_of_answer_the_form_is_a_label(tmp_path):
    assert own(tmp_path, "One word, please.").form == "label"


@pytest.mark.parametrize(
    ("body", "uses"),
    [
        ("", set()),
        ("{{ context | length }}", {"context"}),
        ("{% if false %}{{ memory }}{{ hint }}{% endif %}", {"memory", "hint"}),
        ("{{ hypotheses }}", {"hypotheses"}),
        ("{% for d in demonstrations %}{{ d.word }}{% endfor %}", {"demonstrations"}),
        ("{% for d in demonstrations %}{{ d.shares }}{% endfor %}", {"demonstrations", "shares"}),
        (
            "{% for d in demonstrations %}{{ d['shares'] }}{% endfor %}",
            {"demonstrations", "shares"},
        ),
        ("{{ demonstrations | map(attribute='shares') | list }}", {"demonstrations", "shares"}),
        ("{% for context in labels %}{{ context.word }}{% endfor %}", set()),
        ("{# hint #} hint", set()),
    ],
)
def test_it_knows_what_it_uses(tmp_path, body, uses):
    assert own(tmp_path, body).uses == uses


# -- the sandbox ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__",
        "''.__class__.__mro__[1].__subclasses__()",
        "target.__class__.__init__.__globals__",
        "target.of.__func__.__globals__",
        "message.__globals__",
        "message.__code__",
        "answer.__globals__",
        "labels[0].__class__",
        "''|attr('__class__')",
        "'{0.__class__}'.format('')",
        "'{0.__class__}'|format('')",
        "self.__init__.__globals__",
        "lipsum.__globals__",
        "cycler.__init__.__globals__",
        "namespace",
        "range(3)",
        "demonstrations.append(1)",
    ],
)
def test_a_template_cannot_reach_python(tmp_path, expression):
    try:
        template = own(tmp_path, "reached: {{ " + expression + " }}")
    except PromptError:
        return
    first = template.render(WINDOW, DEMONSTRATIONS, LABELS)[-1].content.splitlines()[0]
    assert first in ("reached:", "reached: ", "reached: {0.__class__}")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff"])
def test_a_template_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "mine.jinja"
    if content is not None:
        path.write_bytes(content)
    expected = "cannot be read" if content else "expected one of appraise, .*zero-shot"
    with pytest.raises(PromptError, match=expected) as caught:
        load_template(str(path))
    assert str(path) in str(caught.value)
