"""What a run keeps beside its answers: all transcripts, the prompts, what was found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.runs.records import (
    AskedPrompt,
    RunUtterance,
    prompt_line,
    read_prompt,
    read_utterance,
    utterance_line,
)
from ragemo.runs.run import Run
from ragemo.types import Demonstration, Message, Prompt, Verdict, Window
from tests.conftest import LABELS, make_turn
from tests.runs.inputs import MANIFEST, UTTERANCES

texts = st.text(max_size=30)


@given(texts, st.dictionaries(texts, texts, max_size=3), st.none() | texts, st.booleans())
def test_an_utterance_is_a_line_and_comes_back(text, hypotheses, reference, duplicate):
    import json

    one = RunUtterance(
        replace(make_turn(), text=text), "hap", True, 3, hypotheses, reference, duplicate
    )
    written = utterance_line(one)
    assert written.count("\n") == 1
    assert read_utterance(json.loads(written), LABELS) == one


@given(texts, st.lists(st.integers(0, 50), unique=True), texts)
def test_a_prompt_is_a_line_and_comes_back(text, samples, variant):
    import json

    prompt = Prompt("u1", (Message("system", text), Message("user", text)), 12, form="explain")
    one = AskedPrompt(prompt, "a model", tuple(samples), variant, ("x", "y"))
    written = prompt_line(one)
    assert written.count("\n") == 1
    assert read_prompt(json.loads(written)) == one


def found(name, label, similarity):
    """A demonstration with a turn of context."""
    earlier = replace(make_turn(), utterance_id=f"{name}-0", dialogue_id=name, turn=0)
    target = replace(earlier, utterance_id=name, turn=1, text=f"{name} says so")
    return Demonstration(Window((earlier, target)), label, similarity)


def test_what_was_found_comes_back_with_its_words(tmp_path):
    prompt = AskedPrompt(Prompt("d_1", (Message("user", "?"),), 3), "m", (0,))
    verdicts = [Verdict(u.turn.utterance_id, "hap", (0.5, 0.5), 0.5, 1.0) for u in UTTERANCES]
    shared = found("a", "hap", 0.5)
    demonstrations = {
        UTTERANCES[0].turn.utterance_id: [shared, found("b", "ang", 0.25)],
        UTTERANCES[1].turn.utterance_id: [found("c", "neu", 0.75), replace(shared, similarity=0.1)],
    }
    with Run.create(tmp_path / "run", MANIFEST, UTTERANCES, [prompt]) as run:
        run.finish(verdicts, demonstrations)
    again = Run.open(run.path)
    assert again.prompts() == [prompt]
    assert again.demonstrations() == {
        'd,"2': (),
        **{name: tuple(own) for name, own in demonstrations.items()},
    }
    assert (run.path / "examples.jsonl").read_text().count("\n") == 3


def test_a_run_without_models_has_no_prompts(tmp_path):
    with Run.create(tmp_path / "run", MANIFEST, UTTERANCES) as run:
        pass
    assert Run.open(run.path).prompts() == []


@pytest.mark.parametrize("name", ["prompts.jsonl", "examples.jsonl"])
def test_a_missing_file_is_told(tmp_path, name):
    from ragemo.errors import RunFolderError

    with Run.create(tmp_path / "run", MANIFEST, UTTERANCES) as run:
        run.finish([], {})
    (run.path / name).unlink()
    read = {"prompts.jsonl": Run.prompts, "examples.jsonl": Run.demonstrations}[name]
    with pytest.raises(RunFolderError, match=name):
        read(Run.open(run.path))
