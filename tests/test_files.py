import hashlib
import json
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from ragemo.classifier import RagEmoClassifier
from ragemo.errors import SettingsError
from ragemo.files import (
    canonical_json,
    expanded,
    parse_yaml,
    sha256_bytes,
    sha256_file,
    whole_folder,
    write_ahead,
    write_bytes,
    write_json,
    write_text,
)
from ragemo.llm import load_llm
from ragemo.llm.keeping.answer_cache import answers_file
from ragemo.llm.local_model import LocalModel
from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.prices import find_price
from ragemo.models import cache_folder, weights_hash
from ragemo.settings import LLMSettings

NOBODYS = "~no-such-user/file"


def classify():
    RagEmoClassifier(cache=NOBODYS).fit(["a", "b"], ["x", "y"])


def ask_endpoint():
    OpenAIModel("some-model", base_url="http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("variable", "use"),
    [
        ("RAGEMO_CACHE", cache_folder),
        ("RAGEMO_ANSWERS", answers_file),
        ("RAGEMO_PRICES", lambda: find_price("gpt-4o")),
        ("RAGEMO_ENDPOINTS", ask_endpoint),
        (None, lambda: load_llm(LLMSettings(model=NOBODYS))),
        (None, lambda: LocalModel.load(NOBODYS)),
        (None, lambda: weights_hash(NOBODYS)),
        (None, classify),
    ],
)
def test_nobodys_home_folder_is_named(monkeypatch, variable, use):
    if variable:
        monkeypatch.setenv(variable, NOBODYS)
    with pytest.raises(SettingsError, match=f"'{NOBODYS}' begins with a home folder .* in full"):
        use()


def test_a_path_in_the_users_home_folder_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/file") == expanded(Path("~/file")) == tmp_path / "file"
    assert expanded("file") == Path("file")


@pytest.fixture
def usual_mask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def no_room(*arguments):
    raise OSError(28, "No space left on device")


def tree(folder):
    """Every file under a folder, with its content."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def names(folder):
    return [entry.name for entry in folder.iterdir()]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_hashes_are_sha256(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert sha256_bytes(data) == sha256_file(tmp_path / "file") == expected


def test_equal_data_has_one_canonical_text():
    assert canonical_json({"b": [1, "é"], "a": None}) == '{"a":null,"b":[1,"é"]}'
    assert canonical_json({"a": None, "b": [1, "é"]}) == canonical_json({"b": [1, "é"], "a": None})


def test_files_are_written_as_asked(tmp_path, usual_mask):
    path = tmp_path / "new" / "folder" / "file"
    write_text(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    assert mode(path) == 0o640
    write_bytes(path, b"other")
    assert tree(tmp_path) == {"new/folder/file": b"other"}
    write_json(path, {"b": 1, "a": ["é"]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"b": 1, "a": ["é"]}
    assert path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch, failing):
    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), no_room)
    with pytest.raises(OSError, match="No space"):
        write_bytes(tmp_path / "file", b"new")
    assert tree(tmp_path) == {"file": b"old"}


def test_a_folder_appears_only_when_it_is_whole(tmp_path, usual_mask):
    with whole_folder(tmp_path / "new" / "folder") as folder:
        (folder / "file").write_bytes(b"content")
        assert not (tmp_path / "new" / "folder").exists()
    assert tree(tmp_path) == {"new/folder/file": b"content"}
    assert mode(tmp_path / "new" / "folder") == 0o750


def test_a_folder_takes_the_old_one_s_place(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_bytes(b"old")
    with whole_folder(tmp_path / "folder") as folder:
        (folder / "new").write_bytes(b"new")
        assert tree(tmp_path / "folder") == {"old": b"old"}
    assert tree(tmp_path) == {"folder/new": b"new"}
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("there", [True, False])
def test_a_failing_block_leaves_everything_as_it_was(tmp_path, error, there):
    if there:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "old").write_bytes(b"old")
    with pytest.raises(error), whole_folder(tmp_path / "folder") as folder:
        (folder / "half").write_bytes(b"half")
        raise error
    assert tree(tmp_path) == ({"folder/old": b"old"} if there else {})
    assert names(tmp_path) == (["folder"] if there else [])


@pytest.mark.parametrize("nth", [1, 2])
def test_the_old_folder_is_put_back_when_the_new_one_cannot_take_its_place(
    tmp_path, monkeypatch, nth
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_bytes(b"old")
    replace, calls = Path.replace, []

    def failing(self, target):
        calls.append(target)
        return no_room() if len(calls) == nth else replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with (
        pytest.raises(OSError, match="No space"),
        whole_folder(tmp_path / "folder") as folder,
    ):
        (folder / "new").write_bytes(b"new")
    assert tree(tmp_path) == {"folder/old": b"old"}
    assert names(tmp_path) == ["folder"]


def test_of_two_at_once_one_takes_the_place_and_nothing_else_stays(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_bytes(b"old")
    replace = Path.replace

    def overtaken(self, target):
        if target == tmp_path / "folder":
            (tmp_path / "folder").mkdir()
            (tmp_path / "folder" / "theirs").write_bytes(b"theirs")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", overtaken)
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "folder") as folder:
        (folder / "new").write_bytes(b"new")
    assert tree(tmp_path) == {"folder/theirs": b"theirs"}
    assert names(tmp_path) == ["folder"]


def test_a_file_in_the_folder_s_place_is_not_replaced(tmp_path):
    (tmp_path / "folder").write_bytes(b"a file")
    with pytest.raises(OSError), whole_folder(tmp_path / "folder"):
        pass
    assert tree(tmp_path) == {"folder": b"a file"}


def test_a_folder_that_may_not_be_replaced_is_not_unless_it_is_empty(tmp_path):
    (tmp_path / "folder").mkdir()
    with whole_folder(tmp_path / "folder", replace=False) as folder:
        (folder / "old").write_bytes(b"old")
    with (
        pytest.raises(OSError, match="folder"),
        whole_folder(tmp_path / "folder", replace=False) as folder,
    ):
        (folder / "new").write_bytes(b"new")
    assert tree(tmp_path) == {"folder/old": b"old"}
    assert names(tmp_path) == ["folder"]


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far")
    with whole_folder(tmp_path / "link") as folder:
        (folder / "new").write_bytes(b"new")
    assert (tmp_path / "link").is_symlink()
    assert tree(tmp_path / "far") == {"new": b"new"}


def test_a_database_that_another_process_begins_to_write_is_waited_for(tmp_path):
    base, other = (
        sqlite3.connect(tmp_path / "base", isolation_level=None, check_same_thread=False)
        for _ in range(2)
    )
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        write_ahead(base, 0.2)
    leaving = threading.Timer(0.2, other.execute, ["COMMIT"])
    leaving.start()
    write_ahead(base, 60)
    leaving.join()
    assert base.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    base.close()
    other.close()


@pytest.mark.parametrize(
    ("text", "line"), [("a: 1\nb: 2\na: 3", 3), ("x:\n  k: 1\n  k: 2", 3), ("- {a: 1, a: 1}", 1)]
)
def test_a_key_that_yaml_has_twice_is_named(text, line):
    with pytest.raises(ValueError, match=f"line {line}: the key '[ak]' is there twice"):
        parse_yaml(text)


def test_what_yaml_may_say_twice():
    text = "base: &b {k: 1}\none: {<<: *b, k: 2}\ntwo: {<<: *b, <<: *b}\n1: a\n'1': b"
    assert parse_yaml(text)["one"] == {"k": 2}
