import json
import os
import re
from pathlib import Path

import pytest
import yaml

from ragemo.cli.settings import settings_and_paths
from tests.cli.conftest import asking

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_holds(config):
    settings, paths = settings_and_paths(config, {})
    written = yaml.safe_load(config.read_text())
    assert {"data", "out"} <= set(paths)
    for section, values in written.items():
        if section != "paths":
            assert settings.model_dump()[section] | values == settings.model_dump()[section]
    # With k demonstrations there has to be an index.
    assert settings.retrieval.k == 0 or {"train", "index"} <= set(paths)


def test_there_are_configs():
    assert {"sample.yaml", "gensec.yaml", "gensec-baseline.yaml", "meld.yaml"} <= {
        config.name for config in CONFIGS
    }


def test_a_config_is_a_whole_job_and_flags_override_it(command, train, test_file, minilm_folder):
    Path("job.yaml").write_text(
        f"paths: {{train: {train}, data: {test_file}, index: idx, out: out}}\n"
        "retrieval: {k: 5}\nllm: {model: none}\nlimit: 4\n"
    )
    assert command("index", "build", "--config", "job.yaml").out.startswith("idx: ")
    assert command("predict", "--config", "job.yaml").out.startswith("out: 4 utterances")
    settings = json.loads(Path("out/manifest.json").read_text())["settings"]
    assert (settings["retrieval"]["k"], settings["limit"]) == (5, 4)

    flags = ["--k", 2, "--limit", 6, "--out", "other", "--context", -1, "--leave-out", "speaker"]
    flags += ["--set", "retrieval.context_weight=0.1", "--set", "limit=5", "--seed", 3]
    assert command("predict", "--config", "job.yaml", *flags).out.startswith("other: 6 utter")
    settings = json.loads(Path("other/manifest.json").read_text())["settings"]
    wanted = {"k": 2, "context_weight": 0.1, "context_length": None, "exclude": "speaker"}
    assert settings["retrieval"] == settings["retrieval"] | wanted
    assert settings["prompt"]["context"] is None
    assert (settings["limit"], settings["seed"]) == (6, 3)


def test_the_manifest_s_settings_are_a_config_that_gives_the_same_run(command, test_file, index):
    flags = ["--k", 3, "--context", -1, "--transcript", "longest", "--limit", 9, "--seed", 5]
    flags += ["--set", "retrieval.context_weight=0.2", "--leave-out", "speaker"]
    done = command("predict", test_file, "--index", index, "--llm", "none", "--out", "one", *flags)
    assert done.code == 0, done.err
    manifest = json.loads(Path("one/manifest.json").read_text())
    Path("again.yaml").write_text(json.dumps(manifest["settings"]))
    again = ["--config", "again.yaml", "--index", index, "--out", "two"]
    assert command("predict", test_file, *again).code == 0
    for path in Path("one").iterdir():
        assert path.read_bytes() == Path("two", path.name).read_bytes(), path.name


def test_the_official_baseline_is_asked_as_its_notebook_does(command, test_file, scenario):
    scenario.script(answers=["neutral"])
    config = next(path for path in CONFIGS if path.name == "gensec-baseline.yaml")
    done = command(
        *("predict", test_file, "--config", config, "--base-url", scenario.url),
        *("--limit", 6, "--out", "run", "--set", "llm.concurrency=1"),
    )
    assert done.code == 0, done.err
    rows = json.loads(test_file.read_text())
    wanted = [n for n, row in enumerate(rows) if row["need_prediction"] == "yes"][:6]
    assert len(scenario.seen) == len(wanted)
    for number, request in zip(wanted, scenario.seen, strict=True):
        assert request["model"] == "gpt-3.5-turbo"
        assert request["temperature"] == 0
        assert request.get("n", 1) == 1
        system, user = request["messages"]
        assert (system["role"], user["role"]) == ("system", "user")
        shown = [row["whispertiny"] in user["content"] for row in rows[: number + 1]]
        assert shown == [n >= number - 3 for n in range(number + 1)]
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["index"] is None
    assert manifest["transcript"] == "whispertiny"


def test_dot_env_in_the_working_folder_names_the_endpoint(command, test_file, scenario):
    scenario.script(answers=["happy"])
    Path(".env").write_text(f"OPENAI_BASE_URL={scenario.url}\nOPENAI_API_KEY=sk-from-dot-env\n")
    done = command(*asking(test_file))
    assert done.code == 0, done.err
    assert len(scenario.seen) == 3
    assert {request["key"] for request in scenario.seen} == {"Bearer sk-from-dot-env"}


@pytest.mark.parametrize(
    "content", ["OPENAI_API_KEY=sk-from-dot-env\n".encode("utf-16"), b"A=b\0c"]
)
def test_a_dot_env_that_is_no_text_is_named_and_not_shown(command, content):
    Path(".env").write_bytes(content)
    done = command("models", "list")
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(r"error: .*/\.env: cannot be read; expected lines .* in UTF-8\n", done.err)


def test_the_environment_wins_over_dot_env_and_a_flag_over_both(command, test_file, scenario):
    nowhere = "http://127.0.0.1:9/v1"
    Path(".env").write_text(f"OPENAI_BASE_URL={nowhere}\nOPENAI_API_KEY=sk-from-dot-env\n")
    os.environ["OPENAI_BASE_URL"] = scenario.url
    os.environ["OPENAI_API_KEY"] = "sk-from-environment"
    done = command(*asking(test_file))
    assert done.code == 0, done.err
    assert {request["key"] for request in scenario.seen} == {"Bearer sk-from-environment"}

    os.environ["OPENAI_BASE_URL"] = nowhere
    flags = ["--out", "other", "--base-url", scenario.url]
    assert command(*asking(test_file), *flags).code == 0


def test_a_truth_value_is_no_number(command, test_file):
    done = command("predict", test_file, "--out", "run", "--set", "limit=yes")
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith("limit: expected a whole number, found true\n")


def test_a_flag_wins_over_its_setting_and_over_its_whole_section():
    assigned = ["retrieval.k=4", "retrieval={exclude: speaker}"]
    settings, _ = settings_and_paths(None, {"k": 2}, assigned)
    assert (settings.retrieval.k, settings.retrieval.exclude) == (2, "speaker")
