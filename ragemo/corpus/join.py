"""Join corpora with different label sets into one, for a repository of demonstrations.

Each corpus's labels are mapped to one target set. An utterance whose label has no counterpart,
or that an earlier corpus has labelled already, stays in its dialogue as context.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ragemo.corpus.twins import twin_dialogues
from ragemo.corpus.words import fold
from ragemo.errors import DataError, SettingsError
from ragemo.files import canonical_json, sha256_bytes
from ragemo.labels import LabelSet, normalise
from ragemo.types import Corpus, Dialogue, Utterance

SAME = 85.0
"""Utterances of twin dialogues that are as similar as this are one utterance, cut or heard
differently; in percent, by `rapidfuzz.fuzz.ratio` of the folded texts."""


@dataclass(frozen=True)
class Part:
    """What became of one of several joined corpora.

    Attributes:
        name: what it is called among them.
        file: its file's name.
        format: the format it was read as.
        sha256: hash of the file's bytes.
        utterances: how many it has.
        labelled: how many of them bear a label of the target set, and will be examples.
        mapped_away: how many are context only because their label has no counterpart.
        duplicates: how many are context only because an earlier corpus has labelled them.
    """

    name: str
    file: str
    format: str
    sha256: str
    utterances: int
    labelled: int
    mapped_away: int
    duplicates: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for manifests."""
        return asdict(self)


@dataclass(frozen=True)
class Joined:
    """Corpora joined into one.

    Attributes:
        corpus: of format "joined"; its path is the first file's, and its hash is over the
            parts' names, hashes and mappings and the target's labels.
        report: what became of each corpus, in their order.
    """

    corpus: Corpus
    report: tuple[Part, ...]


def join_corpora(
    corpora: Sequence[tuple[str, Corpus]],
    labels: LabelSet,
    mappings: Mapping[str, Mapping[str, str | None]],
) -> Joined:
    """Join corpora with different label sets into one.

    The first corpus keeps its ids. Dialogue ids, utterance ids and sessions of every other one
    begin with "NAME/"; speakers do not: those of one name are one speaker, and a character whom
    two corpora call differently is two.

    A duplicate is a labelled utterance of a later corpus that is nearly the same (by `SAME`) as
    a labelled one of an earlier corpus in a dialogue that is the same conversation (see
    `ragemo.corpus.twins`). Equal words elsewhere, such as every "Yeah.", are none.

    Args:
        corpora: (name, corpus), at least one; an utterance that several have labelled keeps the
            label of the first.
        labels: the target label set.
        mappings: name of a corpus -> own label -> target label, or None for a label without
            counterpart: its utterances are context only. A label that is not mentioned is
            looked up in the target set.

    Raises:
        SettingsError: if no corpus is given, two are the same file, names are blank, hold a "/"
            or are given twice, a mapping is of no corpus, or maps to a label that the target set
            does not know.
        DataError: if a label is neither mentioned nor known, or ids are not unique in the end.
    """
    _check_names([name for name, _ in corpora], mappings)
    _check_files(corpora)
    kept: list[Utterance] = []
    before: list[Utterance] = []
    report: list[Part] = []
    for name, corpus in corpora:
        meant = _meanings(name, corpus, labels, mappings.get(name, {}))
        prefix = f"{name}/" if report else ""
        own = [_renamed(u, name, prefix, len(before)) for u in corpus.utterances]
        mapped = [_mapped(u, meant) for u in own]
        doubles = _duplicates(mapped, before)
        before += mapped
        kept += [replace(u, needs_prediction=False) if u.id in doubles else u for u in mapped]
        report.append(
            Part(
                name=name,
                file=corpus.path.name,
                format=corpus.format,
                sha256=corpus.sha256,
                utterances=len(own),
                labelled=sum(_is_labelled(u) for u in mapped) - len(doubles),
                mapped_away=sum(_is_labelled(u) for u in own)
                - sum(_is_labelled(u) for u in mapped),
                duplicates=len(doubles),
            )
        )
    made_of = {
        "labels": labels.names,
        "parts": [(name, c.sha256, dict(mappings.get(name, {}))) for name, c in corpora],
    }
    sha256 = sha256_bytes(canonical_json(made_of).encode())
    path = corpora[0][1].path
    return Joined(Corpus(_dialogues(kept), labels, "joined", path, sha256), tuple(report))


def _check_names(names: Sequence[str], mappings: Mapping[str, object]) -> None:
    if not names:
        raise SettingsError("nothing to join: give at least one corpus")
    for name in names:
        if not name.strip() or "/" in name:
            raise SettingsError(f"a corpus cannot be called {name!r}: expected a name without '/'")
        if names.count(name) > 1:
            raise SettingsError(f"two corpora are called {name!r}; give each a name of its own")
    if strangers := sorted(set(mappings) - set(names)):
        raise SettingsError(
            f"a mapping is given for {', '.join(map(repr, strangers))}, which is no corpus here; "
            f"they are called {', '.join(names)}"
        )


def _check_files(corpora: Sequence[tuple[str, Corpus]]) -> None:
    seen: dict[str, tuple[str, Corpus]] = {}
    for name, corpus in corpora:
        if corpus.sha256 in seen:
            first, same = seen[corpus.sha256]
            raise SettingsError(
                f"corpora {first!r} ({same.path}) and {name!r} ({corpus.path}) have the same "
                "content, byte for byte; give it once"
            )
        seen[corpus.sha256] = name, corpus


def _meanings(
    name: str, corpus: Corpus, labels: LabelSet, mapping: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Every label that the corpus uses -> the target's label in its spelling, or None."""
    declared: dict[str, str | None] = {}
    for own, target in mapping.items():
        found = None if target is None else labels.find(target)
        if target is not None and found is None:
            raise SettingsError(
                f"the mapping of corpus {name!r} turns {own!r} into {target!r}, which is no label "
                f"of {labels.name!r}; its labels are {', '.join(labels.names)}"
            )
        declared[normalise(corpus.labels.find(own) or own)] = found

    used = Counter(u.emotion for u in corpus.utterances if u.needs_prediction and u.emotion)
    meant = {
        emotion: declared[key] if (key := normalise(emotion)) in declared else labels.find(emotion)
        for emotion in used
    }
    unknown = [e for e in used if meant[e] is None and normalise(e) not in declared]
    if unknown:
        found_often = ", ".join(f"{emotion!r} ({used[emotion]} times)" for emotion in unknown)
        raise DataError(
            f"corpus {name!r} has labels that {labels.name!r} does not know: {found_often}. Say "
            f"what each means there in a mapping (a YAML file with `labels:` and below it "
            f"`{unknown[0]}: LABEL`, or `{unknown[0]}: null` to keep such utterances as context "
            f"only) and give it with --map {name}=FILE or mappings=; the labels are "
            f"{', '.join(labels.names)}",
            path=corpus.path,
        )
    return meant


def _renamed(utterance: Utterance, name: str, prefix: str, rows: int) -> Utterance:
    """The utterance with the corpus it is from, and ids that no other corpus has."""
    session = utterance.session
    return replace(
        utterance,
        id=prefix + utterance.id,
        dialogue_id=prefix + utterance.dialogue_id,
        session=session if session is None else prefix + session,
        corpus=name,
        row=rows + utterance.row,
    )


def _mapped(utterance: Utterance, meant: Mapping[str, str | None]) -> Utterance:
    """The utterance with the target's label; context only, with its own, where there is none."""
    if not _is_labelled(utterance):
        return utterance
    emotion = meant[utterance.emotion or ""]
    if emotion is None:
        return replace(utterance, needs_prediction=False)
    return replace(utterance, emotion=emotion)


def _is_labelled(utterance: Utterance) -> bool:
    return utterance.needs_prediction and bool(utterance.emotion)


def _duplicates(own: Sequence[Utterance], earlier: Sequence[Utterance]) -> set[str]:
    """Ids of labelled utterances that were labelled in a twin of their dialogue, too."""
    from rapidfuzz.fuzz import ratio

    labelled: dict[str, list[str]] = defaultdict(list)
    for utterance in filter(_is_labelled, earlier):
        labelled[utterance.dialogue_id] += _folded(utterance)
    twins = twin_dialogues(_hypotheses(earlier), _hypotheses(own))
    return {
        utterance.id
        for utterance in filter(_is_labelled, own)
        if any(
            ratio(one, other, score_cutoff=SAME)
            for twin in sorted(twins.get(utterance.dialogue_id, ()))
            for other in labelled[twin]
            for one in _folded(utterance)
        )
    }


def _folded(utterance: Utterance) -> list[str]:
    """Its distinct hypotheses as words alone; those without a word say nothing."""
    return [text for text in dict.fromkeys(map(fold, utterance.hypotheses.values())) if text]


def _hypotheses(utterances: Sequence[Utterance]) -> Iterator[tuple[str, str]]:
    """(dialogue id, text), one recogniser after the other: each hears the dialogue in order."""
    for system in sorted({name for utterance in utterances for name in utterance.hypotheses}):
        for utterance in utterances:
            yield utterance.dialogue_id, utterance.hypotheses.get(system, "")


def _dialogues(utterances: Iterable[Utterance]) -> tuple[Dialogue, ...]:
    """The dialogues of utterances in corpus order.

    Raises:
        DataError: if two corpora have a dialogue or an utterance of the same id.
    """
    members: dict[str, list[Utterance]] = defaultdict(list)
    seen: dict[str, str] = {}
    for utterance in utterances:
        own = members[utterance.dialogue_id]
        first = own[0].corpus if own else seen.get(utterance.id, utterance.corpus)
        if first != utterance.corpus:
            raise DataError(
                f"corpora {first!r} and {utterance.corpus!r} both have it or its dialogue "
                f"{utterance.dialogue_id!r}; give {utterance.corpus!r} another name",
                record=utterance.id,
            )
        seen[utterance.id] = utterance.corpus
        own.append(utterance)
    return tuple(Dialogue(name, tuple(own)) for name, own in members.items())
