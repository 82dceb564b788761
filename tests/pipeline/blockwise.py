"""Corpora, an index and an embedder for labelling block by block."""

import json

from ragemo.corpus.stream import CorpusStream
from ragemo.pipeline.streaming import parts_here, predict_stream
from ragemo.retrieval.index import Index
from ragemo.settings import resolve_settings
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.pipeline.inputs import chance

EMBEDDER = FakeEmbedder()


def rows_of(dialogues, salt):
    return [
        {
            "id": f"{name}_{turn}",
            "dialogue_id": name,
            "turn": turn,
            "speaker": "AB"[turn % 2],
            "hypotheses": {
                "asr": f"words {salt} {name} {turn} told{chance(salt, name, turn) % 4}",
                **({"other": f"words {name} else"} if turn % 3 else {}),
            },
            "emotion": LABELS.names[chance(salt, name, turn) % 3],
            "needs_prediction": turn % 5 != 3,
        }
        for name in dialogues
        for turn in range(1 + chance(name) % 7)
    ]


def put(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def index_of(rows, **options):
    own = [
        {
            "dialogue": row["dialogue_id"],
            "text": row["hypotheses"]["asr"],
            "emotion": row["emotion"],
            "speaker": row["speaker"],
        }
        for row in rows
    ]
    return Index.build(make_corpus(own), EMBEDDER, transcript="asr", **options)


TRAIN = rows_of([f"t{n}" for n in range(14)], "train")
INDEX = index_of(TRAIN)
FRESH = rows_of([f"f{n}" for n in range(12)], "fresh")
MIXED = [*rows_of(["f0", "f1"], "fresh"), *TRAIN[:20], *rows_of(["f2", "f3"], "fresh")]
"""Some of the index's own dialogues among others."""
TWINS = [{**r, "id": f"x{r['id']}", "dialogue_id": f"x{r['dialogue_id']}"} for r in TRAIN[:9]]
"""Dialogues of the index under other ids."""

CASES = {
    "fresh": (FRESH, {}),
    "own dialogues": (MIXED, {}),
    "twins": ([*FRESH, *TWINS], {"retrieval.twins": "leave-out"}),
    "limit": (FRESH, {"limit": 11}),
    "limit 1": (FRESH, {"limit": 1}),
    "viterbi": (MIXED, {"voting.dialogue": "viterbi", "voting.abstain_below": 0.5}),
    "majority": (FRESH, {"voting.pool": "majority"}),
    "one system": (FRESH, {"corpus.transcript": "other"}),
    "memory, strategy": (FRESH, {"retrieval.memory": 2, "retrieval.strategy": ["mmr", "random"]}),
}


def settings_of(**overrides):
    return resolve_settings({"llm": {"model": "none"}}, overrides)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def check_same_run(tmp_path, case, make_parts):
    """Parts made in some way become the run that parts made here do."""
    rows, overrides = case
    stream = CorpusStream(put(tmp_path / "a.jsonl", rows), LABELS)
    options = {"index": INDEX, "embedder": EMBEDDER, "block": 10}
    here, run = (
        predict_stream(
            stream, settings_of(**overrides), tmp_path / make.__name__, make_parts=make, **options
        )
        for make in (parts_here, make_parts)
    )
    assert files_of(run.path) == files_of(here.path)


class StoppedError(Exception):
    pass


class Dying(FakeEmbedder):
    """Gives up after so many calls."""

    def __init__(self, calls):
        super().__init__()
        self.left = calls

    def embed(self, texts, progress=lambda done: None):
        self.left -= 1
        if self.left < 0:
            raise StoppedError
        return super().embed(texts, progress)
