"""What a script may rely on."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus.examples import put_sound


def predictions(folder):
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_predict_without_a_language_model(command, test_file, index):
    done = command("predict", test_file, "--index", index, "--llm", "none", "--out", "run")
    assert done.code == 0
    gold = [row for row in json.loads(test_file.read_text()) if row["need_prediction"] == "yes"]
    assert done.out == f"run: {len(gold)} utterances\n"

    header, *rows = predictions(Path("run"))
    names = ["neu", "hap", "sad", "ang"]
    assert header == ["id", "label", "confidence", *names, "label_set", "abstained"]
    assert [row[0] for row in rows] == [row["id"] for row in gold]
    for _, label, confidence, *shares, label_set, abstained in rows:
        shares = [float(share) for share in shares]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert label in names
        assert float(confidence) == max(shares) == shares[names.index(label)]
        assert label in label_set.split("|")
        assert abstained == ""
    ballots = [json.loads(line) for line in Path("run/ballots.jsonl").read_text().splitlines()]
    assert {ballot["voter"] for ballot in ballots} == {"neighbours", "probe", "words"}


def test_score_as_json(command, test_file, index):
    command("predict", test_file, "--index", index, "--llm", "none", "--out", "run")
    done = command("score", "run", "--format", "json", "--bootstrap", 50)
    assert (done.code, done.err) == (0, "")
    score = json.loads(done.out)
    gold = {row["id"]: row["emotion"] for row in json.loads(test_file.read_text())}
    right = [gold[row[0]] == row[1] for row in predictions(Path("run"))[1:]]
    assert score["run"] == "run"
    assert score["n"] == len(right)
    assert score["accuracy"] == pytest.approx(sum(right) / len(right))
    for name in ("uar", "weighted_f1", "macro_f1"):
        assert 0 <= score[name] <= 1
    assert score["invalid"] == score["errors"] == 0
    for figure in ("table", "markdown"):
        done = command("score", "run", "--format", figure, "--bootstrap", 50)
        assert (done.code, done.err) == (0, "")
        assert f"{100 * score['accuracy']:.1f}" in done.out


def test_several_runs_are_one_object_a_line(command, test_file, index):
    for name in ("a", "b"):
        command("predict", test_file, "--index", index, "--llm", "none", "--out", name)
    done = command("score", "a", "b", "--format", "json", "--bootstrap", 50)
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line.pop("run") for line in lines] == ["a", "b"]
    assert lines[0] == lines[1]


@pytest.mark.parametrize(
    ("format_", "ids"),
    [
        ("meld", ["dia4_utt0", "dia4_utt2", "dia7_utt0"]),
        ("emorynlp", ["s01_e02_c03_u004", "s01_e02_c03_u005", "s01_e02_c12_u001"]),
        ("topicalchat", ["t_1_000", "t_1_001", "t_2_000"]),
        ("plain", ["a0", "b0"]),
        ("plain csv", ["a0", "b0"]),
    ],
)
def test_every_format_from_file_to_score(command, tmp_path, minilm_folder, format_, ids):
    file = put_sound(tmp_path, format_)
    assert command("data", "check", file).code == 0
    built = command("index", "build", file, "--out", "index")
    assert built.code == 0, built.err
    done = command("predict", file, "--index", "index", "--llm", "none", "--out", "run")
    assert done.code == 0, done.err
    assert [row[0] for row in predictions(Path("run"))[1:]] == ids
    score = json.loads(command("score", "run", "--format", "json", "--bootstrap", 1).out)
    assert score["n"] == len(ids)


@pytest.mark.parametrize(
    "path", ["meld/dev_sent_emo.csv", "emorynlp/emorynlp_dev_final.csv", "meld_asr/dev.json"]
)
def test_real_corpora_with_an_index_of_themselves(command, minilm_folder, path):
    if "RAGEMO_DATA" not in os.environ:
        pytest.skip("RAGEMO_DATA is not set: the corpora are not part of the project")
    file = Path(os.environ["RAGEMO_DATA"]) / path
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    lines = file.read_text(encoding="utf-8")
    if file.suffix == ".json":
        small = Path("small.json")
        small.write_text(json.dumps(json.loads(lines)[:40]))
    else:
        small = Path("small.csv")
        small.write_text("".join(lines.splitlines(keepends=True)[:41]))
    assert command("index", "build", small, "--out", "index").code == 0
    done = command("predict", small, "--index", "index", "--llm", "none", "--out", "run")
    assert done.code == 0, done.err


def test_only_the_result_is_on_standard_output(test_file, index):
    program = "from ragemo.__main__ import main; main()"
    command = [sys.executable, "-c", program, "predict", test_file, "--index", index]
    command += ["--llm", "none", "--out", "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["run: 18 utterances"]
    first, weights = done.stderr.splitlines()
    assert first == "18 utterances, no language model is asked"
    assert weights.startswith("weights: neighbours ")


def test_quiet_leaves_the_result_alone(command, train, test_file, index):
    done = command("index", "build", train, "--out", "new", "--quiet")
    assert done.err == ""
    assert done.out == "new: 44 labelled windows of 60 utterances\n"
    done = command("predict", test_file, "--index", index, "--llm", "none", "--out", "r", "--quiet")
    assert done.err == ""
    assert done.out.startswith("r: 18 utterances")


def test_the_same_command_twice_gives_the_same_bytes(command, train, test_file, index):
    command("index", "build", train, "--out", "again")
    for name in sorted(path.name for path in index.iterdir()):
        assert Path("again", name).read_bytes() == (index / name).read_bytes(), name
    for name, folder in (("one", index), ("two", "again")):
        done = command("predict", test_file, "--index", folder, "--llm", "none", "--out", name)
        assert done.code == 0
    for path in Path("one").iterdir():
        assert path.read_bytes() == Path("two", path.name).read_bytes(), path.name


def test_the_index_can_be_looked_at(command, index):
    manifest = json.loads(command("index", "info", index).out)
    assert manifest["labels"]["name"] == "gensec"
    assert manifest["embedder"]["name"] == "minilm"
    assert command("index", "verify", index).out == f"{index}: whole\n"
    found = command("index", "search", index, "Look at this traffic.", "--k", 3)
    assert found.code == 0
    assert found.out.count("Ses01F_") == 3


def test_a_damaged_index_is_found_out(command, train):
    command("index", "build", train, "--out", "index")
    file = Path("index/vectors.npy")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    done = command("index", "verify", "index")
    assert (done.code, done.out) == (2, "")
    assert "vectors.npy" in done.err


def test_models_and_doctor_say_what_is_there(command, minilm_folder):
    listed = command("models", "list")
    assert listed.code == 0
    assert "minilm" in listed.out
    assert f"cache: {minilm_folder.parents[1]}\n" in listed.out
    done = command("models", "pull", "minilm")
    assert (done.code, done.out) == (0, f"minilm: {minilm_folder}\n")
    report = command("doctor")
    assert report.code == 0
    assert "OPENAI_API_KEY" in report.out
    assert "not set" in report.out


def test_version(command):
    from ragemo import __version__

    assert command("--version").out == f"ragemo {__version__}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_standard_output_is_one_error(unbuffered):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ragemo", "models", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: standard output, ")
    assert done.stderr.endswith(": No space left on device\n")
    assert done.stderr.count("\n") == 1


def test_a_reader_who_leaves_is_no_error():
    command = [sys.executable, "-m", "ragemo", "models", "list"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
