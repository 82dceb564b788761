"""The scikit-learn classifier: scikit-learn's own checks, its tools, and the guards."""

import pickle
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from ragemo import RagEmoClassifier
from ragemo.errors import SettingsError
from tests.conftest import FakeEmbedder
from tests.fake_llm import FakeLLM


class PlaceEmbedder(FakeEmbedder):
    """Texts of numbers are near each other where the numbers are (random Fourier features)."""

    def __repr__(self):  # stands in the names of tests, which two processes have to agree on
        return "PlaceEmbedder()"

    def embed(self, texts, progress=lambda done: None):
        drawn = np.random.default_rng(0)
        weights, phases = drawn.normal(size=(64, 32)) / 2, drawn.uniform(0, 2 * np.pi, 32)
        rows = np.zeros((len(texts), 64))
        for row, text in enumerate(texts):
            numbers = [float(number) for number in text.split()]
            rows[row, : len(numbers)] = numbers
        vectors = np.cos(rows @ weights + phases)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class OnNumbers(RagEmoClassifier):
    """The classifier on rows of numbers written as texts: scikit-learn's checks know no texts."""

    def fit(self, table, y):
        numbers, y = validate_data(self, table, y)
        return super().fit(as_texts(numbers), y)

    def _verdicts(self, table):
        check_is_fitted(self)
        return super()._verdicts(as_texts(validate_data(self, table, reset=False)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = False
        tags.input_tags.two_d_array = True
        return tags


def as_texts(rows):
    return [" ".join(map(str, row)) for row in rows.tolist()]


@parametrize_with_checks([OnNumbers(embedder=PlaceEmbedder(dimension=32))])
def test_scikit_learn_s_checks(estimator, check):
    check(estimator)


def test_what_scikit_learn_cannot_check_is_not_claimed():
    tags = get_tags(RagEmoClassifier())
    assert (tags.input_tags.string, tags.input_tags.two_d_array) == (True, False)
    # All others give an array of numbers for X, hence the subclass above.
    with pytest.warns(SkipTestWarning, match="requires input"):
        checks = [check.func.__name__ for _, check in estimator_checks_generator(texts_only())]
    assert checks == ["check_estimator_cloneable"]


WORDS = {"calm": "fine okay well", "glad": "great lovely wow", "mad": "damn hate stop"}


def frame(dialogues=12, turns=4):
    """Utterances whose words tell the label, in dialogues of equal length."""
    rows = []
    for number in range(dialogues * turns):
        label = list(WORDS)[zlib.crc32(bytes([number])) % 3]
        telling = WORDS[label].split()
        rows.append(
            {
                "text": f"{telling[number % 3]} and {telling[(number + 1) % 3]}",
                "dialogue": f"d{number // turns}",
                "turn": number % turns,
                "speaker": "AB"[number % 2],
                "emotion": label,
            }
        )
    return pd.DataFrame(rows)


DATA = frame()


def texts_only(**parameters):
    return RagEmoClassifier(embedder=FakeEmbedder(), **parameters)


def test_cross_validation_grouped_by_dialogue():
    folds = GroupKFold(3)
    for table in (DATA, DATA.text, DATA.text.to_numpy(), DATA.text.tolist()):
        how = {"groups": DATA.dialogue, "cv": folds}
        scores = cross_val_score(texts_only(), table, DATA.emotion, **how)
        assert scores.mean() > 0.8
    shares = cross_val_predict(
        texts_only(), DATA, DATA.emotion, method="predict_proba", groups=DATA.dialogue, cv=folds
    )
    assert shares.shape == (len(DATA), 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_grid_search_and_pipeline():
    lower = FunctionTransformer(lambda table: table.assign(text=table.text.str.lower()))
    steps = Pipeline([("lower", lower), ("label", texts_only())])
    search = GridSearchCV(
        steps, {"label__pool": ["log", "mean"], "label__context_weight": [0.0, 0.5]}, cv=3
    )
    search.fit(DATA, DATA.emotion)
    assert len(search.cv_results_["params"]) == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(DATA[:2]).tolist() == search.best_estimator_.predict(DATA[:2]).tolist()


def test_a_clone_has_the_parameters_and_shares_the_models():
    llm = FakeLLM()
    one = texts_only(llm=llm, k=3, strategy=("knn", "mmr"))
    again = clone(one.fit(DATA[:12], DATA.emotion[:12]))
    assert again.get_params() == one.get_params()
    assert again.llm is llm
    assert not hasattr(again, "classes_")


def test_a_pickle_says_the_same():
    fitted = texts_only().fit(DATA, DATA.emotion)
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(DATA), fitted.predict_proba(DATA))


def test_labels_and_probabilities_agree():
    fitted = texts_only().fit(DATA.text, DATA.emotion)
    assert fitted.classes_.tolist() == sorted(WORDS)
    shares = fitted.predict_proba(DATA.text)
    assert np.array_equal(fitted.predict(DATA.text), fitted.classes_[shares.argmax(axis=1)])


def test_rows_may_come_as_mappings_and_in_any_order():
    fitted = texts_only().fit(DATA.to_dict("records"), DATA.emotion.tolist())
    expected = texts_only().fit(DATA, DATA.emotion).predict_proba(DATA)
    mixed = DATA.sample(frac=1, random_state=0)
    assert np.array_equal(fitted.predict_proba(mixed), expected[mixed.index])
    unknown = DATA.assign(speaker=None, turn=DATA.turn.astype(float))
    assert np.array_equal(fitted.predict_proba(unknown), expected)


def test_context_counts_only_within_a_dialogue():
    parameters = {"context_weight": 0.6, "dialogue": "none"}
    fitted = texts_only(**parameters).fit(DATA, DATA.emotion)
    apart = fitted.predict_proba(DATA.text)
    together = fitted.predict_proba(DATA.assign(dialogue="x").drop(columns="turn"))
    assert np.allclose(apart[0], together[0])
    assert not np.allclose(apart[1:], together[1:])


@settings(deadline=None, max_examples=8)
@given(turn=st.integers(1, 3), text=st.text(max_size=8))
def test_a_later_turn_changes_nothing(turn, text):
    fitted = texts_only().fit(DATA[8:], DATA.emotion[8:])
    changed = DATA[:4].copy()
    changed.loc[turn:, "text"] = text
    before, after = fitted.predict_proba(DATA[:4]), fitted.predict_proba(changed)
    assert np.array_equal(before[:turn], after[:turn])


@settings(deadline=None, max_examples=8)
@given(labels=st.lists(st.sampled_from(list(WORDS)), min_size=3, max_size=3))
def test_labels_of_the_own_dialogue_say_nothing(labels):
    """In ungrouped folds, too: the last turn of a dialogue is asked about, the others are known."""
    known, asked = DATA.drop(index=3), DATA[3:4].assign(text="nothing like it")
    expected = texts_only().fit(known, known.emotion).predict_proba(asked)
    gold = known.emotion.copy()
    gold.iloc[:3] = labels
    assert np.array_equal(texts_only().fit(known, gold).predict_proba(asked), expected)


def test_no_demonstration_is_of_the_own_dialogue():
    llm = FakeLLM()
    cross_val_predict(texts_only(llm=llm, k=5), DATA, DATA.emotion, cv=2)
    shown = [
        (prompt.window.target.dialogue_id, one.window.target.dialogue_id)
        for prompt in llm.prompts
        for one in prompt.demonstrations
    ]
    assert len(shown) > len(DATA)
    assert all(own != other for own, other in shown)


def test_a_language_model_is_asked_and_no_run_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    llm = FakeLLM(lambda prompt, sample: "mad")
    fitted = texts_only(llm=llm, k=2, context=1).fit(DATA, DATA.emotion)
    assert llm.prompts == []
    alone = texts_only().fit(DATA, DATA.emotion).predict_proba(DATA[:8])
    assert fitted.predict_proba(DATA[:8]).shape == alone.shape
    asked = [p for p in llm.prompts if p.utterance_id.startswith("predict")]
    assert {len(p.demonstrations) for p in asked} == {2}
    assert {len(p.window.context) for p in asked} == {0, 1}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cache", [True, "mine.sqlite", Path("mine.sqlite"), False])
def test_what_was_answered_is_not_asked_again(tmp_path, monkeypatch, answers_file, cache):
    monkeypatch.chdir(tmp_path)
    llm = FakeLLM(lambda prompt, sample: "mad")
    fitted = texts_only(llm=llm, cache=cache).fit(DATA, DATA.emotion)
    labels = fitted.predict(DATA[:8])
    asked = len(llm.asked)
    shares = fitted.predict_proba(DATA[:8])
    assert (fitted.classes_[shares.argmax(axis=1)] == labels).all()
    named = isinstance(cache, str | Path)  # a model of one's own has no place in the user's cache
    assert len(llm.asked) == (asked if named else 2 * asked)
    assert (tmp_path / "mine.sqlite").is_file() == named
    assert not answers_file.exists()


def test_a_model_given_by_its_name_is_not_asked_again(monkeypatch, answers_file):
    llm = FakeLLM(lambda prompt, sample: "mad")
    monkeypatch.setattr("ragemo.classifier._load_llm", lambda settings, seed: llm)
    fitted = texts_only(llm="gpt-4o-mini").fit(DATA, DATA.emotion)
    labels = fitted.predict(DATA[:8])
    asked = len(llm.asked)
    assert (fitted.classes_[fitted.predict_proba(DATA[:8]).argmax(axis=1)] == labels).all()
    assert len(llm.asked) == asked
    assert answers_file.is_file()


def test_where_nobody_is_asked_no_cache_is_made(tmp_path):
    file = tmp_path / "mine.sqlite"
    texts_only(cache=file).fit(DATA, DATA.emotion).predict(DATA[:2])
    assert not file.exists()


@pytest.mark.parametrize("cache", [None, "", 3])
def test_a_cache_is_a_file_or_not(cache):
    with pytest.raises(SettingsError, match="expected True, False or a file's name"):
        texts_only(cache=cache).fit(DATA, DATA.emotion)


@pytest.mark.parametrize(
    "labels",
    [["\N{ANGRY FACE}", "\N{GRINNING FACE}"], ["sad", "Sad!"], [-1, 1], [False, True], ["7", "8"]],
)
def test_labels_may_be_anything(labels):
    y = np.array(labels)[(DATA.emotion == "mad").astype(int)]
    fitted = texts_only().fit(DATA.text, y)
    assert fitted.classes_.tolist() == sorted(labels)
    assert fitted.score(DATA.text, y) > 0.8


def test_a_language_model_needs_labels_it_can_tell_apart():
    y = ["sad", "Sad!"] * 2
    with pytest.raises(SettingsError, match="means both label 1"):
        texts_only(llm=FakeLLM()).fit(list("abcd"), y)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("one text", "X is one text"),
        ({"text": ["a", "b"]}, "X is one mapping"),
        ([], "0 samples"),
        (["a", None], "row 1: expected a text, found None"),
        ([b"a", b"b"], "row 0: expected a text, found b'a'"),
        (np.array([["a"], ["b"]]), "X has 2 dimensions"),
        (pd.DataFrame({"words": ["a", "b"]}), "no column `text`"),
        ([{"text": "a", "dialogue": "d"}, {"text": "b"}], "row 1: no `dialogue`"),
        (pd.DataFrame({"text": ["a", "b"], "dialogue": ["d", None]}), "row 1: no `dialogue`"),
        ([{"text": "a", "turn": 1}, {"text": "b", "turn": 2}], "`turn` and no `dialogue`"),
        ([{"text": t, "dialogue": "d", "turn": 1} for t in "ab"], "rows 0 and 1: both are turn 1"),
        ([{"text": t, "dialogue": "d", "turn": "x"} for t in "ab"], "row 0: turn is 'x'"),
        (["a", "b", "c"], "inconsistent numbers of samples"),
    ],
)
def test_what_cannot_be_used_is_named(table, message):
    with pytest.raises(ValueError, match=message):
        texts_only().fit(table, ["sad", "glad"])


def test_a_parameter_out_of_its_range_is_named_when_it_is_used():
    wrong = texts_only(context_weight=2)
    with pytest.raises(SettingsError, match=r"RagEmoClassifier: index\.context_weight"):
        wrong.fit(DATA, DATA.emotion)
    with pytest.raises(ValueError, match="y has one class, 'sad'"):
        texts_only().fit(["a", "b"], ["sad", "sad"])


def test_the_embedded_embedder_by_name(minilm_folder):
    texts = ["I love it", "What a joy", "So happy", "I hate it", "How awful", "So angry"]
    fitted = RagEmoClassifier().fit(texts, [1, 1, 1, 0, 0, 0])
    assert fitted.predict(["I am happy", "I am furious"]).tolist() == [1, 0]
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(texts), fitted.predict_proba(texts))
