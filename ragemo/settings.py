"""Every setting of a run, in one document: YAML files, flags and manifests all speak of this.

A config file is YAML with these sections; a flag overrides the file, the file overrides the
defaults. What a run resolved to is written into its folder and can be used as a config again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import pydantic
from pydantic_core import PydanticCustomError

from ragemo.errors import SettingsError
from ragemo.files import parse_yaml

DEFAULT_TRANSCRIPT = "consensus-ratio"
"""The transcript strategy where neither the settings nor an index name one."""

PACE = (
    "concurrency",
    "timeout",
    "deadline",
    "attempts",
    "requests_per_minute",
    "tokens_per_minute",
    "give_up_after",
)
"""Fields of `LLMSettings` that change how fast answers come and not what they are."""


_TRUTH = "truth"
"""The type of pydantic's problem with true or false for a number."""


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        """YAML reads yes as true, which pydantic would take for 1."""
        kind = cls.model_fields[info.field_name or ""].annotation
        kinds = get_args(kind) or (kind,)
        if isinstance(value, bool) and (int in kinds or float in kinds):
            wanted = "a whole number" if int in kinds else "a number"
            found = "true" if value else "false"
            raise PydanticCustomError(_TRUTH, f"expected {wanted}, found {found}")
        return value


class CorpusSettings(_Section):
    """How the file is read."""

    format: str = pydantic.Field("auto", description="a corpus format, or auto: by content")
    labels: str | None = pydantic.Field(
        None, description="a label set's name or YAML file; default: the index's or the format's"
    )
    segmentation: Literal["dialogue", "baseline"] = pydantic.Field(
        "dialogue",
        description="GenSEC only: real dialogues, or the official baseline's grouping by id[:6]",
    )
    transcript: str | None = pydantic.Field(
        None,
        description="a transcript strategy, an ASR system, or reference; "
        f"default: the index's, else {DEFAULT_TRANSCRIPT}",
    )


class IndexSettings(_Section):
    """How an index is built."""

    embedder: str = pydantic.Field(
        "minilm", description="minilm (embedded), or any sentence-transformers model"
    )
    precision: Literal["int8", "fp32"] = pydantic.Field("int8", description="of minilm")
    context_weight: float = pydantic.Field(
        0.3, ge=0, lt=1, description="context's share of the similarity"
    )
    context_decay: float = pydantic.Field(
        0.6, gt=0, le=1, description="weight of a turn against the next"
    )
    context_length: int = pydantic.Field(8, ge=0, description="earlier turns in a window's vector")
    factory: str = pydantic.Field(
        "Flat",
        description="FAISS's index factory: Flat (exact), HNSW32, IVF256,Flat, PQ64, ...; auto: by "
        "the number of windows and the memory there is; auto-latency: likewise, for single "
        "questions; lancedb: a table of LanceDB's, exact",
    )


class OnlySettings(_Section):
    """Which labelled windows of an index count; the others are as if they were not in it."""

    corpora: tuple[str, ...] | None = pydantic.Field(None, description="of these corpora")
    speakers: tuple[str, ...] | None = pydantic.Field(None, description="of these speakers")
    sessions: tuple[str, ...] | None = pydantic.Field(None, description="of these sessions")
    labels: tuple[str, ...] | None = pydantic.Field(None, description="with these labels")
    shortest: int = pydantic.Field(0, ge=0, description="of so many words or more")
    longest: int | None = pydantic.Field(None, ge=1, description="of so many words or fewer")


class RetrievalSettings(_Section):
    """Which labelled windows are found."""

    k: int = pydantic.Field(8, ge=0, le=1000, description="demonstrations shown in a prompt")
    strategy: tuple[str, ...] = pydantic.Field(
        ("knn",),
        min_length=1,
        description="how demonstrations are chosen; of several each chooses in turn",
    )
    options: dict[str, dict[str, Any]] = pydantic.Field(
        {}, description="of the strategies, by name, such as {mmr: {relevance: 0.5}}"
    )
    sets: int | None = pydantic.Field(
        None,
        ge=1,
        le=10_000,
        description="so many sets of demonstrations in all, so that prompts begin alike: a target "
        "is shown the nearest one that it may see; default: each target has its own",
    )
    neighbours: int | None = pydantic.Field(
        None,
        ge=0,
        le=10_000,
        description="how many of the most similar windows vote; default: as many as fitted best "
        "when the index was built",
    )
    memory: int = pydantic.Field(
        0,
        ge=0,
        description="turns of the dialogue from before the context that are shown with it, "
        "those most similar to the target",
    )
    only: OnlySettings = OnlySettings()
    context_weight: float | None = pydantic.Field(
        None, ge=0, lt=1, description="context's share of the similarity; default: the index's"
    )
    context_decay: float | None = pydantic.Field(
        None, gt=0, le=1, description="weight of a turn against the next; default: the index's"
    )
    context_length: int | None = pydantic.Field(
        None, ge=0, description="earlier turns in a window's vector; default: the index's"
    )
    exclude: Literal["dialogue", "session", "speaker"] = pydantic.Field(
        "dialogue", description="never shared by a query and its demonstrations"
    )
    exclude_duplicates: bool = pydantic.Field(
        False, description="shut out examples with the query's very words"
    )
    twins: Literal["auto", "leave-out", "keep"] = pydantic.Field(
        "auto",
        description="dialogues of the index that are conversations of the corpus under other ids: "
        "left out, kept, or (auto) left out where the index is of several corpora",
    )
    near_duplicates: float | None = pydantic.Field(
        None,
        gt=0,
        le=1,
        description="shut out examples whose words are as similar to the query's as this "
        "(1: the same; 0.8: of five words one is another)",
    )


class PromptSettings(_Section):
    """What the model is shown."""

    template: str = pydantic.Field("few-shot", description="a shipped template's name, or a file")
    context: int | None = pydantic.Field(
        4, ge=0, description="earlier turns shown before the target; null: the whole dialogue"
    )
    demonstration_context: int = pydantic.Field(
        0, ge=0, description="earlier turns shown before each demonstration"
    )
    order: Literal["nearest-last", "nearest-first", "shuffled"] = pydantic.Field(
        "nearest-last", description="of the demonstrations"
    )
    hypotheses: int = pydantic.Field(
        3,
        ge=1,
        description="transcripts of the target that a template may show, the most different",
    )
    max_tokens: int = pydantic.Field(2048, ge=1, description="token budget of a prompt")


class LLMSettings(_Section):
    """Who is asked, and how."""

    model: str = pydantic.Field(
        "smollm2",
        description="smollm2 (embedded), none (the index votes alone), a folder of a local "
        "model, or a model of the API",
    )
    backend: Literal["auto", "transformers", "openai"] = pydantic.Field(
        "auto",
        description="auto: transformers for smollm2 and folders unless a base_url is given, "
        "openai for the rest",
    )
    base_url: str | None = pydantic.Field(
        None,
        pattern=r"^https?://[^@?#\s]+$",
        description="an OpenAI-compatible server, without a key in it; default: OPENAI_BASE_URL",
    )
    mode: Literal["score", "sample"] = pydantic.Field(
        "score",
        description="local models: score every label exactly, or sample answers",
    )
    samples: int = pydantic.Field(
        1,
        ge=1,
        le=1000,
        description="answers on an utterance: to one prompt, or to as many that differ by "
        "voting.vary",
    )
    others: tuple[str, ...] = pydantic.Field(
        (), description="further models for voting.vary: model, asked the same way"
    )
    temperature: float = pydantic.Field(
        0.7, ge=0, le=2, description="of sampled answers; 0: the most likely answer"
    )
    max_answer_tokens: int = pydantic.Field(16, ge=1, description="an answer is cut there")
    constraint: Literal["auto", "json_schema", "grammar", "none"] = pydantic.Field(
        "auto", description="how an endpoint is held to the labels"
    )
    label_probabilities: bool = pydantic.Field(
        False,
        description="endpoints: an answer brings a distribution over the labels, from its "
        "log-probabilities where there are any; further samples of a prompt then add little",
    )
    concurrency: int = pydantic.Field(
        64, ge=1, le=1024, description="calls in flight at an endpoint, at most"
    )
    timeout: float = pydantic.Field(60, gt=0, description="seconds for one try of a call")
    deadline: float = pydantic.Field(
        600, gt=0, description="seconds for a call with all its tries and waits"
    )
    attempts: int = pydantic.Field(5, ge=1, description="tries of one call before it has failed")
    requests_per_minute: int | None = pydantic.Field(
        None, ge=1, description="requests that an endpoint is sent in a minute, at most"
    )
    tokens_per_minute: int | None = pydantic.Field(
        None, ge=1, description="tokens of prompts and room for answers, likewise"
    )
    give_up_after: int | None = pydantic.Field(
        20, ge=1, description="failed calls in a row after which a run stops; null: never"
    )


class VotingSettings(_Section):
    """How ballots become a verdict."""

    pool: Literal["log", "mean", "dawid-skene", "majority"] = pydantic.Field(
        "log",
        description="weighted product of the voters' evidence, weighted mean, Dawid and Skene's "
        "model, or plain majority of all ballots",
    )
    voters: tuple[str, ...] | None = pydantic.Field(
        None, description="those that count, by name; default: all"
    )
    vary: tuple[
        Literal["transcript", "demos", "context", "template", "model", "temperature"], ...
    ] = pydantic.Field(
        (), description="what differs between the llm.samples prompts of an utterance"
    )
    stop: Literal["posterior", "hard", "none"] = pydantic.Field(
        "posterior",
        description="when further answers are not asked for: the leader is almost sure to stay, "
        "cannot be overtaken, or never",
    )
    stop_threshold: float = pydantic.Field(
        0.95, gt=0.5, lt=1, description="how sure the posterior has to be"
    )
    checks: int = pydantic.Field(
        64,
        ge=0,
        description="labelled windows a language model is tried on to weigh it; at most as many "
        "as are predicted",
    )
    calibration: Literal["batch", "contextual", "none"] = pydantic.Field(
        "batch",
        description="what is taken off as a voter's leaning: its mean over the windows it was "
        "tried on (or the run), what it says of windows without content, or nothing",
    )
    weights: str | None = pydantic.Field(
        None, description="a file of `ragemo calibrate`; default: fitted on the index"
    )
    dialogue: Literal["filter", "viterbi", "none"] = pydantic.Field(
        "filter",
        description="how earlier turns move later ones: causally, by the most likely whole "
        "labelling (looks ahead), or not",
    )
    correction: float | None = pydantic.Field(
        None, ge=0, le=1, description="strength of the prior correction; default: fitted"
    )
    coverage: float = pydantic.Field(
        0.9, gt=0, lt=1, description="share of label sets that shall hold the true label"
    )
    several: Literal["union", "majority", "intersection"] = pydantic.Field(
        "majority",
        description="which labels of answers with several become the verdict's: those of any "
        "answer, of more than half, or of all",
    )
    abstain_below: float = pydantic.Field(
        0, ge=0, le=1, description="verdicts of less confidence are left to a person"
    )


class Settings(_Section):
    """All settings of a prediction run."""

    corpus: CorpusSettings = CorpusSettings()
    index: IndexSettings = IndexSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    prompt: PromptSettings = PromptSettings()
    llm: LLMSettings = LLMSettings()
    voting: VotingSettings = VotingSettings()
    seed: int = pydantic.Field(0, ge=0, description="of all that is drawn")
    limit: int | None = pydantic.Field(
        None, ge=1, description="predict only the first so many utterances"
    )


def read_config(path: Path) -> dict[str, Any]:
    """A config file as plain data, not yet checked against `Settings`.

    Raises:
        SettingsError: if it is missing, not YAML, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such config file") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    try:
        data = parse_yaml(text)
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SettingsError(f"{path}: expected a mapping of sections, found {type(data).__name__}")
    return data


def resolve_settings(
    config: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    source: str = "settings",
) -> Settings:
    """Defaults, then a config, then overrides by dotted name.

    Args:
        config: nested sections, as in a YAML file.
        overrides: dotted names (`retrieval.k`) to values; None is a value, too.
        source: named in errors.

    Raises:
        SettingsError: naming every setting that is unknown or out of its range.
    """
    try:
        return Settings.model_validate(overridden(config, overrides, source))
    except pydantic.ValidationError as error:
        lines = [_complaint(problem) for problem in error.errors()]
        raise SettingsError(f"{source}: " + "; ".join(lines)) from None


def overridden(
    config: Mapping[str, Any] | None, overrides: Mapping[str, Any] | None, source: str
) -> dict[str, Any]:
    """A config with overrides, as plain data that is not yet checked; see `resolve_settings`.

    Raises:
        SettingsError: if an override is of what is no section.
    """
    merged: dict[str, Any] = {}
    for key, value in (config or {}).items():
        if value is None and key in _SECTIONS:
            value = {}  # a section whose lines are all commented out
        merged[key] = dict(value) if isinstance(value, Mapping) else value
    for dotted, value in (overrides or {}).items():
        *sections, name = dotted.split(".")
        place = merged
        for depth, section in enumerate(sections, start=1):
            before = place.get(section, {})
            if not isinstance(before, Mapping):
                raise SettingsError(f"{source}: {'.'.join(sections[:depth])}: {_NO_SECTION}")
            place[section] = dict(before)
            place = place[section]
        place[name] = value
    return merged


_SECTIONS = frozenset(
    name for name, field in Settings.model_fields.items() if isinstance(field.default, _Section)
)
_NO_SECTION = "expected its settings below it, as NAME: VALUE"


def _complaint(problem: Mapping[str, Any]) -> str:
    """What is wrong with one setting."""
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{place}: no such setting"
    if place == "llm.base_url":  # not repeated, since it may hold a password
        return (
            f"{place}: expected an address like http://localhost:8000/v1, without a user, "
            "password, key or query in it; the key belongs in OPENAI_API_KEY"
        )
    if problem["type"] == _TRUTH:
        return f"{place}: {problem['msg']}"
    if problem["type"] == "model_type":
        return f"{place}: {_NO_SECTION}; found {problem['input']!r}"
    return f"{place}: {problem['msg'].lower()}, found {problem['input']!r}"
