from dataclasses import replace

from ragemo.labels import available_label_sets
from ragemo.scoring.metrics import metrics_of
from ragemo.scoring.published import Condition, company, company_data, published
from ragemo.scoring.rows import score_rows
from ragemo.scoring.score import score
from ragemo.scoring.tables import score_latex, score_markdown
from tests.scoring.inputs import LABELS, invented, predictions

SCORE = score(predictions(invented(100, 10)), training_counts=None, samples=5)
MELD = Condition("meld", "dev_sent_emo.csv", "in-context", "written")


def test_every_entry_is_complete_and_has_a_source():
    for entry in published():
        assert entry.corpus in {*available_label_sets(), "iemocap"}
        assert entry.metric in metrics_of(LABELS)
        assert 0 < entry.value < 100
        assert entry.training in {"fine-tuned", "in-context", "zero-shot", "prompted"}
        assert entry.transcript in {"ASR", "written"}
        assert entry.split
        assert entry.title
        assert 2000 < entry.year < 2100
        assert entry.arxiv or entry.url.startswith("https://")
    keys = [(e.corpus, e.system, e.metric, e.split) for e in published()]
    assert len(set(keys)) == len(keys)


def test_only_the_same_corpus_and_metric_are_company():
    found = company(SCORE, MELD)
    assert set(found) == {"weighted_f1"}
    values = [entry.value for entry in found["weighted_f1"]]
    assert values == sorted(values, reverse=True)
    assert {entry.corpus for entry in found["weighted_f1"]} == {"meld"}
    assert company(SCORE, replace(MELD, corpus="nonesuch")) == {}


def test_each_row_states_split_training_and_transcript():
    text = score_markdown(SCORE, "mine", against=MELD)
    rows = [line for line in text.splitlines() if line[:1] == "|"]
    mine = f"| mine | {100 * SCORE.weighted_f1:.2f} | as the file says | in-context | written |"
    assert any(row.startswith(mine) for row in rows)
    for entry in company(SCORE, MELD)["weighted_f1"]:
        row = next(row for row in rows if row.startswith(f"| {entry.system} |"))
        for said in (f"{entry.value:.2f}", entry.split, entry.training, entry.transcript):
            assert f"| {said} |" in row
    assert "dev_sent_emo.csv" in text
    assert "it reads later turns" in text


def test_a_run_of_no_known_corpus_has_no_company_and_is_told_why():
    text = score_markdown(SCORE, "mine", against=Condition(None, "x", "", "", "nobody knows it"))
    assert "published results to compare with: nobody knows it." in text
    other = score_latex(SCORE, "mine", against=replace(MELD, corpus="cped"))
    assert "No published result on cped is known" in other
    assert "arXiv" not in text + other


def test_data_and_csv_have_the_same_entries():
    data = company_data(SCORE, MELD)
    assert data["run"]["file"] == "dev_sent_emo.csv"
    rows = [row for row in score_rows(SCORE, "r", against=MELD) if row.section == "published"]
    assert [(row.name, round(100 * row.value, 6)) for row in rows] == [
        (one["system"], one["value"]) for one in data["results"]
    ]
    assert rows
