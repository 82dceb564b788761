"""Every error that ragemo raises on purpose.

    RagemoError                 anything the user can act on; the command line prints it
    ├── DataError               a corpus file is not what it should be
    ├── SettingsError           a setting, a flag or a config file is wrong
    ├── IndexFolderError        an index is missing, damaged or does not fit the query
    ├── RunFolderError          a run folder is missing, damaged or in use
    ├── PromptError             a template cannot be used, or no prompt fits the budget
    ├── ModelError              a model cannot be fetched or loaded, or gives what cannot be kept
    ├── EndpointError           an LLM endpoint refused or failed (`retryable` says which)
    └── PendingError            nothing is wrong: answers that were asked for by file are to come

A message names what was looked at, what was found, what was expected and what to do.
"""

from __future__ import annotations

from pathlib import Path


class RagemoError(Exception):
    """Base of all errors meant for people: shown without a traceback, exit code 2."""


class DataError(RagemoError):
    """A corpus file is not what it should be.

    Args:
        message: what was found, what was expected, what to do.
        path: the file.
        line: 1-based line, where one is known.
        field: the column or key, where one is known.
        record: the id of the utterance, where one is known.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        field: str | None = None,
        record: str | None = None,
    ) -> None:
        self.message = message
        self.path = path
        self.line = line
        self.field = field
        self.record = record
        super().__init__(str(self))

    def __str__(self) -> str:
        place = str(self.path) if self.path is not None else ""
        if self.line is not None:
            place += f":{self.line}" if place else f"line {self.line}"
        details = []
        if self.record is not None:
            details.append(f"utterance {self.record!r}")
        if self.field is not None:
            details.append(f"field {self.field!r}")
        if details:
            place = f"{place} ({', '.join(details)})" if place else ", ".join(details)
        return f"{place}: {self.message}" if place else self.message


class SettingsError(RagemoError):
    """A setting, a flag or a config file is wrong."""


class IndexFolderError(RagemoError):
    """An index is missing, damaged, or does not fit what is asked of it."""


class RunFolderError(RagemoError):
    """A run folder is missing, damaged, in use, or of other settings."""


class PromptError(RagemoError):
    """A template cannot be used, or no prompt fits the token budget."""


class ModelError(RagemoError):
    """A model cannot be fetched, verified or loaded, or gives what cannot be used."""


class EndpointError(RagemoError):
    """An LLM endpoint refused or failed.

    Args:
        message: what happened and what to do.
        retryable: whether the same call may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class PendingError(RagemoError):
    """What was asked for by file is not answered yet; going on later asks nothing again."""
