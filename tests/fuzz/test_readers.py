"""Whatever a file holds that a user names: it is read, or refused in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ragemo.ablation.design import read_design
from ragemo.corpus import FORMATS, check_corpus, read_corpus
from ragemo.corpus.convert import convert_corpus
from ragemo.corpus.mapping import load_mapping
from ragemo.corpus.transcripts import choose_transcripts
from ragemo.errors import PromptError, RagemoError
from ragemo.labels import load_labels
from ragemo.llm.prices import read_prices
from ragemo.prompting.templates import load_template
from ragemo.settings import Settings, read_config, resolve_settings
from ragemo.voting.calibration import read_calibration
from ragemo.voting.imported import read_ballots
from ragemo.voting.panel import POOLS, fit_panel
from tests.conftest import LABELS
from tests.corpus.examples import SOUND
from tests.fuzz.damage import damaged_bytes, damaged_data, damaged_json, fuzz, only_our_errors
from tests.voting.electorate import SIZE, informed, labelled
from tests.voting.test_calibration import OTHERS, PRIOR, calibration


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("readers")


# -- corpora ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", SOUND)
def test_corpora(place, what):
    name, text = SOUND[what]

    @fuzz(15)
    @given(damaged_bytes(text.encode()), st.sampled_from(["auto", what.partition(" ")[0]]))
    def try_one(data, named):
        path = place / name
        path.write_bytes(data)
        with only_our_errors():
            check_corpus(path, format=named)
        with only_our_errors():
            corpus = read_corpus(path, format=named)
            choose_transcripts(corpus.utterances, "consensus-ratio")
            convert_corpus(corpus, place / "out.jsonl", "plain")

    try_one()


# -- YAML ------------------------------------------------------------------------------------------

LABEL_SET = {
    "name": "three",
    "labels": [
        {"name": "neu", "word": "neutral", "definition": "none", "colour": "#E69F00"},
        {"name": "hap", "aliases": ["joy", "glad"]},
        "ang",
    ],
}
MAPPING = {"from": "emorynlp", "to": "meld", "labels": {"Joyful": "joy", "Powerful": None}}
CONFIG = Settings().model_dump(mode="json")
DESIGN = {
    "retrieval": {"k": 4, "options": {"mmr": {"relevance": 0.5}}},
    "paths": {"data": "test.json", "index": "index"},
    "ablation": {
        "name": "grid",
        "axes": [
            {"name": "depth", "settings": ["retrieval.k"], "values": [0, 4]},
            {"name": "context", "settings": "prompt.context",
             "values": [0, {"label": "all", "prompt.context": None}]},
        ],
        "cells": [{"name": "zero", "prompt.template": "zero-shot", "retrieval.k": 0}],
    },
}  # fmt: skip
PRICES = {"gpt": {"prompt": 1.5, "cached": 0.1, "answer": 6, "as_of": "2025-01-01"}}


def read_labels(path: Path) -> None:
    labels = load_labels(path)
    for label in labels:
        labels.find(label.word)


def read_settings(path: Path) -> None:
    resolve_settings(read_config(path), source=str(path))


YAML_READERS: dict[str, tuple[Any, Callable[[Path], object]]] = {
    "labels": (LABEL_SET, read_labels),
    "mapping": (MAPPING, load_mapping),
    "config": (CONFIG, read_settings),
    "design": (DESIGN, read_design),
    "prices": (PRICES, lambda path: read_prices(path.read_text("utf-8", "replace"), "prices")),
}


@pytest.mark.parametrize("what", YAML_READERS)
def test_yaml(place, what):
    data, read = YAML_READERS[what]
    sound = yaml.safe_dump(data, sort_keys=False).encode()
    other = damaged_data(data).map(lambda found: yaml.safe_dump(found).encode())

    @fuzz(20)
    @given(st.one_of(damaged_bytes(sound), other))
    def try_one(found):
        path = place / f"{what}.yaml"
        path.write_bytes(found)
        with only_our_errors():
            read(path)

    try_one()


BOMB = "\n".join(
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)),
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "name: &a [*a]\nlabels: [x, y]",
        "labels: {a: &m {<<: *m}}",
        f"name: {'[' * 600}",
        f"name: {'9' * 5000}",
        "name: 2020-13-45",
        "name: !!timestamp x",
        "name: !!binary x",
        "name: !!python/object/apply:os.mkdir [exploded]",
        "!!python/name:os.system : x",
        "? {a: b}\n: c",
        "ablation: &a {name: x, axes: *a}",
    ],
)
@pytest.mark.parametrize("what", YAML_READERS)
def test_yaml_that_would_grow_or_run(place, monkeypatch, what, text):
    monkeypatch.chdir(place)
    (place / "hostile.yaml").write_text(text)
    with only_our_errors(), pytest.raises(RagemoError) as refused:
        YAML_READERS[what][1](Path("hostile.yaml"))
    assert len(str(refused.value)) < 1000
    assert not (place / "exploded").exists()


# -- templates -------------------------------------------------------------------------------------

TEMPLATES = files("ragemo").joinpath("prompting/templates")


@fuzz(30)
@given(st.data())
def test_templates(place, data):
    name = data.draw(st.sampled_from(["few-shot", "n-best", "hint", "cause"]))
    sound = TEMPLATES.joinpath(f"{name}.jinja").read_bytes()
    path = place / "own.jinja"
    path.write_bytes(data.draw(damaged_bytes(sound)))
    with only_our_errors():
        load_template(str(path))


@pytest.mark.parametrize(
    "inside",
    [
        '{% call message("user") %}' * 500 + "x" + "{% endcall %}" * 500,
        "{% for a in shots %}" * 30 + "x" + "{% endfor %}" * 30,
        "{{ " + "(" * 900 + "1" + ")" * 900 + " }}",
        "{{ " + "9" * 5000 + " }}",
        "{{ " + " ~ ".join("x" * 2000) + " }}",
    ],
)
def test_templates_that_no_compiler_takes(place, inside):
    path = place / "own.jinja"
    path.write_text(inside)
    with only_our_errors(), pytest.raises(PromptError, match=r"own\.jinja"):
        load_template(str(path))


# -- what other systems and earlier runs say -------------------------------------------------------

BALLOTS_CSV = b"id,system,neu,hap,ang\nu1,a,0.5,0.25,0.25\nu2,a,0,0,1\nu2,b,1,0,0\n"
BALLOTS_JSON = [
    {"id": "u1", "voter": "a", "distribution": {"neutral": 0.5, "joy": 0.5}, "sample": 1},
    {"id": "u2", "voter": "a", "label": "angry", "sample": 0},
]


@fuzz(30)
@given(st.one_of(damaged_bytes(BALLOTS_CSV), damaged_json(BALLOTS_JSON)))
def test_ballots_of_other_systems(place, data):
    path = place / "ballots.csv"
    path.write_bytes(data)
    with only_our_errors():
        read_ballots(path, LABELS)


@pytest.fixture(scope="module")
def weights(place):
    """A file of each pool's weights, as `ragemo calibrate` writes it."""
    dice = np.random.default_rng(0)
    gold = dice.choice(SIZE, size=250, p=PRIOR)
    known = labelled({"llm": informed(gold, PRIOR, 1.0, dice)}, gold, PRIOR)
    for pool in POOLS:
        calibration(fit_panel(known, PRIOR, pool=pool)).write(place / f"{pool}.json")
    return [json.loads((place / f"{pool}.json").read_text()) for pool in POOLS]


@fuzz(30)
@given(st.data())
def test_calibrations(place, weights, data):
    path = place / "weights.json"
    path.write_bytes(data.draw(damaged_json(data.draw(st.sampled_from(weights)))))
    with only_our_errors():
        read_calibration(path, OTHERS, LABELS)


def test_every_format_is_tried():
    assert {what.partition(" ")[0] for what in SOUND} == set(FORMATS)
