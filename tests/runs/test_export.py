"""A run's predictions for other tools, read back with those tools."""

import csv
import io
import json
import shutil
import sys
from dataclasses import replace

import datasets
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo import Run, export_predictions
from ragemo.corpus.packed import unpacked
from ragemo.errors import RunFolderError, SettingsError
from ragemo.runs.export import FORMATS, without_folders
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import ask_all, make_corpus

ROWS = [
    {"dialogue": "a", "text": "=1+1 très  bien", "emotion": "hap", "speaker": "-Ann"},
    {"dialogue": "a", "text": "a line\nand \u2028 another", "emotion": None, "speaker": "Bob"},
    {"dialogue": "b", "text": "", "emotion": "ang", "speaker": ""},
]
ANSWERS = {"a_0": "happy", "a_1": "angry", "b_0": "no idea"}
FIXED = (
    *("id", "dialogue", "turn", "speaker", "text", "gold", "label", "confidence", "agreement"),
    *("abstained", "invalid", "failed", "probability_neu", "probability_hap", "probability_ang"),
    "label_set",
)
DETAILS = (
    {"intensity": 2, "labels": ["hap", "ang"], "reasons": "@SUM(A1)"},
    {"intensity": 0.5},
    {},
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three utterances: one of them without a gold label, one without a usable answer."""
    llm = FakeLLM(lambda prompt, sample: ANSWERS[prompt.utterance_id])
    run = ask_all(make_corpus(ROWS), tmp_path_factory.mktemp("run") / "three", llm=llm)
    verdicts = [replace(v, details=d) for v, d in zip(run.verdicts(), DETAILS, strict=True)]
    run.finish(verdicts, {}, panels=run.panels())
    return run


@pytest.fixture(scope="module")
def truth(run):
    """The rows as they have to come back."""
    known = {u.turn.utterance_id: u for u in run.utterances}
    return [
        {
            "id": v.utterance_id,
            "dialogue": known[v.utterance_id].turn.dialogue_id,
            "turn": known[v.utterance_id].turn.turn,
            "speaker": known[v.utterance_id].turn.speaker,
            "text": known[v.utterance_id].turn.text,
            "gold": known[v.utterance_id].gold,
            "label": v.label,
            "confidence": v.confidence,
            "agreement": v.agreement,
            "abstained": v.abstained,
            "invalid": v.invalid,
            "failed": v.failed,
            **{
                f"probability_{name}": v.distribution and v.distribution[place]
                for place, name in enumerate(run.labels.names)
            },
            "label_set": list(v.label_set),
            "intensity": v.details.get("intensity"),
            "labels": v.details.get("labels"),
            "reasons": v.details.get("reasons"),
        }
        for v in run.verdicts()
    ]


def test_the_run_has_what_is_hard_to_export(truth):
    assert list(truth[0]) == [*FIXED, "intensity", "labels", "reasons"]
    assert [row["gold"] for row in truth] == ["hap", None, "ang"]
    assert [row["label"] for row in truth] == ["hap", "ang", None]
    assert truth[2]["probability_neu"] is None
    assert truth[2]["invalid"] == 1


def test_json_lines(run, truth, tmp_path):
    assert export_predictions(run, tmp_path / "p.jsonl") == 3
    lines = (tmp_path / "p.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line) for line in lines[:-1]] == truth
    assert len(pd.read_json(tmp_path / "p.jsonl", lines=True)) == 3


def test_csv_for_spreadsheets(run, truth, tmp_path):
    export_predictions(run, tmp_path / "p.csv")
    data = (tmp_path / "p.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    one, two, three = csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
    assert list(one) == list(truth[0])
    assert (one["speaker"], one["text"]) == ("'-Ann", "'=1+1 très bien")
    assert (one["labels"], one["reasons"], one["intensity"]) == ("hap|ang", "'@SUM(A1)", "2.000000")
    assert (two["gold"], two["label"], two["text"]) == ("", "ang", "a line and another")
    assert (three["label"], three["probability_neu"], three["invalid"]) == ("", "", "1")
    assert three["abstained"] == "no"
    table = pd.read_csv(tmp_path / "p.csv")
    assert table.columns[0] == "id"
    assert table.confidence.tolist() == pytest.approx([row["confidence"] for row in truth])


def test_parquet_has_types(run, truth, tmp_path):
    export_predictions(run, tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.to_pylist() == truth
    frame = table.to_pandas()
    assert frame.label.cat.categories.tolist() == list(run.labels.names)
    assert frame.label.isna().tolist() == [False, False, True]
    kinds = {name: str(frame[name].dtype) for name in ("turn", "confidence", "abstained")}
    assert kinds == {"turn": "int64", "confidence": "float64", "abstained": "bool"}
    about = json.loads(table.schema.metadata[b"ragemo"])
    assert about["settings"] == run.manifest["settings"]
    assert about["corpus"] == run.manifest["corpus"]


def test_a_folder_of_datasets(run, truth, tmp_path):
    export_predictions(run, tmp_path / "set", format="datasets")
    found = datasets.load_from_disk(tmp_path / "set")
    names = list(run.labels.names)
    for column in ("gold", "label"):
        assert found.features[column].names == names
        places = [row[column] and names.index(row[column]) for row in truth]
        assert found[column][:] == places  # None stays None: no label is not the first label
    others = [name for name in truth[0] if name not in ("gold", "label")]
    for name in others:
        assert found[name][:] == [row[name] for row in truth]
    about = json.loads(found.info.description)
    assert about["run"] == "three"
    assert about["ragemo"] == run.manifest["ragemo"]


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".xz", ".zst"])
def test_lines_are_compressed_as_the_name_says(run, truth, tmp_path, packing):
    for name in ("csv", "jsonl"):
        export_predictions(run, tmp_path / f"p.{name}", format=name)
        path = tmp_path / f"p.{name}{packing}"
        assert export_predictions(run, path, format=name) == 3
        assert unpacked(path.read_bytes(), path) == (tmp_path / f"p.{name}").read_bytes()
    with pytest.raises(SettingsError, match=f"parquet is compressed in itself; leave {packing}"):
        export_predictions(run, tmp_path / f"p.parquet{packing}", format="parquet")


@pytest.mark.parametrize("name", FORMATS)
def test_rows_are_written_some_at_a_time(run, tmp_path, monkeypatch, name):
    export_predictions(run, tmp_path / "whole", format=name)
    monkeypatch.setattr("ragemo.runs.export.ROWS", 2)
    assert export_predictions(run, tmp_path / "pieces", format=name) == 3
    if name == "parquet":  # pieces are groups of rows
        one, other = (pq.read_table(tmp_path / place) for place in ("whole", "pieces"))
        assert one.equals(other)
    else:
        files = [
            {
                p.relative_to(tmp_path / place): p.read_bytes()
                for p in (tmp_path / place).rglob("*.*")
            }
            or (tmp_path / place).read_bytes()
            for place in ("whole", "pieces")
        ]
        assert files[0] == files[1]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("places", [(1, 0, 2), (0, 0, 1, 2)])
def test_verdicts_that_do_not_follow_the_utterances(run, tmp_path, name, places):
    shutil.copytree(run.path, tmp_path / "run")
    file = tmp_path / "run/verdicts.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[place] for place in places), encoding="utf-8")
    with pytest.raises(RunFolderError, match="twice or out of order"):
        export_predictions(Run.open(tmp_path / "run"), tmp_path / "p", format=name)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("details", "said"), [({"label": "x"}, "a detail 'label'"), ({"intensity": 10**400}, "detail")]
)
def test_details_that_no_run_has(run, tmp_path, details, said):
    shutil.copytree(run.path, tmp_path / "run")
    file = tmp_path / "run/verdicts.jsonl"
    first, *rest = file.read_text(encoding="utf-8").splitlines(keepends=True)
    changed = json.dumps(json.loads(first) | {"details": details}) + "\n"
    file.write_text("".join([changed, *rest]), encoding="utf-8")
    with pytest.raises(RunFolderError, match=said):
        export_predictions(Run.open(tmp_path / "run"), tmp_path / "p.jsonl")
    assert not (tmp_path / "p.jsonl").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_run_gives_the_same_bytes(run, tmp_path, name):
    def exported(place):
        export_predictions(Run.open(run.path), tmp_path / place, format=name)
        files = [path for path in sorted((tmp_path / place).rglob("*")) if path.is_file()]
        return {str(path.relative_to(tmp_path / place)): path.read_bytes() for path in files} or (
            tmp_path / place
        ).read_bytes()

    assert exported("one") == exported("two")


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_replaced_unless_asked(run, tmp_path, name):
    place = tmp_path / "there"
    export_predictions(run, place, format=name)
    with pytest.raises(SettingsError, match="there is there already; --overwrite"):
        export_predictions(run, place, format=name)
    export_predictions(run, place, format=name, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match=r"is no file|dataset_info\.json is not in it"):
        export_predictions(run, tmp_path / "mine", format=name, overwrite=True)
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", FORMATS)
def test_a_place_that_cannot_be_written(run, tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="file/below: cannot be written: "):
        export_predictions(run, tmp_path / "file/below", format=name)


@pytest.mark.parametrize(("name", "library"), [("parquet", "pyarrow"), ("datasets", "datasets")])
def test_a_missing_library_is_named(run, tmp_path, monkeypatch, name, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SettingsError, match=rf"{library} .*pip install 'ragemo\[export\]'"):
        export_predictions(run, tmp_path / "p", format=name)
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused(run, tmp_path):
    with pytest.raises(SettingsError, match="'xlsx': expected one of csv, jsonl, parquet, dat"):
        export_predictions(run, tmp_path / "p", format="xlsx")
    with pytest.raises(SettingsError, match="its name says parquet, the format is csv"):
        export_predictions(run, tmp_path / "p.parquet", format="csv")
    unfinished = Run.create(tmp_path / "run", run.manifest, run.utterances)
    unfinished.close()
    with pytest.raises(RunFolderError, match="not finished"):
        export_predictions(unfinished, tmp_path / "p.csv")


def test_only_names_of_files_are_told():
    data = {
        "template": "/home/ann/few.jinja",
        "weights": "~/weights.json",
        "models": ["C:\\Users\\ann\\model", "smollm2", "org/model"],
        "url": "http://localhost:8000/v1",
        "k": 8,
        "none": None,
    }
    assert without_folders(data) == {
        "template": "few.jinja",
        "weights": "weights.json",
        "models": ["model", "smollm2", "org/model"],
        "url": "http://localhost:8000/v1",
        "k": 8,
        "none": None,
    }


@settings(deadline=None, max_examples=20)
@given(text=st.text(st.characters(codec="utf-8"), max_size=12))
def test_any_text_survives(run, tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("any")
    changed = [replace(v, details={"reasons": text}) for v in run.verdicts()]
    other = Run.create(folder / "run", run.manifest, run.utterances)
    other.close()
    other.finish(changed, {}, panels=run.panels())
    for name in ("jsonl", "parquet", "csv"):
        export_predictions(other, folder / f"p.{name}", format=name)
    lines = (folder / "p.jsonl").read_text(encoding="utf-8").split("\n")
    assert json.loads(lines[0])["reasons"] == text
    assert pq.read_table(folder / "p.parquet")["reasons"].to_pylist() == [text] * 3
    with (folder / "p.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            assert not row["reasons"].startswith(tuple("=+-@\t\r"))
