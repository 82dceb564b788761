"""What cells share: language models, which are loaded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, overload

from ragemo.cores import cores
from ragemo.files import canonical_json, expanded
from ragemo.llm import load_llm, load_others, others_of
from ragemo.llm.protocol import LanguageModel, ModelOutline
from ragemo.llm.tokens import estimate_prompt_tokens
from ragemo.models import EMBEDDED_MODELS, weights_hash
from ragemo.prompting.forms import FORMS
from ragemo.settings import LLMSettings, Settings
from ragemo.types import Message


class Loader(Protocol):
    """Gives the language models of a cell's settings, the first one first; () for none.

    Those that will not be asked (`asks` is False) only count tokens and name prices.
    """

    @overload
    def __call__(self, settings: Settings, asks: Literal[True]) -> Sequence[LanguageModel]: ...

    @overload
    def __call__(self, settings: Settings, asks: Literal[False]) -> Sequence[ModelOutline]: ...


@overload
def load_models(settings: Settings, asks: Literal[True]) -> list[LanguageModel]: ...


@overload
def load_models(settings: Settings, asks: Literal[False]) -> list[ModelOutline]: ...


def load_models(settings: Settings, asks: bool) -> Sequence[ModelOutline]:
    """The language models that the settings name, see `Loader`.

    Where they will not be asked, nothing is loaded and no key is needed: a local model's tokens
    are estimated.

    Raises:
        ModelError, SettingsError: as `load_llm` does.
    """
    if asks:
        first = load_llm(settings.llm, seed=settings.seed)
        return [] if first is None else [first, *load_others(settings)]
    # Each by itself: a model that runs here may stand beside one of an API, which has a price.
    outlines = (_outline(settings, one) for one in (settings.llm, *others_of(settings)))
    return [model for model in outlines if model is not None]


def _outline(settings: Settings, llm: LLMSettings) -> ModelOutline | None:
    if is_local(llm):
        return LocalOutline(settings.model_copy(update={"llm": llm}))
    return load_llm(llm, seed=settings.seed, asks=False)


def is_local(settings: LLMSettings) -> bool:
    """Whether `load_llm` would load the weights into this process."""
    if settings.model == "none" or settings.backend == "openai":
        return False
    here = settings.model in EMBEDDED_MODELS or expanded(settings.model).is_dir()
    return settings.backend == "transformers" or (here and settings.base_url is None)


def models_key(settings: Settings) -> str:
    """The same for two cells whose language models are the same."""
    asked = settings.llm.model_dump(mode="json", exclude={"samples"})
    varying = sorted({"model", "temperature"} & set(settings.voting.vary))
    return canonical_json([asked, varying, settings.seed])


@dataclass(frozen=True)
class LocalOutline:
    """The outline of a local model that is not loaded: tokens are estimated.

    Args:
        settings: which model, and how it would be asked.
        known: its identity from an earlier run, where there was one. It says what cannot be
            known without loading it, such as the number format.
    """

    settings: Settings
    known: Mapping[str, Any] = field(default_factory=dict)

    counts_exactly = False
    answers_per_call = 1

    @property
    def name(self) -> str:
        """See `ModelOutline`."""
        return self.settings.llm.model

    @property
    def identity(self) -> dict[str, Any]:
        """See `ModelOutline`."""
        llm = self.settings.llm
        how = {
            "temperature": llm.temperature,
            "max_answer_tokens": llm.max_answer_tokens,
            "seed": self.settings.seed,
        }
        return dict(self.known) or {
            "backend": "transformers",
            "model": self.name,
            "mode": llm.mode,
            "weights_sha256": weights_hash(self.name),
            **({} if self.exact else how),
        }

    @property
    def exact(self) -> bool:
        """See `ModelOutline`."""
        return self.settings.llm.mode == "score"

    @property
    def concurrency(self) -> int:
        """See `ModelOutline`."""
        return cores() if self.exact else 1

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """About as many as the model would count."""
        return estimate_prompt_tokens(messages)

    def most_answer_tokens(self, form: str) -> int:
        """See `ModelOutline`."""
        return 0 if self.exact else self.settings.llm.max_answer_tokens + FORMS[form].tokens

    def price(self, prompt_tokens: int, answer_tokens: int) -> float | None:
        """Nothing: the model runs here."""
        return 0.0
