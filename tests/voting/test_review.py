import csv
import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.types import Verdict
from ragemo.voting.review import Evidence, ReviewItem, review, review_csv
from tests.conftest import LABELS, make_turn

UNANIMOUS = {"neighbours": "neu", "probe": "neu"}

whole_shares = st.lists(st.integers(0, 5), min_size=3, max_size=3).filter(any)
evidence = st.lists(
    st.builds(
        lambda raw, choices, similarity, disagreement, lost: Evidence(
            decided("u", *(value / sum(raw) for value in raw), lost=lost),
            dict(zip("abc", choices, strict=False)),
            similarity,
            disagreement,
        ),
        st.one_of(st.just([1, 0, 0]), whole_shares),
        st.lists(st.sampled_from(LABELS.names), max_size=3),
        st.none() | st.floats(-1, 1),
        st.none() | st.floats(0, 1),
        st.booleans(),
    ),
    max_size=12,
).map(
    lambda found: [
        replace(one, verdict=replace(one.verdict, utterance_id=f"u{number}"))
        for number, one in enumerate(found)
    ]
)


def decided(utterance_id, *shares, agreement=1.0, lost=False):
    if lost:
        return Verdict(utterance_id, None, None, 0.0, 0.0, invalid=1)
    winner = shares.index(max(shares))
    return Verdict(utterance_id, LABELS.names[winner], shares, shares[winner], agreement)


def doubts(verdict, choices=UNANIMOUS, **fields):
    (item,) = review([Evidence(verdict, choices, **({"close": 0.4} | fields))], LABELS)
    return item.reasons


SURE = decided("u", 0.9, 0.1, 0.0)


def test_voters_that_disagree_are_named_with_their_choices():
    assert doubts(SURE, {"neighbours": "neu", "probe": "hap", "gpt-4o": "ang"}) == (
        "voters disagree: neighbours neu, probe hap, gpt-4o ang",
    )


def test_ballots_of_one_voter_that_disagree_are_told():
    assert doubts(replace(SURE, agreement=0.6), {"llm": "neu"}) == (
        "ballots disagree: 60 % say neu",
    )


@pytest.mark.parametrize(("similarity", "told"), [(0.31, True), (0.4, False), (None, False)])
def test_a_neighbour_is_close_from_the_threshold_on(similarity, told):
    found = doubts(SURE, similarity=similarity)
    assert (found == ("no close neighbour (best similarity 0.31)",)) == told
    assert any("neighbour" in reason for reason in found) == told


@pytest.mark.parametrize(("rate", "told"), [(0.62, True), (0.49, False), (None, False)])
def test_transcripts_that_disagree_are_told(rate, told):
    found = doubts(SURE, disagreement=rate)
    assert (found == ("transcripts disagree (word error rate 0.62 between systems)",)) == told
    assert any("transcripts" in reason for reason in found) == told


def test_an_empty_transcript_is_told():
    assert doubts(SURE, silent=True) == ("the transcript is empty",)


def test_answers_that_are_missing_are_told():
    nothing = Verdict("u", None, None, 0.0, 0.0, invalid=2, failed=1)
    assert doubts(nothing, {}) == ("no valid answer (invalid: 2, failed: 1)",)
    assert doubts(replace(nothing, invalid=0, failed=0), {}) == ("no valid answer",)
    assert doubts(replace(SURE, failed=1)) == ("answers are missing (failed: 1)",)


def test_without_another_reason_the_shares_are_told():
    assert doubts(decided("u", 0.37, 0.30, 0.33)) == ("low confidence: 0.37 neu, 0.33 ang",)
    assert doubts(SURE) == ("no particular doubt: 0.90 neu, 0.10 hap",)
    assert doubts(decided("u", 1.0, 0.0, 0.0)) == ("no particular doubt: 1.00 neu",)


def test_reasons_come_together():
    found = doubts(
        replace(SURE, invalid=1), {"a": "neu", "b": "ang"}, similarity=-0.1, disagreement=1.0
    )
    assert [reason.split(" (")[0].split(":")[0] for reason in found] == [
        "answers are missing",
        "voters disagree",
        "transcripts disagree",
        "no close neighbour",
    ]


def test_the_runner_up_is_the_next_share_and_the_first_of_equals():
    def second(*shares):
        return review([Evidence(decided("u", *shares), {})], LABELS)[0].runner_up

    assert second(0.5, 0.2, 0.3) == "ang"
    assert second(0.1, 0.8, 0.1) == "neu"
    assert second(0.6, 0.4, 0.0) == "hap"
    assert second(0.0, 1.0, 0.0) is None
    chosen_by_tie = Verdict("u", "ang", (0.4, 0.2, 0.4), 0.4, 1.0)
    assert review([Evidence(chosen_by_tie, {})], LABELS)[0].runner_up == "neu"


def test_the_most_doubtful_come_first_and_equals_in_their_order():
    found = review(
        [
            Evidence(decided("sure", 0.9, 0.1, 0.0), UNANIMOUS),
            Evidence(decided("tied", 0.4, 0.3, 0.3), UNANIMOUS),
            Evidence(decided("tied too", 0.3, 0.3, 0.4), {"a": "neu", "b": "ang"}),
            Evidence(decided("lost", lost=True), {}),
            Evidence(decided("least", 0.34, 0.33, 0.33), UNANIMOUS),
        ],
        LABELS,
    )
    assert [item.utterance_id for item in found] == ["lost", "least", "tied", "tied too", "sure"]


@given(evidence, st.floats(-1, 1), st.floats(0, 1))
def test_every_utterance_is_there_once_with_a_reason(given_evidence, close, disagreement):
    given_evidence = [replace(one, close=close) for one in given_evidence]
    found = review(given_evidence, LABELS, disagreement=disagreement)
    assert {item.utterance_id for item in found} == {
        one.verdict.utterance_id for one in given_evidence
    }
    assert len(found) == len(given_evidence)
    ranks = [
        (item.label is not None, item.confidence, int(item.utterance_id[1:])) for item in found
    ]
    assert ranks == sorted(ranks)
    for item in found:
        assert item.reasons
        assert all(item.reasons)
        assert item.runner_up is None or item.runner_up != item.label


# --- review_csv

COLUMNS = (
    "utterance_id",
    "dialogue_id",
    "speaker",
    "text",
    "label",
    "confidence",
    "runner_up",
    "reasons",
)
ITEM = ReviewItem("d_0", 0.31, "hap", "neu", ("one", "two"))


def rows(text, delimiter=","):
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def table(text, **fields):
    return review_csv([ITEM], {"d_0": make_turn(text, **fields)})


def test_the_table_has_a_header_and_a_row_per_item_in_order():
    lost = ReviewItem("d_1", 0.0, None, None, ("no valid answer",))
    turns = {"d_0": make_turn('He said "no", twice'), "d_1": make_turn("", 1, speaker="B")}
    assert rows(review_csv([lost, ITEM], turns)) == [
        list(COLUMNS),
        ["d_1", "d", "B", "", "", "0.0000", "", "no valid answer"],
        ["d_0", "d", "A", 'He said "no", twice', "hap", "0.3100", "neu", "one; two"],
    ]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-- what?", "'-- what?"),
        ("@you", "'@you"),
        ("＝1", "'＝1"),
        (" \t\r\n=1", "'=1"),
        ("\0=1", "'\0=1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("well; =1", "well; '=1"),
        ('well;"=1";', """well;"'=1";"""),
        (" oh\r\n  well ", "oh well"),
        ("2 - 1 = 1 @ last", "2 - 1 = 1 @ last"),
        ("'tis", "'tis"),
    ],
)
def test_a_text_is_never_a_formula(text, cell):
    assert rows(table(text))[1][3] == cell


def test_names_are_never_a_formula_either():
    item = replace(ITEM, utterance_id="=id", label="-l", runner_up="+r", reasons=("@why",))
    turn = make_turn("", dialogue_id="=d", speaker="@s")
    cells = rows(review_csv([item], {"=id": turn}))[1]
    assert cells == ["'=id", "'=d", "'@s", "", "'-l", "0.3100", "'+r", "'@why"]


@given(st.text('=+-@;,"\t\r\n\0\u200b a', max_size=12), st.sampled_from(",;\t"))
def test_no_cell_begins_like_a_formula_whatever_the_separator(text, delimiter):
    for row in rows(table(text, speaker=text), delimiter):
        for cell in row:
            assert cell.strip()[:1] not in ("=", "+", "-", "@")


@given(st.text("ab ,\"'!?é\n", max_size=20))
def test_harmless_words_are_as_they_were(text):
    assert rows(table(text))[1][3].split() == text.split()


def test_an_item_without_a_turn_is_an_error():
    with pytest.raises(KeyError, match="d_0"):
        review_csv([ITEM], {})
