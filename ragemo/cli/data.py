"""`ragemo data`: check corpus files and convert between formats."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragemo.cli.console import note, tell, terminal
from ragemo.cli.options import Overwrite

if TYPE_CHECKING:
    from ragemo.corpus import CorpusReport

app = typer.Typer(no_args_is_help=True)

FORMAT_HELP = "gensec, cped, meld, emorynlp, topicalchat, plain, or auto: by content."
LABELS_HELP = "A label set's name or YAML file (default: the format's)."


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Corpus files.")],
    format_: Annotated[
        str, typer.Option("--format", help="table, or json (one object a file).")
    ] = "table",
    source_format: Annotated[str, typer.Option("--from", help=FORMAT_HELP)] = "auto",
    labels: Annotated[str | None, typer.Option(help=LABELS_HELP)] = None,
) -> None:
    """Show what corpus files hold and everything that is wrong with them (then exit code 2)."""
    from ragemo.corpus import check_corpus
    from ragemo.errors import SettingsError

    if format_ not in ("table", "json"):
        raise SettingsError(f"--format {format_}: expected table or json")
    reports = []
    for file in files:
        report = check_corpus(file, format=source_format, labels=labels)
        reports.append(report)
        if format_ == "json":
            # Escaped: a damaged file may hold what the terminal cannot show.
            tell(json.dumps(report.to_dict()))
        else:
            _print(report)
    if any(report.problems for report in reports):
        raise typer.Exit(2)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="The corpus file to read.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The file to write.")],
    to: Annotated[
        str, typer.Option("--to", help="gensec, cped, meld, emorynlp, topicalchat or plain.")
    ] = "plain",
    source_format: Annotated[str, typer.Option("--from", help=FORMAT_HELP)] = "auto",
    labels: Annotated[str | None, typer.Option(help=LABELS_HELP)] = None,
    transcript: Annotated[
        str | None,
        typer.Option(help="How to choose the one text to write (default: all hypotheses)."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a corpus in another format; notes say what that format cannot hold."""
    from ragemo.corpus import convert_corpus, read_corpus
    from ragemo.files import check_replaceable

    check_replaceable(target, overwrite=overwrite, read=[source])
    corpus = read_corpus(source, format=source_format, labels=labels)
    texts: dict[str, str] = {}
    if transcript is not None:
        from ragemo.corpus.transcripts import REFERENCE, choose_transcripts

        utterances = corpus.utterances
        chosen = choose_transcripts(utterances, transcript)
        texts = {u.id: choice.text for u, choice in zip(utterances, chosen, strict=True)}
        if any(choice.source == REFERENCE for choice in chosen):
            note("note: the text written is the human transcript; no recogniser heard it so")
    choose = None if transcript is None else lambda utterance: texts[utterance.id]
    for line in convert_corpus(corpus, target, to, transcript=choose):
        note(f"note: {line}")
    tell(f"{target}: {len(corpus.utterances)} utterances as {to}")


def _print(report: "CorpusReport") -> None:
    from rich.table import Table

    console = terminal()
    if report.turns:
        fewest, middle, most = report.turns
        table = Table(title=str(report.path), show_header=False, box=None, title_justify="left")
        labels = f"{report.label_set or 'none'}: " + ", ".join(
            f"{name} {count:,}" for name, count in report.labels.items()
        )
        rows = {
            "format": report.format,
            "dialogues": f"{report.dialogues:,}",
            "utterances": f"{report.utterances:,}, {report.to_predict:,} to predict",
            "turns per dialogue": f"{fewest} to {most}, median {middle:g}",
            "speakers": f"{report.speakers:,}",
            "sessions": f"{report.sessions:,}",
            "labels": labels,
            "without any text": f"{report.without_text:,}",
            "repeated word for word": f"{report.repeated:,}",
        }
        for name, value in rows.items():
            table.add_row(name, value)
        for name, system in report.systems.items():
            table.add_row(
                f"text: {name}",
                f"{system.texts:,}, {system.empty:,} empty, {system.mean_words:.1f} words a text",
            )
        console.print(table)
    for problem in report.problems:
        console.print(str(problem), soft_wrap=True)
    if not report.problems:
        console.print("no problems")


@app.command()
def select(
    file: Annotated[Path, typer.Argument(help="A corpus; labels are not looked at.")],
    count: Annotated[int, typer.Option(min=1, help="How many utterances to choose.")] = 200,
    out: Annotated[
        Path | None, typer.Option(help="A CSV file to write (default: standard output).")
    ] = None,
    overwrite: Overwrite = False,
    source_format: Annotated[str, typer.Option("--from", help=FORMAT_HELP)] = "auto",
    labels: Annotated[str | None, typer.Option(help=LABELS_HELP)] = None,
    transcript: Annotated[
        str | None, typer.Option(help="A transcript strategy, an ASR system, or reference.")
    ] = None,
    embedder: Annotated[
        str, typer.Option(help="minilm, or any sentence-transformers model.")
    ] = "minilm",
) -> None:
    """Choose the utterances most worth labelling (vote-k), the most worth first."""
    from ragemo.corpus import read_corpus
    from ragemo.files import check_replaceable, write_text
    from ragemo.retrieval.embedding.embedder import load_embedder
    from ragemo.retrieval.select import select_turns, turns_csv
    from ragemo.settings import DEFAULT_TRANSCRIPT

    if out is not None:
        check_replaceable(out, overwrite=overwrite, read=[file])
    corpus = read_corpus(file, format=source_format, labels=labels)
    model = load_embedder(embedder, say=note)
    turns = select_turns(corpus, model, count, transcript=transcript or DEFAULT_TRANSCRIPT)
    table = turns_csv(turns)
    if out is None:
        tell(table, end="")
    else:
        write_text(out, table)
        note(f"{out}: {len(turns)} utterances")
