"""What templates ask for beside the label, from an endpoint's answers to the run's files."""

import csv
import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import asking

ROWS = """id,dialogue_id,turn,speaker,text,emotion
d_0,d,0,Ann,The shop has closed for good.,neutral
d_1,d,1,Ben,"Oh no, I loved that place!",sad
d_2,d,2,Ann,They took my money.,angry
"""


@pytest.fixture
def talk(workplace):
    """One dialogue of three turns, labelled with happy, sad, angry and neutral."""
    file = workplace / "talk.csv"
    file.write_text(ROWS, encoding="utf-8")
    return file


@pytest.fixture
def answered(command, scenario, talk):
    """Predict with answers given in turn; what the command said."""

    def run(template, *answers, more=()):
        texts = [text if isinstance(text, str) else json.dumps(text) for text in answers]
        scenario.script(answers=texts)
        flags = ["--base-url", scenario.url, "--labels", "gensec", "--template", template]
        return command(*asking(talk, *flags, *more))

    return run


def read(name):
    return [json.loads(line) for line in (Path("run") / name).read_text().splitlines()]


def details():
    return {verdict["utterance_id"]: verdict["details"] for verdict in read("verdicts.jsonl")}


def predictions():
    with Path("run/predictions.csv").open(newline="", encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_a_quote_that_nobody_said_is_told_and_its_label_counts(answered):
    done = answered(
        "explain",
        "neutral",
        {"label": "sad", "evidence": "i loved that place"},
        {"label": "angry", "evidence": "they stole my car"},
    )
    assert (done.code, done.out) == (0, "run: 3 utterances\n"), done.err
    assert "evidence: 1 of 2 quotes do not stand in what the model was shown" in done.err
    rows = predictions()
    assert {key: row["label"] for key, row in rows.items()} == {
        "d_0": "neu",
        "d_1": "sad",
        "d_2": "ang",
    }
    # Only a quote that stands there is passed on; the raw ballots keep both.
    assert {key: row["evidence"] for key, row in rows.items()} == {
        "d_0": "",
        "d_1": "i loved that place",
        "d_2": "",
    }
    told = {ballot["utterance_id"]: ballot["details"] for ballot in read("ballots.jsonl")}
    assert told["d_1"] == {"evidence": "i loved that place", "found": True}
    assert told["d_2"] == {"evidence": "they stole my car", "found": False}


def test_no_word_of_quotes_where_none_was_asked_for(answered):
    assert "evidence" not in answered("zero-shot", "neutral").err


def test_what_was_said_later_is_no_evidence(answered):
    done = answered("explain", {"label": "sad", "evidence": "They took my money."})
    assert "evidence: 2 of 3 quotes do not stand" in done.err
    assert details()["d_2"] == {"evidence": "They took my money."}


LISTS = [["sad", "angry"], ["angry"], ["happy", "angry"]]


@pytest.mark.parametrize(
    ("several", "expected"),
    [("union", "hap|sad|ang"), ("majority", "ang"), ("intersection", "ang")],
)
def test_labels_of_several_answers(answered, several, expected):
    more = ["--samples", 3, "--set", f"voting.several={several}", "--set", "voting.stop=none"]
    done = answered("several", *[{"labels": names} for names in LISTS], more=more)
    assert done.code == 0, done.err
    assert [row["labels"] for row in predictions().values()] == [expected] * 3
    assert {row["label"] for row in predictions().values()} == {"ang"}
    assert details()["d_0"] == {"labels": expected.split("|")}


def test_where_answers_share_no_label_the_verdict_s_own_is_left(answered):
    lists = [["sad"], ["angry"], ["angry"]]
    more = ["--samples", 3, "--set", "voting.several=intersection", "--set", "voting.stop=none"]
    answered("several", *[{"labels": names} for names in lists], more=more)
    assert {row["labels"] for row in predictions().values()} == {"ang"}


def test_intensity_valence_and_arousal(answered):
    rated = [
        {"label": "sad", "intensity": 3, "valence": -0.5, "arousal": 0.25},
        {"label": "sad", "intensity": 2, "valence": -1, "arousal": 0},
        {"label": "happy", "intensity": 1, "valence": 1, "arousal": 1},
    ]
    more = ["--samples", 3, "--set", "voting.stop=none"]
    assert answered("rate", *rated, more=more).code == 0
    row = predictions()["d_1"]
    # Of those for the verdict's label alone.
    assert (row["label"], row["intensity"], row["valence"], row["arousal"]) == (
        "sad",
        "2.5",
        "-0.75",
        "0.12",
    )


def test_a_cause_is_a_turn_by_its_id(answered, scenario):
    done = answered(
        "cause",
        {"label": "neutral", "cause": 1},
        {"label": "sad", "cause": 1},
        {"label": "angry", "cause": 3},
        more=["--context", 2],
    )
    assert done.code == 0, done.err
    causes = {key: row["cause"] for key, row in predictions().items()}
    assert causes == {"d_0": "d_0", "d_1": "d_0", "d_2": "d_2"}
    numbered = re.findall(r"^\d\. .*$", scenario.seen[-1]["messages"][-1]["content"], re.MULTILINE)
    assert numbered == [
        '1. Ann: "The shop has closed for good."',
        '2. Ben: "Oh no, I loved that place!"',
        '3. Ann: "They took my money."',
    ]


def test_a_turn_that_was_not_shown_is_no_cause(answered):
    done = answered("cause", {"label": "sad", "cause": 3}, more=["--context", 1])
    assert (done.code, done.out) == (0, "run: 3 utterances\n")
    assert all(known.get("cause") is None for known in details().values())


@pytest.mark.parametrize(
    "bad",
    [
        {"label": "sad", "intensity": 4, "valence": 0, "arousal": 0},
        {"label": "sad", "intensity": 1.5, "valence": 0, "arousal": 0},
        {"label": "sad", "intensity": 1, "valence": -2, "arousal": 0},
        {"label": ["sad", "angry"], "intensity": 1, "valence": 0, "arousal": 0},
        {"label": "sad or angry", "intensity": 1, "valence": 0, "arousal": 0},
        '{"label": "sad", "label": "angry", "intensity": 1, "valence": 0, "arousal": 0}',
        {"label": "sad"},
        {"labels": ["sad"]},
    ],
)
def test_an_answer_that_breaks_its_form_is_counted_and_shown(answered, bad):
    done = answered("rate", "happy", bad, "neutral")
    assert (done.code, done.out) == (
        0,
        "run: 3 utterances, 1 without a label, 1 with an answer that is no label\n",
    )
    raw = bad if isinstance(bad, str) else json.dumps(bad)
    broken = read("ballots.jsonl")[1]
    assert (broken["answer"], broken["distribution"], broken["error"]) == (raw, None, None)
    assert [verdict["invalid"] for verdict in read("verdicts.jsonl")] == [0, 1, 0]
    assert [row["label"] for row in predictions().values()] == ["hap", "", "neu"]


def test_formulas_in_what_a_model_says_stay_text(answered):
    said = "=1+1"
    done = answered("interpret", {"reasons": said, "label": "sad"})
    assert done.code == 0
    assert {row["reasons"] for row in predictions().values()} == {"'=1+1"}
    assert {known["reasons"] for known in details().values()} == {said}


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_model_that_only_scores_is_not_asked_to_explain(
    command, talk, smollm2_folder, workplace, dry_run
):
    flags = ["--template", "interpret", "--k", 0, "--out", "run", "--mode", "score"]
    done = command("predict", talk, "--labels", "gensec", *flags, *["--dry-run"] * dry_run)
    assert (done.code, done.out) == (2, "")
    said = done.err.splitlines()[-1]
    assert "only scores labels: let it answer with --mode sample, or choose another" in said
    assert list(workplace.iterdir()) == [talk]


def test_a_dry_run_counts_the_room_for_longer_answers(command, talk, scenario):
    room = {}
    for template in ("zero-shot", "cause", "interpret"):
        flags = ["--base-url", scenario.url, "--template", template, "--dry-run"]
        done = command(*asking(talk, "--labels", "gensec", *flags))
        assert done.code == 0, done.err
        room[template] = int(re.search(r"at most (\d+) answer tokens", done.out)[1])
    # Three utterances: 16 tokens for a label, 16 for JSON, 32 for a cause, 256 for reasons.
    assert room == {"zero-shot": 48, "cause": 192, "interpret": 864}
    assert scenario.seen == []


def test_longer_answers_are_given_room(answered, scenario):
    limits = {}
    for template in ("cause", "interpret"):
        answered(template, "sad", more=["--out", template])
        limits[template] = {request["max_tokens"] for request in scenario.seen}
        (schema,) = {json.dumps(request["response_format"]) for request in scenario.seen}
        keys = json.loads(schema)["json_schema"]["schema"]["required"]
        assert keys == {"cause": ["label", "cause"], "interpret": ["reasons", "label"]}[template]
    assert min(limits["interpret"]) - max(limits["cause"]) == 256 - 32


def test_another_template_or_rule_is_not_gone_on_with(answered, scenario):
    answered("several", {"labels": ["sad"]}, more=["--set", "voting.several=union"])
    for template, rule, said in (
        ("several", "majority", "settings.voting.several was 'union', now 'majority'"),
        ("rate", "union", "settings.prompt.template was 'several', now 'rate'"),
    ):
        more = ["--set", f"voting.several={rule}", "--resume"]
        done = answered(template, "sad", more=more)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
        assert scenario.seen == []


def test_a_real_server_keeps_to_a_form(command, talk, llama_url):
    flags = ["--llm", "smollm2", "--set", "llm.backend=openai", "--base-url", llama_url, "--k", 0]
    flags += ["--labels", "gensec", "--limit", 2, "--out", "run", "--template", "rate"]
    done = command("predict", talk, *flags)
    assert done.code == 0, done.err
    for ballot in read("ballots.jsonl"):
        answer = json.loads(ballot["answer"])
        assert list(answer) == ["label", "intensity", "valence", "arousal"]
        fits = answer["intensity"] in range(4)
        fits &= all(-1 <= answer[name] <= 1 for name in ("valence", "arousal"))
        # A schema does not hold numbers to a range, but the reading of the answer does.
        assert (ballot["distribution"] is not None) is fits
        assert bool(ballot["details"]) is fits
