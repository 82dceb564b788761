"""What --engine and --address may be; a cluster at work is in tests/pipeline/test_cluster.py."""

import sys
from pathlib import Path

import pytest

from ragemo.errors import SettingsError
from ragemo.pipeline.cluster.connection import open_cluster


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--engine", "spark"], "--engine spark: expected local or ray"),
        (["--address", "here:1"], "--address names a Ray cluster; add --engine ray"),
        (["--engine", "ray", "--batch"], "--engine ray asks call by call"),
        (["--engine", "ray", "--k", "0"], "--engine ray: there is no index, whose voters decide"),
        (["--index-shards", "2"], "add --engine ray and --llm none"),
        (["--index-shards", "0", "--engine", "ray"], "--index-shards"),
    ],
)
def test_what_no_engine_can_do_is_said(command, test_file, flags, words):
    done = command("predict", test_file, "--llm", "none", "--out", "run", *flags)
    assert done.code == 2
    assert words in done.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--strategy", "mmr"], "retrieval.strategy mmr reads vectors"),
        (["--set", "retrieval.sets=3"], "retrieval.sets reads all vectors"),
        (["--leave-out", "speaker"], "retrieval.exclude speaker fits voters anew"),
    ],
)
def test_what_reads_all_vectors_is_refused_of_pieces(command, index, test_file, flags, words):
    """Before Ray is started, or anything written."""
    common = ("predict", test_file, "--index", index, "--llm", "none", "--out", "refused")
    done = command(*common, "--engine", "ray", "--index-shards", "2", *flags)
    assert done.code == 2
    assert f"--index-shards: {words}" in done.err
    assert "leave --index-shards out" in done.err
    assert not Path("refused").exists()


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"pip install 'ragemo\[ray\]'"), open_cluster():
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "host:port"])
def test_where_no_cluster_is_is_found_out_at_once(address):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ragemo[ray]'")
    with pytest.raises(SettingsError, match=f"--address {address}"), open_cluster(address):
        pass
