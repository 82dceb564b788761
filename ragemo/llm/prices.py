"""What an answer costs: a small dated table of list prices, which a user's file can extend."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from ragemo.errors import SettingsError
from ragemo.files import expanded, parse_yaml


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens.

    Attributes:
        prompt: for tokens sent.
        cached: for those of them that the endpoint had cached.
        answer: for tokens answered, thoughts included.
        as_of: the day the price was last checked, ISO 8601; empty if nobody said.
        batch: the share of all these that is paid for what is asked in a batch; 1: no discount.
    """

    prompt: float
    cached: float
    answer: float
    as_of: str = ""
    batch: float = 1.0

    def cost(
        self,
        prompt_tokens: int,
        cached_tokens: int,
        answer_tokens: int,
        *,
        batch: bool = False,
    ) -> float:
        """US dollars for so many tokens.

        Args:
            prompt_tokens: includes the cached ones.
            cached_tokens: those of them that the endpoint had cached.
            answer_tokens: thoughts included.
            batch: whether they were asked for in a batch.
        """
        dollars = (
            (prompt_tokens - cached_tokens) * self.prompt
            + cached_tokens * self.cached
            + answer_tokens * self.answer
        ) / 1e6
        return dollars * self.batch if batch else dollars


FREE = Price(0.0, 0.0, 0.0)


def find_price(model: str, *, local: bool = False) -> Price | None:
    """The price of a model, or None where it is not known.

    A user's own entry (in the file named by RAGEMO_PRICES) comes first. Without one, a server on
    this machine is free, and any other model has the shipped list price. A snapshot's date is
    not part of a name: `gpt-4o-2024-08-06` costs what `gpt-4o` does, unless it has its own entry.

    Args:
        model: as the endpoint calls it.
        local: whether the endpoint runs on this machine.

    Raises:
        SettingsError: if the user's file is not a table of prices.
    """
    names = (model, re.sub(r"-\d{4}-\d{2}-\d{2}$", "", model))
    own, shipped = _own_prices(), _shipped_prices()
    if found := next((own[name] for name in names if name in own), None):
        return found
    if local:
        return FREE
    return next((shipped[name] for name in names if name in shipped), None)


def prices_in_force() -> dict[str, tuple[Price, str]]:
    """Model -> its price and the file that it comes from, by name; see `find_price`.

    Raises:
        SettingsError: if the user's file is not a table of prices.
    """
    listed = {model: (price, "ragemo") for model, price in _shipped_prices().items()}
    own = os.environ.get("RAGEMO_PRICES", "")
    listed |= {model: (price, own) for model, price in _own_prices().items()}
    return dict(sorted(listed.items()))


def _shipped_prices() -> dict[str, Price]:
    text = files("ragemo").joinpath("llm/prices.yaml").read_text(encoding="utf-8")
    return read_prices(text, "prices.yaml")


def _own_prices() -> dict[str, Price]:
    """The prices of the file that RAGEMO_PRICES names."""
    chosen = os.environ.get("RAGEMO_PRICES")
    if not chosen:
        return {}
    path = expanded(chosen)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"RAGEMO_PRICES: {path} cannot be read: {error}") from None
    return read_prices(text, f"RAGEMO_PRICES: {path}")


MOST = 1e9
"""USD per million tokens; no price is higher."""


def read_prices(text: str, source: str) -> dict[str, Price]:
    """A table of prices from YAML: model -> {prompt, answer} and, optional, {cached, batch, as_of}.

    Raises:
        SettingsError: naming `source`, the model and the field.
    """
    try:
        data = parse_yaml(text)
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SettingsError(f"{source}: expected a mapping of model names to prices")
    return {str(model): _read_price(entry, f"{source}: {model}") for model, entry in data.items()}


def _read_price(entry: Any, place: str) -> Price:
    if not isinstance(entry, dict) or not {"prompt", "answer"} <= set(entry):
        raise SettingsError(f"{place}: expected `prompt` and `answer` in USD per million tokens")
    if unknown := set(entry) - {"prompt", "cached", "answer", "batch", "as_of"}:
        raise SettingsError(
            f"{place}: unknown {sorted(map(str, unknown))}; known are prompt, cached, answer, "
            "batch, as_of"
        )
    rates = {"cached": entry["prompt"], "batch": 1.0, **entry}
    for field in ("prompt", "cached", "answer", "batch"):
        rate = rates[field]
        number = isinstance(rate, int | float) and not isinstance(rate, bool)
        if not number or not 0 <= rate <= MOST:  # of NaN neither is true
            raise SettingsError(
                f"{place}: {field} is {rate!r}, expected USD per million tokens, 0 or more"
            )
    if rates["batch"] > 1:
        raise SettingsError(f"{place}: batch is {rates['batch']!r}, expected a share from 0 to 1")
    return Price(
        prompt=float(rates["prompt"]),
        cached=float(rates["cached"]),
        answer=float(rates["answer"]),
        as_of=str(entry.get("as_of", "")),
        batch=float(rates["batch"]),
    )
