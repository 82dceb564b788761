"""Language models: local and behind an API."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ragemo.errors import ModelError, SettingsError
from ragemo.files import expanded
from ragemo.models import EMBEDDED_MODELS

if TYPE_CHECKING:
    from ragemo.llm.openai_model import OpenAIModel
    from ragemo.llm.protocol import LanguageModel
    from ragemo.settings import LLMSettings, Settings

TEMPERATURES = (0.0, 0.7, 1.0)
"""What `voting.vary: [temperature]` takes turns with."""


def load_llm(
    settings: LLMSettings,
    *,
    seed: int = 0,
    asks: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> LanguageModel | None:
    """The language model that the settings name; None for `none`.

    Args:
        settings: which model, and how it is asked.
        seed: of what is drawn.
        asks: whether it will be asked; a dry run only counts, and needs no key.
        say: told in words what takes time.

    Raises:
        ModelError: if a local model cannot be loaded.
        SettingsError: if an API needs a key and there is none.
    """
    if settings.model == "none":
        return None
    local = settings.model in EMBEDDED_MODELS or expanded(settings.model).is_dir()
    # Whoever names a server wants it asked, even for a model that is here, too.
    local = local and settings.base_url is None
    if settings.backend == "auto" and not local and settings.model.startswith((".", "/", "~")):
        # Never send transcripts to an API because of a mistyped path.
        raise ModelError(f"llm.model {settings.model!r} looks like a folder, but there is none")
    if settings.backend == "transformers" or (settings.backend == "auto" and local):
        from ragemo.llm.local_model import LocalModel

        return LocalModel.load(
            settings.model,
            mode=settings.mode,
            temperature=settings.temperature,
            max_answer_tokens=settings.max_answer_tokens,
            seed=seed,
            say=say,
        )
    return load_openai(settings, seed=seed, asks=asks)


def load_others(
    settings: Settings, *, asks: bool = True, say: Callable[[str], None] = lambda line: None
) -> list[LanguageModel]:
    """The further models that `voting.vary` asks for, beside the one of `load_llm`.

    With `model` those of `llm.others`; with `temperature` the same model at each of
    `TEMPERATURES` that is not its own. Both together: each of those models at its own
    temperature, then the first one at the others.

    Raises:
        SettingsError: if models vary and none is given.
    """
    loaded = (load_llm(one, seed=settings.seed, asks=asks, say=say) for one in others_of(settings))
    return [model for model in loaded if model is not None]


def others_of(settings: Settings) -> list[LLMSettings]:
    """How each of the further models is asked, see `load_others`; nothing is loaded.

    Raises:
        SettingsError: if models vary and none is given.
    """
    vary, llm = settings.voting.vary, settings.llm
    if llm.model == "none":
        return []
    if "model" in vary and not llm.others:
        raise SettingsError("voting.vary has model, but llm.others names no further model")
    others = [llm.model_copy(update={"model": name}) for name in llm.others if "model" in vary]
    if "temperature" in vary:
        others += [
            llm.model_copy(update={"temperature": temperature})
            for temperature in TEMPERATURES
            if temperature != llm.temperature
        ]
    return others


def load_openai(settings: LLMSettings, *, seed: int = 0, asks: bool = True) -> OpenAIModel:
    """The model behind an OpenAI-compatible API that the settings name.

    Raises:
        SettingsError: if the API needs a key and there is none.
    """
    from ragemo.llm.openai_model import OpenAIModel

    return OpenAIModel(
        settings.model,
        base_url=settings.base_url,
        temperature=settings.temperature,
        max_answer_tokens=settings.max_answer_tokens,
        seed=seed,
        concurrency=settings.concurrency,
        timeout=settings.timeout,
        deadline=settings.deadline,
        attempts=settings.attempts,
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
        give_up_after=settings.give_up_after,
        constraint=settings.constraint,
        label_probabilities=settings.label_probabilities,
        asks=asks,
    )
