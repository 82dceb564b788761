"""What an index says of targets, and that it says nothing it has from the target's own labels."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import IndexFolderError, SettingsError
from ragemo.retrieval.guards import UNITS, Guard
from ragemo.retrieval.restrict import find_kinship
from ragemo.retrieval.retrieve import check_fits, retrieve, search_text
from ragemo.retrieval.strategies import STRATEGIES
from ragemo.retrieval.vectors import Composition
from ragemo.retrieval.voters import INDEX_VOTERS, scale
from ragemo.retrieval.voters.fitting import questions_of
from tests.conftest import LABELS, FakeEmbedder, make_corpus, make_turn
from tests.retrieval.worlds import (
    CORPUS,
    DIMENSION,
    LOUD,
    accuracy,
    build,
    by_heart,
    golds,
    guessing,
    index_of,
    kin,
    planted,
    turns,
)


def ask(index, queries, targets=None, **options):
    options = {"k": 3} | options
    embedder = FakeEmbedder(dimension=index.vectors.shape[1])
    targets = range(len(queries)) if targets is None else targets
    return retrieve(index, embedder, queries, list(targets), **options)


def votes_of(retrieval, name):
    return np.array([found.votes[name] for found in retrieval.found])


def learned(part):
    """All that a part of an index knows and says, as bytes."""
    arrays = [part.fitted.held_out, *part.fitted.votes.values()]
    for voter in part.voters.values():
        arrays += voter.arrays().values()
    settings = [(name, voter.to_dict()) for name, voter in part.voters.items()]
    return settings, part.prior, [array.tobytes() for array in arrays]


# -- honesty -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "same_corpus"),
    [("dialogue", True), ("dialogue", False), ("session", True), ("speaker", True)],
)
def test_asked_about_its_own_windows_an_index_can_only_guess(unit, same_corpus, monkeypatch):
    """Every dialogue (session, speaker) says its own name and has one label for good, by lot."""
    monkeypatch.setattr(scale, "SCALES", LOUD)
    index = build(planted(unit), FakeEmbedder(dimension=DIMENSION))
    gold = index.label_positions
    low, high = guessing()
    retrieval = ask(index, index.turns, guard=Guard(unit), same_corpus=same_corpus)
    for name in INDEX_VOTERS:
        assert low < accuracy(votes_of(retrieval, name), gold) < high
    shown = [LABELS.index(d.label) for found in retrieval.found for d in found.demonstrations]
    assert low < (np.array(shown) == gold.repeat(3)).mean() < high

    # The same voters, asked about the same windows with nothing left out, know them by heart.
    for votes in by_heart(index).values():
        assert accuracy(votes, gold) > 0.9
    if unit != "dialogue":  # and nearly so with too little left out
        careless = ask(index, index.turns, guard=Guard("dialogue"), same_corpus=same_corpus)
        for name in INDEX_VOTERS:
            assert accuracy(votes_of(careless, name), gold) > 0.75


disguises = st.sampled_from(
    [
        {},
        {"session": None},
        {"session": "of another name"},
        {"session": "s1"},
        {"speaker": ""},
        {"speaker": "of another name"},
        {"speaker": "Ann", "session": "s2"},
    ]
)


@pytest.mark.parametrize("name", STRATEGIES)
@settings(deadline=None, max_examples=20)
@given(examples=turns(), exclude=st.sampled_from(UNITS), disguise=disguises, data=st.data())
def test_the_labels_of_a_target_s_own_unit_change_not_one_digit_of_what_it_is_told(
    name, cross_encoder, examples, exclude, disguise, data
):
    """Whatever the labels, and whatever the query tells of its session and speaker."""
    options = {"rerank": {"model": str(cross_encoder)}, "vote-k": {"pool": 6}}
    duplicates = data.draw(st.booleans())
    gold = [data.draw(golds) for _ in examples]
    row = data.draw(st.integers(0, len(examples) - 1))
    queries = list(examples)
    queries[row] = replace(examples[row], **disguise)
    own = [kin(queries[row], turn, exclude) for turn in examples]
    stranger = make_turn("no way", dialogue_id="z", session="s9", speaker="Zoe")
    loudness = data.draw(st.sampled_from([scale.SCALES, LOUD]))
    changed = [
        data.draw(st.sampled_from(LABELS.names)) if inside and label else label
        for inside, label in zip(own, gold, strict=True)
    ]
    told = []
    for each in (gold, changed):
        # One example at least is of another dialogue, session and speaker.
        index = index_of([*examples, stranger], [*each, "neu"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scale, "SCALES", loudness)
            retrieval = ask(
                index,
                queries,
                [row],
                guard=Guard(exclude, duplicates),
                same_corpus=True,
                k=5,
                strategy=[name],
                options={name: options[name]} if name in options else {},
            )
            told.append((retrieval.found, [learned(part) for part in retrieval.parts.values()]))
    assert told[0] == told[1]


def test_other_labels_do_change_what_it_is_told():
    """Without which the test above could not fail."""
    index = build(CORPUS)
    gold = [label and LABELS.names[(LABELS.index(label) + 1) % 3] for label in index.gold]
    other = index_of(index.turns, gold)
    for exclude in ("dialogue", "session"):
        one, two = (ask(each, index.turns[:5], guard=Guard(exclude)) for each in (index, other))
        for name in INDEX_VOTERS:
            assert not np.array_equal(votes_of(one, name), votes_of(two, name))


@settings(deadline=None, max_examples=40)
@given(turns(), turns(), st.sampled_from(UNITS), st.booleans(), st.data())
def test_no_part_that_speaks_to_a_target_holds_a_label_of_its_kin(
    examples, queries, exclude, same_corpus, data
):
    gold = [data.draw(golds) for _ in examples]
    stranger = make_turn("no way", dialogue_id="z", session="s9", speaker="Zoe")
    index = index_of([*examples, stranger], [*gold, "neu"])
    retrieval = ask(index, queries, guard=Guard(exclude), same_corpus=same_corpus)
    own = find_kinship(index, queries, same_corpus=same_corpus).own
    for query, found in zip(queries, retrieval.found, strict=True):
        assert found.own == (query.dialogue_id in own)
        if not found.own:
            query = replace(query, dialogue_id="none")
        part = retrieval.parts[found.part]
        for row in part.examples:
            assert not kin(query, part.turns[row], exclude)
        for demonstration in found.demonstrations:
            assert not kin(query, demonstration.window.target, exclude)


@pytest.mark.parametrize("exclude", UNITS)
def test_the_parts_that_speak_leave_out_no_more_than_folds_do(exclude):
    index = build(CORPUS)
    retrieval = ask(index, index.turns, guard=Guard(exclude), same_corpus=True)
    least = {"dialogue": 3 / 5, "session": 1 / 2, "speaker": 1 / 4}[exclude]
    for part in retrieval.parts.values():
        assert len(part.examples) >= least * len(index.examples)
        assert part.exclude == exclude


def test_a_dialogue_without_its_session_s_name_is_not_asked_of_its_own_labels(monkeypatch):
    """An index of a file with sessions, and the same dialogues from a file that has none."""
    monkeypatch.setattr(scale, "SCALES", LOUD)
    index = build(planted("dialogue"), FakeEmbedder(dimension=DIMENSION))
    sessions = [replace(turn, session=f"s{int(turn.dialogue_id[1:]) % 7}") for turn in index.turns]
    named = index_of(sessions, index.gold, FakeEmbedder(dimension=DIMENSION))
    for queries in (index.turns, [replace(turn, session="elsewhere") for turn in index.turns]):
        retrieval = ask(named, queries, guard=Guard("session"))
        assert all(found.own for found in retrieval.found)
        for name in INDEX_VOTERS:
            assert accuracy(votes_of(retrieval, name), index.label_positions) < guessing()[1]


# -- what a target is told -----------------------------------------------------------------------


def test_strangers_are_answered_by_the_index_itself():
    index = build()
    strangers = [make_turn(f"so glad {n}", n, dialogue_id="q") for n in range(6)]
    retrieval = ask(index, strangers)
    assert list(retrieval.parts.values()) == [index]
    assert not any(found.own for found in retrieval.found)
    vectors = [FakeEmbedder().embed([turn.text]) for turn in strangers]
    alone = [ask(index, strangers[: n + 1], [n]).found[0] for n in range(6)]
    assert list(retrieval.found) == alone
    first = questions_of(
        index, strangers[:1], np.hstack([np.sqrt(0.7) * vectors[0], 0 * vectors[0]]), Guard()
    )
    for name, voter in index.voters.items():
        said = voter.distributions(first)[0]
        assert retrieval.found[0].votes[name] == pytest.approx(said.tolist(), abs=1e-6)


@pytest.mark.parametrize("exclude", UNITS)
def test_the_answer_to_one_target_does_not_depend_on_the_others(exclude):
    index = build(CORPUS)
    together = ask(index, index.turns, guard=Guard(exclude), same_corpus=True)
    for row in (0, 7, 29):
        (alone,) = ask(index, index.turns, [row], guard=Guard(exclude), same_corpus=True).found
        assert alone.demonstrations == together.found[row].demonstrations
        assert alone.part == together.found[row].part
        for name in INDEX_VOTERS:  # matrix products of another shape, so not to the last digit
            assert alone.votes[name] == pytest.approx(together.found[row].votes[name], abs=2e-9)


def test_later_turns_and_later_texts_change_nothing():
    index = build(CORPUS)
    changed = [*index.turns[:12], *(replace(turn, text="other") for turn in index.turns[12:])]
    one, two = (ask(index, each, [3, 11], same_corpus=True) for each in (index.turns, changed))
    assert one.found == two.found


def test_another_composition_is_that_of_an_index_built_so():
    how = Composition(weight=0.6, length=2)
    one = ask(build(CORPUS), CORPUS_TURNS, composition=how, same_corpus=True)
    two = ask(build(CORPUS, composition=how), CORPUS_TURNS, same_corpus=True)
    assert one.found == two.found
    assert one.found != ask(build(CORPUS), CORPUS_TURNS, same_corpus=True).found


CORPUS_TURNS = build(CORPUS).turns


def test_demonstrations_are_as_many_and_as_long_as_asked_for():
    found = ask(build(CORPUS), CORPUS_TURNS, k=4, demonstration_context=2, same_corpus=True).found
    for one in found:
        assert len(one.demonstrations) == 4
        assert all(len(d.window.context) <= 2 for d in one.demonstrations)
        similarities = [d.similarity for d in one.demonstrations]
        assert all(nearer >= farther for nearer, farther in pairwise(similarities))
    assert any(len(d.window.context) == 2 for one in found for d in one.demonstrations)
    for one in ask(build(CORPUS), CORPUS_TURNS, k=0, same_corpus=True).found:
        assert one.demonstrations == ()
        assert set(one.votes) == set(INDEX_VOTERS)


def test_a_soft_label_is_half_the_gold_label_and_half_what_the_probe_says():
    retrieval = ask(build(CORPUS), CORPUS_TURNS, [0, 20], same_corpus=True)
    for found in retrieval.found:
        part = retrieval.parts[found.part]  # whose probe has not learned from the target
        place = {part.turns[row].utterance_id: n for n, row in enumerate(part.examples)}
        for shown in found.demonstrations:
            probed = part.probed[place[shown.window.target.utterance_id]]
            gold = np.array(LABELS.one_hot(shown.label))
            assert shown.soft_label == pytest.approx(probed / 2 + gold / 2)
            assert sum(shown.soft_label) == pytest.approx(1)


def test_repeated_texts_are_no_neighbours_where_they_are_shut_out():
    rows = [
        {"dialogue": f"d{n}", "text": ["Yeah.", "No."][n % 2], "emotion": ["hap", "neu"][n % 2]}
        for n in range(40)
    ]
    index = build(make_corpus(rows))
    query = [make_turn("yeah!", dialogue_id="q")]
    (usual,) = ask(index, query).found
    (found,) = ask(index, query, guard=Guard(duplicates=True)).found
    assert {d.window.target.text for d in found.demonstrations} == {"No."}
    neu, hap, _ = found.votes["neighbours"]
    assert neu > 0.8 > 0.2 > hap
    assert usual.votes["neighbours"] != found.votes["neighbours"]


@pytest.mark.parametrize("exclude", UNITS)
def test_strangers_hear_voters_that_were_weighed_as_the_guard_has_it(exclude):
    index = build()
    strangers = [make_turn("so glad", dialogue_id="q", session="other", speaker="Zoe")]
    (part,) = ask(index, strangers, guard=Guard(exclude)).parts.values()
    assert part.exclude == exclude
    assert part.examples.tolist() == index.examples.tolist()


def test_no_targets_are_no_work():
    index = build(CORPUS)
    retrieval = ask(index, CORPUS_TURNS, [])
    assert retrieval.found == ()


@pytest.mark.parametrize("exclude", UNITS)
def test_an_index_of_one_unit_cannot_answer_about_it(exclude):
    rows = [
        {"dialogue": "d", "text": f"text {n}", "session": "s", "speaker": "A"} for n in range(4)
    ]
    index = build(make_corpus(rows))
    with pytest.raises(SettingsError, match=f"the index needs a second {exclude}"):
        ask(index, index.turns, guard=Guard(exclude))
    stranger = [make_turn("text 1", dialogue_id="q", speaker="Zoe")]
    assert ask(index, stranger, guard=Guard(exclude)).found[0].votes


def test_another_embedder_is_refused_before_any_work():
    with pytest.raises(IndexFolderError, match="name 'other'"):
        retrieve(build(CORPUS), FakeEmbedder("other"), CORPUS_TURNS, [0], k=1)


# -- the embedder of the query -------------------------------------------------------------------


@pytest.fixture
def index():
    return build()


def test_the_same_embedder_fits(index):
    check_fits(index, FakeEmbedder())


def test_another_embedder_is_refused_and_what_differs_is_named(index):
    other = FakeEmbedder(name="other")
    other.identity["pooling"] = "cls"
    with pytest.raises(IndexFolderError) as caught:
        check_fits(index, other)
    assert "name 'other' (index: 'fake')" in str(caught.value)
    assert "pooling 'cls' (index: None)" in str(caught.value)
    assert "precision" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (FakeEmbedder(salt="retrained"), "cosine .* weights have changed"),
        (FakeEmbedder(dimension=12), "12 dimensions, the index has 8.* weights have changed"),
    ],
)
def test_changed_weights_under_the_same_name_are_found(index, changed, said):
    with pytest.raises(IndexFolderError, match=said):
        check_fits(index, changed)


def test_a_text_finds_its_like(embedder):
    corpus = make_corpus(
        [
            {"dialogue": "a", "text": "I am so happy for you!", "emotion": "hap"},
            {"dialogue": "b", "text": "The bus leaves at nine.", "emotion": "neu"},
            {"dialogue": "c", "text": "Get out of my house!", "emotion": "ang"},
        ]
    )
    index = build(corpus, embedder, composition=Composition(weight=0))
    text = "I'm really glad for you"
    found = search_text(index, text, 2)
    assert len(found) == 2
    assert found[0].label == "hap"
    cosine = float(np.dot(*embedder.embed([text, found[0].window.target.text])))
    assert found[0].similarity == pytest.approx(cosine, abs=1e-5)
    assert found[0].similarity > found[1].similarity
    with pytest.raises(IndexFolderError, match="name 'fake'"):
        check_fits(index, FakeEmbedder())
