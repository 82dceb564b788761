"""Fitted weights as a file, and where it may be used."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.labels import LabelSet
from ragemo.voting.calibration import Calibration, dialogue_hashes, read_calibration
from ragemo.voting.panel import POOLS, fit_panel, untried_panel
from tests.conftest import LABELS, make_turn
from tests.voting.electorate import SIZE, informed, labelled

PRIOR = (0.6, 0.25, 0.15)
CORPUS = "ab" * 32


def dialogue(name, *texts, speakers="AB"):
    return [
        make_turn(text, number, dialogue_id=name, speaker=speakers[number % len(speakers)])
        for number, text in enumerate(texts)
    ]


FITTED_ON = [*dialogue("one", "Oh, hello!", "Go away."), *dialogue("two", "So... you came?")]
OTHERS = [*dialogue("three", "Oh, hello!", "Come in."), *dialogue("four", "No.", "Yes.")]


def calibration(panel=None, **fields):
    known = {
        "panel": panel or untried_panel("log", ["llm", "probe"], SIZE, PRIOR),
        "labels": LABELS.names,
        "fitted_on": dialogue_hashes(FITTED_ON),
        "corpora": (CORPUS,),
        "gain": {"over": "run", "weighted_f1": 0.01},
    }
    return Calibration(**(known | fields))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "weights.json"
    calibration().write(path)
    return path


def read(path, turns=OTHERS, labels=LABELS, corpus="cd" * 32):
    return read_calibration(path, turns, labels, corpus)


def refused(path, match, **options):
    with pytest.raises(SettingsError, match=match) as found:
        read(path, **options)
    assert str(found.value).startswith(f"{path}: ")
    return str(found.value)


# -- there and back ------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
def test_what_is_written_comes_back(tmp_path, pool):
    dice = np.random.default_rng(0)
    gold = dice.choice(SIZE, size=250, p=PRIOR)
    known = labelled({"llm": informed(gold, PRIOR, 1.0, dice)}, gold, PRIOR)
    before = calibration(fit_panel(known, PRIOR, pool=pool))
    before.write(tmp_path / "weights.json")
    after = read(tmp_path / "weights.json")
    assert after.panel.to_dict() == before.panel.to_dict()
    assert replace(after, panel=before.panel) == before
    one, other = (
        c.panel.decided(c.panel.pooled(known.votes), known.links) for c in (before, after)
    )
    assert all(map(np.array_equal, one, other))


def test_a_file_that_cannot_be_written_is_told_of(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be written"):
        calibration().write(tmp_path / "file" / "weights.json")


# -- where it may be used ------------------------------------------------------------------------


def test_other_dialogues_may_be_decided(path):
    assert read(path).labels == LABELS.names
    assert read(path, corpus=CORPUS).corpora == (CORPUS,), "even of the same file"
    assert read(path, turns=[]).fitted_on


@pytest.mark.parametrize("corpus", [CORPUS, "cd" * 32])
def test_the_same_words_under_another_id_are_refused(path, corpus):
    renamed = dialogue("another", "Oh, hello!", "Go away.")
    message = refused(path, "'another'", turns=[*OTHERS, *renamed], corpus=corpus)
    assert "fitted on 1 of the dialogues" in message


def test_case_and_punctuation_do_not_hide_the_same_words(path):
    refused(path, "'another'", turns=dialogue("another", "oh hello", "GO AWAY!"))


def test_other_transcripts_of_the_same_dialogue_of_the_same_file_are_refused(path):
    misheard = dialogue("one", "a yellow", "go a whale")
    refused(path, "'one'", turns=misheard, corpus=CORPUS)
    assert read(path, turns=misheard).fitted_on, "the id alone, in another file, is chance"


def test_other_speakers_or_another_end_make_another_dialogue(path):
    for turns in (
        dialogue("x", "Oh, hello!", "Go away.", speakers="BA"),
        dialogue("x", "Oh, hello!", "Go away.", "Never!"),
        dialogue("x", "Go away.", "Oh, hello!"),
    ):
        assert read(path, turns=turns)


def test_the_turns_of_several_dialogues_may_interleave():
    interleaved = [FITTED_ON[0], FITTED_ON[2], FITTED_ON[1]]
    assert dialogue_hashes(interleaved) == dialogue_hashes(FITTED_ON)


def test_a_refusal_names_at_most_three_dialogues_and_says_how_many(path):
    turns = [turn for n in range(5) for turn in dialogue(f"again{n}", "Oh, hello!", "Go away.")]
    message = refused(path, "fitted on 5 of the dialogues", turns=turns)
    assert message.count("again") == 3
    assert message.endswith("Calibrate on other dialogues")


def test_other_labels_are_refused(path):
    others = LabelSet.from_dict(
        {"name": "x", "labels": [{"name": n, "word": n} for n in ("neu", "ang", "hap")]}
    )
    refused(path, "fitted for the labels neu, hap, ang; here they are neu, ang, hap", labels=others)


# -- junk ----------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path):
    refused(tmp_path / "none.json", "ragemo calibrate RUN --out")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"weights",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"null",
        b"[]",
        b'"kind"',
        b'{"kind": "calibration"}',
        b'{"kind": "run", "format": 1}',
        b'{"kind": "calibration", "format": 99}',
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path, content):
    (tmp_path / "junk.json").write_bytes(content)
    refused(tmp_path / "junk.json", "not a file of `ragemo calibrate` .*make it anew")
    refused(tmp_path, "not a file of")


def test_a_part_that_is_missing_is_named(path):
    data = json.loads(path.read_text())
    for part in ("panel", "labels", "fitted_on", "corpora", "gain"):
        path.write_text(json.dumps({name: own for name, own in data.items() if name != part}))
        refused(path, f"'{part}' is missing")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("labels",), [1, 2, 3]),
        (("labels",), 7),
        (("labels",), ["neu", "hap"]),
        (("fitted_on",), ["one"]),
        (("fitted_on",), {"one": None}),
        (("fitted_on",), {"one": ["x"]}),
        (("corpora",), [0]),
        (("gain",), 3),
        (("corpora",), None),
        (("panel",), []),
        (("panel", "prior"), [0.5, 0.5]),
        (("panel", "prior"), [1.0, 0.0, 0.0]),
        (("panel", "pool"), "loudest"),
        (("panel", "weights"), {"llm": -1}),
        (("panel", "weights"), {"llm": float("nan")}),
        (("panel", "weights"), {"llm": 10**400}),
        (("panel", "bases"), {"llm": [1, 2]}),
        (("panel", "temperature"), 0),
        (("panel", "transitions"), {"prior": "x"}),
    ],
    ids=str,
)
def test_a_part_that_is_something_else_is_refused(path, place, value):
    data = json.loads(path.read_text())
    part = data
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    path.write_text(json.dumps(data))
    refused(path, "not a file of|fitted for the labels")


def values(numbers):
    """Any JSON."""
    return st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | numbers | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        ),
        max_leaves=8,
    )


sizeable = st.sampled_from([0.0, -1.0, 0.3, 2.0, 1000.0, float("nan"), float("inf")])
"""Numbers with which there is no overflow."""


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values(st.floats()))
def test_any_json_is_a_calibration_or_an_error(tmp_path, data):
    path = tmp_path / "junk.json"
    path.write_text(json.dumps(data))
    refused(path, "not a file of")


@st.composite
def damaged(draw):
    """A good file in which some values, at any depth, were replaced or left out."""
    known = fit_panel(
        labelled({"llm": np.full((9, SIZE), 1 / SIZE)}, np.arange(9) % SIZE, PRIOR),
        PRIOR,
        pool=draw(st.sampled_from(POOLS)),
    )
    data = {
        "kind": "calibration",
        "format": 1,
        "labels": list(LABELS.names),
        "gain": {},
        "panel": known.to_dict(),
        "corpora": [CORPUS],
        "fitted_on": dialogue_hashes(FITTED_ON),
    }
    for _ in range(draw(st.integers(1, 2))):
        part = data
        while True:
            places = list(part) if isinstance(part, dict) else list(range(len(part)))
            place = draw(st.sampled_from(places))
            if isinstance(part[place], dict | list) and part[place] and draw(st.booleans()):
                part = part[place]
                continue
            if draw(st.booleans()):
                del part[place]
            else:
                part[place] = draw(values(sizeable))
            break
        if not data:
            break
    return data


@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(damaged())
def test_a_damaged_file_decides_or_is_refused(tmp_path, data):
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(data))
    try:
        found = read(path)
    except SettingsError:
        return
    assert isinstance(found, Calibration)
    known = labelled({"llm": np.eye(SIZE)}, np.arange(SIZE), PRIOR)
    shares, labels = found.panel.decided(found.panel.pooled(known.votes), known.links)
    assert shares.shape == (SIZE, SIZE)
    assert ((labels >= -1) & (labels < SIZE)).all()
