"""A small run's parts, which the tests of the room share."""

from dataclasses import replace

from ragemo.runs.records import RunUtterance
from ragemo.types import Ballot, Demonstration, Usage, Verdict, Window
from ragemo.voting.panel import Panel
from tests.conftest import LABELS, make_turn

MANIFEST = {
    "ragemo": "0.1.0",
    "settings": {
        "seed": 0,
        "retrieval": {"k": 8, "exclude": "dialogue"},
        "voting": {"voters": None},
        "limit": None,
        "llm": {"model": "smollm2", "concurrency": 8, "timeout": 60.0, "attempts": 5},
    },
    "corpus": {"file": "dev.csv", "format": "plain", "sha256": "0" * 64},
    "transcript": "first",
    "notes": [],
    "uses_reference_transcripts": False,
    "labels": LABELS.to_dict(),
    "index": None,
    "llm": None,
}
UTTERANCES = (
    RunUtterance(make_turn("hé\u2028llo", 0), None, predicted=False),
    RunUtterance(make_turn('"quoted", 😀', 1, session="s1"), "hap", predicted=True, row=7),
    RunUtterance(make_turn("", 2, utterance_id='d,"2'), None, predicted=True),
)
BALLOT = Ballot(
    "d_1",
    "llm",
    sample=2,
    distribution=(0.1, 0.7, 0.2),
    log_likelihoods=(-3.25, -0.5, -1e-9),
    answer="héllo\n\u2028 😀",
    usage=Usage(100, 40, 3, 0.00125, 0.5),
)
OTHERS = [
    Ballot("d_1", "llm", sample=3, answer="perhaps"),
    Ballot("d_1", "llm", sample=4, error="timeout"),
    Ballot("d_1", "llm", sample=5, details={"labels": ["hap"], "cause": None, "valence": -0.5}),
    Ballot("d_1", "neighbours", distribution=(1 / 3, 1 / 3, 1 / 3)),
    Ballot("d_1", "llm", sample=3, answer="perhaps", variant="context 2", purpose="check"),
]
DEMONSTRATION = Demonstration(Window((make_turn("x", dialogue_id="o"),)), "hap", 0.123456)
VERDICTS = [
    Verdict("d_1", "hap", (0.1, 0.7, 0.2), 0.7, 2 / 3, 1, 2, ("hap", "ang"), abstained=True),
    Verdict('d,"2', None, None, 0.0, 0.0, failed=1),
]
DETAILED = replace(
    VERDICTS[0], details={"labels": ["hap", "ang"], "intensity": 1.5, "reasons": "é"}
)
PANELS = [
    {
        "left_out": [place],
        "panel": Panel("log", {"llm": 0.5}, (0.2, 0.3, 0.5)).to_dict(),
        "index_alone": None,
        "weighed": [],
    }
    for place in (-1, 0)
]
REVIEW = '"utterance_id","reasons"\n"d_1","héllo"\n'
