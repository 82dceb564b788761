"""What stands in a corpus, a label set, a name or an answer never steers a terminal."""

import ast
import io
import json
import re
from pathlib import Path

import pytest
import yaml

import ragemo.cli
from ragemo.cli.console import ConsoleProgress, terminal, visible

ATTACK = "\x1b]0;owned\x07\x1b[2J\x9b31mred\r\x08"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture
def hostile(workplace):
    """A corpus, a label set and an earlier run whose every word holds escapes."""
    labels = [{"name": f"calm{ATTACK}", "word": f"calm {ATTACK}"}, {"name": f"upset{ATTACK}"}]
    Path("labels.yaml").write_text(yaml.safe_dump({"name": f"set{ATTACK}", "labels": labels}))
    rows = [
        {
            "id": f"u{n}{ATTACK}",
            "dialogue_id": f"d{n // 3}{ATTACK}",
            "turn": n,
            "speaker": f"A{ATTACK}",
            "hypotheses": {f"asr{ATTACK}": f"I said {n} {ATTACK}"},
            "emotion": labels[n % 2]["name"],
        }
        for n in range(6)
    ]
    Path("corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def harmless(done):
    assert not CONTROL.search(done.out + done.err), (done.out + done.err)[:500]
    return done


def test_no_command_lets_escapes_through(command, hostile, scenario):
    scenario.script(answers=["calm", f"well {ATTACK}"])
    common = ["--labels", "labels.yaml", "--k", 0]
    model = ["--llm", f"m{ATTACK}", "--base-url", scenario.url]
    assert harmless(command("predict", "corpus.jsonl", "--out", "run", *common, *model)).code == 0
    for form in ("table", "json", "csv", "markdown", "latex"):
        said = harmless(command("score", "run", "--format", form, "--bootstrap", 1, "--slices"))
        assert "calm" in said.out
        if form == "json":
            assert json.dumps(f"calm{ATTACK}") in json.dumps(json.loads(said.out))
    shown = command("prompt", "show", hostile[3]["id"], "--data", "corpus.jsonl", *common, *model)
    assert "I said 3" in harmless(shown).out
    assert "I said" not in harmless(command("data", "check", "corpus.jsonl")).err
    harmless(command("export", "run", "--out", f"{ATTACK}.csv"))
    harmless(command("compare", "run", "run"))


def test_no_error_lets_escapes_through(command, hostile, workplace):
    Path("bad.jsonl").write_text(json.dumps(hostile[0] | {"emotion": f"fury{ATTACK}"}))
    for arguments in (
        ("predict", "bad.jsonl", "--labels", "labels.yaml", "--llm", "none", "--out", "x"),
        ("score", f"no{ATTACK}"),
        ("predict", f"no{ATTACK}", "--out", "x"),
    ):
        done = harmless(command(*arguments))
        assert done.code == 2
        assert "\\u001b" in done.err


def test_tables_and_bars_show_escapes_and_keep_their_own():
    from rich.table import Table

    table = Table(f"head{ATTACK}", title=f"[red]title{ATTACK}")
    table.add_row(f"cell{ATTACK}")
    console = terminal()
    console.file = io.StringIO()
    console.print(table)
    assert not CONTROL.search(console.file.getvalue())
    assert "[red]title" in console.file.getvalue()


def test_progress_shows_escapes(capsys):
    ConsoleProgress().say(f"asking {ATTACK}")
    assert capsys.readouterr().err == f"asking {visible(ATTACK)}\n"


def test_commands_speak_through_the_console_alone():
    folder = Path(ragemo.cli.__file__).parent
    for module in folder.glob("*.py"):
        if module.name == "console.py":
            continue
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id in {"print", "Console"}), (
                f"{module.name}:{node.lineno}: use tell, note or terminal"
            )
