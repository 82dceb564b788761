"""Which model, where and with which key; and words of the other side made fit to be kept."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from ragemo.errors import SettingsError

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True)
class Endpoint:
    """A model behind an OpenAI-compatible API.

    Attributes:
        model: its name, as the endpoint knows it.
        base_url: where requests go; may hold a password.
        key: sent with every request; empty where there is none.
    """

    model: str
    base_url: str = field(repr=False)
    key: str = field(repr=False)

    @classmethod
    def find(cls, model: str, base_url: str | None, *, asks: bool) -> Endpoint:
        """The endpoint that an argument and the environment name.

        Args:
            model: its name, as the endpoint knows it.
            base_url: else OPENAI_BASE_URL, else OpenAI's own.
            asks: whether it will be asked; else it needs no key.

        Raises:
            SettingsError: if the URL is none or goes on after its path, or OPENAI_API_KEY is needed
                and missing or cannot be a key.
        """
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        if not is_url(base_url):
            # A URL may hold a password, so it is not repeated.
            raise SettingsError(
                "llm.base_url (or OPENAI_BASE_URL) is no URL; expected something like "
                "http://localhost:8000/v1"
            )
        if re.search("[?#]", base_url):
            # It may hold a key, too.
            raise SettingsError(
                "llm.base_url (or OPENAI_BASE_URL) goes on after its path, with ? or #, where the "
                "OpenAI client has no place for it; expected something like "
                "http://localhost:8000/v1, and a key in OPENAI_API_KEY"
            )
        endpoint = cls(model, base_url, os.environ.get("OPENAI_API_KEY", "").strip())
        if not endpoint.key and endpoint.is_openai and asks:
            raise SettingsError(
                f"{model!r} is taken for a model of the OpenAI API, which needs a key: set "
                "OPENAI_API_KEY (in the environment or in .env), or set "
                "llm.base_url or OPENAI_BASE_URL to a server that needs none, such as the one "
                "that `ragemo models serve` starts"
            )
        if not (endpoint.key.isascii() and endpoint.key.isprintable()) or " " in endpoint.key:
            raise SettingsError(
                "OPENAI_API_KEY has characters that cannot be part of a key; copy it again"
            )
        return endpoint

    @cached_property
    def url(self) -> str:
        """The base URL for people: without a password and whatever follows its path."""
        parts = self._parts
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, place, parts.path, "", "")).rstrip("/")

    @cached_property
    def address(self) -> str:
        """The base URL without user and password, which the client would write into its log."""
        return urlunsplit(self._parts._replace(netloc=self._parts.netloc.rpartition("@")[2]))

    @cached_property
    def login(self) -> tuple[str, str] | None:
        """User and password, where the base URL has them."""
        parts = self._parts
        if parts.username is None:
            return None
        return unquote(parts.username), unquote(parts.password or "")

    @property
    def is_openai(self) -> bool:
        """Whether it is OpenAI's own."""
        host = self._parts.hostname or ""
        return host == "api.openai.com" or host.endswith(".api.openai.com")

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        host = self._parts.hostname or ""
        return host in {"localhost", "::1"} or host.startswith("127.")

    def scrub(self, text: str) -> str:
        """A text of the other side that can be saved as UTF-8, without secrets.

        JSON may hold half of a surrogate pair, which UTF-8 cannot.
        """
        text = text.encode("utf-8", "replace").decode("utf-8")
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return text

    @cached_property
    def _secrets(self) -> tuple[str, ...]:
        """The key and the password, in every form in which they are sent."""
        # What is shorter stands in for a key, and might be part of an ordinary word.
        return tuple(secret for secret in self._sent() if len(secret) >= 6)

    def _sent(self) -> Iterator[str]:
        yield self.key
        if self.login is not None:
            user, password = self.login
            yield b64encode(f"{user}:{password}".encode()).decode()
            yield password or user  # a token may stand where a user's name does
            yield self._parts.password or self._parts.username or ""

    def brief(self, what: object) -> str:
        """Some words of another program, on one line and without secrets."""
        text = " ".join(self.scrub(str(what) or type(what).__name__).split())
        if re.match(r"<(!doctype|html)", text, re.IGNORECASE):
            return "an HTML page"
        return text if len(text) <= 300 else text[:300] + " ..."

    @cached_property
    def _parts(self) -> SplitResult:
        return urlsplit(self.base_url)


def is_url(text: str) -> bool:
    """Whether it is the address of a server."""
    try:
        url = urlsplit(text)
        _ = url.port  # raises if it is no number
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.hostname)
