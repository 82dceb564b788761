"""Language models: local and behind an API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ragemo.errors import ModelError
from ragemo.models import EMBEDDED_MODELS

if TYPE_CHECKING:
    from ragemo.llm.openai_model import OpenAIModel
    from ragemo.llm.protocol import LanguageModel
    from ragemo.settings import LLMSettings


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
    local = settings.model in EMBEDDED_MODELS or Path(settings.model).expanduser().is_dir()
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
        attempts=settings.attempts,
        constraint=settings.constraint,
        asks=asks,
    )
