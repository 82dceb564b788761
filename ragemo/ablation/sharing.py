"""What cells share: language models, which are loaded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragemo.cores import cores
from ragemo.files import canonical_json
from ragemo.labels import LabelSet
from ragemo.llm import TEMPERATURES, load_llm, load_others
from ragemo.llm.protocol import LanguageModel
from ragemo.llm.tokens import estimate_prompt_tokens
from ragemo.models import EMBEDDED_MODELS, weights_hash
from ragemo.prompting.forms import FORMS
from ragemo.settings import LLMSettings, Settings
from ragemo.types import Ballot, Message, Prompt

Loader = Callable[[Settings, bool], Sequence[LanguageModel]]
"""(settings, whether they will be asked) -> the language models of a cell, the first one first;
() for none. Those that will not be asked only count tokens and name prices."""


def load_models(settings: Settings, asks: bool) -> list[LanguageModel]:
    """The language models that the settings name, see `Loader`.

    Where they will not be asked, nothing is loaded and no key is needed: a local model's tokens
    are estimated.

    Raises:
        ModelError, SettingsError: as `load_llm` does.
    """
    llm, vary = settings.llm, settings.voting.vary
    if asks or not is_local(llm):
        first = load_llm(llm, seed=settings.seed, asks=asks)
        return [] if first is None else [first, *load_others(settings, asks=asks)]
    # As many others as `load_others` would load; they are outlined like the first.
    others = [llm.model_copy(update={"model": name}) for name in llm.others if "model" in vary]
    if "temperature" in vary:
        warm = [t for t in TEMPERATURES if t != llm.temperature]
        others += [llm.model_copy(update={"temperature": t}) for t in warm]
    return [LocalOutline(settings.model_copy(update={"llm": one})) for one in (llm, *others)]


def is_local(settings: LLMSettings) -> bool:
    """Whether `load_llm` would load the weights into this process."""
    if settings.model == "none" or settings.backend == "openai":
        return False
    here = settings.model in EMBEDDED_MODELS or Path(settings.model).expanduser().is_dir()
    return settings.backend == "transformers" or (here and settings.base_url is None)


def models_key(settings: Settings) -> str:
    """The same for two cells whose language models are the same."""
    asked = settings.llm.model_dump(mode="json", exclude={"samples"})
    varying = sorted({"model", "temperature"} & set(settings.voting.vary))
    return canonical_json([asked, varying, settings.seed])


@dataclass(frozen=True)
class LocalOutline:
    """Stands for a local model in a plan: it estimates tokens and is never asked.

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
        """See `LanguageModel`."""
        return self.settings.llm.model

    @property
    def identity(self) -> dict[str, Any]:
        """See `LanguageModel`."""
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
        """See `LanguageModel`."""
        return self.settings.llm.mode == "score"

    @property
    def concurrency(self) -> int:
        """See `LanguageModel`."""
        return cores() if self.exact else 1

    @property
    def remarks(self) -> tuple[str, ...]:
        """None: a plan asks nobody."""
        return ()

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """About as many as the model would count."""
        return estimate_prompt_tokens(messages)

    def most_answer_tokens(self, form: str) -> int:
        """See `LanguageModel`."""
        return 0 if self.exact else self.settings.llm.max_answer_tokens + FORMS[form].tokens

    def price(self, prompt_tokens: int, answer_tokens: int) -> float | None:
        """Nothing: the model runs here."""
        return 0.0

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """Never: a plan asks nobody."""
        raise NotImplementedError("an outline of a model cannot be asked")

    async def close(self) -> None:
        """There is nothing to let go of."""
