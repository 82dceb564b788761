"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path | None, typer.Option(help="A YAML config; flags override it.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any other setting, as SECTION.NAME=VALUE; repeatable."),
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        help="What this command may ask for at most: 5 or 5usd (dollars), 2000calls, "
        "1000000tokens; repeatable.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="The file in which answers are kept and looked up (default: RAGEMO_ANSWERS, else "
        "answers.sqlite in the folder of `ragemo models list`)."
    ),
]
ShardChoice = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only the I-th of N shares of the dialogues, for one of N jobs; then merge.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but the result.")]
CorpusFormat = Annotated[str | None, typer.Option("--format", help="The corpus's format.")]
Labels = Annotated[str | None, typer.Option(help="A label set's name or YAML file.")]
TranscriptChoice = Annotated[
    str | None, typer.Option(help="A transcript strategy, an ASR system, or reference.")
]
LeaveOut = Annotated[
    str | None,
    typer.Option(
        help="What an utterance shares with nothing that speaks to it: dialogue, session or "
        "speaker."
    ),
]
Pool = Annotated[str | None, typer.Option(help="log, mean, dawid-skene or majority.")]
Voters = Annotated[
    str | None, typer.Option(help="The voters that count, by commas (default: all).")
]
Weights = Annotated[Path | None, typer.Option(help="Weights of `ragemo calibrate`.")]
DialogueSay = Annotated[
    str | None,
    typer.Option(help="How earlier turns move later ones: filter, viterbi or none."),
]
AbstainBelow = Annotated[
    float | None, typer.Option(help="Leave less confident verdicts to a person.")
]
Depth = Annotated[int | None, typer.Option(help="Demonstrations in a prompt; 0: none.")]
Strategy = Annotated[
    str | None,
    typer.Option(
        help="How demonstrations are chosen: knn, hybrid, mmr, dpp, balanced, emotion, ambiguous, "
        "rerank, vote-k or random; of several, by commas, each chooses in turn."
    ),
]
Context = Annotated[
    int | None, typer.Option(help="Earlier turns in a prompt; -1: the whole dialogue.")
]
TemplateChoice = Annotated[str | None, typer.Option(help="A shipped prompt template, or a file.")]
Model = Annotated[
    str | None,
    typer.Option(help="smollm2 (embedded), none, a model's folder, or a model of the API."),
]
BaseUrl = Annotated[
    str | None, typer.Option(help="An OpenAI-compatible server (default: OPENAI_BASE_URL).")
]
Mode = Annotated[str | None, typer.Option(help="Local models: score or sample.")]
