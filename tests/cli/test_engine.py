"""What --engine and --address may be; a cluster at work is in tests/pipeline/test_cluster.py."""

import sys

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
    ],
)
def test_what_no_engine_can_do_is_said(command, test_file, flags, words):
    done = command("predict", test_file, "--llm", "none", "--out", "run", *flags)
    assert done.code == 2
    assert words in done.err


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"pip install 'ragemo\[ray\]'"), open_cluster():
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "host:port"])
def test_where_no_cluster_is_is_found_out_at_once(address):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ragemo[ray]'")
    with pytest.raises(SettingsError, match=f"--address {address}"), open_cluster(address):
        pass
