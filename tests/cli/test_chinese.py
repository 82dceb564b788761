"""Chinese conversations from the file to the verdicts, with an embedder given by its folder."""

import csv
import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import run_command

COLUMNS = (
    "TV_ID,Dialogue_ID,Utterance_ID,Speaker,Gender,Age,Neuroticism,Extraversion,Openness,"
    "Agreeableness,Conscientiousness,Scene,Sentiment,Emotion,DA,Utterance"
)
ANN = "female,young,high,unknown,low,unknown,unknown"
BEN = "male,middle-aged,low,high,high,unknown,unknown"
TRAINING = [
    [("你看，我考上大学了！", "happy"), ("太好了，谢谢老师。", "grateful"), ("坐吧", "relaxed")],
    [("我为你骄傲", "positive-other"), ("现在几点了", "neutral"), ("你又骗我！", "anger")],
    [("他走了，再也不回来", "sadness"), ("门外有人，我怕", "fear"), ("算了吧", "depress")],
    [("这汤里有虫子", "disgust"), ("什么，你结婚了？", "astonished"), ("他还没到家", "worried")],
    [("我真没脸见她", "negative-other"), ("昨天吃了一只螃蟹", "happy"), ("好吧", "neutral")],
    [("天气不错", "relaxed"), ("你怎么可以这样", "anger"), ("对不起，我错了", "sadness")],
]
ASKED = [
    [("雨怎么还没停", "depress"), ("快了，别急", "relaxed"), ("你总是这么说", "anger")],
    [("今天买两只螃蟹", "happy"), ("多少钱", "neutral"), ("这么贵，不买了", "disgust")],
]


def cped(dialogues, emotions=None, television="91"):
    """A file of CPED's columns; what people said of sentiment and act is marked."""
    lines = [COLUMNS]
    for number, turns in enumerate(dialogues):
        dialogue = f"{television}_{number:03d}"
        for turn, (text, emotion) in enumerate(turns):
            who = ("安安", ANN) if turn % 2 == 0 else ("老白", BEN)
            felt = emotions[number][turn] if emotions else emotion
            lines.append(
                f"{television},{dialogue},{dialogue}_{turn:03d},{','.join(who)},"
                f"home,zzsentiment,{felt},zzact,{text}"
            )
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    """The folder of a tiny sentence-transformers model of random weights that reads characters."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("embedder")
    said = {character for turns in (*TRAINING, *ASKED) for text, _ in turns for character in text}
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(said)]
    vocabulary = {word: number for number, word in enumerate(words)}
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=64,
            initializer_range=1.0,
        )
    ).save_pretrained(folder / "bert")
    BertTokenizerFast(vocab=vocabulary, model_max_length=64).save_pretrained(folder / "bert")
    SentenceTransformer(str(folder / "bert"), device="cpu").save(str(folder / "model"))
    return folder / "model"


@pytest.fixture(scope="module")
def index(embedder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    (folder / "train.csv").write_text(cped(TRAINING, television="27"), encoding="utf-8")
    flags = ["--embedder", embedder, "--out", folder / "ix", "--quiet"]
    done = run_command("index", "build", folder / "train.csv", *flags)
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(": 18 labelled windows of 18 utterances\n")
    return folder / "ix"


@pytest.fixture
def asked(workplace):
    file = workplace / "asked.csv"
    file.write_text(cped(ASKED), encoding="utf-8")
    return file


@pytest.fixture
def predict(command, scenario, index):
    """Predict with answers given in turn; the requests, without their key."""

    def run(file, *answers, out="run", more=()):
        texts = [text if isinstance(text, str) else json.dumps(text) for text in answers]
        scenario.script(answers=texts)
        done = command(
            *("predict", file, "--index", index, "--llm", "some-model", "--out", out, "--k", 3),
            *("--base-url", scenario.url, "--set", "llm.concurrency=1", "--context", 2),
            *("--set", "llm.constraint=none", "--set", "voting.checks=0", *more),
            "--no-cache",  # each time all is sent
        )
        assert done.code == 0, done.err
        return [[message["content"] for message in seen["messages"]] for seen in scenario.seen]

    return run


def lines(name, folder="run"):
    text = (Path(folder) / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def heard(folder="run"):
    """The labels that the model's answers were read as."""
    names = [label["name"] for label in manifest(folder)["labels"]["labels"]]
    ballots = [one for one in lines("ballots.jsonl", folder) if one["voter"] == "some-model"]
    return [names[one["distribution"].index(1)] if one["distribution"] else None for one in ballots]


def manifest(folder="run"):
    return json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))


def test_answers_in_chinese_and_english_become_verdicts(predict, asked):
    answers = ["沮丧", "relaxed", "生气。", '{"label": "高兴"}', "**Neutral**", "厌恶"]
    predict(asked, *answers)
    assert heard() == ["depress", "relaxed", "anger", "happy", "neutral", "disgust"]
    verdicts = lines("verdicts.jsonl")
    assert len(verdicts) == 6
    for verdict in verdicts:
        assert len(verdict["distribution"]) == 13
        assert sum(verdict["distribution"]) == pytest.approx(1)
        assert verdict["invalid"] == 0
        assert {one["id"].split("_")[0] for one in verdict["demonstrations"]} == {"27"}
    assert manifest()["index"]["embedder"]["precision"] == "fp32"


def test_prompts_tell_who_and_where_and_nothing_that_gives_it_away(predict, asked):
    prompts = predict(asked, "neutral")
    texts = [text for turns in ASKED for text, _ in turns]
    for number, prompt in enumerate(prompts):
        shown = "\n".join(prompt)
        assert "home" in shown
        person = "female, young; high neuroticism, low openness"
        assert ("male, middle-aged; low neuroticism" if number % 3 == 1 else person) in shown
        assert "zz" not in shown
        first = 3 * (number // 3)
        assert [text in shown for text in texts] == [
            first <= place <= number for place in range(len(texts))
        ]
    kept = b"".join(file.read_bytes() for file in Path("run").iterdir())
    assert b"zzsentiment" not in kept
    assert b"zzact" not in kept


def test_gold_labels_of_what_is_asked_change_nothing(predict, asked, workplace):
    before = predict(asked, "neutral", "生气")
    other = workplace / "other.csv"
    other.write_text(cped(ASKED, [["fear"] * 3, ["", "grateful", "worried"]]), encoding="utf-8")
    assert predict(other, "neutral", "生气", out="other") == before
    assert lines("verdicts.jsonl") == lines("verdicts.jsonl", "other")


def shown_first(folder):
    return [verdict["demonstrations"][0]["id"] for verdict in lines("verdicts.jsonl", folder)]


def test_hybrid_finds_by_characters(predict, asked):
    for strategy in ("knn", "hybrid"):
        predict(asked, "neutral", out=strategy, more=["--strategy", strategy])
    # "今天买两只螃蟹" and "昨天吃了一只螃蟹" share the crab, and no clause.
    assert shown_first("hybrid")[3] == "27_004_001"
    assert shown_first("knn")[3] != "27_004_001"
    assert manifest("hybrid")["settings"]["retrieval"]["strategy"] == ["hybrid"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--strategy", "mmr,hybrid"], "settings.retrieval.strategy was ['hybrid'], now ['mmr',"),
        (
            ["--strategy", "hybrid", "--set", "retrieval.options={hybrid: {candidates: 5}}"],
            "settings.retrieval.options.hybrid",
        ),
    ],
)
def test_another_strategy_is_not_gone_on_with(command, asked, index, flags, said):
    arguments = ["predict", asked, "--index", index, "--llm", "none", "--out", "run"]
    assert command(*arguments, "--strategy", "hybrid").code == 0
    before = lines("verdicts.jsonl")
    done = command(*arguments, *flags, "--resume")
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert lines("verdicts.jsonl") == before


def test_translations_stand_in_the_table(predict, asked):
    answers = [
        {"translation": "Why has the rain not stopped, yet?", "label": "沮丧"},
        {"translation": "Soon, don't hurry.", "label": "relaxed"},
        "angry",
        {"translation": "=Two crabs today.", "label": "不知道"},
    ]
    prompts = predict(asked, *answers, more=["--template", "translate", "--limit", 4])
    assert all("translate the utterance into English" in prompt[0] for prompt in prompts)
    assert heard() == ["depress", "relaxed", "anger", None]
    told = [one["details"] for one in lines("ballots.jsonl") if one["voter"] == "some-model"]
    assert told[:3] == [{"translation": answers[n]["translation"]} for n in range(2)] + [{}]
    with Path("run/predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # A verdict has the translation of an answer that it agrees with.
    for row, verdict, label in zip(rows, lines("verdicts.jsonl"), heard(), strict=True):
        agrees = verdict["label"] == label
        expected = told[rows.index(row)].get("translation", "") if agrees else ""
        assert row["translation"] == verdict["details"].get("translation", "") == expected
    assert any(row["translation"] for row in rows)


def test_a_quote_in_chinese_is_found(predict, asked):
    answers = [{"label": "沮丧", "evidence": quote} for quote in ("还没停", "别急", "没说过的")]
    predict(asked, *answers, more=["--template", "explain", "--limit", 3])
    told = [one["details"] for one in lines("ballots.jsonl") if one["voter"] == "some-model"]
    assert [one["found"] for one in told] == [True, True, False]


def test_another_hearing_of_the_index_s_own_dialogues_is_told(command, workplace, embedder):
    """Their labels must not speak to themselves, though no clause is quite as it was."""
    heard = [[(re.sub(r"\W", "", text) + "啊", felt) for text, felt in turns] for turns in TRAINING]
    (workplace / "heard.csv").write_text(cped(heard, television="27"), encoding="utf-8")
    true = [[felt for _, felt in turns] for turns in TRAINING]
    found = []
    for name, felt in (("one", true), ("two", [["fear"] * 3, *true[1:]])):
        text = cped(TRAINING, felt, television="27")
        (workplace / f"{name}.csv").write_text(text, encoding="utf-8")
        flags = ["--embedder", embedder, "--out", f"{name} ix", "--quiet"]
        assert command("index", "build", f"{name}.csv", *flags).code == 0
        flags = ["--index", f"{name} ix", "--llm", "none", "--out", name]
        assert command("predict", "heard.csv", *flags).code == 0
        found.append([verdict["distribution"] for verdict in lines("verdicts.jsonl", name)][:3])
    assert found[0] == found[1]


@pytest.mark.parametrize(("near", "there"), [("null", True), ("0.7", False)])
def test_near_duplicates_are_told_by_characters(command, workplace, index, near, there):
    text = TRAINING[4][1][0] + "呢"
    (workplace / "near.csv").write_text(cped([[(text, "happy")]]), encoding="utf-8")
    flags = ["--llm", "none", "--k", 18, "--set", f"retrieval.near_duplicates={near}"]
    done = command("predict", "near.csv", "--index", index, "--out", "run", *flags)
    assert done.code == 0, done.err
    (verdict,) = lines("verdicts.jsonl")
    assert ("27_004_001" in {one["id"] for one in verdict["demonstrations"]}) is there
