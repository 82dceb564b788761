"""`ragemo report`: the folder of a run or an ablation becomes a file."""

from pathlib import Path

import pytest

from ragemo.pipeline import predict
from ragemo.settings import resolve_settings
from tests.ablation.worlds import design
from tests.ablation.worlds import run as ablate
from tests.conftest import make_corpus
from tests.fake_llm import FakeLLM

CORPUS = make_corpus([{"dialogue": "ab"[n % 2], "text": f"words {n}"} for n in range(6)])


def run_of(out, label="happy"):
    llm = FakeLLM(lambda prompt, sample: label)
    return predict(CORPUS, resolve_settings({}, {"retrieval.k": 0}), out, llm=llm)


def test_the_page_is_put_into_the_run_s_folder(command):
    run_of("run")
    done = command("report", "run")
    assert done.code == 0, done.err
    assert done.out == "run/report.html\n"
    assert Path("run/report.html").read_text().startswith("<!doctype html>")


def test_the_page_is_put_where_it_is_asked_for(command):
    run_of("run")
    assert command("report", "run", "--out", "pages/one.html").code == 0
    assert not Path("run/report.html").exists()
    first = Path("pages/one.html").read_bytes()
    assert command("report", "run", "--out", "pages/two.html").code == 0
    assert Path("pages/two.html").read_bytes() == first


def test_an_earlier_run_stands_beside_it(command):
    run_of("before", "neutral")
    run_of("after")
    done = command("report", "after", "--compare", "before", "--bootstrap", 20)
    assert done.code == 0, done.err
    assert '"compare":{"name":"before"' in Path("after/report.html").read_text()


def test_bootstrap_samples_and_seed_are_the_score_s(command):
    run_of("run")
    assert command("report", "run", "--bootstrap", 7, "--seed", 5).code == 0
    page = Path("run/report.html").read_text()
    assert '"seed":5,"bootstrap_samples":7' in page


def test_an_ablation_is_a_page_too(command):
    ablate(design(Path(), {"prompt.context": [0, 2]}), Path("sweep"))
    done = command("report", "sweep")
    assert (done.code, done.out) == (0, "sweep/report.html\n"), done.err
    assert '"axes":[{"name":"prompt.context"' in Path("sweep/report.html").read_text()
    run_of("run")
    refused = command("report", "sweep", "--compare", "run", "--out", "other.html")
    assert refused.code == 2
    assert "sweep is an ablation, which cannot be compared with a run" in refused.err
    assert not Path("other.html").exists()


def test_what_a_large_run_s_page_does_not_show_is_told(command):
    run_of("run")
    done = command("report", "run", "--show", 2)
    assert (done.code, done.out) == (0, "run/report.html\n")
    assert "1 of 2 dialogues are shown (3 of 6 utterances); figures are of all" in done.err
    assert '"id":["a' in Path("run/report.html").read_text()
    done = command("report", "run", "--dialogue", "b")
    assert "1 of 2 dialogues are shown" in done.err
    assert '"id":["b' in Path("run/report.html").read_text()
    assert command("report", "run", "--dialogue", "a", "--dialogue", "b").err == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "nowhere: no run here"),
        (("run", "--out", "page.txt"), "page.txt: expected a file whose name ends in .html"),
        (("run", "--compare", "nowhere"), "nowhere: no run here"),
        (("run", "--compare", "run"), "named twice"),
        (("run", "--dialogue", "c"), "there is no dialogue of that name in run"),
    ],
)
def test_mistakes_are_told_in_one_message(command, arguments, said):
    run_of("run")
    done = command("report", *arguments)
    assert done.code == 2
    assert said in done.err
    assert done.out == ""
