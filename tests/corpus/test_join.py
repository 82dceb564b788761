"""Corpora of different label sets become one, and what two have labelled counts once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.corpus import read_corpus
from ragemo.corpus.join import join_corpora
from ragemo.corpus.mapping import available_mappings, fitting_mapping, load_mapping
from ragemo.errors import DataError, SettingsError
from ragemo.labels import LabelSet, load_labels
from ragemo.retrieval.index import Index
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.corpus.test_corpora import corpus_file

OTHER = LabelSet.from_dict({"name": "other", "labels": ["Glad", "Furious", "Mighty", "Neutral"]})
MAPPING = {"Glad": "hap", "Furious": "angry", "Mighty": None}


def corpus_of(rows, labels=LABELS, sha256="a"):
    return replace(make_corpus(rows, labels), sha256=sha256 * 64)


FIRST = corpus_of(
    [
        {"dialogue": "d1", "text": "Who has eaten my marmalade again?", "emotion": "ang"},
        {"dialogue": "d1", "text": "Nobody touched your marmalade, Gregory.", "emotion": "neu"},
        {"dialogue": "d1", "text": "Yeah.", "emotion": "neu"},
        {"dialogue": "d2", "text": "We won the village quiz!", "emotion": "hap", "session": "s"},
        {"dialogue": "d2", "text": "Hello.", "emotion": "hap"},
    ]
)
SECOND = corpus_of(
    [
        {"dialogue": "d1", "text": "Who has eaten my marmalade again?", "emotion": "Furious"},
        {"dialogue": "d1", "text": "Nobody touched your marmalade, Greg!", "emotion": "Mighty"},
        {"dialogue": "d1", "text": "Nobody touched your marmalade, Gregory", "emotion": "Neutral"},
        {"dialogue": "d1", "text": "But the jar is empty.", "emotion": "Neutral", "session": "s"},
        {"dialogue": "d1", "text": "Hello.", "emotion": "Neutral"},
        {"dialogue": "d3", "text": "The trains are late.", "emotion": "Furious"},
        {"dialogue": "d3", "text": "Yeah.", "emotion": "Neutral"},
        {"dialogue": "d3", "text": "I know.", "emotion": None},
        {"dialogue": "d3", "text": "So be it.", "emotion": "bored", "needs_prediction": False},
    ],
    OTHER,
    "b",
)


def joined():
    return join_corpora([("one", FIRST), ("two", SECOND)], LABELS, {"two": MAPPING})


def by_id(corpus):
    return {u.id: u for u in corpus.utterances}


def test_labels_are_mapped_and_ids_unique():
    corpus = joined().corpus
    assert (corpus.labels, corpus.format, corpus.path) == (LABELS, "joined", FIRST.path)
    assert [d.id for d in corpus.dialogues] == ["d1", "d2", "two/d1", "two/d3"]
    assert len(by_id(corpus)) == len(FIRST.utterances) + len(SECOND.utterances)
    assert sorted(u.row for u in corpus.utterances) == sorted(
        [u.row for u in FIRST.utterances] + [u.row + 5 for u in SECOND.utterances]
    )
    late = by_id(corpus)["two/d3_0"]
    assert (late.emotion, late.needs_prediction, late.corpus) == ("ang", True, "two")
    assert by_id(corpus)["d2_0"] == replace(FIRST.utterances[3], corpus="one")
    assert by_id(corpus)["two/d1_3"].session == "two/s"
    assert {u.speaker for u in corpus.utterances} == {"A"}


def test_what_has_no_counterpart_is_context_only():
    mighty = by_id(joined().corpus)["two/d1_1"]
    assert (mighty.emotion, mighty.needs_prediction) == ("Mighty", False)
    bored = by_id(joined().corpus)["two/d3_3"]
    assert (bored.emotion, bored.needs_prediction) == ("bored", False)


def test_what_two_have_labelled_counts_once():
    found = by_id(joined().corpus)
    assert not found["two/d1_0"].needs_prediction
    assert not found["two/d1_2"].needs_prediction
    assert found["two/d1_3"].needs_prediction
    assert found["two/d1_4"].needs_prediction, "equal words in a dialogue that is no twin"
    assert found["two/d3_1"].needs_prediction, "equal words in another conversation"
    assert all(found[u.id].needs_prediction for u in FIRST.utterances)


def test_a_label_that_only_the_later_one_gives_is_kept():
    silent = replace(
        FIRST,
        dialogues=tuple(
            replace(d, utterances=tuple(replace(u, needs_prediction=False) for u in d.utterances))
            for d in FIRST.dialogues
        ),
    )
    both = join_corpora([("one", silent), ("two", SECOND)], LABELS, {"two": MAPPING})
    assert by_id(both.corpus)["two/d1_0"].needs_prediction
    assert both.report[1].duplicates == 0


def test_the_report_counts_every_utterance():
    one, two = joined().report
    assert (one.name, one.utterances, one.labelled, one.duplicates) == ("one", 5, 5, 0)
    assert (two.utterances, two.labelled, two.mapped_away, two.duplicates) == (9, 4, 1, 2)
    assert two.to_dict() | {"name": "two", "file": "corpus.csv", "format": "plain"} == two.to_dict()


def test_an_index_is_built_of_it():
    corpus = joined().corpus
    index = Index.build(corpus, FakeEmbedder(), transcript="asr")
    assert index.label_counts == {"neu": 5, "hap": 2, "ang": 2}
    examples = {index.turns[row].utterance_id for row in index.examples}
    assert examples.isdisjoint({"two/d1_0", "two/d1_1", "two/d1_2", "two/d3_2", "two/d3_3"})


def test_equal_inputs_give_an_equal_hash_and_others_another():
    first = joined().corpus
    assert joined().corpus == first
    pairs = [("one", FIRST), ("two", SECOND)]
    others = [
        join_corpora([("one", FIRST), ("zwei", SECOND)], LABELS, {"zwei": MAPPING}),
        join_corpora(pairs, LABELS, {"two": {**MAPPING, "Mighty": "hap"}}),
        join_corpora(
            [("one", replace(FIRST, sha256="1" * 64)), pairs[1]], LABELS, {"two": MAPPING}
        ),
    ]
    hashes = {first.sha256, *(other.corpus.sha256 for other in others)}
    assert len(hashes) == 4


def test_a_label_that_nobody_knows_is_named_with_what_to_write():
    with pytest.raises(DataError) as caught:
        join_corpora([("one", FIRST), ("two", SECOND)], LABELS, {"two": {"Glad": "hap"}})
    message = str(caught.value)
    for part in ("'two'", "'Furious' (2 times)", "'Mighty' (1 times)", "`Furious: null`", "--map"):
        assert part in message
    assert "Neutral" not in message, "it is known without a mapping"


@pytest.mark.parametrize(
    ("names", "mappings", "says"),
    [
        ([], {}, "nothing to join"),
        (["one", "one"], {}, "two corpora are called 'one'"),
        (["one", "a/b"], {}, "'a/b'"),
        (["one", " "], {}, "' '"),
        (["one", "two"], {"three": {}}, "'three'"),
        (["one", "two"], {"two": {**MAPPING, "Glad": "happyy"}}, "'happyy'"),
    ],
)
def test_what_cannot_be_joined(names, mappings, says):
    corpora = list(zip(names, [FIRST, SECOND], strict=False))
    with pytest.raises(SettingsError, match=says):
        join_corpora(corpora, LABELS, mappings)


def test_the_same_file_twice_is_refused():
    again = replace(FIRST, path=Path("copy.csv"))
    with pytest.raises(SettingsError, match="give it once") as caught:
        join_corpora([("one", FIRST), ("two", SECOND), ("three", again)], LABELS, {"two": MAPPING})
    for part in ("'one' (corpus.csv)", "'three' (copy.csv)"):
        assert part in str(caught.value)


def test_a_chinese_copy_is_found():
    """Other punctuation, and a character misheard in each utterance."""
    said = [
        "谁又把我的橘子酱吃光了？",
        "没有人碰过你那宝贝橘子酱，老王。",
        "嗯。",
        "那为什么罐子空了？",
    ]
    heard = ["谁又把我的橘子浆吃光了", "没有人碰过你的宝贝橘子酱老王", "对", "那为什么罐子通了"]
    others = [{"dialogue": f"{n}", "text": f"{n}号。", "emotion": "neu"} for n in range(9)]
    own = [{"dialogue": "d", "text": text, "emotion": "neu"} for text in said]
    one = corpus_of([*others, *own])
    rows = [{"dialogue": "d", "text": text, "emotion": "ang"} for text in heard]
    both = join_corpora([("one", one), ("two", corpus_of(rows, sha256="b"))], LABELS, {})
    labelled = [u.id for u in both.corpus.utterances if u.needs_prediction and u.corpus == "two"]
    assert labelled == ["two/d_2"]


def test_a_clash_of_ids_is_found():
    clash = make_corpus([{"dialogue": "two/d3", "text": "Hello."}])
    with pytest.raises(DataError, match="another name"):
        join_corpora([("one", clash), ("two", SECOND)], LABELS, {"two": MAPPING})


texts = st.sampled_from(
    ["Yeah.", "Who has eaten my marmalade again?", "The jar is empty, and nobody knows.", "No"]
)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "dialogue": st.sampled_from(["a", "b", "c"]),
            "text": texts,
            "emotion": st.sampled_from(["neu", "hap", "ang", None]),
            "needs_prediction": st.booleans(),
        }
    ),
    min_size=1,
    max_size=12,
)


@given(st.lists(rows, min_size=1, max_size=3))
def test_nothing_is_lost_and_every_utterance_is_counted(several):
    corpora = [(f"c{n}", corpus_of(some, sha256=f"{n}")) for n, some in enumerate(several)]
    both = join_corpora(corpora, LABELS, {})
    utterances = both.corpus.utterances
    assert len({u.id for u in utterances}) == sum(map(len, several))
    for part, (name, corpus) in zip(both.report, corpora, strict=True):
        own = [u for u in utterances if u.corpus == name]
        assert [u.hypotheses for u in own] == [u.hypotheses for u in corpus.utterances]
        assert part.labelled == sum(u.needs_prediction and u.emotion is not None for u in own)
        before = sum(u.needs_prediction and u.emotion is not None for u in corpus.utterances)
        assert part.labelled + part.mapped_away + part.duplicates == before
    assert both.report[0].duplicates == 0


@given(rows)
def test_a_corpus_joined_with_itself_adds_no_conversation(some):
    corpus, copy = corpus_of(some), corpus_of(some, sha256="b")
    both = join_corpora([("one", corpus), ("two", copy)], LABELS, {}).corpus
    for dialogue in both.dialogues:
        long = any(len(u.hypotheses["asr"].split()) > 5 for u in dialogue.utterances)
        if long and dialogue.id.startswith("two/"):
            assert not any(u.needs_prediction and u.emotion for u in dialogue.utterances)


# -- mappings ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", available_mappings())
def test_shipped_mappings_are_whole(name):
    mapping = load_mapping(name)
    source, target = load_labels(mapping.source), load_labels(mapping.target)
    assert set(mapping.labels) == set(source.names)
    assert {label for label in mapping.labels.values() if label} <= set(target.names)
    assert fitting_mapping(mapping.source, mapping.target) == mapping
    assert fitting_mapping(mapping.target, "no such set") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1, 2]", "expected `labels`"),
        ("labels: [a]", "expected `labels`"),
        ("labels: {Glad: hap}\nfrm: x", "frm"),
        ("labels: {no: hap}", "use quotes"),
        ("labels: {Glad: [hap]}", "'Glad'"),
        ("labels: {Glad: hap}\nfrom: 3", "from and to"),
        ("labels: {", "not valid YAML"),
    ],
)
def test_what_is_no_mapping(tmp_path, text, says):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=says) as caught:
        load_mapping(path)
    assert str(path) in str(caught.value)


def test_no_such_mapping():
    with pytest.raises(SettingsError, match="emorynlp-to-meld"):
        load_mapping(Path("nowhere.yaml"))


def test_real_corpora():
    meld = read_corpus(corpus_file("meld/train_sent_emo.csv"))
    emory = read_corpus(corpus_file("emorynlp/emorynlp_train_final.csv"))
    mapping = load_mapping("emorynlp-to-meld").labels
    _, part = join_corpora([("m", meld), ("e", emory)], meld.labels, {"e": mapping}).report
    assert (part.utterances, part.labelled, part.mapped_away, part.duplicates) == (
        7551,
        4847,
        1492,
        1212,
    )
