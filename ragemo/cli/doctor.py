"""`ragemo doctor`: what is installed, which models, which endpoint answers."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragemo.cli.console import terminal

if TYPE_CHECKING:
    from ragemo.llm.openai_model import OpenAIModel

PACKAGES = (
    "ragemo",
    "torch",
    "transformers",
    "sentence-transformers",
    "onnxruntime",
    "faiss-cpu",
    "openai",
    "numpy",
    "pandas",
    "xllamacpp",
)


def doctor(
    llm: Annotated[str | None, typer.Option(help="A model of the API to try.")] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server.")] = None,
) -> None:
    """Show what is installed, which models are there, and what an endpoint can do."""
    import asyncio
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from rich.table import Table

    from ragemo.models import EMBEDDED_MODELS, cache_folder, is_ready
    from ragemo.retrieval.embedding.vector_cache import kept_vectors, vectors_folder

    table = Table("what", "found", box=None, show_header=False)
    table.add_row("python", f"{platform.python_version()} on {platform.machine()}")
    for package in PACKAGES:
        try:
            table.add_row(package, version(package))
        except PackageNotFoundError:
            table.add_row(package, "not installed")
    table.add_row("cache", str(cache_folder()))
    for model in EMBEDDED_MODELS.values():
        table.add_row(model.name, "ready" if is_ready(model) else "not fetched yet")
    files, size = kept_vectors()
    table.add_row(
        "kept vectors", f"{files} embedders, {size / 2**20:,.0f} MB in {vectors_folder()}"
    )
    key = "set" if os.environ.get("OPENAI_API_KEY") else "not set"
    table.add_row("OPENAI_API_KEY", key)
    table.add_row("OPENAI_BASE_URL", _without_password(os.environ.get("OPENAI_BASE_URL")))
    if llm or base_url or os.environ.get("OPENAI_BASE_URL"):
        from ragemo.errors import SettingsError
        from ragemo.llm import load_openai
        from ragemo.settings import resolve_settings

        asked = {"llm.model": llm or "default", "llm.base_url": base_url}
        settings = resolve_settings(overrides=asked)
        try:
            endpoint = load_openai(settings.llm, seed=settings.seed)
        except SettingsError as error:
            table.add_row("endpoint", str(error))
        else:
            for name, found in asyncio.run(_describe(endpoint)).items():
                table.add_row(name, _in_words(found))
    terminal().print(table)


def _without_password(url: str | None) -> str:
    from ragemo.llm.sending.endpoint import Endpoint, is_url

    if not url:
        return "not set"
    return Endpoint("", url, "").url if is_url(url) else "no URL"


async def _describe(endpoint: "OpenAIModel") -> dict[str, Any]:
    try:
        return await endpoint.describe()
    finally:
        await endpoint.close()


def _in_words(found: Any) -> str:
    """A finding of `OpenAIModel.describe` for people."""
    if found is None:
        return "unknown"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, list):
        return "\n".join(found) or "none"
    if isinstance(found, dict):
        return ", ".join(f"{name} {value:g}" for name, value in found.items())
    return str(found)
