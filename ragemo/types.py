"""The words of the project: one frozen type per idea, passed along unchanged.

A dialogue becomes windows; a window finds its labelled neighbours (demonstrations);
they make a prompt; a prompt brings ballots; ballots make a verdict.

Two guards are built into the shapes. A `Window` is a run of turns that *ends* in its
target, so no later turn fits in it. A `Turn` has neither a gold label nor a reference
transcript, so neither can reach a vector or a prompt by accident.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragemo.errors import DataError, SettingsError
from ragemo.labels import LabelSet

MOST_SHARDS = 100_000
"""More jobs than any cluster gives one user."""

Distribution = tuple[float, ...]
"""Probabilities over a label set, in its order; they sum to 1."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance as the corpus holds it.

    Attributes:
        id: unique within the corpus.
        dialogue_id: the conversation it belongs to.
        turn: its place in the dialogue; strictly rising, gaps allowed, starts at 0 or above.
        speaker: who speaks, as the corpus names them; empty if unknown.
        session: the recording session, where the corpus has sessions.
        hypotheses: ASR system (or written source) -> text; may be empty, texts may be empty.
        reference: the human transcript of an ASR corpus. Never used unless asked for in words.
        emotion: the gold label in the label set's spelling, another emotion's name on an
            utterance that is context only, or None where it is unknown.
        needs_prediction: whether it is to be labelled (and may serve as a demonstration);
            otherwise it is context only.
        row: its place in the file, from 0; dialogues may interleave there.
        profile: what the corpus says of the speaker, in words ("woman, young"); may be empty.
        scene: where the conversation takes place; may be empty.
        stage: which part of the conversation it belongs to ("complaint"); may be empty.
        corpus: which of several joined corpora it comes from; empty if there is only one.
    """

    id: str
    dialogue_id: str
    turn: int
    speaker: str
    hypotheses: Mapping[str, str]
    session: str | None = None
    reference: str | None = None
    emotion: str | None = None
    needs_prediction: bool = True
    row: int = field(default=0, compare=False)
    profile: str = ""
    scene: str = ""
    stage: str = ""
    corpus: str = ""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation: its utterances in order of turn.

    Raises:
        DataError: if it is empty, an utterance is of another dialogue, or turns do not rise.
    """

    id: str
    utterances: tuple[Utterance, ...]

    def __post_init__(self) -> None:
        if not self.utterances:
            raise DataError(f"dialogue {self.id!r} has no utterances")
        previous = -1
        for utterance in self.utterances:
            if utterance.dialogue_id != self.id:
                raise DataError(
                    f"it belongs to dialogue {utterance.dialogue_id!r}, not {self.id!r}",
                    record=utterance.id,
                )
            if utterance.turn <= previous:
                raise DataError(
                    f"turn {utterance.turn} follows turn {previous} in dialogue {self.id!r}; "
                    "each turn must come once, in rising order",
                    record=utterance.id,
                    field="turn",
                )
            previous = utterance.turn


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus file, read and validated.

    Attributes:
        dialogues: in file order.
        labels: the label set of its emotions.
        format: the name of the format it was read as.
        path: where it came from.
        sha256: hash of the file's bytes.
    """

    dialogues: tuple[Dialogue, ...]
    labels: LabelSet
    format: str
    path: Path
    sha256: str

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """All utterances in corpus order."""
        return tuple(u for dialogue in self.dialogues for u in dialogue.utterances)


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several jobs that share a corpus; each works on whole dialogues.

    Attributes:
        number: from 1 on.
        of: how many there are.

    Raises:
        SettingsError: if there is no such number.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of <= MOST_SHARDS:
            raise SettingsError(
                f"shard {self}: expected a number from 1 to that of all shards, which is "
                f"{MOST_SHARDS:,} at most, such as 2/8"
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def read(cls, text: str) -> Shard:
        """A shard as the command line names it, such as "2/8".

        Raises:
            SettingsError: if it is none.
        """
        number, _, of = text.partition("/")
        if not (number.isdecimal() and of.isdecimal() and len(text) < 20):
            raise SettingsError(
                f"--shard {text}: expected the shard's number from 1 on, a slash and how many "
                "there are, such as 2/8"
            )
        return cls(int(number), int(of))


@dataclass(frozen=True, slots=True)
class Turn:
    """An utterance as the models may see it: who spoke, and the chosen transcript.

    It has no gold label and no reference transcript: what is not here cannot leak.

    Attributes:
        text: the chosen transcript; empty where every hypothesis is.
        source: which hypothesis it is (an ASR system's name, "reference", or "" if all empty).
        profile, scene, stage, corpus: as the utterance has them.
        disagreement: how much the ASR systems disagree on it, in [0, 1]; None with fewer than
            two transcripts.
    """

    utterance_id: str
    dialogue_id: str
    turn: int
    speaker: str
    session: str | None
    text: str
    source: str
    profile: str = ""
    scene: str = ""
    stage: str = ""
    corpus: str = ""
    disagreement: float | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A target turn and what was said before it, oldest first.

    The target is the last turn by definition, so a window cannot hold a later one.

    Raises:
        ValueError: if it is empty, mixes dialogues, or its turns do not rise.
    """

    turns: tuple[Turn, ...]

    def __post_init__(self) -> None:
        if not self.turns:
            raise ValueError("a window needs at least its target turn")
        for earlier, later in zip(self.turns, self.turns[1:], strict=False):
            if earlier.dialogue_id != later.dialogue_id or earlier.turn >= later.turn:
                raise ValueError(
                    f"{earlier.utterance_id!r} cannot stand before {later.utterance_id!r} "
                    "in a window: same dialogue and rising turns are required"
                )

    @property
    def target(self) -> Turn:
        """The turn whose emotion is asked for."""
        return self.turns[-1]

    @property
    def context(self) -> tuple[Turn, ...]:
        """The turns before the target, oldest first."""
        return self.turns[:-1]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A labelled training window and its similarity to the query.

    Attributes:
        window: the training window.
        label: its gold label.
        similarity: weighted sum of the cosines of target and context, in [-1, 1].
        soft_label: half its gold label, half what the index's probe says of it; None where
            nothing was asked.
    """

    window: Window
    label: str
    similarity: float
    soft_label: Distribution | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an LLM is asked about one utterance.

    Attributes:
        utterance_id: the target's id.
        messages: the chat messages; the first is the same for every utterance of a run.
        tokens: length in tokens of the model, or an estimate where it has no open tokenizer.
        demonstrations: those shown, the most wanted first.
        dropped_demonstrations: how many did not fit the token budget.
        dropped_context: how many of the oldest turns did not fit it, of memory and context.
        form: what an answer has to look like, one of `ragemo.prompting.forms.FORMS`.
        window: the target with the context that is shown.
        memory: recalled turns that are shown, oldest first.
        hypotheses: transcripts of the target that are shown.
        hint: what the index believes of the target, if that is shown.
    """

    utterance_id: str
    messages: tuple[Message, ...]
    tokens: int
    demonstrations: tuple[Demonstration, ...] = ()
    dropped_demonstrations: int = 0
    dropped_context: int = 0
    form: str = "label"
    window: Window | None = None
    memory: tuple[Turn, ...] = ()
    hypotheses: tuple[str, ...] = ()
    hint: Distribution | None = None

    @property
    def further(self) -> tuple[str, ...]:
        """What else of the conversation is shown beside the window."""
        return (*(turn.text for turn in self.memory), *self.hypotheses)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer cost.

    Attributes:
        prompt_tokens: tokens sent, including cached ones.
        cached_tokens: those of them that the endpoint had cached.
        answer_tokens: tokens answered.
        cost: in US dollars; None where no price is known.
        seconds: latency as seen from here.
        unanswered: requests before it, and for it, that were sent and brought no answer: they ran
            out of time, the connection broke, or what came was damaged or broken off. An endpoint
            may charge for them all the same.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    answer_tokens: int = 0
    cost: float | None = None
    seconds: float = 0.0
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class Ballot:
    """One voter's say on one utterance.

    A bare label is a one-hot distribution. A ballot without a distribution is either invalid
    (an answer came, and it is no label) or failed (no answer came; `error` says why).

    Attributes:
        utterance_id: the target's id.
        voter: who votes, e.g. "neighbours" or "smollm2".
        sample: the number of this answer among the voter's answers to the same prompt, from 0.
        distribution: over the label set, or None.
        log_likelihoods: log P(label | prompt) per label as the model gave it, not normalised
            and not calibrated, where the voter scores labels.
        answer: the raw answer.
        error: why there is no answer, or None.
        variant: what sets its prompt apart from the voter's first one, in words; "" for that one.
        purpose: "verdict"; or "check", cast on a labelled window of the index to learn what the
            voter is worth; or "contentless", cast on a window that says nothing.
        details: what the answer says beside the label, by the names of its form ("evidence",
            "intensity", ...); plain data, ready for JSON.
        together: how many answers on the utterance came with this one, itself included: between
            them nothing was decided.
        from_cache: whether the answer was there before it was asked for. `usage` is then what it
            cost when it was given, which was not paid again.
    """

    utterance_id: str
    voter: str
    sample: int = 0
    distribution: Distribution | None = None
    log_likelihoods: tuple[float, ...] | None = None
    answer: str = ""
    error: str | None = None
    usage: Usage = field(default_factory=Usage)
    variant: str = ""
    purpose: str = "verdict"
    details: Mapping[str, Any] = field(default_factory=dict)
    together: int = 1
    from_cache: bool = False

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What tells it from every other ballot of a run."""
        return (self.purpose, self.utterance_id, self.voter, self.sample)

    @property
    def failed(self) -> bool:
        """Whether no answer came."""
        return self.error is not None

    @property
    def invalid(self) -> bool:
        """Whether an answer came that is no label."""
        return self.error is None and self.distribution is None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one utterance.

    Attributes:
        utterance_id: the target's id.
        label: the winning label, or None if no ballot was usable.
        distribution: over the label set, or None.
        confidence: the label's share in [0, 1]; 0 without a label.
        agreement: share of usable ballots whose own first choice is the label.
        invalid: how many of the ballots were answers that are no label.
        failed: how many of the ballots never got an answer.
        label_set: labels that hold the true one with the coverage that was asked for; () where
            too little is known of one of the voters.
        abstained: whether the confidence is below what the user asks for.
        details: what the ballots for the label say beside it, brought together; plain data.
    """

    utterance_id: str
    label: str | None
    distribution: Distribution | None
    confidence: float
    agreement: float
    invalid: int = 0
    failed: int = 0
    label_set: tuple[str, ...] = ()
    abstained: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
