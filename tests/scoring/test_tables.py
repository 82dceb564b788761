import io
from dataclasses import replace

import pytest
from rich.console import Console

from ragemo.labels import LabelSet, load_labels
from ragemo.scoring.score import Score, score
from ragemo.scoring.tables import score_markdown, score_table
from tests.scoring.inputs import LABELS, invented, predictions

EMORYNLP = load_labels("emorynlp")


def printed(result: Score, name: str = "this run") -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(score_table(result, name))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def scored(labels=LABELS, count=300, dialogues=30, **settings):
    made = invented(count, dialogues, labels=labels)
    return score(predictions(made, labels), training_counts={labels.names[0]: 9}, **settings)


def test_seven_labels_fit_eighty_columns_without_colour_codes():
    result = scored(
        EMORYNLP,
        others={"retrieval only": predictions(invented(300, 30, labels=EMORYNLP), EMORYNLP)},
    )
    text = printed(result)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "…" not in text  # nothing is cut off
    for label in EMORYNLP.names:
        assert text.count(f"\n{label} ") == 2  # once per label, once in the confusion matrix


def test_the_headline_names_the_run_first_then_every_baseline():
    result = scored(others={"retrieval only": predictions(invented(300, 30))})
    text = printed(result, "my run")
    places = [text.index(f"\n{system}") for system in ("my run", *result.baselines)]
    assert places == sorted(places)
    low, high = result.intervals["uar"] or (0, 0)
    assert f"{100 * result.uar:.1f}" in text
    assert f"[{100 * low:.1f}, {100 * high:.1f}]" in text


def test_the_confusion_matrix_has_every_count():
    result = scored()
    rows = [line.split() for line in printed(result).splitlines()]
    for label, counts in zip(result.labels, result.confusion, strict=True):
        assert [label, *map(str, counts)] in rows


def test_a_column_for_no_label_stands_only_where_it_is_needed():
    made = [u for u in invented(100, 10) if u.predicted is not None]
    without = score(predictions(made), training_counts=None)
    assert "none" in printed(scored())
    assert "none" not in printed(without)


def test_labels_that_begin_alike_are_told_apart_by_number():
    labels = LabelSet.from_dict({"name": "two", "labels": ["positive high", "positive low"]})
    text = printed(scored(labels))
    assert "1 positive high" in text
    assert "2 positive low" in text


def test_ten_labels_with_thousands_of_counts_are_not_cut():
    labels = LabelSet.from_dict({"name": "ten", "labels": [f"{i} feeling" for i in range(10)]})
    text = printed(scored(labels, count=30_000))
    assert "Confusion" in text
    assert "…" not in text


def test_too_many_labels_leave_the_matrix_out():
    labels = LabelSet.from_dict({"name": "many", "labels": [f"{i} feeling" for i in range(28)]})
    text = printed(scored(labels))
    assert "Confusion" not in text
    assert "27 feeling" in text


def test_counts_and_notes_are_told():
    for text in (
        printed(scored(notes=["reference transcripts"])),
        score_markdown(scored(notes=["reference transcripts"])),
    ):
        assert "n = 300 utterances in 30 dialogues" in text
        assert "invalid: " in text
        assert "Note: reference transcripts" in text


def told(result: Score) -> list[str]:
    """What the table and the Markdown say, without their line breaks."""
    return [" ".join(text.split()) for text in (printed(result), score_markdown(result))]


def test_the_surest_predictions_are_told():
    result = scored()
    assert result.selective is not None
    accuracy = {point.coverage: point.accuracy for point in result.selective.curve}
    for text in told(result):
        assert (
            f"Selective accuracy of {result.selective.n} distributions: "
            f"all {100 * accuracy[1]:.1f}, the surest 80 % {100 * accuracy[0.8]:.1f}, "
            f"the surest 50 % {100 * accuracy[0.5]:.1f}; AURC {result.selective.aurc:.3f}."
        ) in text


def test_abstentions_and_label_sets_are_told_where_there_are_any():
    made = [
        replace(u, abstained=i < 60, label_set=("neutral", "joy"))
        for i, u in enumerate(invented(300, 30))
    ]
    result = score(predictions(made), training_counts=None)
    held = sum(u.gold in ("neutral", "joy") for u in made) / 300
    kept = sum(u.gold == u.predicted for u in made[60:]) / 240
    for text in told(result):
        assert (
            f"Abstained on 60 of 300 utterances; accuracy of the others {100 * kept:.1f}." in text
        )
        assert (
            f"Label sets of 300 utterances: {100 * held:.1f} % hold the gold label, "
            "2.00 of 5 labels on average." in text
        )
    for text in told(scored()):
        assert "Abstained" not in text
        assert "Label sets" not in text


def test_abstaining_on_everything_is_told():
    made = [replace(u, abstained=True) for u in invented(20, 4)]
    for text in told(score(predictions(made), training_counts=None)):
        assert "Abstained on 20 of 20 utterances." in text


def test_one_dialogue_is_told_to_have_no_interval():
    for text in (printed(scored(dialogues=1)), score_markdown(scored(dialogues=1))):
        assert "no 95 % intervals" in text
        assert "[" not in text


def test_names_are_not_read_as_markup():
    labels = LabelSet.from_dict({"name": "odd", "labels": ["[bold]x", "[red]y"]})
    text = printed(scored(labels), "[green]run")
    assert "[bold]x" in text
    assert "[green]run" in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_plain_terminal_can_print_it(encoding):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=file, width=80).print(score_table(scored(EMORYNLP)))
    file.flush()
    assert b"macro F1" in raw.getvalue()


def test_markdown_is_one_table_with_a_row_per_system():
    result = scored()
    table = [line for line in score_markdown(result, "a|b").splitlines() if line[:1] == "|"]
    assert len(table) == 2 + 1 + len(result.baselines)
    assert table[0] == "| system | accuracy (WA) | UAR | weighted F1 | macro F1 |"
    assert table[2].startswith(f"| a\\|b | {100 * result.accuracy:.1f} [")
    assert {line.replace("\\|", "").count("|") for line in table} == {6}
