"""`ragemo index build` of one corpus and of several."""

import json
from pathlib import Path

import pytest

from ragemo.retrieval.index import Index

MELD = """Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID
Who has eaten my marmalade again?,Ann,anger,0,0
"Nobody touched your marmalade, Gregory.",Ben,neutral,0,1
We won the village quiz!,Ann,joy,1,0
"""
EMORYNLP = """Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode
Who has eaten my marmalade again?,['Ann'],Mad,1,0,1,1
Nobody touched your marmalade Gregory,['Ben'],Peaceful,1,1,1,1
I could lift the moon today.,['Ann'],Powerful,2,0,1,1
It is the best day of all.,['Ann'],Joyful,2,1,1,1
"""


@pytest.fixture(autouse=True)
def files(workplace, minilm_folder):
    (workplace / "m.csv").write_text(MELD, encoding="utf-8")
    (workplace / "e.csv").write_text(EMORYNLP, encoding="utf-8")
    (workplace / "own.yaml").write_text(
        "labels: {Mad: anger, Peaceful: joy, Powerful: joy}", encoding="utf-8"
    )


def manifest(folder="ix"):
    return json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))["corpus"]


def test_one_file_is_what_it_was(command):
    done = command("index", "build", "m.csv", "--out", "ix", "--quiet")
    assert (done.code, done.out) == (0, "ix: 3 labelled windows of 3 utterances\n")
    assert set(manifest()) == {"file", "format", "sha256"}
    assert manifest()["format"] == "meld"


def test_several_files_become_one(command):
    done = command("index", "build", "m.csv", "e.csv", "--out", "ix")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "meld: 3 utterances, 3 labelled, 0 without a counterpart, 0 duplicates",
        "emorynlp: 4 utterances, 1 labelled, 1 without a counterpart, 2 duplicates",
        "ix: 4 labelled windows of 7 utterances",
    ]
    assert "emorynlp: labels mapped by emorynlp-to-meld" in done.err
    whole = manifest()
    assert (whole["file"], whole["format"]) == ("m.csv", "joined")
    assert [part["name"] for part in whole["parts"]] == ["meld", "emorynlp"]
    last = whole["parts"][1]
    assert (last["file"], last["format"]) == ("e.csv", "emorynlp")
    assert (last["utterances"], last["labelled"], last["duplicates"]) == (4, 1, 2)
    index = Index.load("ix")
    assert index.label_counts["joy"] == 2
    assert index.turns[3].utterance_id.startswith("emorynlp/")


def test_equal_files_give_an_equal_corpus(command):
    command("index", "build", "m.csv", "e.csv", "--out", "one", "--quiet")
    command("index", "build", "m.csv", "e.csv", "--out", "two", "--quiet")
    assert manifest("one") == manifest("two")


def test_names_and_own_mapping(command):
    done = command(
        *("index", "build", "show=m.csv", "other=e.csv", "--map", "other=own.yaml"),
        *("--out", "ix", "--quiet"),
    )
    assert (done.code, done.err) == (0, "")
    assert "other: 4 utterances, 2 labelled, 0 without a counterpart, 2 duplicates" in done.out
    assert [part["name"] for part in manifest()["parts"]] == ["show", "other"]


def test_one_file_to_another_label_set(command):
    done = command(
        *("index", "build", "e.csv", "--labels", "meld", "--map", "emorynlp=emorynlp-to-meld"),
        *("--out", "ix", "--quiet"),
    )
    assert done.code == 0, done.err
    assert Index.load("ix").label_counts["anger"] == 1


def test_equal_formats_get_numbers(command):
    Path("again.csv").write_text(MELD + "\n", encoding="utf-8")
    done = command("index", "build", "m.csv", "again.csv", "--out", "ix", "--quiet")
    assert [line.split(":")[0] for line in done.out.splitlines()] == ["meld", "meld2", "ix"]
    assert "meld2: 3 utterances, 0 labelled" in done.out


def test_a_file_may_have_an_equals_sign_in_its_name(command):
    Path("a=m.csv").write_text(MELD, encoding="utf-8")
    done = command("index", "build", "a=m.csv", "--out", "ix", "--quiet")
    assert done.code == 0, done.err
    assert (manifest()["file"], manifest()["format"]) == ("a=m.csv", "meld")


def test_the_config_may_list_files(command):
    Path("c.yaml").write_text("paths: {train: [m.csv, more=e.csv], index: ix}", encoding="utf-8")
    done = command("index", "build", "--config", "c.yaml", "--quiet")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1].startswith("more: 4 utterances")
    command("index", "build", "m.csv", "--config", "c.yaml", "--quiet", "--overwrite")
    assert manifest()["format"] == "meld"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["m.csv", "e.csv", "--map", "emory=own.yaml"], "meld, emorynlp"),
        (["m.csv", "e.csv", "--map", "own.yaml"], "NAME=MAPPING"),
        (["m.csv", "e.csv", "--map", "emorynlp=nowhere"], "no mapping 'nowhere'"),
        (["m.csv", "e.csv", "--labels", "gensec"], "does not know"),
        (["a=m.csv", "a=e.csv"], "two corpora are called 'a'"),
        (["m.csv", "nowhere.csv"], "nowhere.csv"),
        ([], "give FILE"),
    ],
)
def test_what_cannot_be_built(command, words, says):
    done = command("index", "build", *words, "--out", "ix")
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert not Path("ix").exists()


@pytest.mark.parametrize(
    "paths", ["{train: [{a: m.csv}], index: ix}", "{train: [], index: ix}", "{index: [ix, iy]}"]
)
def test_lists_that_are_none(command, paths):
    Path("c.yaml").write_text(f"paths: {paths}", encoding="utf-8")
    done = command("index", "build", "--config", "c.yaml")
    assert done.code == 2
    assert "train" in done.err or "index" in done.err


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_an_unchanged_index_is_built_again_without_fitting_its_voters(command, monkeypatch):
    command("index", "build", "m.csv", "--out", "ix")
    first = contents("ix")
    with monkeypatch.context() as patched:
        patched.setattr("ragemo.retrieval.voters.fitting.fit_voters", None)
        done = command("index", "build", "m.csv", "--out", "ix", "--overwrite")
    assert (done.code, contents("ix")) == (0, first)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (MELD.replace("Ann,joy", "Ann,sadness"), ()),
        (MELD.replace("quiz", "prize"), ()),
        (MELD, ("--set", "index.context_length=0")),
    ],
)
def test_a_changed_index_has_voters_of_its_own(command, text, options):
    command("index", "build", "m.csv", "--out", "ix")
    Path("m.csv").write_text(text, encoding="utf-8")
    command("index", "build", "m.csv", "--out", "fresh", *options)
    done = command("index", "build", "m.csv", "--out", "ix", "--overwrite", *options)
    assert (done.code, contents("ix")) == (0, contents("fresh"))


def test_a_damaged_index_is_replaced(command):
    command("index", "build", "m.csv", "--out", "ix")
    first = contents("ix")
    Path("ix/voters.npz").write_bytes(b"damaged")
    done = command("index", "build", "m.csv", "--out", "ix", "--overwrite")
    assert (done.code, contents("ix")) == (0, first)
