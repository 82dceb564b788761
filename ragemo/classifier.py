"""A scikit-learn classifier: `fit` builds an index of labelled utterances, `predict` asks it.

scikit-learn is loaded with this module and not inside a function, since a classifier has to be a
subclass of its classes; `import ragemo` loads neither.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ragemo.corpus.rows import SOURCE, corpus_of_rows, read_rows
from ragemo.errors import SettingsError
from ragemo.files import expanded
from ragemo.labels import LabelSet
from ragemo.llm import load_llm
from ragemo.llm.keeping.answer_cache import AnswerCache, answers_file
from ragemo.llm.protocol import LanguageModel
from ragemo.pipeline import carry_out, make_plan
from ragemo.pipeline.judge import judge
from ragemo.retrieval.embedding.embedder import Embedder, load_embedder
from ragemo.retrieval.embedding.remembering import RememberingEmbedder
from ragemo.retrieval.index import Index
from ragemo.retrieval.vectors import Composition
from ragemo.settings import LLMSettings, Settings, resolve_settings
from ragemo.types import Verdict

if TYPE_CHECKING:
    # scikit-learn has no types, and a class of unknown bases would have none either.
    class ClassifierMixin:
        """Adds `score`: mean accuracy."""

        score: Callable[..., float]

    class BaseEstimator:
        """Adds the parameters by name."""

        def get_params(self, deep: bool = ...) -> dict[str, Any]:
            """The constructor's parameters."""
            ...

        def __sklearn_tags__(self) -> Any: ...
else:
    from sklearn.base import BaseEstimator, ClassifierMixin

Labels = npt.NDArray[Any]

REMEMBERED = 100_000
"""Texts whose vectors are kept in memory between folds (150 MB with minilm)."""


class RagEmoClassifier(ClassifierMixin, BaseEstimator):
    """Emotion of utterances, from the labelled utterances most similar to them.

    X is a sequence of texts, each a dialogue of its own; or a pandas DataFrame, or a list of
    mappings, with `text` and if you like `dialogue`, `turn` and `speaker` (further columns are
    passed over). With `dialogue` an utterance is seen with what was said before it among the
    rows of X, in order of `turn`, or of the rows without one. Equal dialogues are the same
    dialogue, in `fit` as in `predict`: nothing of an utterance's own dialogue speaks to it, so
    they need names that are unique in all your data.

    Args:
        k: demonstrations in a prompt; without a language model nothing depends on it, on
            `strategy`, `context` and `template`.
        strategy: how demonstrations are chosen, a name or several.
        context: earlier turns in a prompt; None: the whole dialogue.
        template: a prompt template's name, or a file.
        llm: "none": the index's own voters decide alone; "smollm2": the embedded model; another
            model's name; or a `LanguageModel`.
        cache: where answers are kept, so that none is asked for again, not even by
            `predict_proba` after `predict`. True: those of a model given by its name in the user's
            own cache, as by `ragemo predict`; a file: those of any model (a `LanguageModel` is
            told by its `identity`, which has to change where its answers would); False: nowhere.
        embedder: "minilm", the name of a sentence-transformers model, or an `Embedder`.
        context_weight, context_decay, context_length: of earlier turns in a window's vector.
        exclude_duplicates: whether examples with an utterance's very words are shut out.
        pool: how votes are pooled, see `VotingSettings`.
        dialogue: "filter" (earlier turns move later ones) or "none".
        seed: of all that is drawn.

    Attributes:
        classes_: the distinct labels of y, sorted, shape (L,).
        index_: the index that `fit` built.

    No index and no run is left on disk. Everything about a setting is in docs/settings.md.
    """

    def __init__(
        self,
        *,
        k: int = 8,
        strategy: str | Sequence[str] = "knn",
        context: int | None = 4,
        template: str = "few-shot",
        llm: str | LanguageModel = "none",
        cache: bool | str | Path = True,
        embedder: str | Embedder = "minilm",
        context_weight: float = 0.3,
        context_decay: float = 0.6,
        context_length: int = 8,
        exclude_duplicates: bool = False,
        pool: str = "log",
        dialogue: str = "filter",
        seed: int = 0,
    ) -> None:
        self.k = k
        self.strategy = strategy
        self.context = context
        self.template = template
        self.llm = llm
        self.cache = cache
        self.embedder = embedder
        self.context_weight = context_weight
        self.context_decay = context_decay
        self.context_length = context_length
        self.exclude_duplicates = exclude_duplicates
        self.pool = pool
        self.dialogue = dialogue
        self.seed = seed

    def fit(self, X: Any, y: Any) -> RagEmoClassifier:
        """Index labelled utterances.

        Args:
            X: n utterances, see the class.
            y: their labels, shape (n,): texts, or anything else that can be sorted.

        Raises:
            ValueError: if X or y cannot be used, with the row.
            SettingsError: if a parameter is out of its range.
        """
        from sklearn.utils import check_consistent_length, column_or_1d
        from sklearn.utils.multiclass import check_classification_targets

        settings = self._settings()
        self._answers_file()  # checked before anything is embedded
        y = column_or_1d(y, warn=True)
        rows = read_rows(X)
        check_consistent_length(rows, y)
        check_classification_targets(y)
        self.classes_, places = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            one = self.classes_.tolist()[0]
            raise ValueError(f"y has one class, {one!r}; at least two are needed")
        labels = _label_set(self.classes_, named=self.llm != "none")
        gold = [labels.names[place] for place in places]
        index = settings.index
        self.index_ = Index.build(
            corpus_of_rows(rows, labels, "fit", gold),
            self._embedder(),
            transcript=SOURCE,
            composition=Composition(
                weight=index.context_weight, decay=index.context_decay, length=index.context_length
            ),
            seed=self.seed,
        )
        return self

    def predict(self, X: Any) -> Labels:
        """The label of each utterance, shape (n,); see `fit` for the errors."""
        verdicts = self._verdicts(X)
        names = self.index_.labels.names
        shares = self._shares(verdicts)
        places = [
            int(own.argmax()) if verdict.label is None else names.index(verdict.label)
            for verdict, own in zip(verdicts, shares, strict=True)
        ]
        labels: Labels = self.classes_[places]
        return labels

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities in the order of `classes_`, shape (n, L).

        Where nobody has a usable vote they are the shares of the labels in training.
        """
        return self._shares(self._verdicts(X))

    def _shares(self, verdicts: Sequence[Verdict]) -> npt.NDArray[np.float64]:
        shares = np.array([v.distribution or self.index_.prior for v in verdicts], dtype=np.float64)
        shares /= shares.sum(axis=1, keepdims=True)  # verdicts have nine digits
        return shares

    def _verdicts(self, table: Any) -> list[Verdict]:
        """A verdict for each row of X, in its order."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        settings = self._settings()
        rows = read_rows(table)
        corpus = corpus_of_rows(rows, self.index_.labels, "predict", [None] * len(rows))
        llm = _load_llm(settings.llm, self.seed) if isinstance(self.llm, str) else self.llm
        embedder = self._embedder()
        with self._answers() as cache:
            plan = make_plan(corpus, settings, index=self.index_, embedder=embedder, llm=llm)
            if llm is None:
                verdicts = list(judge(plan, plan.ballots, settings.voting).decision.verdicts)
            else:
                with tempfile.TemporaryDirectory() as folder:
                    run = carry_out(plan, settings, Path(folder, "run"), llm=llm, cache=cache)
                    verdicts = run.verdicts()
        by_id = {verdict.utterance_id: verdict for verdict in verdicts}
        return [by_id[f"predict {row}"] for row in range(len(rows))]

    def _settings(self) -> Settings:
        strategy = (self.strategy,) if isinstance(self.strategy, str) else tuple(self.strategy)
        return resolve_settings(
            overrides={
                "corpus.transcript": SOURCE,
                "index.context_weight": self.context_weight,
                "index.context_decay": self.context_decay,
                "index.context_length": self.context_length,
                "retrieval.k": self.k,
                "retrieval.strategy": strategy,
                "retrieval.exclude_duplicates": self.exclude_duplicates,
                "prompt.template": self.template,
                "prompt.context": self.context,
                "llm.model": self.llm if isinstance(self.llm, str) else self.llm.name,
                "voting.pool": self.pool,
                "voting.dialogue": self.dialogue,
                "seed": self.seed,
            },
            source="RagEmoClassifier",
        )

    def _answers(self) -> AbstractContextManager[AnswerCache | None]:
        file = self._answers_file()
        return nullcontext() if file is None else closing(AnswerCache(file))

    def _answers_file(self) -> Path | None:
        """Where answers are kept.

        Raises:
            SettingsError: if `cache` says nothing of the kind.
        """
        named = isinstance(self.llm, str)
        if isinstance(self.cache, bool):
            file = answers_file() if self.cache and named else None
        elif isinstance(self.cache, str | Path) and str(self.cache):
            file = expanded(self.cache)
        else:
            raise SettingsError(f"cache is {self.cache!r}, expected True, False or a file's name")
        return None if named and self.llm == "none" else file

    def _embedder(self) -> Embedder:
        return _load_embedder(self.embedder) if isinstance(self.embedder, str) else self.embedder

    def __sklearn_clone__(self) -> RagEmoClassifier:
        # Models are shared: they do not change, and a loaded one cannot be copied.
        return type(self)(**self.get_params(deep=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


# Models are loaded once, since cross-validation clones the classifier for every fold; and they are
# kept outside of it, so that it can be pickled.
@lru_cache(maxsize=1)
def _load_embedder(name: str) -> Embedder:
    return RememberingEmbedder(load_embedder(name), most=REMEMBERED)


@lru_cache(maxsize=1)
def _load_llm(settings: LLMSettings, seed: int) -> LanguageModel | None:
    return load_llm(settings, seed=seed)


def _label_set(classes: Labels, *, named: bool) -> LabelSet:
    """The labels of y as a set, in the order of `classes_`.

    Two labels of one spelling ("sad" and "Sad!") and labels without a letter cannot be asked
    for. Where nobody is asked they go by their numbers.

    Raises:
        SettingsError: if a language model would have to tell them apart.
    """
    try:
        return LabelSet.from_dict({"name": "y", "labels": [str(name) for name in classes]}, "y")
    except SettingsError:
        if named:
            raise
        numbers = [f"class {place}" for place in range(len(classes))]
        return LabelSet.from_dict({"name": "y", "labels": numbers}, "y")
