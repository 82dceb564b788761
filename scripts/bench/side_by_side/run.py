"""ragemo beside other ways to label with similar examples: same corpus, model, server and k.

    python scripts/bench/side_by_side/run.py TRAIN DEV [--limit 100] [--systems NAME ...]
        [--environments FOLDER] [--out FILE.json]

TRAIN and DEV are labelled corpora, MELD's for the figures in docs/side-by-side.md. Each system has
an environment of its own in FOLDER, made by pip from the pinned versions in NAME.txt here, unless
it is there; ragemo runs in the one that runs this. All ask one llama.cpp server with the embedded
model (`ragemo models serve`), started anew for each, through a gateway that counts calls and
tokens as the server does and cuts answers at 64 tokens; all embed with the same MiniLM. A system
is shown utterances as texts and does what it does by default; what was set is said in its file.
ragemo is run twice: as the others are used (utterances without context, one answer, the model
alone), and by its defaults (context, labelled windows to weigh the model on, the index's voters).
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from gateway import Gateway
from sklearn.metrics import accuracy_score, f1_score

from ragemo import Index, load_embedder, load_llm, predict, read_corpus, resolve_settings
from ragemo.models import ensure_model
from ragemo.types import Corpus

HERE = Path(__file__).parent
MODEL = "smollm2"
SYSTEMS = {
    "openai-loop": ("openai-loop", "with_openai_loop.py", {}),
    "langchain": ("langchain", "with_langchain.py", {}),
    "scikit-llm": ("scikit-llm", "with_scikit_llm.py", {}),
    "dspy": ("dspy", "with_dspy.py", {}),
    "dspy-labelled": ("dspy", "with_dspy.py", {"ONLY_LABELLED": "1"}),
}
"""Name -> its environment, what runs there, and variables that it is given."""

ALIKE = {
    "prompt.context": 0,
    "prompt.template": "few-shot-chat",
    "retrieval.context_weight": 0,
    "voting.checks": 0,
    "voting.calibration": "none",
    "voting.voters": [MODEL],
    "voting.dialogue": "none",
    "llm.temperature": 0,
}
COLUMNS = (
    "system",
    "weighted F1",
    "accuracy",
    "invalid",
    "calls",
    "prompt tokens",
    "cached",
    "index, s",
    "asking, s",
)
OURS: dict[str, dict[str, Any]] = {"ragemo, as the others": ALIKE, "ragemo": {}}


def main() -> None:
    """Print a row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("dev", type=Path)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--systems", nargs="+", default=[*SYSTEMS, *OURS])
    parser.add_argument("--environments", type=Path, default=Path(tempfile.gettempdir()) / "rivals")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON, too")
    options = parser.parse_args()
    train, dev = read_corpus(options.train), read_corpus(options.dev)
    asked = [u for u in dev.utterances if u.needs_prediction][: options.limit]
    gold = [_word(dev, utterance.emotion) for utterance in asked]
    task = {
        "model": MODEL,
        "embedder": str(ensure_model("minilm")),
        "k": options.k,
        "labels": list(train.labels.words),
        "train": [
            (_text(u), _word(train, u.emotion))
            for u in train.utterances
            if u.needs_prediction and u.emotion
        ],
        "asked": [_text(utterance) for utterance in asked],
    }
    rows = []
    print(f"| {' | '.join(COLUMNS)} |")
    print("| --- |" + " ---: |" * (len(COLUMNS) - 1))
    for name in options.systems:
        with tempfile.TemporaryDirectory() as folder, serving() as upstream:
            gateway = Gateway(upstream)
            if name in OURS:
                outcome = _ours(name, (train, dev), gateway.url, options, Path(folder))
            else:
                outcome = _theirs(name, {**task, "url": gateway.url}, options, Path(folder))
            gateway.close()
        row = _row(name, outcome, gold, gateway.counts, options)
        rows.append(row)
        print(_line(row), flush=True)
        if options.out:
            options.out.write_text(json.dumps(_compared(rows), indent=2) + "\n", encoding="utf-8")


@contextmanager
def serving() -> Iterator[str]:
    """A server of the embedded model; its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ragemo", "models", "serve", "--port", str(port)]
    server = subprocess.Popen(command)
    try:
        while not _answers(port):
            if server.poll() is not None:
                raise RuntimeError("the server has ended; what it said is above")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1/models")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def environment(name: str, folder: Path) -> Path:
    """The Python of a system's environment, which is made unless it is whole already."""
    wanted = (HERE / f"{name}.txt").read_text(encoding="utf-8")
    home = folder / name
    done = home / "installed.txt"
    python = home / "bin" / "python"
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        print(f"installing {name} in {home}", file=sys.stderr)
        venv.create(home, with_pip=True)
        install = [str(python), "-m", "pip", "install", "-q", "-r", str(HERE / f"{name}.txt")]
        subprocess.run(install, check=True)
        done.write_text(wanted, encoding="utf-8")
    return python


def _theirs(
    name: str, task: Mapping[str, Any], options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    place, script, variables = SYSTEMS[name]
    python = environment(place, options.environments)
    given, out = folder / "task.json", folder / "outcome.json"
    given.write_text(json.dumps(task), encoding="utf-8")
    command = [str(python), str(HERE / script), str(given), str(out)]
    subprocess.run(command, check=True, env=_quiet() | variables, stdout=sys.stderr)
    outcome: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return outcome


def _quiet() -> dict[str, str]:
    """The environment, without paths to this one's packages and without a key."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OPENAI_API_KEY")}
    return kept | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def _ours(
    name: str,
    corpora: tuple[Corpus, Corpus],
    url: str,
    options: argparse.Namespace,
    folder: Path,
) -> dict[str, Any]:
    train, dev = corpora
    embedder = load_embedder()
    embedder.embed(["warm"])
    started = time.perf_counter()
    index = Index.build(train, embedder)
    index.save(folder / "index")
    built = time.perf_counter() - started
    settings = resolve_settings(
        {"llm": {"backend": "openai", "base_url": url, "concurrency": 2}},
        {"retrieval.k": options.k, "limit": options.limit, **OURS[name]},
    )
    started = time.perf_counter()
    run = predict(
        dev, settings, folder / "run", index=index, embedder=embedder, llm=load_llm(settings.llm)
    )
    names = dict(zip(index.labels.names, index.labels.words, strict=True))
    asked = time.perf_counter() - started
    said = {verdict.utterance_id: verdict.label for verdict in run.verdicts()}
    own = [b for b in run.ballots() if b.voter == MODEL and b.purpose == "verdict"]
    return {
        "answers": [names.get(label or "") for label in said.values()],
        "invalid": sum(ballot.distribution is None for ballot in own),
        "seconds": {"index": built, "ask": asked},
    }


def _row(
    name: str,
    outcome: Mapping[str, Any],
    gold: Sequence[str],
    counts: Mapping[str, int],
    options: argparse.Namespace,
) -> dict[str, Any]:
    answers = [answer or "" for answer in outcome["answers"]]
    return {
        "system": name,
        "versions": _versions(name),
        "utterances": len(gold),
        "k": options.k,
        "weighted_f1": f1_score(
            gold, answers, labels=sorted(set(gold)), average="weighted", zero_division=0
        ),
        "accuracy": accuracy_score(gold, answers),
        "invalid": outcome.get("invalid", answers.count("")),
        "seconds": outcome["seconds"],
        **counts,
    }


def _versions(name: str) -> list[str]:
    if name in OURS:
        return ["this checkout"]
    return (HERE / f"{SYSTEMS[name][0]}.txt").read_text(encoding="utf-8").split()


def _compared(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every row, and ragemo's time beside each of the others'."""
    by_name = {row["system"]: row for row in rows}
    ours = by_name.get("ragemo, as the others")
    lines = [
        {
            "name": f"asking, {row['utterances']} utterances, beside {row['system']}",
            "ours": ours["seconds"]["ask"],
            "reference": row["seconds"]["ask"],
            "ratio": ours["seconds"]["ask"] / row["seconds"]["ask"],
            "unit": "s",
            "target": None,
            "limited_by": "the server's own computing",
        }
        for row in rows
        if ours and row["system"] not in OURS
    ]
    return {"lines": lines, "rows": list(rows)}


def _line(row: Mapping[str, Any]) -> str:
    seconds = row["seconds"]
    return (
        f"| {row['system']} | {100 * row['weighted_f1']:.1f} | {100 * row['accuracy']:.1f} | "
        f"{row['invalid']} | {row['calls']} | {row['prompt']:,} | "
        f"{row['cached'] / max(row['prompt'], 1):.0%} | {seconds['index']:.1f} | "
        f"{seconds['ask']:.1f} |"
    )


def _text(utterance: Any) -> str:
    return str(next(iter(utterance.hypotheses.values())))


def _word(corpus: Corpus, label: str | None) -> str:
    return corpus.labels.words[corpus.labels.names.index(label or "")]


if __name__ == "__main__":
    main()
