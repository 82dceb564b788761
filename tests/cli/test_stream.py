"""`ragemo predict` of a file that is read block by block."""

import pytest

from ragemo.cli import sources


@pytest.fixture(scope="module", params=["jsonl.gz", "parquet"])
def packed(request, test_file, tmp_path_factory):
    """The test dialogues in ragemo's own format."""
    from tests.cli.conftest import run_command

    path = tmp_path_factory.mktemp("packed") / f"test.{request.param}"
    done = run_command("data", "convert", test_file, path, "--to", "plain")
    assert done.code == 0, done.err
    return path


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_stream_is_the_run_of_the_file_read_whole(command, index, packed, workplace):
    words = ["predict", packed, "--index", index, "--llm", "none", "--out"]
    whole = command(*words, "whole", "--no-stream")
    assert whole.code == 0, whole.err
    for name in ("stream", "stream"):
        again = ["--resume"] * (workplace / "stream").exists()
        done = command(*words, name, "--stream", *again)
        assert done.code == 0, done.err
        assert done.out == whole.out.replace("whole", "stream")
    assert files(workplace / "stream") == files(workplace / "whole")


def test_large_files_are_streamed_unasked(command, index, packed, workplace, monkeypatch):
    said = []
    monkeypatch.setattr(
        "ragemo.pipeline.streaming.predict_stream", lambda *a, **k: said.append(a) or 1 / 0
    )
    words = ["predict", packed, "--index", index, "--llm", "none", "--out", "run"]
    assert command(*words).code == 0
    assert said == []
    monkeypatch.setattr(sources, "LARGE", 100)
    with pytest.raises(ZeroDivisionError):
        command(*words[:-1], "other")
    assert len(said) == 1


def test_what_cannot_be_streamed_is_said(command, index, packed, test_file):
    asked = ["--index", index, "--out", "run", "--stream"]
    done = command("predict", test_file, "--llm", "none", *asked)
    assert done.code == 2
    assert "--stream: test.json is not JSON lines or Parquet by its name" in done.err
    done = command("predict", packed, "--llm", "some-model", *asked)
    assert done.code == 2
    assert "--stream: a language model is asked (--llm none asks nobody)" in done.err
