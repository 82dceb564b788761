"""The file itself: one, closed, the same each time, and with nothing in it that data could end."""

import base64
import gzip
import hashlib
import json
import re
import shutil
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import DataError, RunFolderError, SettingsError
from ragemo.pipeline import predict
from ragemo.report.page import ABLATION, LIMITED, embedded, pack, render
from ragemo.report.write import report, write_report
from ragemo.runs.run import Run
from tests.conftest import make_corpus
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import NO_INDEX, settings_with, telling_corpus
from tests.report.inputs import TEST, make_run, without_gold


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def blocks_of(page):
    found = re.findall(r'id="block-\d+">(.*?)</script>', page)
    return [json.loads(gzip.decompress(base64.b64decode(text))) for text in found]


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    paths = [write_report(run, tmp_path / name) for name in ("one.html", "two.html")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_policy_allows_the_page_s_own_script_and_style_and_nothing_else(run):
    page = report(run)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for name, tag in (("script-src", "<script>"), ("style-src", "<style>")):
        content = page.partition(tag)[2].partition("</")[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"
    outside = re.findall(
        r"https?://[^'\"\s]+", "".join(map(asset, (*LIMITED, *ABLATION, "page.css", "page.html")))
    )
    assert set(outside) <= {"http://www.w3.org/2000/svg"}  # a name, which nobody fetches


def asset(name):
    return files("ragemo").joinpath("report/assets", name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted({*LIMITED, *ABLATION}))
def test_scripts_make_no_elements_of_texts(name):
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc"
    )
    assert not re.search(forbidden, asset(name))


texts = st.text(max_size=60) | st.sampled_from(
    ["</script><script>alert(1)</script>", "<!--<script>", "]]>", "\u2028\u2029", "{{script}}"]
)


@settings(max_examples=50, deadline=None)
@given(st.recursive(texts | st.none() | st.integers(), lambda inner: st.dictionaries(texts, inner)))
def test_data_are_read_again_and_end_no_element(data):
    text = embedded(data)
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == data
    assert json.loads(gzip.decompress(base64.b64decode(pack(data)))) == data


def test_data_never_stand_for_the_page_s_own_parts():
    """Names of the template's places, and what looks like them, stay texts."""
    names = ["{{script}}", "{{style}}", "{{blocks}}", "{{policy}}", "{{data}}"]
    page = render({"names": names}, [{"texts": names}])
    assert data_of(page) == {"names": names}
    assert blocks_of(page) == [{"texts": names}]


def test_half_a_character_is_no_reason_to_fail():
    assert json.loads(embedded({"name": "a\ud800b"})) == {"name": "a?b"}


def test_the_page_holds_what_the_run_has(run):
    page = report(run)
    data, details = data_of(page), blocks_of(page)
    verdicts = {v.utterance_id: v for v in run.verdicts()}
    turns = data["turns"]
    names = [label["name"] for label in data["labels"]]
    assert len(turns["id"]) == len(run.utterances)
    for row, utterance in enumerate(run.utterances):
        target = utterance.turn.utterance_id
        assert turns["id"][row] == target
        assert turns["strings"][turns["text"][row]] == utterance.turn.text
        assert names[turns["gold"][row]] == utterance.gold
        detail = details[row // data["block"]]["turns"][row % data["block"]]
        assert detail["reference"] == f"said {target}"
        assert dict(detail["hypotheses"]) == dict(utterance.hypotheses)
        if target in verdicts:
            assert names[turns["label"][row]] == verdicts[target].label
            assert len(detail["ballots"]) == 4
        else:
            assert turns["label"][row] == -2
            assert detail["ballots"] == []
    assert sum(turns["invalid"]) == sum(turns["failed"]) == 1


def test_prompts_and_neighbours_are_word_for_word(run):
    page = report(run)
    data, details = data_of(page), blocks_of(page)
    found = run.demonstrations()
    for asked in run.prompts():
        target = asked.prompt.utterance_id
        row = data["turns"]["id"].index(target)
        block = details[row // data["block"]]
        detail, words = block["turns"][row % data["block"]], block["texts"]
        (prompt,) = detail["prompts"]
        told = [(role, words[number]) for role, number in prompt["messages"]]
        assert told == [(m.role, m.content) for m in asked.prompt.messages]
        assert [n["id"] for n in detail["neighbours"]] == [
            d.window.target.utterance_id for d in found[target]
        ]
        assert [n["id"] for n in detail["neighbours"] if n["prompts"]] == list(asked.shown)


def test_prompts_that_were_never_sent_are_told(index, tmp_path):
    how = settings_with(llm__samples=4, voting__vary=["transcript", "context"])
    run = make_run(tmp_path / "run", index, how)
    page = report(run)
    data, details = data_of(page), blocks_of(page)
    answered = {(b.utterance_id, b.sample) for b in run.ballots() if b.voter == "fake"}
    seen = set()
    for asked in run.prompts():
        target = asked.prompt.utterance_id
        row = data["turns"]["id"].index(target)
        told = details[row // data["block"]]["turns"][row % data["block"]]
        (prompt,) = (one for one in told["prompts"] if one["variant"] == asked.variant)
        assert prompt["sent"] is any((target, sample) in answered for sample in asked.samples)
        seen.add(prompt["sent"])
        sent = sum(one["sent"] for one in told["prompts"])
        assert {neighbour["prompts"] for neighbour in told["neighbours"]} == {sent}
    assert seen == {True, False}


def test_the_reliability_bins_are_those_of_the_calibration_error(run):
    score = data_of(report(run))["score"]
    n = sum(bin_["n"] for bin_ in score["reliability"])
    gaps = sum(b["n"] * abs(b["accuracy"] - b["confidence"]) for b in score["reliability"])
    assert n == score["calibration"]["n"]
    assert gaps / n == pytest.approx(score["calibration"]["ece"])


def test_an_interval_that_no_sample_tells_is_none(tmp_path):
    """With a single bootstrap sample, a group of two dialogues is in none of them at times."""
    rows = [
        {"dialogue": f"d{n // 2}", "text": "" if n in (0, 2) else f"words {n}"} for n in range(24)
    ]
    llm = FakeLLM(lambda prompt, sample: "neutral")
    run = predict(make_corpus(rows), NO_INDEX, tmp_path / "run", llm=llm)
    found = set()
    for seed in range(12):
        slices = data_of(report(run, samples=1, seed=seed))["score"]["slices"]
        (group,) = (g for groups in slices.values() for g in groups if g["group"] == "no words")
        found.add(group["intervals"]["accuracy"] is None)
    assert found == {True, False}


def test_costs_are_sums_of_the_ballots(run):
    rows = {(row["voter"], row["purpose"]): row for row in data_of(report(run))["cost"]}
    own = rows["fake", "verdict"]
    assert (own["ballots"], own["invalid"], own["failed"]) == (35, 1, 1)
    assert ("fake", "check") in rows
    assert not rows["words", "verdict"]["asked"]


def test_settings_that_are_not_the_default_are_told(index, tmp_path):
    how = settings_with(retrieval__k=3, retrieval__strategy=["mmr"])
    data = data_of(report(make_run(tmp_path / "run", index, how)))
    changed = {s["name"]: s["value"] for s in data["settings"] if s["changed"]}
    assert changed == {"retrieval.k": 3, "retrieval.strategy": ["mmr"]}


def test_a_run_without_gold_labels_has_no_scores(index, tmp_path):
    page = report(make_run(tmp_path / "run", index, corpus=without_gold(TEST)))
    assert data_of(page)["score"] is None


def test_a_comparison_holds_the_other_run_s_verdicts(run, index, tmp_path):
    other = make_run(tmp_path / "other", index, llm=FakeLLM(lambda prompt, sample: "angry"))
    data = data_of(report(run, other))
    names = [label["name"] for label in data["labels"]]
    theirs = {v.utterance_id: v.label for v in other.verdicts()}
    for target, label in zip(data["turns"]["id"], data["compare"]["label"], strict=True):
        assert (names[label] if label >= 0 else None) == theirs.get(target)
    figures = data["compare"]["figures"]
    assert figures["baseline"] == "other"
    scores = [data_of(report(r))["score"]["weighted_f1"] for r in (run, other)]
    difference = figures["systems"][0]["metrics"]["weighted_f1"]["difference"]
    assert difference == pytest.approx(scores[0] - scores[1])


def test_runs_without_gold_labels_are_compared_without_figures(index, tmp_path):
    runs = [make_run(tmp_path / n, index, corpus=without_gold(TEST)) for n in ("one", "two")]
    compared = data_of(report(*runs))["compare"]
    assert compared["figures"] is None
    assert len(compared["label"]) == 36


def test_runs_on_other_utterances_are_refused(run, index, tmp_path):
    elsewhere = telling_corpus(3, 4, "elsewhere")
    llm = FakeLLM(lambda prompt, sample: "angry")
    other = make_run(tmp_path / "other", index, corpus=elsewhere, llm=llm)
    with pytest.raises(DataError, match="other and first share no predicted utterance"):
        report(run, other)


def test_an_unfinished_run_has_no_page(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run.path, folder)
    (folder / "verdicts.jsonl").unlink()
    with pytest.raises(RunFolderError, match="not finished"):
        write_report(Run.open(folder), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_place_that_cannot_be_is_refused(run, tmp_path):
    with pytest.raises(SettingsError, match=r"manifest\.json: expected a file whose name ends"):
        write_report(run, run.path / "manifest.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="could not be written"):
        write_report(run, tmp_path / "file" / "page.html")
