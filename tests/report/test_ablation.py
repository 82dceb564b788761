"""The page of an ablation: its cells beside each other, sorted, marked, and hostile to nobody."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

import pytest

from ragemo.ablation.results import NOT_RUN, AblationResult
from ragemo.errors import RunFolderError, SettingsError
from ragemo.report.ablation import ablation_data, ablation_report
from ragemo.report.page import ABLATION
from ragemo.report.write import write_report
from ragemo.types import Usage
from tests.ablation.worlds import GOLD, design, index
from tests.ablation.worlds import run as run_ablation
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import WORDS, chance
from tests.report.checks import ATTACKS, CONTRAST, harmless

PLACES = ("overview", "cells", "settings", "costs", "again")
GRID = {"prompt.context": [0, 1, 2], "voting.pool": ["log", "mean", "majority", "dawid-skene"]}
BASE = {"llm": {"model": "fake"}, "retrieval": {"k": 0}, "voting": {"voters": ["fake"]}}
BAD = "there is no voter"


class PaidLLM(FakeLLM):
    """Says what depends on the prompt, and what it cost."""

    def __init__(self):
        super().__init__(self.chosen)

    @staticmethod
    def chosen(prompt, sample):
        asked = [message.content for message in prompt.messages]
        wrong = WORDS[chance("wrong", asked) % 3]
        return GOLD[prompt.utterance_id] if chance("right", asked) < 600 else wrong

    async def ask(self, prompt, labels, samples):
        ballots = await super().ask(prompt, labels, samples)
        cost = self.price(prompt.tokens, 2)
        usage = Usage(prompt_tokens=prompt.tokens, answer_tokens=2, cost=cost, seconds=0.5)
        return [replace(ballot, usage=usage) for ballot in ballots]


def nobody(name, said="nobody"):
    return {"name": name, "llm.model": "none", "voting.voters": [said]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A grid of two axes and a list, with a cell that fails."""
    place = tmp_path_factory.mktemp("ablation")
    cells = [{"name": "two", "llm.samples": 2}, nobody("fails")]
    run_ablation(design(place, GRID, cells, BASE), place / "out", PaidLLM(), index=index())
    return place / "out"


@pytest.fixture(scope="module")
def result(folder):
    return AblationResult.open(folder)


@pytest.fixture(scope="module")
def page_file(folder, tmp_path_factory):
    return write_report(folder, tmp_path_factory.mktemp("pages") / "page.html")


def changed(folder, place, change):
    """A copy of an ablation with another result."""
    shutil.copytree(folder, place)
    data = json.loads((place / "result.json").read_text("utf-8"))
    change(data)
    (place / "result.json").write_text(json.dumps(data), "utf-8")
    return write_report(place, place / "page.html")


def names_of(page):
    return page.locator("#cells .all-cells tbody th > bdi").all_text_contents()


def percent(value):
    return str(Decimal(100 * value).quantize(Decimal("0.1"), ROUND_HALF_UP))


def signed(value):
    shown = percent(abs(value))
    return shown if shown == "0.0" else f"{'−' if value < 0 else '+'}{shown}"


def test_every_cell_has_its_row_with_its_figures(result, page_file, visit):
    page = visit(page_file)
    assert names_of(page) == [cell.name for cell in result.cells]
    rows = page.locator("#cells .all-cells tbody tr").all_text_contents()
    for cell, row in zip(result.cells, rows, strict=True):
        if cell.failure:
            continue
        for metric, (low, high) in cell.intervals.items():
            shown = f"{percent(cell.metrics[metric])}{percent(low)} – {percent(high)}"
            assert shown in row, (cell.name, metric)
        for one in cell.differences.values():
            shown = f"{signed(one.difference)}{signed(one.low)} to {signed(one.high)}"
            assert shown in row, cell.name
        tokens = cell.prompt_tokens + cell.answer_tokens
        assert f"{tokens:,}{tokens / cell.n:,.0f} an utterance" in row
        assert f"{cell.n}" in row


SORTED = {
    "Weighted F1": (lambda cell: cell.metrics["weighted_f1"], False),
    "UAR to the first": (lambda cell: cell.differences["uar"].difference, False),
    "Tokens": (lambda cell: cell.prompt_tokens, False),
    "voting.pool": (lambda cell: GRID["voting.pool"].index(cell.values["voting.pool"]), True),
}


def test_headings_sort_and_sort_the_other_way(result, page_file, visit):
    page = visit(page_file)
    for heading, (key, rising) in SORTED.items():
        button = page.locator("#cells thead button", has_text=re.compile(f"^{heading}$"))

        def known(cell, heading=heading):
            compared = not heading.endswith("first") or cell is not result.cells[0]
            return not cell.failure and compared and (heading != "voting.pool" or cell.values)

        without = [cell.name for cell in result.cells if not known(cell)]
        for way in (rising, not rising):
            button.focus()
            page.keyboard.press("Enter")
            cells = sorted(filter(known, result.cells), key=key, reverse=not way)
            assert names_of(page) == [*(cell.name for cell in cells), *without], heading
            told = button.locator("xpath=..").get_attribute("aria-sort")
            assert told == ("ascending" if way else "descending")
        assert page.locator("#cells thead th[aria-sort$=ending]").count() == 1
    page.get_by_role("button", name="Cell").click()
    assert names_of(page) == [cell.name for cell in result.cells]


def test_a_failed_cell_tells_why(result, page_file, visit):
    page = visit(page_file)
    failed = page.locator("#cells tbody tr").last.text_content()
    assert failed.startswith("failsFailed: ")
    assert result.cells[-1].failure in failed
    assert BAD in failed
    assert "1 cell failed" in page.locator("#overview").text_content()


def test_a_cell_that_was_not_run_did_not_fail(folder, tmp_path, visit):
    def change(data):
        gone = {"n": 0, "metrics": {}, "intervals": {}, "differences": {}}
        data["cells"][1] |= {**gone, "failure": NOT_RUN}
        data["cells"][2] |= {**gone, "failure": NOT_RUN}

    page = visit(changed(folder, tmp_path / "stopped", change))
    *stopped, failed = page.locator("#cells td.reason").all_text_contents()
    assert stopped == [NOT_RUN, NOT_RUN]
    assert failed.startswith("Failed: ")
    assert "1 cell failed. 2 cells not run." in page.locator("#overview").text_content()


def test_seconds_are_those_of_the_cells_that_are_in_the_design(folder, result, tmp_path):
    assert ablation_data(folder)["seconds"] > 0
    copy = shutil.copytree(folder, tmp_path / "copy")
    costs = json.loads((copy / "costs.json").read_text())
    runs = ["cells/of-before", *(cell.run for cell in result.cells[1:])]
    costs["cells"] = {key: {"wall": 2} for key in runs}
    (copy / "costs.json").write_text(json.dumps(costs))
    assert ablation_data(copy)["seconds"] == 2 * (len(result.cells) - 1)


def test_the_best_cell_and_clear_differences_are_marked_in_words(folder, tmp_path, visit):
    def change(data):
        bounds = [(0.01, 0.2), (-0.2, -0.01), (-0.1, 0.1), (0.0, 0.2), *[(None, None)] * 9]
        for cell, (low, high) in zip(data["cells"][1:-1], bounds, strict=False):
            cell["differences"]["weighted_f1"] |= {"low": low, "high": high}
            cell["differences"]["uar"] |= {"low": -1, "high": 1}
        data["cells"][3]["metrics"]["weighted_f1"] = 0.999

    page = visit(changed(folder, tmp_path / "marked", change))
    rows = page.locator("#cells .all-cells tbody tr").all_text_contents()
    told = [[word for word in ("better", "worse", "★") if word in row] for row in rows[:6]]
    assert told == [[], ["better"], ["worse"], ["★"], [], []]
    assert "▲ 1 better and ▼ 1 worse" in page.locator("#overview").text_content()
    heat = page.locator(".heat").first.locator("td").all_text_contents()
    assert [text[0] for text in heat[1:4]] == ["▲", "▼", "★"]


def test_two_axes_are_a_table_of_shades_with_their_numbers(result, page_file, visit):
    page = visit(page_file)
    for place, metric in enumerate(("weighted_f1", "uar")):
        shown = page.locator(".heat").nth(place).locator("td").all_text_contents()
        grid = [cell.metrics[metric] for cell in result.cells if cell.values]
        assert [float(re.search(r"[\d.]+", text)[0]) for text in shown] == [
            pytest.approx(100 * value, abs=0.051) for value in grid
        ]
        shares = (
            page.locator(".heat")
            .nth(place)
            .locator("td")
            .evaluate_all(
                "all => all.map((one) => parseInt(one.style.getPropertyValue('--share'), 10))"
            )
        )
        assert shares[grid.index(max(grid))] == 45
        assert shares[grid.index(min(grid))] == 0


def test_one_axis_is_a_line_with_its_band(tmp_path, visit):
    run_ablation(design(tmp_path, {"prompt.context": [0, 1, 2, 3]}), tmp_path / "out", PaidLLM())
    cells = AblationResult.open(tmp_path / "out").cells
    page = visit(write_report(tmp_path / "out", tmp_path / "page.html"))
    plot = page.locator(".plot", has=page.locator(".band")).first
    heights = [
        float(pair.split(",")[1]) for pair in plot.locator(".curve").get_attribute("points").split()
    ]
    band = [
        float(pair.split(",")[1]) for pair in plot.locator(".band").get_attribute("points").split()
    ]
    f1 = [cell.metrics["weighted_f1"] for cell in cells]
    scale = (heights[0] - heights[1]) / (f1[1] - f1[0])
    assert scale > 0
    for cell, height, high, low in zip(cells, heights, band, reversed(band), strict=False):
        assert height == pytest.approx(heights[0] - scale * (cell.metrics["weighted_f1"] - f1[0]))
        bounds = cell.intervals["weighted_f1"]
        assert low - high == pytest.approx(scale * (bounds[1] - bounds[0]))
    assert "prompt.context=3" in plot.get_attribute("aria-label")


def test_the_front_holds_what_no_cell_betters(result, page_file, visit):
    page = visit(page_file)
    points = {c.name: (c.cost / c.n, -c.metrics["weighted_f1"]) for c in result.done}
    assert all(cost > 0 for cost, _ in points.values())
    wanted = {
        point
        for point in points.values()
        if not any(o[0] <= point[0] and o[1] <= point[1] and o != point for o in points.values())
    }
    shown = page.locator(".front bdi").all_text_contents()
    found = [points[text.rsplit(": ", 1)[0]] for text in shown]
    assert found == sorted(wanted)
    assert page.locator(".plot .on-front").count() == len(found)


def test_accuracy_by_word_error_rate_is_told_where_transcripts_differ(folder, tmp_path, visit):
    def change(data):
        for place, cell in enumerate(data["cells"][:2]):
            band = {"group": "no error", "n": 5, "dialogues": 2, "accuracy": 0.4 + place / 10}
            rest = {"weighted_f1": None, "uar": None, "intervals": {}}
            cell |= {"word_error_rate": 0.125 + place / 4, "word_error_bands": [band | rest]}

    page = visit(changed(folder, tmp_path / "heard", change))
    place = page.locator("#cells section", has=page.get_by_role("heading", name="by word error"))
    assert place.locator("td").all_text_contents() == ["40.05 utterances", "50.05 utterances"]
    assert "WER" in page.locator("#cells thead").first.text_content()


def test_what_was_shared_and_spent_is_told(folder, result, page_file, visit):
    asked = json.loads((folder / "costs.json").read_text())["asked"]
    alone = sum(cell.calls for cell in result.done)
    assert 0 < asked["calls"] < alone
    page = visit(page_file)
    shown = page.locator("#costs tbody td:nth-child(2)").all_text_contents()
    assert shown == [f"{n:,}" for n in (alone, asked["calls"], alone - asked["calls"])]


def test_it_says_how_to_reproduce_it_and_no_place_on_this_machine(folder, result, page_file, visit):
    page = visit(page_file)
    command = shlex.split(page.locator("#again pre").text_content())
    assert command[:5] == ["ragemo", "ablate", "ablation.yaml", "--data", result.corpus]
    assert (folder / "ablation.yaml").is_file()
    common = page.locator("#settings .plain").last.locator("tbody tr").all_text_contents()
    assert sorted(common) == ["llm.modelfake", "retrieval.k0", 'voting.voters["fake"]']
    text = page_file.read_text()
    assert result.index in text
    assert str(folder.parent) not in text
    runs = page.locator("#settings .settings td:last-child").all_text_contents()
    assert runs == [cell.run for cell in result.cells]
    assert all((folder / run).is_dir() for run in runs[:-1])


def test_the_same_folder_gives_the_same_bytes(folder, page_file, tmp_path):
    again = write_report(str(folder), tmp_path / "again.html")
    assert again.read_bytes() == page_file.read_bytes()


def test_the_policy_is_no_weaker_than_a_run_s(run, page_file, tmp_path):
    def rules(file):
        found = re.search(r'Content-Security-Policy" content="([^"]*)"', file.read_text())[1]
        return re.sub(r"'sha256-[^']*'", "HASH", found)

    assert rules(page_file) == rules(write_report(run, tmp_path / "run.html"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """An ablation in which every name, label and reason is hostile."""
    place = tmp_path_factory.mktemp("hostile")
    axes = [
        {
            "name": name,
            "values": [{"label": f"{text} {n}", setting: n} for n, text in enumerate(ATTACKS[:3])],
        }
        for name, setting in ((ATTACKS[1], "prompt.context"), ("__proto__", "seed"))
    ]
    cells = [
        nobody(ATTACKS[2], ATTACKS[0]),
        *({"name": text, "seed": 100 + n} for n, text in enumerate(ATTACKS[5:])),
    ]
    out = place / "out <img src=x>"
    run_ablation(design(place, axes, cells, BASE), out, PaidLLM(), index=index())

    def change(data):
        data |= {"name": ATTACKS[1], "corpus": ATTACKS[2], "notes": ATTACKS, "index": ATTACKS[0]}

    return changed(out, place / "page <b>", change), AblationResult.open(place / "page <b>")


def test_hostile_names_labels_and_reasons_are_texts(hostile, visit):
    path, result = hostile
    page = visit(path)
    assert page.locator("h1").text_content() == ATTACKS[1]
    assert page.title() == f"{ATTACKS[1]} – ragemo report"
    assert names_of(page) == [cell.name for cell in result.cells]
    assert f"Failed: {result.cells[9].failure}" in page.locator("#cells").text_content()
    assert ATTACKS[0] in result.cells[9].failure
    heads = page.locator("#cells thead button").all_text_contents()
    assert [ATTACKS[1], "__proto__"] == heads[1:3]
    for head in page.locator("#cells thead button").all():
        head.click()
    labels = page.locator(".heat tbody th").all_text_contents()
    assert labels[:3] == list(result.axes[0].labels)
    assert page.locator(".notes li").all_text_contents() == ATTACKS
    harmless(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read(scheme, page_file, visit):
    page = visit(page_file, color_scheme=scheme, viewport={"width": 1280, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    looked, poor = page.evaluate(CONTRAST)
    assert looked > 100
    assert poor == []


def test_it_is_no_wider_than_a_phone(page_file, hostile, visit):
    for path in (page_file, hostile[0]):
        page = visit(path, viewport={"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for place in PLACES:
            assert page.locator(f"#views a[href='#{place}']").count() == 1
            assert page.locator(f"#{place} h2").is_visible()


def test_on_paper_the_table_keeps_its_headings(page_file, visit):
    page = visit(page_file, viewport={"width": 720, "height": 1000})
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    assert page.locator("#cells thead button").first.is_visible()
    assert not page.locator("#views").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_nothing_that_can_be_asked_for_keeps_a_page_from_being_shown(tmp_path, visit):
    """No cell with figures; no interval; runs that were moved away."""
    grid = design(tmp_path, cells=[nobody("one"), nobody("two", "neither")])
    run_ablation(grid, tmp_path / "none", index=index())
    page = visit(write_report(tmp_path / "none", tmp_path / "none.html"))
    assert "No cell has figures" in page.locator("#overview").text_content()
    assert len(names_of(page)) == 2
    pools = design(tmp_path, {"voting.pool": ["mean", "log"]}, overrides={"limit": 3})
    run_ablation(pools, tmp_path / "single")
    shutil.rmtree(tmp_path / "single/cells")
    page = visit(write_report(tmp_path / "single", tmp_path / "single.html"))
    assert page.locator("#cells tbody tr").count() == 2
    assert "no 95 % intervals" in page.locator("#overview").text_content()
    assert "Of all cells" not in page.locator("#settings").text_content()


def test_mistakes_are_told(folder, run, tmp_path):
    with pytest.raises(SettingsError, match="is an ablation, which cannot be compared"):
        write_report(folder, tmp_path / "page.html", run)
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken, ignore=shutil.ignore_patterns("cells"))
    (broken / "ablation.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"broken: ablation\.json is not"):
        ablation_report(broken)
    (broken / "result.json").unlink()
    with pytest.raises(RunFolderError, match="no result of an ablation here"):
        write_report(broken, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_run_s_folder_is_as_good_as_the_run(run, tmp_path):
    paths = [write_report(one, tmp_path / f"{n}.html") for n, one in enumerate((run, run.path))]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert ABLATION[-1] == "ablation.js"
