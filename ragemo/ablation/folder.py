"""Where an ablation lies on disk.

    ablation.json     what it is: its name, and its cells with their settings and folders
    ablation.yaml     what was asked for, a file of the same ablation without corpus and index
    answers.sqlite    every answer of a language model, shared by all cells, unless they lie
                      elsewhere: `ragemo ablate` keeps them where `ragemo predict` does
    cells/HASH/       a run's folder for each cell, see `ragemo.runs.run`
    result.json       a row for each cell: its figures, with intervals and differences
    costs.json        what was really asked and how long it took; apart, so that all else can be
                      reproduced to the byte
    table.csv         the rows for a spreadsheet
    table.md          the rows for a page
    *.svg, *.png      the plots
    .lock             empty; whoever writes here has it locked

A cell's folder is named by a hash of all that determines its run. A cell whose folder holds a
finished run is not run again, whatever else the ablation has gained since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ragemo import __version__
from ragemo.ablation.design import Cell, Design
from ragemo.errors import RunFolderError
from ragemo.files import (
    canonical_json,
    file_in,
    parse_json,
    sha256_bytes,
    write_json,
    write_text,
)
from ragemo.labels import LabelSet
from ragemo.llm.protocol import ModelOutline
from ragemo.pipeline.voters import weights_hash
from ragemo.prompting.templates import load_template
from ragemo.retrieval.index import Index
from ragemo.runs.locking import lock
from ragemo.runs.run import Run
from ragemo.settings import PACE, Settings
from ragemo.types import Corpus

KIND = "ablation"
"""Tells an ablation's manifest from a run's."""

FORMAT = 1
"""Version of the folder's layout."""

ANSWERS = "answers.sqlite"

LOCK = ".lock"
"""A file of its own, since all others are replaced as they are written, and a lock with them."""


def cell_folder(
    cell: Cell, corpus: Corpus, index: Index | None, models: Sequence[ModelOutline]
) -> str:
    """The cell's folder below the ablation's, named by all that determines its run.

    Args:
        cell, corpus, index: as everywhere.
        models: the cell's language models, or what stands for them in a plan.

    Raises:
        PromptError: if the cell's template cannot be used.
        SettingsError: if its weights cannot be read.
    """
    identity = {
        "ragemo": __version__,
        "settings": cell.settings.model_dump(
            mode="json", exclude={"index": True, "llm": set(PACE)}
        ),
        "corpus": corpus.sha256,
        "labels": _labels(corpus, index).to_dict(),
        "index": index.fingerprint if index else None,
        "models": [model.identity for model in models],
        "template": load_template(cell.settings.prompt.template).sha256 if models else None,
        "weights": weights_hash(cell.settings),
    }
    return f"cells/{sha256_bytes(canonical_json(identity).encode())[:12]}"


def is_finished(folder: Path, settings: Settings, corpus: Corpus, index: Index | None) -> bool:
    """Whether a cell's folder holds its finished run, in which no call failed.

    Raises:
        RunFolderError: if the folder holds another run than its name says, or a damaged one.
    """
    own_place(folder.parents[1], f"{folder.parent.name}/{folder.name}")
    if not (folder / "verdicts.jsonl").is_file():
        return False
    run = Run.open(folder)
    told = {
        "settings": _settings_of(run).model_dump(
            mode="json", exclude={"index": True, "llm": set(PACE)}
        ),
        "corpus": run.manifest["corpus"]["sha256"],
        "labels": run.manifest["labels"],
        "index": run.manifest["index"] and run.manifest["index"]["fingerprint"],
    }
    wanted = {
        "settings": settings.model_dump(mode="json", exclude={"index": True, "llm": set(PACE)}),
        "corpus": corpus.sha256,
        "labels": _labels(corpus, index).to_dict(),
        "index": index.fingerprint if index else None,
    }
    if told != wanted:
        raise _changed(folder, "its manifest is of another run than the folder's name says")
    return run.manifest["llm"] is None or not any(ballot.failed for ballot in run.ballots())


def own_place(out: Path, name: str) -> Path:
    """A place in the ablation's folder, which may be anybody's, if no link leads out of it.

    Raises:
        RunFolderError: if one does.
    """
    path = out / name
    if not path.resolve().is_relative_to(out.resolve()):
        raise RunFolderError(f"{path} leads out of the ablation's folder; remove the link")
    return path


def _settings_of(run: Run) -> Settings:
    try:
        return Settings.model_validate(run.manifest["settings"])
    except ValueError as error:
        why = " ".join(str(error).split())
        raise _changed(run.path, f"its manifest has settings that are none ({why})") from None


def _changed(folder: Path, what: str) -> RunFolderError:
    return RunFolderError(
        f"{folder}: {what}; it was changed by hand. Move it away, and the cell is run again"
    )


def _labels(corpus: Corpus, index: Index | None) -> LabelSet:
    """The labels of a cell's run; a file of labels may change while its path stays."""
    return index.labels if index else corpus.labels


def known_identities(out: Path) -> dict[str, Mapping[str, Any]]:
    """Language models' settings as JSON -> what earlier runs of the ablation found them to be."""
    found = {}
    for file in sorted(out.glob("cells/*/manifest.json")):
        manifest = Run.open(own_place(out, f"cells/{file.parent.name}")).manifest
        if manifest["llm"] is not None:
            with suppress(KeyError, TypeError, AttributeError):  # what ragemo did not write is none
                found[canonical_json(_asked(manifest["settings"]))] = manifest["llm"]
    return found


def known_identity(known: Mapping[str, Mapping[str, Any]], settings: Settings) -> dict[str, Any]:
    """What is known of a cell's first language model; {} if it was never loaded."""
    return dict(known.get(canonical_json(_asked(settings.model_dump(mode="json"))), {}))


def _asked(settings: Mapping[str, Any]) -> list[Any]:
    own = {k: v for k, v in settings["llm"].items() if k not in {"samples", *PACE}}
    return [own, settings["seed"]]


def open_folder(out: Path, *, resume: bool) -> None:
    """Make the ablation's folder, or see that it is one.

    Raises:
        RunFolderError: if something else is there, or an ablation and `resume` is not set.
    """
    manifest = out / "ablation.json"
    if not out.exists() or (out.is_dir() and all(one.name == LOCK for one in out.iterdir())):
        return
    if not manifest.is_file():
        raise RunFolderError(f"{out} exists and is not an ablation; choose another --out")
    if not resume:
        raise RunFolderError(
            f"{out} already holds an ablation; pass --resume to go on with it or to add cells to "
            "it (finished cells are kept), or choose another --out"
        )
    try:
        data = parse_json(file_in(out, manifest.name).read_bytes())
        right = (data["kind"], data["format"]) == (KIND, FORMAT)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{manifest}: cannot be read ({error!r})") from None
    if not right:
        raise RunFolderError(
            f"{manifest}: not an ablation that this ragemo reads; choose another --out"
        )


@contextmanager
def locked_folder(out: Path) -> Iterator[None]:
    """Keep other ablations out of the folder, which is made if there is none.

    Raises:
        RunFolderError: if another process is writing to it, or it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = own_place(out, LOCK).open("ab")
        lock(file, out, "ablation")
    except OSError as error:
        raise _unwritable(out, error) from None
    with file:
        yield


def _unwritable(out: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"{out}: cannot be written: {error}")


def write_manifest(
    out: Path, design: Design, folders: Sequence[str], corpus: Corpus, index: Index | None
) -> None:
    """Say what the ablation is, before anything is run.

    Raises:
        RunFolderError: if it cannot be written.
    """
    import yaml

    data = {
        "kind": KIND,
        "format": FORMAT,
        "ragemo": __version__,
        "name": design.name,
        "corpus": {"file": corpus.path.name, "sha256": corpus.sha256},
        "index": index.fingerprint if index else None,
        "cells": [
            {"name": cell.name, "folder": folder, "settings": dict(cell.overrides)}
            for cell, folder in zip(design.cells, folders, strict=True)
        ],
    }
    try:
        document = dict(design.document)
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
        write_text(out / "ablation.yaml", text)
        write_json(out / "ablation.json", data)
    except OSError as error:
        raise _unwritable(out, error) from None
