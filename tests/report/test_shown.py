"""The page of a run that is too large to be shown whole."""

import pytest

from ragemo.errors import SettingsError
from ragemo.pipeline import vote
from ragemo.report.reasons import reasons
from ragemo.report.shown import shown_of
from ragemo.report.write import report, write_report
from tests.pipeline.inputs import settings_with
from tests.report.test_page import blocks_of, data_of

WHOLE = (
    *("name", "labels", "notes", "score", "cost", "settings", "manifest", "panels", "left_out"),
)
"""What is told of the run and not of what is shown."""


def test_figures_are_of_all_and_what_is_shown_is_what_a_whole_page_shows(run, other):
    whole, some = report(run, other), report(run, other, show=8)
    all_data, data = data_of(whole), data_of(some)
    assert {name: data[name] for name in WHOLE} == {name: all_data[name] for name in WHOLE}
    assert data["compare"]["figures"] == all_data["compare"]["figures"]
    # Six turns each: the eighth utterance is in the second dialogue.
    assert len(data["turns"]["id"]) == 12
    for name, column in data["turns"].items():
        assert column == all_data["turns"][name][: len(column)], name
    assert data["compare"]["label"] == all_data["compare"]["label"][:12]
    turns = [turn for block in blocks_of(some) for turn in block["turns"]]
    same = [turn for block in blocks_of(whole) for turn in block["turns"]][:12]
    for turn, own in zip(turns, same, strict=True):
        for name in ("why", "ballots", "distribution", "hypotheses"):
            assert turn[name] == own[name]
        assert len(turn["neighbours"]) == len(own["neighbours"])
        assert len(turn["prompts"]) == len(own["prompts"])


def test_what_is_not_shown_is_told_above_every_view(run, tmp_path, visit):
    page = visit(write_report(run, tmp_path / "page.html", show=8))
    for view in ("#scores", "#conversations", "#run"):
        page.evaluate("(place) => { location.hash = place; }", view)
        told = page.get_by_text("2 of 6 dialogues are shown (12 of 36 utterances)")
        assert told.count() == 1
        assert told.is_visible()


@pytest.mark.parametrize("show", [31, 36, 20_000])
def test_a_page_that_shows_everything_says_nothing_of_it(run, show):
    assert shown_of(run, show).limit is None
    assert report(run, show=show) == report(run)


def test_dialogues_are_shown_by_name(run):
    data = data_of(report(run, show=1, dialogues=["test4", "test2"]))
    assert data["turns"]["id"] == [f"test{n}_{turn}" for n in (2, 4) for turn in range(6)]
    with pytest.raises(SettingsError, match=r"--dialogue test9: there is no dialogue"):
        report(run, dialogues=["test2", "test9"])


@pytest.mark.parametrize("pool", ["log", "mean", "majority", "dawid-skene"])
def test_reasons_of_some_are_those_of_all(run, index, pool, tmp_path):
    """Also where all utterances of a run speak to each verdict."""
    own = vote([run], settings_with(voting__pool=pool), tmp_path / "own", index=None)
    some = shown_of(own, 8).utterances
    ids = {utterance.turn.utterance_id for utterance in some}
    found = reasons(
        own,
        some,
        [verdict for verdict in own.verdicts() if verdict.utterance_id in ids],
        [ballot for ballot in own.ballots() if ballot.utterance_id in ids],
    )
    whole = reasons(own, own.utterances, own.verdicts(), own.ballots())
    assert found == {name: reason for name, reason in whole.items() if name in ids}
    assert found
    assert all(reason.same for reason in found.values())
