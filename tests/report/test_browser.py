"""The page in a real browser: what is shown is what the run says, and one can get around."""

import re
from dataclasses import replace

import pytest

from ragemo.pipeline import vote
from ragemo.report.reasons import reasons
from ragemo.report.write import write_report
from ragemo.runs.scores import score_run
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import ask_all, settings_with, telling_corpus
from tests.report.inputs import TEST, make_run, without_gold


@pytest.fixture(scope="session")
def bare_file(index, tmp_path_factory):
    """The page of a run without gold labels."""
    folder = tmp_path_factory.mktemp("bare")
    return write_report(
        make_run(folder / "run", index, corpus=without_gold(TEST)), folder / "p.html"
    )


@pytest.fixture(scope="session")
def plain_file(tmp_path_factory):
    """The page of a run without an index, on one dialogue."""
    folder = tmp_path_factory.mktemp("plain")
    llm = FakeLLM(lambda prompt, sample: "angry")
    run = ask_all(telling_corpus(1, 5, "only"), folder / "run", llm=llm)
    return write_report(run, folder / "p.html")


@pytest.fixture(scope="session")
def long_file(index, tmp_path_factory):
    """The page of a run on many dialogues, of which one is long."""
    folder = tmp_path_factory.mktemp("long")
    corpus = telling_corpus(150, 2, "short")
    long = telling_corpus(1, 200, "long")
    both = replace(corpus, dialogues=(*corpus.dialogues, *long.dialogues))
    return write_report(
        ask_all(both, folder / "run", settings_with(), index=index), folder / "p.html"
    )


def number_in(locator):
    return int(re.search(r"[\d,]+", locator.text_content())[0].replace(",", ""))


def opened(page, target):
    """Wait until a turn's panel is there."""
    page.locator(".panel .opening", has_text=target).wait_for()
    return page.locator(".panel")


def test_scores_are_those_of_the_run(run, page_file, visit):
    score = score_run(run)
    page = visit(page_file)
    row = page.locator("#scores tr", has_text="Weighted F1").first
    assert f"{100 * score.weighted_f1:.1f}" in row.text_content()
    low, high = score.intervals["weighted_f1"]
    assert f"{100 * low:.1f} – {100 * high:.1f}" in row.text_content()
    for heading in (
        "Confusion",
        "Per label",
        "Calibration",
        "Risk and coverage",
        "Cost and latency",
    ):
        assert page.get_by_role("heading", name=heading).is_visible()
    cells = page.locator(".confusion tbody td").all_text_contents()
    counts = [
        str(n)
        for row in score.confusion
        for n in (row if any(r[-1] for r in score.confusion) else row[:-1])
    ]
    assert cells == counts


def test_a_cell_of_the_confusion_leads_to_its_utterances(page_file, visit):
    page = visit(page_file)
    link = page.locator(".confusion td:not(.hit) a").first
    count = int(link.text_content())
    link.click()
    page.locator(".list li").first.wait_for()
    assert number_in(page.locator(".count")) == page.locator(".list li").count() == count
    assert page.locator(".list li .wrong").count() == count


def test_a_turn_has_an_address_and_the_back_button_works(run, page_file, visit):
    page = visit(page_file, "#turn=test1_2")
    opened(page, "test1_2")
    page.locator('.turns [data-row="9"]').click()
    opened(page, "test1_3")
    assert page.url.endswith("#turn=test1_3")
    page.go_back()
    opened(page, "test1_2")
    page.reload()
    opened(page, "test1_2")
    assert page.locator('.turns [aria-current="true"]').count() == 1


def test_a_turn_that_is_not_there_is_named(page_file, visit):
    page = visit(page_file, "#turn=nonesuch")
    assert "There is no nonesuch" in page.locator(".talk").text_content()


@pytest.mark.parametrize("name", ["constructor", "__proto__", "hasOwnProperty"])
def test_an_address_with_what_is_no_filter_is_as_good_as_without(name, page_file, visit):
    page = visit(page_file, f"#conversations&{name}=1&state={name}")
    assert page.locator(".list").count() == 1
    assert number_in(page.locator(".count")) == 0
    page = visit(page_file, f"#conversations&{name}=1")
    assert number_in(page.locator(".count")) == 35


def test_a_voter_without_a_say_is_told(run, tmp_path, visit):
    own = vote([run], settings_with(voting__voters=["neighbours", "words"]), tmp_path / "own")
    page = visit(write_report(own, tmp_path / "own.html"), "#turn=test1_2")
    ballots = opened(page, "test1_2").locator(".ballots .voter").all_text_contents()
    said = {line.split(" ")[0]: "no say" in line for line in ballots}
    assert said == {"fake": True, "neighbours": False, "probe": True, "words": False}


def test_a_turn_without_neighbours_says_so(page_file, plain_file, visit):
    page = visit(plain_file, "#turn=only0_1")
    assert "None were kept in this run" in opened(page, "only0_1").text_content()
    page = visit(page_file, "#turn=test1_2")
    assert "None were kept" not in opened(page, "test1_2").text_content()
    page = visit(page_file, "#turn=test5_5")
    assert "None were kept" not in opened(page, "test5_5").text_content()  # context only


def test_keys_go_from_turn_to_turn(page_file, visit):
    page = visit(page_file, "#turn=test1_2")
    opened(page, "test1_2")
    for key, target in (
        ("j", "test1_3"),
        ("ArrowDown", "test1_4"),
        ("k", "test1_3"),
        ("ArrowUp", "test1_2"),
    ):
        page.keyboard.press(key)
        opened(page, target)
    page.get_by_label("Text, speaker or id").press("j")
    page.locator(".count", has_text=" of 35").wait_for()
    assert "turn=test1_2" in page.url  # a letter that is typed moves nothing


def test_keys_go_to_what_filters_find(run, page_file, visit):
    label = {v.utterance_id: v.label for v in run.verdicts()}
    wrong = [
        u.turn.utterance_id
        for u in run.utterances
        if u.predicted and label[u.turn.utterance_id] != u.gold and u.turn.dialogue_id == "test0"
    ]
    assert len(wrong) > 1
    page = visit(page_file, f"#turn={wrong[0]}&outcome=wrong")
    opened(page, wrong[0])
    page.keyboard.press("n")
    opened(page, wrong[1])
    page.keyboard.press("p")
    opened(page, wrong[0])


FILTERS = {
    "outcome=right": lambda u, v, r: v.label == u.gold,
    "outcome=wrong": lambda u, v, r: v.label != u.gold,
    "gold=1": lambda u, v, r: u.gold == "hap",
    "label=2": lambda u, v, r: v.label == "ang",
    "gold=0&label=1": lambda u, v, r: (u.gold, v.label) == ("neu", "hap"),
    "low=50": lambda u, v, r: v.confidence >= 0.5,
    "low=40&high=60": lambda u, v, r: 0.4 <= v.confidence <= 0.6,
    "heard=0.25": lambda u, v, r: u.turn.disagreement >= 0.25,
    "heard=none": lambda u, v, r: u.turn.disagreement == 0,
    "voters=split": lambda u, v, r: len(set(r.choices.values())) > 1,
    "state=invalid": lambda u, v, r: v.invalid > 0,
    "state=failed": lambda u, v, r: v.failed > 0,
    "duplicate=1": lambda u, v, r: u.duplicate,
    "q=W1N": lambda u, v, r: "w1n" in u.turn.text,
    "q=test2_": lambda u, v, r: u.turn.dialogue_id == "test2",
}


def test_filters_find_what_they_say(run, page_file, visit):
    verdicts = {v.utterance_id: v for v in run.verdicts()}
    why = reasons(run, run.utterances, run.verdicts(), run.ballots())
    page = visit(page_file)
    for place, passes in FILTERS.items():
        wanted = [
            u.turn.utterance_id
            for u in run.utterances
            if u.predicted and passes(u, verdicts[u.turn.utterance_id], why[u.turn.utterance_id])
        ]
        page.evaluate("(place) => { location.hash = place; }", place)
        page.locator(".count", has_text=f"{len(wanted)} of 35").wait_for()
        links = page.locator(".list li a").evaluate_all("all => all.map((one) => one.hash)")
        assert [re.search(r"turn=([^&]*)", link)[1] for link in links] == wanted, place


def test_filters_are_set_by_hand_and_cleared(run, page_file, visit):
    page = visit(page_file, "#conversations")
    page.locator("summary", has_text="Filters").click()
    page.locator("select[name=outcome]").select_option("wrong")
    page.wait_for_url(re.compile("outcome=wrong"))
    page.locator("select[name=gold]").select_option("happy")
    page.wait_for_url(re.compile("gold=1"))
    assert page.locator("select[name=outcome]").input_value() == "wrong"
    page.get_by_role("link", name="Clear filters").click()
    page.locator(".count", has_text="35 utterances in 6 dialogues").wait_for()
    assert page.locator("select[name=outcome]").input_value() == ""


def test_the_reason_adds_up_before_the_reader_s_eyes(run, page_file, visit):
    page = visit(page_file, "#turn=test3_3")
    opened(page, "test3_3")
    nats = [
        float(text.replace("−", "-"))
        for text in page.locator(".odds tbody tr:not(.sum) td:last-child").all_text_contents()
    ]
    totals = page.locator(".odds .sum td:last-child").all_text_contents()
    assert sum(nats) == pytest.approx(
        float(totals[0].replace("−", "-")), abs=0.005 * len(nats) + 0.005
    )
    verdict = next(v for v in run.verdicts() if v.utterance_id == "test3_3")
    said = page.locator(".why p").first.text_content()
    assert f"{verdict.confidence:.2f}" in said
    names = page.locator(".odds tbody th").all_text_contents()
    assert any(name.startswith("fake (weight ") for name in names)


def test_a_turn_shows_all_that_is_known_of_it(run, page_file, visit):
    page = visit(page_file, "#turn=test0_1")
    panel = opened(page, "test0_1")
    text = panel.text_content()
    (asked,) = [p for p in run.prompts() if p.prompt.utterance_id == "test0_1"]
    assert panel.locator("pre").evaluate_all("all => all.map((one) => one.textContent)") == [
        "Well, <b>who</b> knows?",
        *(message.content for message in asked.prompt.messages),
    ]
    assert "Invalid: the answer is no label." in text
    assert "said test0_1" in text
    used = panel.locator(".transcripts .chosen").text_content()
    utterance = next(u for u in run.utterances if u.turn.utterance_id == "test0_1")
    assert utterance.turn.text in used
    found = run.demonstrations()["test0_1"]
    lines = panel.locator(".neighbours > li").all_text_contents()
    for line, one in zip(lines, found, strict=True):
        assert one.window.target.text in line
        assert f"{one.similarity:.2f}" in line
        assert "in the prompt" in line
    page.evaluate("location.hash = 'turn=test0_2'")
    assert "Failed: no answer came" in opened(page, "test0_2").text_content()
    page.evaluate("location.hash = 'turn=test5_5'")
    assert "Context only" in opened(page, "test5_5").text_content()


def test_what_was_fixed_and_broken_leads_to_the_turns(run, other, page_file, visit):
    before = {v.utterance_id: v.label for v in other.verdicts()}
    after = {v.utterance_id: v.label for v in run.verdicts()}
    gold = {u.turn.utterance_id: u.gold for u in run.utterances}
    fixed = [t for t in after if after[t] == gold[t] != before[t]]
    broken = [t for t in after if before[t] == gold[t] != after[t]]
    assert fixed
    page = visit(page_file, "#compare")
    for title, wanted in (("Fixed", fixed), ("Broken", broken)):
        section = page.locator("#compare section", has=page.get_by_role("heading", name=title))
        links = section.locator("li a").evaluate_all("all => all.map((one) => one.hash)")
        assert links == [f"#turn={target}" for target in wanted]
    page.locator("#compare li a").first.click()
    assert "In second" in opened(page, fixed[0]).text_content()
    page.evaluate("location.hash = 'changed=fixed'")
    page.locator(".count", has_text=f"{len(fixed)} of 35").wait_for()


def test_without_gold_labels_there_are_no_scores_and_all_else(bare_file, visit):
    page = visit(bare_file)
    assert "nothing is scored" in page.locator("#scores").text_content()
    page.get_by_role("link", name="Conversations").click()
    page.locator(".turns a").first.click()
    page.locator(".panel .why").wait_for()
    page.locator("summary", has_text="Filters").click()
    assert page.locator("select[name=label]").is_visible()
    assert page.locator("select[name=gold]").count() == 0


def test_a_run_without_an_index_of_a_single_dialogue_has_a_page(plain_file, visit):
    page = visit(plain_file)
    assert "they need at least two dialogues" in page.locator("#scores").text_content()
    page.locator("#views a", has_text="Conversations").click()
    page.locator(".turns a").first.click()
    page.locator(".panel .why .odds tbody tr").first.wait_for()
    assert "None were kept" in page.locator(".panel").text_content()


def test_of_a_long_list_only_what_is_near_is_made(long_file, visit):
    page = visit(long_file, "#conversations")
    assert page.locator(".list li").count() <= 120
    for _ in range(3):
        if page.locator(".list .more").is_visible():
            page.locator(".list .more").scroll_into_view_if_needed()
            page.wait_for_timeout(50)
    page.locator(".list li").nth(150).wait_for()
    page.evaluate("location.hash = 'turn=long0_190'")  # far beyond what is made at first
    opened(page, "long0_190")
    page.locator('.turns [data-row="490"][aria-current="true"]').wait_for()
    page.evaluate("location.hash = 'turn=long0_3'")
    opened(page, "long0_3")
